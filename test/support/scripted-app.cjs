'use strict';

/**
 * A web app that does with each connection what the request says: it speaks TCP on $PORT, knows HTTP only as far as to
 * find the end of a request, and keeps the bytes it got. One file without dependencies, so that it can be deployed as
 * an app as well as started by a test; whoever starts it reads the port in its one line of output.
 *
 *   /s/<id>/<steps>…    does the steps (JSON as base64url), which are listed in STEPS; what follows them is ignored
 *   /received/<id>      what is known of that request, as JSON (`RequestRecord`)
 *   /open/<gate>        lets the steps ["gate", gate] go on
 *   /streams            JSON: all bytes of each connection on which something came since it was last asked
 *   anything else       200 "ok" once the request is complete, and the end after a few of them on one connection
 */

const net = require('node:net');
const { setImmediate: tick, setTimeout: delay } = require('node:timers/promises');

/** Bytes kept of a request, and of a connection. */
const KEPT = 2 * 1024 * 1024;
/** Then the connection ends: so it is both, kept and closed, that is seen in the long run. */
const PLAIN_ANSWERS_PER_CONNECTION = 4;
const BLOCK = 64 * 1024;

const records = new Map();
const gates = new Map();
const connections = new Map();
let lastConnection = 0;
let touched = new Set();

function gate(name) {
  if (!gates.has(name)) {
    const made = {};
    made.opened = new Promise((resolve) => (made.open = resolve));
    gates.set(name, made);
  }
  return gates.get(name);
}

/** Bytes, of which only the first are kept. */
class Kept {
  #chunks = [];
  #size = 0;
  total = 0;

  add(chunk) {
    this.total += chunk.length;
    const taken = chunk.subarray(0, KEPT - this.#size);
    this.#size += taken.length;
    if (taken.length > 0) this.#chunks.push(Buffer.from(taken));
  }

  get base64() {
    return Buffer.concat(this.#chunks).toString('base64');
  }
}

/** Where a body ends, told block by block: by length, by chunks, or at once. */
class BodyEnd {
  #left;
  #chunked;
  #part = 'size';
  done;

  constructor(head) {
    const length = /^content-length:[ \t]*(\d+)/im.exec(head);
    this.#chunked = /^transfer-encoding:.*chunked/im.test(head);
    this.#left = this.#chunked ? 0 : Number(length?.[1] ?? 0);
    this.done = !this.#chunked && this.#left === 0;
  }

  /** How many of these bytes are of the body; 0 = more are needed to say. */
  take(bytes) {
    if (!this.#chunked || this.#part === 'data') {
      const taken = Math.min(this.#left, bytes.length);
      this.#left -= taken;
      if (this.#left === 0) {
        if (this.#chunked) this.#part = 'size';
        else this.done = true;
      }
      return taken;
    }
    const end = bytes.indexOf('\n');
    if (end === -1) return 0;
    const line = bytes.subarray(0, end).toString('latin1').trim();
    if (this.#part === 'trailers') this.done = line === '';
    else {
      const size = parseInt(line, 16);
      if (size === 0) this.#part = 'trailers';
      else {
        // With the line's end behind the data. What is no number ends the reading: nothing after it means anything.
        this.#left = Number.isNaN(size) ? Infinity : size + 2;
        this.#part = 'data';
      }
    }
    return end + 1;
  }
}

class Connection {
  #pending = Buffer.alloc(0);
  #record = null;
  #body = null;
  #raw = new Kept();
  #waiting = [];
  #echoing = false;
  #plainAnswers = 0;

  constructor(socket) {
    this.socket = socket;
    this.number = ++lastConnection;
    this.ended = false;
    this.closed = null;
    connections.set(this.number, this);
    socket.on('data', (chunk) => {
      this.#raw.add(chunk);
      touched.add(this);
      if (this.#echoing) {
        this.#record.raw.add(chunk);
        if (!socket.write(chunk)) {
          socket.pause();
          socket.once('drain', () => socket.resume());
        }
        return;
      }
      this.#pending = Buffer.concat([this.#pending, chunk]);
      this.#advance();
    });
    socket.on('end', () => {
      this.ended = true;
      if (this.#echoing || this.#record === null) socket.end();
      this.#changed();
    });
    socket.on('error', (error) => (this.closed = error.code));
    socket.on('close', () => {
      this.closed ??= 'closed';
      this.#changed();
    });
  }

  get stream() {
    return { connection: this.number, raw: this.#raw.base64, ended: this.ended, closed: this.closed };
  }

  #advance() {
    if (this.#record === null) {
      const end = this.#pending.indexOf('\r\n\r\n');
      if (end === -1) return;
      const head = this.#pending.subarray(0, end + 4);
      this.#pending = this.#pending.subarray(end + 4);
      this.#begin(head);
    }
    while (!this.#body.done && this.#pending.length > 0) {
      const size = this.#body.take(this.#pending);
      if (size === 0) break;
      this.#record.raw.add(this.#pending.subarray(0, size));
      this.#record.bodyBytes += size;
      this.#pending = this.#pending.subarray(size);
    }
    this.#record.complete = this.#body.done;
    this.#changed();
  }

  #begin(head) {
    const text = head.toString('latin1');
    const target = /^\S* (?:https?:\/\/[^/]*)?(\S*)/.exec(text)?.[1] ?? '';
    const [, kind, id = '', steps = ''] = target.split(/[/?]/);
    this.#body = new BodyEnd(text);
    this.#record = {
      connection: this,
      times: (records.get(id)?.times ?? 0) + 1,
      raw: new Kept(),
      bodyBytes: 0,
      sentBytes: 0,
      complete: false,
      problem: null,
    };
    this.#record.raw.add(head);
    if (kind === 's') records.set(id, this.#record);
    this.#play(kind, id, steps, text).catch((error) => {
      if (this.#record !== null) this.#record.problem = String(error);
      this.socket.destroy();
    });
  }

  async #play(kind, id, steps, head) {
    if (kind === 's') {
      for (const [step, ...values] of JSON.parse(Buffer.from(steps, 'base64url').toString())) {
        await this.steps[step](...values);
      }
    } else {
      if (kind === 'open') gate(id).open();
      await this.until(() => this.#record.complete);
      if (kind === 'received') await this.#answer(head, JSON.stringify(describe(records.get(id))));
      else if (kind === 'streams') {
        const streams = [...touched].map((connection) => connection.stream);
        touched = new Set();
        await this.#answer(head, JSON.stringify(streams));
      } else await this.#answer(head, 'ok');
    }
    if (this.#echoing) return;
    // It may have answered early.
    await this.until(() => this.#record.complete || this.ended || this.closed !== null);
    if (this.ended) this.socket.end();
    else if (this.closed === null) {
      this.#record = null;
      if (this.#pending.length > 0) this.#advance();
    }
  }

  async #answer(head, body) {
    this.#plainAnswers += 1;
    const last = this.#plainAnswers >= PLAIN_ANSWERS_PER_CONNECTION;
    const close = last ? 'Connection: close\r\n' : '';
    const text = head.startsWith('HEAD ') ? '' : body;
    await this.steps.send(
      `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${close}\r\n${text}`,
    );
    if (last) this.socket.end();
  }

  until(check) {
    if (check()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ check, resolve }));
  }

  #changed() {
    this.#waiting = this.#waiting.filter(({ check, resolve }) => {
      if (!check()) return true;
      resolve();
      return false;
    });
  }

  /** Ends when the socket can take more, or is gone. */
  #write(bytes) {
    if (this.socket.destroyed || !this.socket.writable) return Promise.resolve();
    this.#record.sentBytes += bytes.length;
    if (this.socket.write(bytes)) return Promise.resolve();
    return new Promise((resolve) => {
      this.socket.once('drain', resolve);
      this.socket.once('close', resolve);
    });
  }

