import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BuildFailure } from '../../src/build/build-failure';
import type { BuildRequest, BuiltSlug, TestedSource, TestRequest } from '../../src/build/build-request';
import { Builder, type BuilderOptions } from '../../src/build/builder';
import type { BuildOutput } from '../../src/build/output';
import type { StackImages } from '../../src/build/stack-images';
import type { AppId, BuildId, SlugId } from '../../src/domain/ids';
import type { DockerEngine } from '../../src/engine/docker-engine';
import { INSTALLATION_LABEL } from '../../src/engine/labels';
import { systemClock } from '../../src/lib/clock';
import { silentLogger } from '../../src/lib/logger';
import { COMMIT_TIME, TestRepository, writeFiles, type TestFiles } from './git-repository';
import { caBundlePath, realEngine, realStackImages } from './stack';

/** The real engine with the stack's images, and a folder; what builds leave is removed at the end. */
export class BuildBench {
  readonly installationId = `test-${randomUUID().slice(0, 8)}`;
  readonly directory = mkdtempSync(path.join(tmpdir(), 'dynodock-builder-'));
  readonly #projects: BuildProject[] = [];

  private constructor(
    readonly engine: DockerEngine,
    readonly images: StackImages,
  ) {}

  static async open(): Promise<BuildBench> {
    const engine = await realEngine();
    return new BuildBench(engine, await realStackImages(engine));
  }

  /** `buildpacks`: name → script → what it does, in bash. */
  project(buildpacks: Record<string, TestFiles> = {}): BuildProject {
    const project = new BuildProject(this, buildpacks);
    this.#projects.push(project);
    return project;
  }

  async close(): Promise<void> {
    const { engine } = this;
    const owned = { [INSTALLATION_LABEL]: this.installationId };
    for (const { id } of await engine.list(owned)) await engine.remove(id);
    for (const { name } of await engine.listVolumes(owned)) await engine.removeVolume(name);
    for (const image of await engine.listImages(owned)) {
      for (const reference of image.references) await engine.removeImage(reference);
    }
    for (const { repository } of this.#projects) repository.remove();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** One app with a repository and buildpacks of its own. */
export class BuildProject {
  readonly repository = new TestRepository();
  readonly appId = randomUUID() as AppId;
  readonly buildpacksDir: string;
  readonly slugsDir: string;
  readonly #bench: BuildBench;
  output = '';

  constructor(bench: BuildBench, buildpacks: Record<string, TestFiles>) {
    this.#bench = bench;
    this.buildpacksDir = path.join(bench.directory, `buildpacks-${this.appId}`);
    this.slugsDir = path.join(bench.directory, 'slugs');
    mkdirSync(this.buildpacksDir);
    for (const [name, scripts] of Object.entries(buildpacks)) {
      for (const [script, content] of Object.entries(scripts)) {
        const text = typeof content === 'string' ? content : (content.content ?? '');
        writeFiles(path.join(this.buildpacksDir, name), {
          [script]: { content: `#!/usr/bin/env bash\n${text}\n`, mode: 0o755 },
        });
      }
    }
  }

  builder(more: Partial<BuilderOptions> = {}): Builder {
    const { engine, installationId, images, directory } = this.#bench;
    return new Builder({
      engine,
      installationId,
      imagesFor: (stack) => images[stack as keyof StackImages],
      buildpacksDir: this.buildpacksDir,
      buildpackCacheDir: path.join(directory, 'fetched'),
      slugsDir: this.slugsDir,
      workDir: path.join(directory, 'work'),
      network: 'bridge',
      ...(caBundlePath === undefined ? {} : { caBundlePath }),
      clock: systemClock,
      logger: silentLogger,
      ...more,
      limits: { memoryBytes: 1024 ** 3, pids: 512, ...more.limits },
    });
  }

  build(
    files: TestFiles,
    more: Partial<BuildRequest> = {},
    options: Partial<BuilderOptions> = {},
    signal: AbortSignal = new AbortController().signal,
  ): Promise<BuiltSlug> {
    return this.builder(options).build({ ...this.#request(files), ...more }, this.#sink(), signal);
  }

  /** Runs the app's tests. */
  test(files: TestFiles, more: Partial<TestRequest> = {}): Promise<TestedSource> {
    const { signal } = new AbortController();
    return this.builder().build({ ...this.#request(files), ...more, mode: 'test' }, this.#sink(), signal);
  }

  #request(files: TestFiles): BuildRequest {
    const commit = this.repository.commit(files);
    return {
      buildId: randomUUID() as BuildId,
      slugId: randomUUID() as SlugId,
      appId: this.appId,
      appName: 'demo',
      stack: 'heroku-24',
      source: {
        kind: 'git',
        repositoryDir: this.repository.directory,
        commit,
        environment: {},
        time: COMMIT_TIME,
      },
      buildpacks: [],
      configVars: {},
      version: commit,
    };
  }

  #sink(): BuildOutput {
    this.output = '';
    return {
      write: async (chunk) => {
        this.output += Buffer.from(chunk as Uint8Array).toString('latin1');
      },
    };
  }

  async failure(...args: Parameters<BuildProject['build']>): Promise<BuildFailure> {
    try {
      await this.build(...args);
    } catch (error) {
      if (error instanceof BuildFailure) return error;
      throw error;
    }
    throw new Error(`the build did not fail:\n${this.output}`);
  }
}
