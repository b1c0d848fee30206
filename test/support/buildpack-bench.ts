import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pack } from 'tar-stream';
import { parse } from 'yaml';
import { readRecipe } from '../../src/build/recipe';
import type { StackImages } from '../../src/build/stack-images';
import type { DockerEngine } from '../../src/engine/docker-engine';
import type { ContainerId, Mount } from '../../src/engine/engine';
import { caBundlePath, PROJECT_DIR, realEngine, realStackImages } from './stack';

export type Files = Readonly<Record<string, string | Buffer>>;
export interface Result {
  exitCode: number;
  output: string;
}

const DYNO = { uid: 10001, gid: 10001 };

/** Where the app is while it is built: Heroku's form, and not the folder in which it runs. */
export const BUILD_DIR = '/tmp/build_5f3a9c2e';

/**
 * Runs a bundled buildpack as a build does, without a daemon: its scripts in a build container as user dyno, and then
 * what came of it in a dyno's container, where neither build folder nor cache exist.
 */
export class BuildpackBench {
  static async open(): Promise<BuildpackBench> {
    const engine = await realEngine();
    return new BuildpackBench(engine, (await realStackImages(engine))['heroku-24']);
  }

  readonly #labels = { 'dynodock.test-run': randomUUID().slice(0, 8) };

  private constructor(
    readonly engine: DockerEngine,
    private readonly images: StackImages['heroku-24'],
  ) {}

  /** Removes all containers of this bench. */
  async clear(): Promise<void> {
    for (const container of await this.engine.list(this.#labels)) await this.engine.remove(container.id);
  }

  /** Without `network` a container has none but its own loopback. */
  async build(buildpack: string, app: Files, network = 'none'): Promise<BuildContainer> {
    const id = await this.#start(this.images.build, network);
    const container = new BuildContainer(this, id);
    const scripts = await readRecipe(path.join(PROJECT_DIR, 'buildpacks', buildpack));
    await container.put(
      '/tmp',
      Object.fromEntries(scripts.map((file) => [`buildpack/${file.path}`, file.content])),
    );
    await container.run(`mkdir ${BUILD_DIR}`);
    await container.change(app);
    return container;
  }

  async dyno(slug: Readable): Promise<DynoContainer> {
    const id = await this.#start(this.images.run, 'none');
    await this.engine.putArchive(id, '/', slug);
    return new DynoContainer(this.engine, id);
  }

  async #start(image: string, network: string): Promise<ContainerId> {
    const mounts: Mount[] =
      caBundlePath === undefined
        ? []
        : [
            {
              kind: 'bind',
              source: caBundlePath,
              target: '/etc/ssl/certs/ca-certificates.crt',
              readOnly: true,
            },
          ];
    const id = await this.engine.create({
      name: `dynodock-test-${randomUUID()}`,
      image,
      command: ['/bin/sleep', '1800'],
      env: {},
      labels: this.#labels,
      network,
      init: true,
      mounts,
    });
    await this.engine.start(id);
    return id;
  }
}

class BuildContainer {
  constructor(
    private readonly bench: BuildpackBench,
    private readonly id: ContainerId,
  ) {}

  put(directory: string, files: Files): Promise<void> {
    const tar = pack();
    const folders = new Set<string>();
    for (const name of Object.keys(files)) {
      const parts = name.split('/').slice(0, -1);
      parts.forEach((_, index) => folders.add(parts.slice(0, index + 1).join('/')));
    }
    for (const name of folders) tar.entry({ name, type: 'directory', mode: 0o755, ...DYNO });
    for (const [name, content] of Object.entries(files)) tar.entry({ name, mode: 0o755, ...DYNO }, content);
    tar.finalize();
    return this.bench.engine.putArchive(this.id, directory, tar as unknown as Readable);
  }

  /** Further files of the app, or changed ones. */
  change(files: Files): Promise<void> {
    return this.put(BUILD_DIR, files);
  }

  async config(vars: Readonly<Record<string, string>>): Promise<void> {
    await this.put('/tmp', prefixed('env', vars));
  }

  run(script: string): Promise<Result> {
    return runIn(this.bench.engine, this.id, script);
  }