  /** STEPS: what a script may say, as [name, …values]. Text is Latin-1. */
  steps = {
    send: (text) => this.#write(Buffer.from(text, 'latin1')),
    /** Each byte in a write of its own. */
    drip: async (text) => {
      for (const byte of Buffer.from(text, 'latin1')) {
        await this.#write(Buffer.from([byte]));
        await tick();
      }
    },
    repeat: (text, times) => this.#write(Buffer.from(text.repeat(times), 'latin1')),
    /** So many bytes, as fast as they are taken. */
    flood: async (bytes) => {
      const block = Buffer.alloc(BLOCK, 'f');
      for (let left = bytes; left > 0 && !this.socket.destroyed; left -= BLOCK) {
        await this.#write(block.subarray(0, Math.min(BLOCK, left)));
      }
    },
    /** Until the request is complete. */
    body: () => this.until(() => this.#record.complete),
    /** Until so many bytes of its body have come, framing included. */
    got: (bytes) => this.until(() => this.#record.bodyBytes >= bytes),
    /** Until somebody asks for /open/<name>. */
    gate: (name) => gate(name).opened,
    /** Until the other side has ended or lost the connection. */
    ended: () => this.until(() => this.ended || this.closed !== null),
    closed: () => this.until(() => this.closed !== null),
    pause: (ms) => delay(ms),
    deaf: () => {
      this.socket.pause();
    },
    hear: () => {
      this.socket.resume();
    },
    /** From now on everything that comes is sent back, and the end too. */
    echo: async () => {
      this.#echoing = true;
      const early = this.#pending;
      this.#pending = Buffer.alloc(0);
      this.#record.raw.add(early);
      if (early.length > 0) await this.#write(early);
    },
    /** No HTTP from here on: what comes is only kept. */
    keep: () => {
      this.#body.done = false;
      this.#body.take = (bytes) => bytes.length;
      this.#advance();
    },
    end: () => {
      this.socket.end();
    },
    destroy: () => {
      this.socket.destroy();
    },
    reset: () => {
      this.socket.resetAndDestroy();
    },
    /** Takes no more connections, and ends the others that are there. */
    unlisten: () => {
      server.close();
      for (const other of connections.values()) {
        if (other !== this) other.socket.end();
      }
    },
  };
}

function describe(record) {
  if (record === undefined) return null;
  const { connection, raw, ...rest } = record;
  return {
    ...rest,
    connection: connection.number,
    raw: raw.base64,
    totalBytes: raw.total,
    ended: connection.ended,
    closed: connection.closed,
  };
}

const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => new Connection(socket));
// As a config var it makes a dyno that crashes at once.
if (process.env.CRASH) process.exit(1);
server.listen(
  { port: Number(process.env.PORT), host: process.env.HOST, backlog: Number(process.env.BACKLOG ?? 511) },
  () => {
    console.log(`listening on ${server.address().port}`);
  },
);
process.on('SIGTERM', () => process.exit(0));
