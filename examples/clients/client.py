"""Reads a key, waits for its next value, then follows it.
python3 client.py http://localhost:8001/kv/default/web-configmap/GREETING"""
import http.client
import sys
import urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])


def get(headers={}):
    connection = http.client.HTTPConnection(url.netloc)
    connection.request("GET", url.path, headers=headers)
    answer = connection.getresponse()
    if answer.status >= 400:
        sys.exit(answer.read().decode())
    return answer


answer = get()
print("read", answer.read().decode(), flush=True)

# Long-poll: the answer comes with the change, or a 304 after a minute.
while True:
    answer = get({"If-None-Match": answer.headers["ETag"], "Prefer": "wait=60"})
    if answer.status == 200:
        print("changed", answer.read().decode(), flush=True)
        break

# Stream: the value as it is, then each change, a line of JSON each.
for line in get({"Accept": "text/event-stream"}):
    if line.startswith(b"data: "):
        print("event", line[6:].decode(), end="", flush=True)