  /** What serves `directory` inside this container, at 127.0.0.1. */
  async serve(directory: string, port: number): Promise<void> {
    const server = `python3 -m http.server --bind 127.0.0.1 --directory ${directory} ${port}`;
    const { exitCode, output } = await this.run(
      `(${server} > /tmp/server-${port}.log 2>&1 &)
       for attempt in {1..100}; do curl -fsS -o /tmp/probe http://127.0.0.1:${port}/ && exit 0; sleep 0.1; done; exit 1`,
    );
    if (exitCode !== 0) throw new Error(`nothing serves ${directory}: ${output}`);
  }

  detect(): Promise<Result> {
    return this.run(`/tmp/buildpack/bin/detect ${BUILD_DIR}`);
  }

  compile(script = 'compile'): Promise<Result> {
    return this.run(
      `mkdir -p /tmp/env; STACK=heroku-24 /tmp/buildpack/bin/${script} ${BUILD_DIR} /cache /tmp/env`,
    );
  }

  /** Compiles and says what was printed if that failed. */
  async compiled(script = 'compile'): Promise<string> {
    const { exitCode, output } = await this.compile(script);
    if (exitCode !== 0) throw new Error(`bin/${script} failed:\n${output}`);
    return output;
  }

  /** As the next build finds it: the app's own files, and the cache. */
  async again(app: Files): Promise<void> {
    await this.run(`rm -rf ${BUILD_DIR} && mkdir ${BUILD_DIR}`);
    await this.change(app);
  }

  async release(): Promise<unknown> {
    const { exitCode, output } = await this.run(`/tmp/buildpack/bin/release ${BUILD_DIR}`);
    if (exitCode !== 0) throw new Error(`bin/release failed: ${output}`);
    return parse(output);
  }

  /** Starts a dyno's container with the app as it was built, packed the way builds pack it. */
  async dyno(): Promise<DynoContainer> {
    const tar = ['tar', '--create', '--owner=10001', '--group=10001', '--mtime=@1700000000'];
    const command = await this.bench.engine.execAttached(
      this.id,
      [...tar, '--transform=flags=rhS;s,^\\.,app,', `--directory=${BUILD_DIR}`, '.'],
      { terminal: null },
    );
    command.stderr.resume();
    return this.bench.dyno(command.stdout);
  }
}

export class DynoContainer {
  constructor(
    private readonly engine: DockerEngine,
    private readonly id: ContainerId,
  ) {}

  /** A command as `heroku run` runs it. */
  async run(command: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
    const argv = ['/usr/local/bin/dyno-launch', `{ ${command}\n} 2>&1`];
    const result = await this.engine.exec(this.id, argv, { env, timeoutMs: 120_000 });
    return result.stdout.trim();
  }

  /** Starts a web process and answers what it says at `path`. */
  async web(command: string, requestPath = '/', env: Readonly<Record<string, string>> = {}): Promise<string> {
    const argv = ['/bin/sh', '-c', `setsid /usr/local/bin/dyno-launch "$0" > /tmp/web.log 2>&1 &`, command];
    await this.engine.exec(this.id, argv, { env: { PORT: '5000', ...env } });
    const result = await runIn(
      this.engine,
      this.id,
      `for attempt in {1..900}; do
         curl --silent --output /tmp/answer 'http://127.0.0.1:5000${requestPath}' && cat /tmp/answer && exit 0
         sleep 0.1
       done; cat /tmp/web.log; exit 1`,
    );
    if (result.exitCode !== 0) throw new Error(`the web process did not answer:\n${result.output}`);
    return result.output;
  }
}

async function runIn(engine: DockerEngine, id: ContainerId, script: string): Promise<Result> {
  const result = await engine.exec(id, ['/bin/bash', '-c', `{ ${script}\n} 2>&1`], { timeoutMs: 300_000 });
  return { exitCode: result.exitCode, output: result.stdout };
}

function prefixed(folder: string, files: Files): Files {
  return Object.fromEntries(Object.entries(files).map(([name, content]) => [`${folder}/${name}`, content]));
}

/** All files of an app of examples/. */
export async function exampleApp(name: string): Promise<Files> {
  const files = await readRecipe(path.join(PROJECT_DIR, 'examples', name));
  return Object.fromEntries(files.map((file) => [file.path, file.content]));
}

/** A script of test/support that runs inside a build container. */
export function supportScript(name: string): Promise<string> {
  return readFile(path.join(PROJECT_DIR, 'test/support', name), 'utf8');
}
