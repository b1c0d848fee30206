import type { TestFiles } from './git-repository';
import { packageJson } from './sample-app';

/**
 * Ends with status 1 if its Postgres or its Redis does not answer when it boots. `/` counts in Redis and answers with the
 * count. Without packages: the wire protocols, as far as that takes.
 */
const SERVER = `
const http = require('node:http');
const net = require('node:net');

function ask(url, request, isEnd) {
  const { hostname, port, password } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: hostname, port, timeout: 5000 });
    let answer = '';
    socket.once('connect', () => socket.write(request(password)));
    socket.on('data', (chunk) => {
      answer += chunk;
      if (!isEnd(answer)) return;
      resolve(answer);
      socket.destroy();
    });
    socket.once('timeout', () => socket.destroy(new Error('no answer')));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed: ' + answer)));
  });
}

// SSLRequest (PostgreSQL, "Message Formats"), which is answered with S.
const postgres = () =>
  ask(process.env.DATABASE_URL, () => Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]), (text) => text === 'S');
const count = async (step) => {
  const reply = await ask(
    process.env.REDIS_URL,
    (password) => 'AUTH ' + password + '\\r\\nINCRBY hits ' + step + '\\r\\n',
    (text) => /^\\+OK\\r\\n:\\d+\\r\\n$/.test(text),
  );
  return reply.split(':')[1].trim();
};

const server = http.createServer((_request, response) => {
  Promise.all([count(1), postgres()]).then(
    ([hits]) => response.end(hits),
    (error) => response.writeHead(500).end(error.message),
  );
});

Promise.all([postgres(), count(0)]).then(
  () => server.listen(process.env.PORT),
  (error) => {
    console.log('cannot start: ' + error.message);
    process.exit(1);
  },
);
`;

export function needyApp(): TestFiles {
  return {
    'package.json': packageJson({}),
    Procfile: 'web: node server.js\n',
    'server.js': SERVER,
  };
}
