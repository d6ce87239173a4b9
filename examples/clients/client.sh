#!/bin/sh
# Reads a key, waits for its next value, then follows it.
# sh client.sh http://localhost:8001/kv/default/web-configmap/GREETING
set -eu
url=${1:?name the URL of a key or a ConfigMap}
head=$(mktemp)
trap 'rm -f "$head"' EXIT

etag() { sed -n 's/^etag: *\(".*"\).*/\1/ip' "$head"; }

value=$(curl -fsS -D "$head" "$url")
echo "read $value"

# Long-poll: the answer comes with the change, or a 304 after a minute.
status=304
while [ "$status" = 304 ]; do
  value=$(curl -fsS -D "$head" -H "If-None-Match: $(etag)" -H 'Prefer: wait=60' "$url")
  status=$(sed -n '1s/^[^ ]* \([0-9]*\).*/\1/p' "$head")
done
echo "changed $value"

# Stream: the value as it is, then each change, a line of JSON each.
curl -fsSN -H 'Accept: text/event-stream' "$url" | sed -un 's/^data: /event /p'
