// Reads a key, waits for its next value, then follows it.
// node client.mjs http://localhost:8001/kv/default/web-configmap/GREETING
const get = async (headers) => {
  const answer = await fetch(process.argv[2], { headers });
  if (answer.status >= 400) throw new Error(await answer.text());
  return answer;
};

let answer = await get({});
console.log("read", await answer.text());

// Long-poll: the answer comes with the change, or a 304 after a minute.
do {
  answer = await get({ "If-None-Match": answer.headers.get("etag"), Prefer: "wait=60" });
} while (answer.status === 304);
console.log("changed", await answer.text());

// Stream: the value as it is, then each change, a line of JSON each.
const stream = await get({ Accept: "text/event-stream" });
let text = "";
for await (const chunk of stream.body.pipeThrough(new TextDecoderStream())) {
  const lines = (text + chunk).split("\n");
  text = lines.pop();
  for (const line of lines.filter((line) => line.startsWith("data: "))) {
    console.log("event", line.slice(6));
  }
}
