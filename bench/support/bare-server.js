'use strict';
// The server of an add-on, bare on the host: the programs of its own image, unpacked, with the settings of its own
// container, as an unprivileged user and without any container. On a busy machine the scheduler divides the CPU between
// control groups, of which each container is one: where this runs as root, server and client on the host get one each
// beside them, so that they compete as containers do and not better or worse.
const { spawn, execFileSync } = require('node:child_process');
const { once } = require('node:events');
const {
  chmodSync,
  chownSync,
  cpSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { runFile } = require('./installation');
const { accepts, freePorts, until } = require('./measure');

const ADDRESS = '127.0.0.1';
const NOBODY = 65_534;
const START_MS = 30_000;
const STOP_MS = 10_000;
/** Where the add-on's container has its settings. */
const CONFIG = '/etc/dynodock';

class BareServer {
  constructor() {
    this.directory = mkdtempSync(path.join(os.tmpdir(), 'dynodock-bench-bare-'));
    // Its user has to get there.
    chmodSync(this.directory, 0o755);
    this.root = path.join(this.directory, 'root');
    this.config = path.join(this.directory, 'config');
    this.sockets = path.join(this.directory, 'sockets');
    // Servers refuse to run as root.
    this.user = process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  }

  /** `container`: the add-on's, which runs and shares its settings. */
  async unpack(container) {
    for (const folder of [this.root, this.sockets]) mkdirSync(folder);
    const { stdout: image } = await runFile('docker', ['inspect', '--format', '{{.Image}}', container]);
    const { stdout: created } = await runFile('docker', ['create', image.trim()]);
    const archive = path.join(this.directory, 'image.tar');
    try {
      await runFile('docker', ['export', '--output', archive, created.trim()]);
    } finally {
      await runFile('docker', ['rm', created.trim()]);
    }
    await runFile('tar', ['-xf', archive, '-C', this.root, 'usr', 'var/lib']);
    await runFile('docker', ['cp', `${container}:${CONFIG}`, this.config]);
    const [libraries] = readdirSync(path.join(this.root, 'usr', 'lib')).filter((name) =>
      /-linux-gnu/.test(name),
    );
    this.libraries = path.join(this.root, 'usr', 'lib', libraries);
    const [loader] = readdirSync(this.libraries).filter((name) => /^ld-linux-.*\.so\.\d$/.test(name));
    this.loader = path.join(this.libraries, loader);
    [this.port, this.secondPort] = await freePorts(2);
    this.groups = await makeGroups(container, ['server', 'client']);
  }

  /** Program and arguments so that it runs with the libraries that it has in its image. */
  commandLine(program, args) {
    return [this.loader, ['--library-path', this.libraries, path.join(this.root, program), ...args]];
  }

  /** Lines of the add-on's own file, each changed if its first word is among `changes`. */
  settings(file, changes) {
    const lines = readFileSync(path.join(this.config, file), 'utf8').split('\n');
    return lines
      .map((line) => {
        const [name] = line.split(/[ =]/);
        return Object.hasOwn(changes, name) ? changes[name] : line;
      })
      .join('\n');
  }

  async start(program, args) {
    giveAway(this.directory, this.user);
    const [command, all] = this.commandLine(program, args);
    this.output = '';
    this.child = spawn(command, all, { ...this.user, cwd: this.sockets, stdio: ['ignore', 'pipe', 'pipe'] });
    enter(this.groups.server, this.child.pid);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.on('data', (chunk) => (this.output = (this.output + chunk.toString()).slice(-10_000)));
    }
    await until(`${program} on the host`, START_MS, () => {
      if (this.child.exitCode !== null) throw new Error(`${program} ended:\n${this.output}`);
      return accepts(ADDRESS, this.port);
    });
  }

  /** Runs a client on the host; answers what it prints. */
  async run(program, args, env = {}) {
    const [command, all] = this.commandLine(program, args);
    const running = runFile(command, all, { env: { ...process.env, ...env } });
    enter(this.groups.client, running.child.pid);
    return (await running).stdout;
  }

  /** Ends it and leaves nothing. */
  async remove() {
    await this.#stop();
    for (const group of Object.values(this.groups ?? {})) rmdirSync(group);
    this.groups = {};
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #stop() {
    if (this.child === undefined || this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGINT');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(timer);
  }
}

/** Folders of control groups, by name, that have the same parent as the container's; none without the right to do so. */
async function makeGroups(container, names) {
  if (process.getuid() !== 0) return {};
  const { stdout: pid } = await runFile('docker', ['inspect', '--format', '{{.State.Pid}}', container]);
  const lines = readFileSync(`/proc/${pid.trim()}/cgroup`, 'utf8').trim().split('\n');
  const entries = lines.map((line) => /^\d+:([^:]*):(.*)$/.exec(line).slice(1));
  const [first] = entries.find(([controllers]) => controllers.split(',').includes('cpu')) ?? [];
  const own = entries.find(([controllers]) => controllers === (first ?? ''))[1];
  // Version 1 has a folder for each set of controllers.
  const parent = path.join('/sys/fs/cgroup', first ?? '', path.dirname(own));
  return Object.fromEntries(
    names.map((name) => {
      const folder = path.join(
        parent,
        `dynodock-bench-${process.pid}-${path.basename(own).slice(0, 12)}-${name}`,
      );
      mkdirSync(folder);
      return [name, folder];
    }),
  );
}

function enter(group, pid) {
  if (group !== undefined) writeFileSync(path.join(group, 'cgroup.procs'), String(pid));
}

class BarePostgres extends BareServer {
  static programs = 'usr/lib/postgresql/15/bin';

  async startLike(container) {
    await this.unpack(container);
    const data = path.join(this.directory, 'data');
    // The cluster that the image brings.
    cpSync(path.join(this.root, 'var/lib/postgresql/data/pgdata'), data, { recursive: true });
    execFileSync('chmod', ['700', data]);
    const hba = path.join(this.config, 'bare_hba.conf');
    writeFileSync(hba, 'host all all 127.0.0.1/32 trust\n');
    // Its own key would have to belong to the user, and the measured connections are without TLS.
    const settings = this.settings('postgresql.conf', {
      data_directory: `data_directory = '${data}'`,
      hba_file: `hba_file = '${hba}'`,
      listen_addresses: `listen_addresses = '${ADDRESS}'`,
      port: `port = ${this.port}`,
      unix_socket_directories: `unix_socket_directories = '${this.sockets}'`,
      ssl: 'ssl = off',
    });
    const file = path.join(this.config, 'bare.conf');
    writeFileSync(file, settings);
    await this.start(`${BarePostgres.programs}/postgres`, ['-D', data, '-c', `config_file=${file}`]);
    this.url = `postgres://postgres@${ADDRESS}:${this.port}/postgres`;
  }
}

class BareRedis extends BareServer {
  async startLike(container) {
    await this.unpack(container);
    const data = path.join(this.directory, 'data');
    mkdirSync(data);
    const tls = path.join(this.config, 'tls');
    const settings = this.settings('redis.conf', {
      bind: `bind ${ADDRESS}`,
      port: `port ${this.port}`,
      'tls-port': `tls-port ${this.secondPort}`,
      'tls-cert-file': `tls-cert-file ${tls}/server.crt`,
      'tls-key-file': `tls-key-file ${tls}/server.key`,
      unixsocket: `unixsocket ${this.sockets}/redis.sock`,
      dir: `dir ${data}`,
      include: '',
    });
    const file = path.join(this.config, 'bare.conf');
    writeFileSync(file, settings);
    await this.start('usr/bin/redis-server', [file]);
    this.host = ADDRESS;
  }
}

function giveAway(folder, { uid, gid }) {
  if (uid === undefined) return;
  chownSync(folder, uid, gid);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const inside = path.join(folder, entry.name);
    // What was unpacked is only read.
    if (entry.isDirectory() && entry.name !== 'root') giveAway(inside, { uid, gid });
    else lchownSync(inside, uid, gid);
  }
}

module.exports = { BarePostgres, BareRedis };
