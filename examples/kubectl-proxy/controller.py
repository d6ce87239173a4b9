"""Deletes the Pods that a changed ConfigMap names, so that their Deployment makes new ones.

A controller in one file, Python's standard library only. It speaks plain HTTP to a proxy in its own
Pod (`attache proxy`, or `kubectl proxy`), which knows where the API server is and holds the
credentials. A ConfigMap names Pods by a label selector in an annotation:

    metadata:
      annotations:
        magalix.com/podDeleteMatch: "app=frontend"
"""

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

ANNOTATION = "magalix.com/podDeleteMatch"
PROXY = os.environ.get("PROXY", "http://127.0.0.1:8001")
# Where Kubernetes mounts the Pod's namespace and token.
ACCOUNT = os.environ.get("SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount")
# The proxy of this Pod, and no other that the environment may name.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def account(name):
    with open(os.path.join(ACCOUNT, name), encoding="utf-8") as file:
        return file.read().strip()


def call(method, path, headers=None):
    return opener.open(urllib.request.Request(PROXY + path, method=method, headers=headers or {}))


def delete_pods(namespace, selector):
    pods = f"/api/v1/namespaces/{namespace}/pods"
    with call("GET", f"{pods}?labelSelector={urllib.parse.quote(selector)}") as response:
        names = [pod["metadata"]["name"] for pod in json.load(response)["items"]]
    for name in names:
        try:
            call("DELETE", f"{pods}/{name}").close()
            print(f"deleted Pod {name}", flush=True)
        except urllib.error.HTTPError as refusal:
            if refusal.code != 404:  # else it is gone already
                raise


def watch(namespace):
    # The token is the Pod's own, read anew for every watch as Kubernetes rotates it. With it in
    # the request, the proxy adds no credentials. (The calls above leave that to the proxy.)
    headers = {"Authorization": f"Bearer {account('token')}"}
    with call("GET", f"/api/v1/watch/namespaces/{namespace}/configmaps", headers) as events:
        print(f"watching the ConfigMaps of {namespace}", flush=True)
        for line in events:  # one JSON object a line
            event = json.loads(line)
            metadata = event["object"].get("metadata", {})
            selector = metadata.get("annotations", {}).get(ANNOTATION)
            if event["type"] == "MODIFIED" and selector:
                print(f"ConfigMap {metadata['name']} was modified", flush=True)
                delete_pods(namespace, selector)


def main():
    namespace = account("namespace")
    while True:
        try:
            # The API server ends every watch after a while. What changes before the next one
            # begins is missed.
            watch(namespace)
        except (OSError, http.client.HTTPException) as error:
            # The proxy does not listen yet, the API server is away, or it refuses.
            print(f"{error}: trying again", flush=True)
        time.sleep(1)


if __name__ == "__main__":
    main()
