import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import { pack } from 'tar-stream';
import { parse } from 'yaml';
import { readRecipe } from '../../src/build/recipe';
import type { DockerEngine } from '../../src/engine/docker-engine';
import type { ContainerId, ContainerSpec } from '../../src/engine/engine';
import { trustedEnvironment, trustMounts } from '../../src/engine/trust';
import { caBundlePath, PROJECT_DIR, realEngine, realStackImages } from './stack';

const DYNO = { uid: 10001, gid: 10001 };
const PORT = 5000;
const UP_TIMEOUT_MS = 60_000;

/** Path → content; paths are relative to the app's folder. */
export type Files = Readonly<Record<string, string>>;

export interface Outcome {
  exitCode: number;
  /** Both streams as they came. */
  output: string;
}

export interface Answer {
  status: number;
  headers: string;
  body: string;
}

export async function example(name: string): Promise<Files> {
  const files = await readRecipe(path.join(PROJECT_DIR, 'examples', name));
  return Object.fromEntries(files.map((file) => [file.path, file.content.toString('utf8')]));
}

/**
 * Runs bundled buildpacks, several of them if need be, in build containers, and the slug in a dyno whose first process is
 * the command itself, as the dyno manager starts it: with its memory, its log, SIGTERM and its exit code.
 */
export class SlugBench {
  readonly #labels = { 'dynodock.test-run': randomUUID().slice(0, 8) };
  #engine!: DockerEngine;
  #images!: { build: string; run: string };

  async start(): Promise<void> {
    this.#engine = await realEngine();
    this.#images = (await realStackImages(this.#engine))['heroku-24'];
  }

  /** Removes every container of it. */
  async clear(): Promise<void> {
    const containers = await this.#engine.list(this.#labels);
    await Promise.all(containers.map(({ id }) => this.#engine.remove(id)));
  }

  /** Without a network unless it says which: what a test needs of one is to be seen in it. */
  async build(buildpacks: string | readonly string[], app: Files, network = 'none'): Promise<Build> {
    const engine = this.#engine;
    const id = await engine.create({
      ...this.#spec(['/bin/sleep', '1800'], network),
      image: this.#images.build,
    });
    const build = new Build(engine, id, (command, options) => this.#dyno(id, command, options));
    for (const buildpack of [buildpacks].flat()) {
      const scripts = await readRecipe(path.join(PROJECT_DIR, 'buildpacks', buildpack));
      const files = scripts.map((file) => [file.path, file.content.toString('utf8')] as const);
      await build.put(`/tmp/buildpacks/${buildpack}`, Object.fromEntries(files));
    }
    await build.put('/tmp/env', {});
    await build.put(BUILD_DIR, app);
    await engine.start(id);
    return build;
  }

  /** The slug of a build as a dyno of the run image, which has no network besides its own loopback. */
  async #dyno(build: ContainerId, command: string, options: DynoOptions): Promise<Dyno> {
    const engine = this.#engine;
    const id = await engine.create({
      ...this.#spec(['/usr/local/bin/dyno-launch', command], 'none'),
      image: this.#images.run,
      env: { PORT: String(PORT), DYNO: 'web.1', ...trustedEnvironment(caBundlePath), ...options.env },
      limits: { memoryBytes: (options.memoryMb ?? 512) * 1024 * 1024 },
    });
    const tar = [
      'tar',
      '--create',
      '--owner=10001',
      '--group=10001',
      '--numeric-owner',
      '-C',
      BUILD_DIR,
      '.',
    ];
    const slug = await engine.execAttached(build, tar, { terminal: null });
    slug.stderr.resume();
    await engine.putArchive(id, '/app', slug.stdout);
    await engine.start(id);
    return new Dyno(engine, id);
  }

  #spec(command: readonly string[], network: string): Omit<ContainerSpec, 'image'> {
    return {
      name: `dynodock-test-${randomUUID()}`,
      command,
      env: trustedEnvironment(caBundlePath),
      labels: this.#labels,
      user: `${DYNO.uid}:${DYNO.gid}`,
      network,
      init: true,
      mounts: trustMounts(caBundlePath),
    };
  }
}

export interface DynoOptions {
  env?: Readonly<Record<string, string>>;
  memoryMb?: number;
}

export const BUILD_DIR = '/tmp/build_a1b2c3';

/** Calls buildpacks' scripts one after another, as user dyno, with a cache that lasts as long as the container. */
export class Build {
  constructor(
    private readonly engine: DockerEngine,
    private readonly id: ContainerId,
    private readonly makeDyno: (command: string, options: DynoOptions) => Promise<Dyno>,
  ) {}

