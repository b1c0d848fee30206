import type { TestFiles } from './git-repository';
import { packageJson } from './sample-app';

const SERVER = `
const { createHash, randomUUID } = require('node:crypto');
const http = require('node:http');
const fs = require('node:fs');

// Of this process: what a frozen dyno keeps and a fresh one does not.
const life = randomUUID();
let counter = 0;

const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  const ms = Number(searchParams.get('ms') ?? 0);
  switch (pathname) {
    case '/count':
      counter += 1;
      response.end(String(counter));
      return;
    case '/slow':
      setTimeout(() => response.end('slow'), ms);
      return;
    case '/ticks': {
      const ends = Date.now() + ms;
      const timer = setInterval(() => {
        response.write('tick ');
        if (Date.now() < ends) return;
        clearInterval(timer);
        response.end('end');
      }, Number(searchParams.get('every')));
      return;
    }
    case '/digest': {
      const hash = createHash('sha256');
      request.on('data', (chunk) => hash.update(chunk));
      request.on('end', () => response.end(request.method + ' ' + hash.digest('hex')));
      return;
    }
    case '/page':
      response.setHeader('content-type', 'text/html; charset=utf-8');
      response.end(fs.readFileSync('page.html'));
      return;
    default:
      response.end('awake');
  }
});

// As much of RFC 6455 as short text messages need.
server.on('upgrade', (request, socket) => {
  const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const accept = createHash('sha1').update(key).digest('base64');
  socket.write(
    'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n' +
      'Sec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n',
  );
  const send = (text) => socket.write(Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)]));
  send('hello from ' + life);
  let buffered = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('end', () => socket.end());
  socket.on('data', (chunk) => {
    buffered = Buffer.concat([buffered, chunk]);
    while (buffered.length >= 6 && buffered.length >= 6 + (buffered[1] & 0x7f)) {
      const length = buffered[1] & 0x7f;
      const text = Buffer.alloc(length, 0).map((_, index) => buffered[6 + index] ^ buffered[2 + (index % 4)]);
      const opcode = buffered[0] & 0x0f;
      buffered = buffered.subarray(6 + length);
      if (opcode === 8) socket.end();
      else if (opcode === 1) send('echo: ' + text);
    }
  });
});

server.listen(process.env.PORT);
`;

/** What a chat or a dashboard does: keeps a socket, shows whether it has one, connects again when it is lost. */
const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>Live</title>
<p>Connection: <output id="state"></output></p>
<p>So far: <output id="history"></output></p>
<p>Served by: <output id="life"></output></p>
<form id="form"><input id="text"><button id="send">Send</button></form>
<ul id="messages"></ul>
<script>
  const show = (id, text) => (document.getElementById(id).textContent = text);
  let socket;
  function be(state) {
    show('state', state);
    document.getElementById('history').append(state + ' ');
  }
  function connect() {
    be('connecting');
    socket = new WebSocket('ws://' + location.host + '/live');
    socket.onopen = () => be('live');
    socket.onmessage = ({ data }) => {
      if (data.startsWith('hello from ')) return show('life', data.slice('hello from '.length));
      const item = document.createElement('li');
      item.textContent = data;
      document.getElementById('messages').append(item);
    };
    socket.onclose = () => {
      be('lost');
      setTimeout(connect, 200);
    };
  }
  document.getElementById('form').onsubmit = (event) => {
    event.preventDefault();
    socket.send(document.getElementById('text').value);
  };
  connect();
</script>
`;

/**
 * A web app with a worker for tests of sleep: /count counts in memory, /slow?ms= takes its time, /ticks?every=&ms=
 * streams, /digest answers with method and hash of the body, /page keeps a WebSocket open, which echoes.
 */
export function sleepyApp(): TestFiles {
  return {
    Procfile: 'web: node server.js\nworker: node worker.js\n',
    'package.json': packageJson({}),
    'server.js': SERVER,
    'worker.js': 'setInterval(() => undefined, 1000);\n',
    'page.html': PAGE,
  };
}
