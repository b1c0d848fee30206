'use strict';
const { readFileSync } = require('node:fs');
const { setTimeout: delay } = require('node:timers/promises');
const { Ping } = require('./latency');
const { HOST } = require('./router-process');
const { SMALL_BODY } = require('./servers');

const SETTLE_MS = 5_000;
/** Ports of one address do not suffice for long: those of earlier connections are kept for a minute. */
const LOOPBACKS = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'];
const OPEN_AT_ONCE = 100;
const WARM_UP_ROUNDS = 20;
/** Of our own, besides the connections. */
const OTHER_FILES = 500;

/** What idle keep-alive connections cost the router in memory. Throws when one of them is closed. */
async function reportIdleConnections(router, wanted) {
  const limit = openFilesLimit();
  const count = Math.min(wanted, limit - OTHER_FILES);
  if (count < wanted)
    console.log(`Only ${count} connections: this process may open ${limit} files (ulimit -n).`);
  const clients = [];
  const open = async (number) => {
    const opened = await Promise.all(
      Array.from({ length: number }, (_, index) =>
        Ping.open({
          ...{ port: router.port, host: HOST, path: '/small', ending: SMALL_BODY },
          localAddress: LOOPBACKS[index % LOOPBACKS.length],
        }),
      ),
    );
    clients.push(...opened);
    await Promise.all(opened.map((client) => client.time()));
  };
  try {
    // The code that serves them shall not count, only they.
    await open(OPEN_AT_ONCE);
    for (let round = 0; round < WARM_UP_ROUNDS; round += 1) {
      await Promise.all(clients.map((client) => client.time()));
    }
    await delay(SETTLE_MS);
    const before = router.rssMb();
    while (clients.length < OPEN_AT_ONCE + count) {
      await open(Math.min(OPEN_AT_ONCE, OPEN_AT_ONCE + count - clients.length));
    }
    await delay(SETTLE_MS);
    const after = router.rssMb();
    const closed = clients.filter((client) => client.socket.readyState !== 'open').length;
    if (closed > 0) throw new Error(`${closed} idle connections were closed`);
    const each = ((after - before) * 1024) / count;
    console.log(
      `${count} idle keep-alive connections, each after one request\n` +
        `  router, RSS ${before.toFixed(0)} MB before, ${after.toFixed(0)} MB with them: ${each.toFixed(1)} kB each\n`,
    );
  } finally {
    for (const client of clients) client.close();
  }
}

function openFilesLimit() {
  const [, limit] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
  return limit === 'unlimited' ? Infinity : Number(limit);
}

module.exports = { reportIdleConnections };
