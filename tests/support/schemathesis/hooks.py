"""What schemathesis must know of attache beyond its description."""

import re

import schemathesis

DURATION = re.compile(r"\d+|(\d+h)?(\d+m)?(\d+s)?(\d+ms)?")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Takes back what a description has no words for, or what would only take long."""
    query, headers = case.query or {}, case.headers or {}
    waits = DURATION.fullmatch(str(query.get("wait", "-")))
    # One parameter excludes the other.
    if waits and query.get("watch") in ("", "1", "true"):
        del query["watch"]
    # Nothing changes meanwhile: a longer wait finds nothing more.
    if waits:
        query["wait"] = "100ms"
    if "wait" in str(headers.get("Prefer", "")):
        headers["Prefer"] = "wait=1"
