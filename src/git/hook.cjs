'use strict';
// Git's pre-receive and post-receive hooks of app repositories (its argument says which), run by git-receive-pack for
// each push, before and after it changes refs: hands the push to the daemon
// over its unix socket and prints what the daemon answers, which git shows to the one who pushes as `remote: …`. Git
// asks only the first of them whether it may go on.
//
// Towards the daemon: one line of JSON. Back: frames of a type (one byte), a length (32 bits, big endian) and that
// many bytes; `o` is output, `x` carries the exit status as its only byte.
const net = require('node:net');

const QUARANTINE = ['GIT_OBJECT_DIRECTORY', 'GIT_ALTERNATE_OBJECT_DIRECTORIES', 'GIT_QUARANTINE_PATH'];
const HEADER_BYTES = 5;

/** Writing to a pipe is asynchronous on some systems: leave only once all is written. */
function leave(status) {
  process.stdout.write('', () => process.exit(status));
}

function giveUp(reason) {
  process.stdout.write(`\n !     ${reason}\n`);
  leave(1);
}

async function readAll(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

async function main() {
  const updates = (await readAll(process.stdin))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [before, after, ...ref] = line.split(' ');
      return { before, after, ref: ref.join(' ') };
    });
  const environment = Object.fromEntries(
    QUARANTINE.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
  const socket = net.connect(process.env.DYNODOCK_PUSH_SOCKET ?? '');
  let ended = false;
  socket.on('connect', () => {
    socket.write(
      `${JSON.stringify({ hook: process.argv[2], secret: process.env.DYNODOCK_PUSH_SECRET, updates, environment })}\n`,
    );
  });
  socket.on('error', () => undefined); // 'close' follows, and says it.
  socket.on('close', () => {
    if (!ended) giveUp('The dynodock daemon has gone away. Push again once it is back.');
  });

  let pending = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= HEADER_BYTES && !ended) {
      const length = pending.readUInt32BE(1);
      if (pending.length < HEADER_BYTES + length) return;
      const type = String.fromCharCode(pending[0]);
      const payload = pending.subarray(HEADER_BYTES, HEADER_BYTES + length);
      pending = pending.subarray(HEADER_BYTES + length);
      if (type === 'x') {
        ended = true;
        socket.end();
        leave(payload[0]);
      } else if (!process.stdout.write(payload) && !socket.isPaused()) {
        // The client is slower than the build: take no more until it has caught up. Frames that came before still go out.
        socket.pause();
        process.stdout.once('drain', () => socket.resume());
      }
    }
  });
}

main().catch((error) => giveUp(`The push could not be handed over: ${error.message}`));
