'use strict';
// Traffic as it comes in life, for as long as one likes: what a leak would feed on.
const http = require('node:http');
const { setTimeout: delay } = require('node:timers/promises');

const UPLOAD_BYTES = 200_000;

/**
 * What kinds of visitors do again and again; a promise that rejects is a request that went wrong. They pause: the load
 * generator shall leave something of two cores, and those who leave do not wait for the router, so that they would
 * queue connections faster than any server takes them.
 */
const VISITORS = [
  { name: 'keep-alive', count: 8, pauseMs: 2, visit: (to) => ask(to, { agent: to.agent, path: '/small' }) },
  { name: 'connection each', count: 4, pauseMs: 5, visit: (to) => ask(to, { agent: false, path: '/small' }) },
  {
    name: 'large answer',
    count: 2,
    pauseMs: 10,
    visit: (to) => ask(to, { agent: to.agent, path: '/large' }),
  },
  { name: 'upload', count: 2, pauseMs: 10, visit: (to) => ask(to, { ...upload(to), body: UPLOAD_BYTES }) },
  { name: 'leaves mid-answer', count: 2, pauseMs: 20, visit: (to) => leaveDuringAnswer(to) },
  { name: 'leaves mid-upload', count: 2, pauseMs: 20, visit: (to) => leaveDuringUpload(to) },
];

/** Runs until the signal aborts; the answer counts visits and failures by kind of visitor. */
async function visit({ port, host, signal }) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  const to = { port, host, agent };
  const counts = VISITORS.map(({ name }) => ({ name, visits: 0, failures: 0, lastFailure: undefined }));
  const loop = async ({ visit, pauseMs }, count) => {
    while (!signal.aborted) {
      try {
        await visit(to);
        count.visits += 1;
      } catch (error) {
        count.failures += 1;
        count.lastFailure = error;
      }
      await delay(pauseMs);
    }
  };
  try {
    await Promise.all(
      VISITORS.flatMap((visitor, index) =>
        Array.from({ length: visitor.count }, () => loop(visitor, counts[index])),
      ),
    );
  } finally {
    agent.destroy();
  }
  return counts;
}

function options({ port, host }, more) {
  return { host: '127.0.0.1', port, headers: { Host: host }, timeout: 20_000, ...more };
}

function upload({ host, agent }) {
  return {
    agent,
    path: '/small',
    method: 'POST',
    headers: { Host: host, 'Content-Length': String(UPLOAD_BYTES) },
  };
}

/** Resolves once the whole answer is there, and is a 200. */
function ask(to, { body = 0, ...more }) {
  return new Promise((resolve, reject) => {
    const request = http.request(options(to, more));
    request.on('timeout', () => request.destroy(new Error('timeout')));
    request.on('error', reject);
    request.on('response', (response) => {
      response.on('error', reject);
      response.on('end', () =>
        response.statusCode === 200 ? resolve() : reject(new Error(`status ${response.statusCode}`)),
      );
      response.resume();
    });
    request.end(body === 0 ? undefined : Buffer.alloc(body));
  });
}

function leaveDuringAnswer(to) {
  return new Promise((resolve, reject) => {
    const request = http.request(options(to, { agent: false, path: '/large' }));
    request.on('response', (response) => {
      response.once('data', () => {
        request.destroy();
        resolve();
      });
      // What comes of our own leaving.
      response.on('error', () => undefined);
    });
    request.on('error', reject);
    request.end();
  });
}

function leaveDuringUpload(to) {
  return new Promise((resolve, reject) => {
    const request = http.request(options(to, { ...upload(to), agent: false }));
    request.on('error', reject);
    request.write(Buffer.alloc(UPLOAD_BYTES / 4), () => {
      request.off('error', reject);
      request.on('error', () => undefined);
      request.destroy();
      resolve();
    });
  });
}

/** Rise per second of `[seconds, value]` points, by least squares. */
function slopeOf(points) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanX, meanY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const over = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const under = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return over / under;
}

module.exports = { slopeOf, visit };
