'use strict';
// As much of two protocols as tells that a server serves.
const { connect } = require('node:net');

/** Answers whether Redis, at a URL with or without a password, says PONG. */
function redisAnswers(url) {
  const { hostname, port, password } = new URL(url);
  const auth = password === '' ? '' : `AUTH ${password}\r\n`;
  return firstAnswer(hostname, port, `${auth}PING\r\n`, (text) => text.includes('+PONG'));
}

/** Answers whether Postgres asks for the password, or whatever comes first once it has started up. */
function postgresAnswers(url) {
  const { hostname, port, username, pathname } = new URL(url);
  const words = Buffer.from(['user', username, 'database', pathname.slice(1), '', ''].join('\0'));
  const head = Buffer.alloc(8);
  head.writeInt32BE(head.length + words.length, 0);
  head.writeInt32BE(3 << 16, 4);
  // 57P03: cannot_connect_now.
  return firstAnswer(hostname, port, Buffer.concat([head, words]), (text) => !text.includes('57P03'));
}

function firstAnswer(host, port, question, accepted) {
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port) }, () => socket.write(question));
    let text = '';
    const end = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (accepted(text)) end(true);
    });
    socket.on('end', () => end(false));
    socket.on('error', () => end(false)); // Not yet.
  });
}

module.exports = { postgresAnswers, redisAnswers };
