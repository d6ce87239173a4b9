// The official JavaScript client through a proxy: client.mjs SERVER NAMESPACE.
//
// Lists, writes and watches ConfigMaps of an empty namespace, and runs a command in the Pod "app".
// Prints a line for everything it is told; client.py prints the same.

import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { CoreV1Api, Exec, KubeConfig, Watch } from "@kubernetes/client-node";

const [server, namespace] = process.argv.slice(2);
const config = new KubeConfig();
// Without skipTLSVerify the library refuses plain HTTP, on loopback too.
config.loadFromClusterAndUser({ name: "proxy", server, skipTLSVerify: true }, { name: "nobody" });
const api = config.makeApiClient(CoreV1Api);

const name = "web";
const web = (greeting, resourceVersion) => ({
  metadata: { name, resourceVersion },
  data: { GREETING: greeting },
});

async function tellRefusal(call) {
  try {
    await call;
    console.log("not refused");
  } catch (refusal) {
    console.log("refused:", refusal.code, JSON.parse(refusal.body).reason);
  }
}

const before = await api.listNamespacedConfigMap({ namespace });
console.log("listed:", before.items.length);
const created = await api.createNamespacedConfigMap({ namespace, body: web("grüezi") });
console.log("created:", created.metadata.name);
await tellRefusal(api.createNamespacedConfigMap({ namespace, body: web("again") }));

await new Promise((resolve, reject) => {
  let watching;
  const handle = async (type, object) => {
    console.log("event:", type, object.data.GREETING);
    if (type === "ADDED") {
      const body = [{ op: "replace", path: "/data/GREETING", value: "hello" }];
      await api.patchNamespacedConfigMap({ name, namespace, body });
      const stale = web("stale", created.metadata.resourceVersion);
      await tellRefusal(api.replaceNamespacedConfigMap({ name, namespace, body: stale }));
    } else if (type === "MODIFIED") {
      await api.deleteNamespacedConfigMap({ name, namespace });
    } else {
      (await watching).abort();
      resolve();
    }
  };
  // One after the other, though the next event may arrive while one is handled.
  let handled = Promise.resolve();
  watching = new Watch(config).watch(
    `/api/v1/namespaces/${namespace}/configmaps`,
    { resourceVersion: before.metadata.resourceVersion },
    (type, object) => {
      handled = handled.then(() => handle(type, object)).catch(reject);
    },
    (error) => handled.then(() => reject(error ?? new Error("the watch ended"))),
  );
});

await tellRefusal(api.readNamespacedConfigMap({ name, namespace }));
const stdout = new PassThrough();
const output = text(stdout);
await new Promise((resolve, reject) => {
  new Exec(config)
    .exec(namespace, "app", "app", ["echo", "from the Pod"], stdout, process.stderr, null, false, resolve)
    .catch(reject);
});
stdout.end();
console.log("executed:", (await output).trim());
