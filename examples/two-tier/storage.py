"""A storage API: keeps small values in memory. Python's standard library only.

GET /           its name
GET /items/KEY  a value, or 404
PUT /items/KEY  sets it
"""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ.get("NAME", "storage")
items = {}


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/":
            self.answer(200, NAME.encode())
        elif self.path in items:
            self.answer(200, items[self.path])
        else:
            self.answer(404)

    def do_PUT(self):
        items[self.path] = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(204)

    def log_message(self, *_):
        pass


# Python as the first process of a container ignores SIGTERM otherwise.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = ThreadingHTTPServer(("", int(os.environ.get("PORT", "5000"))), Handler)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
