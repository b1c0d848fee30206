'use strict';
const { readFileSync } = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { WebSocketServer } = require('ws');

const port = Number(process.env.PORT ?? 5000);
const page = readFileSync(path.join(__dirname, 'public/index.html'));
const HISTORY = 50;
const MAX_MESSAGE_BYTES = 4096;

const server = http.createServer((request, response) => {
  if (request.url !== '/') {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('Not found\n');
    return;
  }
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
});

const sockets = new WebSocketServer({ server, path: '/chat', maxPayload: MAX_MESSAGE_BYTES });
const history = [];

function say(entry) {
  history.push(entry);
  if (history.length > HISTORY) history.shift();
  for (const client of sockets.clients) {
    if (client.readyState === client.OPEN) client.send(JSON.stringify(entry));
  }
}

sockets.on('connection', (socket) => {
  socket.on('error', (error) => console.error(`Connection failed: ${error.message}`));
  for (const entry of history) socket.send(JSON.stringify(entry));
  socket.on('message', (data) => {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      socket.close(1007, 'not JSON');
      return;
    }
    if (typeof message?.name !== 'string' || typeof message.text !== 'string') {
      socket.close(1008, 'name and text are needed');
      return;
    }
    say({ name: message.name.slice(0, 40), text: message.text, at: new Date().toISOString() });
  });
});

// Connections on which nothing passes are closed by the router after 55 seconds.
const heartbeat = setInterval(() => sockets.clients.forEach((client) => client.ping()), 30_000);

server.listen(port, () => console.log(`Listening on port ${port}`));

// A dyno is asked to end with SIGTERM and killed 30 seconds later. Pages connect again by themselves.
process.on('SIGTERM', () => {
  console.log('SIGTERM received, closing');
  clearInterval(heartbeat);
  for (const client of sockets.clients) client.close(1001, 'restarting');
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