  async put(directory: string, files: Files): Promise<void> {
    const tar = pack();
    const at = directory.slice(1);
    const folders = new Set<string>();
    for (const name of [`${at}/`, ...Object.keys(files).map((file) => `${at}/${file}`)]) {
      const parts = name.split('/').slice(0, -1);
      // The image's own /tmp keeps its mode.
      for (let depth = 2; depth <= parts.length; depth++) folders.add(parts.slice(0, depth).join('/'));
    }
    for (const name of folders) tar.entry({ name, type: 'directory', mode: 0o755, ...DYNO });
    for (const [name, content] of Object.entries(files)) {
      const mode = /(^|\/)bin\/[^/]+$/.test(name) || content.startsWith('#!') ? 0o755 : 0o644;
      tar.entry({ name: `${at}/${name}`, mode, ...DYNO }, content);
    }
    tar.finalize();
    await this.engine.putArchive(this.id, '/', tar as unknown as Readable);
  }

  /** Files of the app itself. */
  async change(files: Files): Promise<void> {
    await this.put(BUILD_DIR, files);
  }

  async configVars(vars: Files): Promise<void> {
    await this.put('/tmp/env', vars);
  }

  async run(script: string): Promise<Outcome> {
    const result = await this.engine.exec(this.id, ['/bin/bash', '-c', `{ ${script}\n} 2>&1`], {
      timeoutMs: 600_000,
    });
    return { exitCode: result.exitCode, output: result.stdout };
  }

  detect(buildpack: string): Promise<Outcome> {
    return this.run(`/tmp/buildpacks/${buildpack}/bin/detect ${BUILD_DIR}`);
  }

  compile(buildpack: string): Promise<Outcome> {
    return this.run(
      `export SOURCE_VERSION=cafe12; cd ${BUILD_DIR} && /tmp/buildpacks/${buildpack}/bin/compile ${BUILD_DIR} /cache/data /tmp/env`,
    );
  }

  /** test-compile and test, one after the other. */
  test(buildpack: string): Promise<Outcome> {
    const bin = `/tmp/buildpacks/${buildpack}/bin`;
    return this.run(
      `${bin}/test-compile ${BUILD_DIR} /cache/data /tmp/env && ${bin}/test ${BUILD_DIR} /tmp/env`,
    );
  }

  /** What a release would have for process types by default. */
  async defaultProcessTypes(buildpack: string): Promise<unknown> {
    const { exitCode, output } = await this.run(`/tmp/buildpacks/${buildpack}/bin/release ${BUILD_DIR}`);
    if (exitCode !== 0) throw new Error(`bin/release failed: ${output}`);
    return (parse(output) as { default_process_types?: unknown }).default_process_types;
  }

  /** Starts a dyno of what has been compiled. */
  dyno(command: string, options: DynoOptions = {}): Promise<Dyno> {
    return this.makeDyno(command, options);
  }
}

export class Dyno {
  constructor(
    private readonly engine: DockerEngine,
    private readonly id: ContainerId,
  ) {}

  /** Asks again until somebody listens. Fails with the dyno's log when it ends or none does for a minute. */
  async get(pathname: string, options: { headers?: readonly string[]; data?: string } = {}): Promise<Answer> {
    const headers = (options.headers ?? []).flatMap((header) => ['-H', header]);
    const data = options.data === undefined ? [] : ['--data', options.data];
    const url = `http://127.0.0.1:${PORT}${pathname}`;
    const deadline = Date.now() + UP_TIMEOUT_MS;
    for (;;) {
      const { state } = await this.engine.inspect(this.id);
      if (state !== 'running') throw new Error(`The dyno is ${state}:\n${await this.log()}`);
      const argv = ['curl', '-sS', '-i', '--path-as-is', '--max-time', '30', ...headers, ...data, url];
      const result = await this.engine.exec(this.id, argv).catch(() => undefined);
      if (result?.exitCode === 0) return anAnswer(result.stdout);
      if (Date.now() > deadline) throw new Error(`${result?.stderr ?? ''}\n${await this.log()}`);
      await sleep(200);
    }
  }

  async run(script: string): Promise<string> {
    const { stdout } = await this.engine.exec(this.id, ['/bin/bash', '-c', `{ ${script}\n} 2>&1`]);
    return stdout.trim();
  }

  async log(): Promise<string> {
    let text = '';
    for await (const line of this.engine.logs(this.id, { follow: false })) text += `${line.text}\n`;
    return text;
  }

  /** SIGTERM; answers the exit code, 137 if that did not end it. */
  async stop(): Promise<number> {
    await this.engine.stop(this.id, { timeoutMs: 30_000 });
    return (await this.engine.wait(this.id)).exitCode;
  }

  /** For commands that end by themselves: what they printed. */
  async output(): Promise<string> {
    await this.engine.wait(this.id, { signal: AbortSignal.timeout(UP_TIMEOUT_MS) });
    return (await this.log()).trim();
  }
}

function anAnswer(text: string): Answer {
  const end = text.indexOf('\r\n\r\n');
  const headers = text.slice(0, end);
  return { status: Number(headers.split(' ')[1]), headers, body: text.slice(end + 4) };
}
