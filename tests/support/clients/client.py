"""The official Python client through a proxy: client.py SERVER NAMESPACE.

Lists, writes and watches ConfigMaps of an empty namespace, and runs a command in the Pod "app".
Prints a line for everything it is told; client.mjs prints the same.
"""

import json
import sys

from kubernetes import client, watch
from kubernetes.stream import stream

server, namespace = sys.argv[1:]
configuration = client.Configuration(host=server)
# The machine's proxy is not asked: it is for others.
configuration.no_proxy = "127.0.0.1"
api = client.CoreV1Api(client.ApiClient(configuration))


def web(greeting, resource_version=None):
    metadata = client.V1ObjectMeta(name="web", resource_version=resource_version)
    return client.V1ConfigMap(metadata=metadata, data={"GREETING": greeting})


def tell_refusal(call, *args):
    try:
        call(*args)
        print("not refused")
    except client.ApiException as refusal:
        print("refused:", refusal.status, json.loads(refusal.body)["reason"])


before = api.list_namespaced_config_map(namespace)
print("listed:", len(before.items))
created = api.create_namespaced_config_map(namespace, web("grüezi"))
print("created:", created.metadata.name)
tell_refusal(api.create_namespaced_config_map, namespace, web("again"))

watching = watch.Watch()
for event in watching.stream(
    api.list_namespaced_config_map,
    namespace,
    resource_version=before.metadata.resource_version,
):
    print("event:", event["type"], event["object"].data["GREETING"])
    if event["type"] == "ADDED":
        api.patch_namespaced_config_map("web", namespace, {"data": {"GREETING": "hello"}})
        stale = web("stale", created.metadata.resource_version)
        tell_refusal(api.replace_namespaced_config_map, "web", namespace, stale)
    elif event["type"] == "MODIFIED":
        api.delete_namespaced_config_map("web", namespace)
    else:
        watching.stop()

tell_refusal(api.read_namespaced_config_map, "web", namespace)
output = stream(
    api.connect_get_namespaced_pod_exec,
    "app",
    namespace,
    command=["echo", "from the Pod"],
    stdout=True,
    stderr=True,
    stdin=False,
    tty=False,
)
print("executed:", output.strip())
