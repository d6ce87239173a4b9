"""An application API in front of a storage API. Python's standard library only.

GET /           which storage it uses, and that storage's name
GET /items/KEY  passed on to the storage
PUT /items/KEY  passed on to the storage

Where the storage is comes from the environment, in one of two ways:

STO_API      its URL, read when the program starts
STO_API_URL  where to read that URL, for each request: a key that attache serves
"""

import os
import signal
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STO_API = os.environ.get("STO_API")
STO_API_URL = os.environ.get("STO_API_URL")
# The hosts named above, and no proxy that the environment may name.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def storage():
    if STO_API_URL:
        with opener.open(STO_API_URL, timeout=5) as value:
            return value.read().decode().strip()
    return STO_API


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def pass_on(self, method, body=None):
        try:
            url = storage()
            request = urllib.request.Request(url + self.path, data=body, method=method)
            with opener.open(request, timeout=5) as answer:
                found = answer.read()
                if self.path == "/":
                    found = f"{url} {found.decode()}".encode()
                self.answer(answer.status, found)
        except urllib.error.HTTPError as refusal:
            self.answer(refusal.code, refusal.read())
        except OSError as error:
            self.answer(502, f"{error}\n".encode())

    def do_GET(self):
        self.pass_on("GET")

    def do_PUT(self):
        self.pass_on("PUT", self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def log_message(self, *_):
        pass


if not (STO_API or STO_API_URL):
    sys.exit("neither STO_API nor STO_API_URL is set")
# Python as the first process of a container ignores SIGTERM otherwise.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = ThreadingHTTPServer(("", int(os.environ.get("PORT", "5000"))), Handler)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
