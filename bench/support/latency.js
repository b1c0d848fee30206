'use strict';
const { once } = require('node:events');
const { connect } = require('node:net');

/** One keep-alive connection for one request at a time, without a client's own overhead. The answer has to be known. */
class Ping {
  static async open({ port, host, path, ending, localAddress }) {
    const ping = new Ping();
    ping.request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
    ping.ending = ending;
    ping.socket = connect({ host: '127.0.0.1', port, noDelay: true, localAddress });
    await once(ping.socket, 'connect');
    ping.socket.on('data', (chunk) => ping.#take(chunk.toString('latin1')));
    ping.socket.on('error', () => undefined);
    ping.socket.on('close', () => ping.failed?.(new Error(`connection closed, after: ${ping.text}`)));
    return ping;
  }

  /** Milliseconds from the request's being written to the answer's last byte. */
  async time() {
    this.text = '';
    const startedAt = performance.now();
    const answered = new Promise((resolve, reject) => {
      this.answered = resolve;
      this.failed = reject;
    });
    this.socket.write(this.request);
    await answered;
    return performance.now() - startedAt;
  }

  close() {
    this.failed = undefined;
    this.socket.destroy();
  }

  #take(text) {
    this.text += text;
    if (!this.text.endsWith(this.ending)) return;
    if (this.text.startsWith('HTTP/1.1 200 ')) this.answered();
    else this.failed(new Error(`the answer is: ${this.text}`));
  }
}

/** Latencies of each target, one request of each by turns, so that whatever else happens happens to all. */
async function comparePings(targets, { samples, warmUp }) {
  const pings = [];
  try {
    for (const target of targets) pings.push(await Ping.open(target));
    const times = pings.map(() => []);
    for (let sample = -warmUp; sample < samples; sample += 1) {
      for (const [index, ping] of pings.entries()) {
        const ms = await ping.time();
        if (sample >= 0) times[index].push(ms);
      }
    }
    return times;
  } finally {
    for (const ping of pings) ping.close();
  }
}

module.exports = { Ping, comparePings };
