'use strict';
// What the router is compared with: nginx, HAProxy, Caddy and bare http-proxy, one worker each, in front of one backend.
const { execFileSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  closeSync,
  rmSync,
  writeFileSync,
} = require('node:fs');
const path = require('node:path');
const { accepts, until } = require('./measure');

const START_MS = 10_000;
const STOP_MS = 5_000;
const LARGE_BYTES = 1_000_000;
const SMALL_BODY = 'hello world\n';

/** Command → Debian's package. */
const TOOLS = { nginx: 'nginx-light', haproxy: 'haproxy', caddy: 'caddy', wrk: 'wrk' };
const POLICY = '/usr/sbin/policy-rc.d';

/** Paths of the programs; installs those that are missing where that is possible. */
function findTools() {
  const missing = Object.keys(TOOLS).filter((command) => which(command) === undefined);
  if (missing.length > 0) install(missing.map((command) => TOOLS[command]));
  return Object.fromEntries(
    Object.keys(TOOLS).map((command) => {
      const file = which(command);
      if (file === undefined) throw new Error(`${command} is not there`);
      return [command, file];
    }),
  );
}

function which(command) {
  // Users' PATH often lacks sbin.
  return [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin']
    .map((folder) => path.join(folder, command))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false; // Not in this folder.
      }
    });
}

function install(packages) {
  if (process.getuid?.() !== 0 || which('apt-get') === undefined) {
    throw new Error(
      `this compares with programs that are not there. On Debian, as root: apt-get install ${packages.join(' ')}`,
    );
  }
  console.log(`Installing ${packages.join(', ')} (apt-get)`);
  // Debian starts what it installs, here on the ports 80 and 443, unless a policy forbids it (invoke-rc.d(8)).
  const ownPolicy = !existsSync(POLICY);
  if (ownPolicy) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const apt = (...args) =>
    execFileSync('apt-get', ['-qq', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  try {
    apt('update');
    apt('install', '--yes', '--no-install-recommends', ...packages);
  } finally {
    if (ownPolicy) rmSync(POLICY);
  }
}

/** A server in the foreground, as a child that `stop` ends. Its output goes to a file in its folder. */
class Server {
  static async start({ name, command, args, port, directory, env = {} }) {
    const server = new Server();
    const file = path.join(directory, `${name}.out`);
    const output = openSync(file, 'w');
    server.process = spawn(command, args, {
      cwd: directory,
      env: { ...process.env, ...env },
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    server.port = port;
    let failure;
    server.process.once('error', (error) => (failure = error));
    try {
      await until(`${name} on port ${port}`, START_MS, async () => {
        if (failure !== undefined) throw failure;
        if (server.process.exitCode !== null)
          throw new Error(`${name} ended:\n${readFileSync(file, 'utf8').slice(-2000)}`);
        return accepts('127.0.0.1', port);
      });
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  async stop() {
    const child = this.process;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(timer);
  }
}

/**
 * nginx without a log, which is not what limits: /small is a dozen bytes from memory, /large a file. It takes bodies of
 * any size and drops them.
 */
function startBackend({ tools, port, directory }) {
  writeFileSync(path.join(directory, 'large'), Buffer.alloc(LARGE_BYTES, 'x'));
  return startNginx({
    ...{ name: 'backend', tools, port, directory },
    http: `access_log off; sendfile on; client_max_body_size 0;`,
    server: `
      location = /small { return 200 "${SMALL_BODY.trimEnd()}\\n"; }
      location = /large { root ${directory}; }`,
  });
}

function startNginxProxy({ tools, port, directory, backendPort }) {
  return startNginx({
    ...{ name: 'nginx', tools, port, directory },
    // Bodies pass through memory only, as with the others.
    http: `access_log ${directory}/nginx-access.log combined; proxy_max_temp_file_size 0; client_max_body_size 0;
      upstream backend { server 127.0.0.1:${backendPort}; keepalive 256; keepalive_requests 1000000000; }`,
    server: `
      location / {
        proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
        proxy_set_header Host $host; proxy_set_header X-Request-ID $request_id;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
      }`,
  });
}

function startNginx({ name, tools, port, directory, http, server }) {
  const own = path.join(directory, `${name}-nginx`);
  mkdirSync(own);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${own}/${kind};`)
    .join(' ');
  const configuration = `
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    worker_processes 1; worker_rlimit_nofile 16384; pid ${own}/pid; error_log stderr crit;
    events { worker_connections 8192; }
    http {
      ${temporary} keepalive_requests 1000000000; keepalive_timeout 75s; ${http}
      server { listen 127.0.0.1:${port} backlog=4096; ${server} }
    }`;
  const file = path.join(own, 'nginx.conf');
  writeFileSync(file, configuration);
  return Server.start({
    ...{ name, port, directory },
    command: tools.nginx,
    args: ['-p', own, '-e', 'stderr', '-c', file, '-g', 'daemon off;'],
  });
}

function startHaproxy({ tools, port, directory, backendPort }) {
  const file = path.join(directory, 'haproxy.cfg');
  writeFileSync(
    file,
    `global
  nbthread 1
  maxconn 8192
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option forwardfor
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend front
  bind 127.0.0.1:${port}
  default_backend back
backend back
  server web1 127.0.0.1:${backendPort}
`,
  );
  return Server.start({
    name: 'haproxy',
    port,
    directory,
    command: tools.haproxy,
    args: ['-db', '-f', file],
  });
}

function startCaddy({ tools, port, directory, backendPort }) {
  const file = path.join(directory, 'Caddyfile');
  writeFileSync(
    file,
    `{
  admin off
  auto_https off
}
http://:${port} {
  bind 127.0.0.1
  log {
    output file ${directory}/caddy-access.log
  }
  reverse_proxy 127.0.0.1:${backendPort} {
    transport http {
      keepalive_idle_conns_per_host 256
    }
  }
}
`,
  );
  return Server.start({
    ...{ name: 'caddy', port, directory },
    command: tools.caddy,
    args: ['run', '--config', file, '--adapter', 'caddyfile'],
    // Go's threads that run at a time.
    env: { GOMAXPROCS: '1', HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory },
  });
}

function startHttpProxy({ port, directory, backendPort }) {
  return Server.start({
    ...{ name: 'http-proxy', port, directory },
    command: process.execPath,
    args: [path.join(__dirname, 'bare-http-proxy.js'), String(port), String(backendPort)],
  });
}

module.exports = {
  LARGE_BYTES,
  SMALL_BODY,
  findTools,
  startBackend,
  startCaddy,
  startHaproxy,
  startHttpProxy,
  startNginxProxy,
};
