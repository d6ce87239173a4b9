"""Stands in for GitHub's API, so that the workshop needs no account. Python's standard library only.

GET /search/repositories  two repositories, for the app that CLIENT says, as ID:SECRET; 401 for others
"""

import json
import os
import signal
import sys
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EXPECTED = f"Basic {b64encode(os.environ['CLIENT'].encode()).decode()}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers.get("Authorization") == EXPECTED
        names = ["kubernetes/kubernetes", "etcd-io/etcd"] if known else []
        body = json.dumps({"items": [{"full_name": name} for name in names]}).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


# Python as the first process of a container ignores SIGTERM otherwise.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = ThreadingHTTPServer(("", int(os.environ.get("PORT", "8001"))), Handler)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
