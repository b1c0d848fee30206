import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { eventually, execute, type CommandResult } from './platform';

/**
 * A dockerd of a test's own beside the machine's, for ending and starting it: with its own data, socket and addresses.
 * It keeps off the firewall's rules, which two of them would take from each other; so its containers are reached from
 * this machine, and reach nothing outside. Needs root.
 */
export class OwnEngine {
  readonly #dir = mkdtempSync(path.join(tmpdir(), 'dynodock-engine-'));
  /** Of at most 15 characters. */
  readonly #bridge = `dyno-test-${randomBytes(2).toString('hex')}`;
  #options: readonly string[] = [];
  #process: ChildProcess | undefined;

  get socketPath(): string {
    return path.join(this.#dir, 'docker.sock');
  }

  get dockerHost(): string {
    return `unix://${this.socketPath}`;
  }

  /** What it has logged. */
  get log(): string {
    return readFileSync(path.join(this.#dir, 'dockerd.log'), 'utf8');
  }

  docker(...args: string[]): Promise<CommandResult> {
    return execute('docker', ['--host', this.dockerHost, ...args]);
  }

  /** With further options of dockerd, or those of the last time. */
  async start(options: readonly string[] = this.#options): Promise<void> {
    this.#options = options;
    const config = path.join(this.#dir, 'daemon.json');
    // Else the machine's own settings would hold.
    writeFileSync(config, '{}');
    await this.#makeBridge();
    const log = openSync(path.join(this.#dir, 'dockerd.log'), 'a');
    const args = [
      ...['--host', this.dockerHost],
      ...['--config-file', config],
      ...['--data-root', path.join(this.#dir, 'root')],
      ...['--exec-root', path.join(this.#dir, 'exec')],
      ...['--pidfile', path.join(this.#dir, 'docker.pid')],
      // With none, or with address pools of its own, dockerd removes docker0, which is the machine's engine's. Its
      // networks keep off addresses that others use by themselves.
      ...['--bridge', this.#bridge],
      ...['--iptables=false', '--ip-forward=false', '--ip-masq=false', '--userland-proxy=false'],
      ...this.#options,
    ];
    const child = spawn('dockerd', args, { stdio: ['ignore', log, log] });
    closeSync(log);
    this.#process = child;
    let failure: Error | undefined;
    child.once('error', (error) => (failure = error));
    await eventually('dockerd', async () => {
      if (failure !== undefined) throw failure;
      if (child.exitCode !== null) throw new Error(`dockerd ended:\n${this.log.slice(-2000)}`);
      return (await this.docker('version')).exitCode === 0;
    });
  }

  async #makeBridge(): Promise<void> {
    if ((await execute('ip', ['link', 'show', this.#bridge])).exitCode === 0) return;
    for (const args of [
      ['link', 'add', this.#bridge, 'type', 'bridge'],
      ['address', 'add', '10.232.0.1/24', 'dev', this.#bridge],
      ['link', 'set', this.#bridge, 'up'],
    ]) {
      const { exitCode, stderr } = await execute('ip', args);
      if (exitCode !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
    }
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    const containerd = readFileSync(path.join(this.#dir, 'exec', 'containerd', 'containerd.pid'), 'utf8');
    child.kill(signal);
    await ended;
    // It goes when its parent is gone; the next dockerd would take it for one to use.
    await eventually('the end of containerd', () => !existsSync(`/proc/${containerd.trim()}`));
  }

  /** From the machine's engine. */
  async copyImages(references: readonly string[]): Promise<void> {
    const save = spawn('docker', ['save', ...references], { stdio: ['ignore', 'pipe', 'inherit'] });
    const load = spawn('docker', ['--host', this.dockerHost, 'load', '--quiet'], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    const ended = Promise.all([save, load].map((child) => once(child, 'exit')));
    await pipeline(save.stdout, load.stdin);
    expect(await ended).toEqual([
      [0, null],
      [0, null],
    ]);
  }

  /** Leaves nothing of it. */
  async destroy(): Promise<void> {
    if (this.#process !== undefined) {
      // One that has ended leaves the bridges of its networks, and one that was killed its containers.
      await this.stop('SIGTERM');
      await this.start();
      const containers = (await this.docker('ps', '--all', '--quiet')).stdout.split('\n');
      for (const id of containers) if (id !== '') await this.docker('rm', '--force', id);
      await this.docker('network', 'prune', '--force');
      await this.stop('SIGTERM');
      // dockerd mounts its data folder on itself.
      await execute('umount', [path.join(this.#dir, 'root')]);
    }
    await execute('ip', ['link', 'delete', this.#bridge]);
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
