'use strict';
// The compiled router as a process of its own, with this process in the daemon's place: it sends the route table and
// reads the log lines.
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { existsSync, mkdirSync, readFileSync, readdirSync } = require('node:fs');
const { connect } = require('node:net');
const path = require('node:path');
const { LineReader } = require('../../dist/lib/line-reader');
const { answers } = require('../../dist/lib/private-socket');
const { readRouteTable } = require('../../dist/router/messages');
const { MAIN } = require('./installation');
const { freePorts, until } = require('./measure');

const START_MS = 20_000;
const STOP_MS = 15_000;
const MAX_LINE_BYTES = 16 * 1024 * 1024;
const HOST = 'bench.localhost';

class RouterProcess {
  /** Of requests that were answered since the start. */
  logLines = 0;
  /** Which the router dropped, since we did not keep up. */
  droppedLines = 0;
  /** By H-code. */
  errors = new Map();
  #applied = 0;

  /** `directory` is made and becomes its data folder. `backendPort` is that of the only dyno, web.1. */
  static async start({ directory, backendPort, workers }) {
    const router = new RouterProcess();
    mkdirSync(directory, { mode: 0o700 });
    const [httpPort, httpsPort] = await freePorts(2);
    router.port = httpPort;
    router.process = spawn(process.execPath, [MAIN, 'router'], {
      env: {
        ...process.env,
        DYNODOCK_HOME: directory,
        DYNODOCK_HTTP_PORT: String(httpPort),
        DYNODOCK_HTTPS_PORT: String(httpsPort),
        DYNODOCK_ROUTER_WORKERS: String(workers),
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const socketPath = path.join(directory, 'run', 'router.sock');
    try {
      await until('the router', START_MS, () => {
        if (router.process.exitCode !== null) throw new Error('the router ended at its start');
        // The file is there a moment before anybody listens.
        return existsSync(socketPath) && answers(socketPath);
      });
      await router.#link(socketPath, backendPort);
    } catch (error) {
      await router.stop();
      throw error;
    }
    return router;
  }

  /** Resident memory of the router with all its workers. */
  rssMb() {
    return tree(this.process.pid).reduce((sum, pid) => sum + rssMb(pid), 0);
  }

  async stop() {
    this.socket?.destroy();
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, 'exit');
    this.process.kill('SIGTERM');
    const timer = setTimeout(() => this.process.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(timer);
  }

  async #link(socketPath, backendPort) {
    this.socket = connect(socketPath);
    const reader = new LineReader(MAX_LINE_BYTES, (line) => this.#receive(JSON.parse(line)));
    this.socket.on('data', (chunk) => reader.push(chunk));
    await once(this.socket, 'connect');
    this.socket.on('error', () => this.socket.destroy());
    const app = {
      app_id: 'bench',
      app_name: 'bench',
      hosts: [HOST],
      maintenance: false,
      has_code: true,
      session_affinity: false,
      quota_exhausted: false,
      // The limit of requests at a time is of each dyno: H11.
      web_quantity: 10,
      dynos: [
        { id: 'web-1', name: 'web.1', state: 'up', endpoint: { host: '127.0.0.1', port: backendPort } },
      ],
      idle_after_ms: null,
      maintenance_page_url: null,
      error_page_url: null,
    };
    this.#send({ type: 'hello' });
    // Says what a newer router misses in it, which would only close the connection.
    this.#send({ type: 'routes', table: readRouteTable({ version: 1, apps: [app] }) });
    await until('the route table to be applied', START_MS, () => this.#applied === 1);
  }

  #send(message) {
    this.socket.write(`${JSON.stringify(message)}\n`);
  }

  #receive(message) {
    if (message.type === 'applied') this.#applied = message.table_version;
    if (message.type !== 'log') return;
    for (const { text } of message.lines) {
      const dropped = /^at=warning desc="Router log lines dropped" count=(\d+)/.exec(text);
      if (dropped !== null) {
        this.droppedLines += Number(dropped[1]);
        continue;
      }
      this.logLines += 1;
      const code = text.startsWith('at=info') ? null : / ?code=(H\d\d)/.exec(text);
      if (code !== null) this.errors.set(code[1], (this.errors.get(code[1]) ?? 0) + 1);
    }
  }
}

/** The process and all that descend from it. */
function tree(root) {
  const children = new Map();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    let stat;
    try {
      stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
    } catch {
      continue; // It has ended meanwhile.
    }
    // proc(5): the fourth field is the parent; the second may hold blanks and brackets.
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
  }
  const found = [root];
  for (let index = 0; index < found.length; index += 1) found.push(...(children.get(found[index]) ?? []));
  return found;
}

function rssMb(pid) {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(kilobytes) / 1024;
}

/** CPU time that the process and all that descend from it have used, in µs: proc(5), in hundredths of a second. */
function cpuMicros(pid) {
  return tree(pid).reduce((sum, one) => {
    const stat = readFileSync(`/proc/${one}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) * 10_000;
  }, 0);
}

module.exports = { HOST, RouterProcess, cpuMicros, rssMb };
