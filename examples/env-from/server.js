// A page of two environment variables: Node.js and its core modules alone. It reads its environment
// once, as any program does, and knows nothing of ConfigMaps.
'use strict';

const http = require('node:http');

const { MY_NON_SECRET, MY_OTHER_NON_SECRET, PORT = '8080' } = process.env;

const server = http.createServer((request, response) => {
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(`MY_NON_SECRET: ${MY_NON_SECRET}\nMY_OTHER_NON_SECRET: ${MY_OTHER_NON_SECRET}\n`);
});

server.listen(Number(PORT), () => console.log(`listening on ${server.address().port}`));

// Asked to end: answer what has begun, then go.
process.on('SIGTERM', () => {
  server.close();
  server.closeIdleConnections();
});
