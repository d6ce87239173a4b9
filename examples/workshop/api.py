"""An API of trending repositories, which asks GitHub for them. Python's standard library only.

GET /  the names of the repositories with the most stars

CLIENT_ID, CLIENT_SECRET  what GitHub knows this app by
DEBUG                     "true" says in answers what GitHub said
HOST, PORT                where to listen
GITHUB_API                GitHub's API, or what stands in for it
"""

import json
import os
import signal
import sys
import urllib.request
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GITHUB_API = os.environ.get("GITHUB_API", "https://api.github.com")
DEBUG = os.environ.get("DEBUG") == "true"
missing = [name for name in ("CLIENT_ID", "CLIENT_SECRET") if not os.environ.get(name)]
if missing:
    sys.exit(f"not set: {', '.join(missing)}")
app = f"{os.environ['CLIENT_ID']}:{os.environ['CLIENT_SECRET']}"
HEADERS = {"Authorization": f"Basic {b64encode(app.encode()).decode()}"}


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = f"{GITHUB_API}/search/repositories?q=stars:%3E1&sort=stars"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=HEADERS), timeout=5) as found:
                names = [item["full_name"] for item in json.load(found)["items"]]
                self.answer(200, {"repositories": names})
        except OSError as error:
            self.answer(502, {"error": str(error) if DEBUG else "GitHub gave no answer"})

    def log_message(self, *_):
        pass


# Python as the first process of a container ignores SIGTERM otherwise.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = ThreadingHTTPServer((os.environ.get("HOST", ""), int(os.environ.get("PORT", "8000"))), Handler)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
