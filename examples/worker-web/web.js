'use strict';
const http = require('node:http');
const { describe } = require('./process-type');

const port = Number(process.env.PORT ?? 5000);

const server = http.createServer((request, response) => {
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end(`${describe()}\n`);
});

server.listen(port, () => console.log(`Listening on port ${port}`));

// A dyno is asked to end with SIGTERM and killed 30 seconds later.
process.on('SIGTERM', () => {
  console.log('SIGTERM received, closing');
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
