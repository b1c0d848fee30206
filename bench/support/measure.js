'use strict';
// What all benchmarks count and wait with.
const { once } = require('node:events');
const { connect, createServer } = require('node:net');
const os = require('node:os');
const { setTimeout: delay } = require('node:timers/promises');

const POLL_MS = 2;

function median(values) {
  return percentile(values, 0.5);
}

/** The smallest value that `share` of them do not exceed. */
function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
}

function formatLoad(load) {
  return load.map((value) => value.toFixed(2)).join(' ');
}

/** One line of how busy the machine was before and is now. */
function describeLoad(before) {
  return `Load of this machine (1, 5, 15 min; ${os.cpus().length} CPUs): ${formatLoad(before)} before, ${formatLoad(os.loadavg())} after`;
}

async function until(what, timeoutMs, check) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const result = await check();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await delay(POLL_MS);
  }
}

/** Is somebody listening there? */
async function accepts(host, port) {
  const socket = connect({ host, port });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false; // Not yet.
  } finally {
    socket.destroy();
  }
}

async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await new Promise((resolve) => server.once('listening', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** A benchmark that is called off, by Ctrl-C or a time limit, removes what it made all the same. */
function onEndSignal(remove) {
  const end = () => {
    process.exitCode = 130;
    void remove().then(() => process.exit());
  };
  process.once('SIGINT', end);
  process.once('SIGTERM', end);
}

module.exports = { accepts, describeLoad, freePorts, median, onEndSignal, percentile, until };
