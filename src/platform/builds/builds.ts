import { rm } from 'node:fs/promises';
import type { ArchiveSource } from '../../build/archive-source';
import { BuildFailure } from '../../build/build-failure';
import type { BuildRequest, BuiltSlug } from '../../build/build-request';
import type { Builder } from '../../build/builder';
import { withoutSecrets } from '../../build/buildpacks';
import { complaint, detail, heading, LineOutput, type BuildOutput } from '../../build/output';
import type { Source } from '../../build/source';
import type { FetchedSource, SourceFetcher } from '../../build/source-fetcher';
import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import type { Build, SourceBlob } from '../../domain/build';
import { applyConfigVarChanges } from '../../domain/config-vars';
import { conflict, invalidParams, notFound, PlatformError } from '../../domain/errors';
import { isUuid, type AppId, type BuildId, type SlugId } from '../../domain/ids';
import type { Release } from '../../domain/release';
import type { Slug } from '../../domain/slug';
import type { StackName } from '../../domain/stack';
import { EngineError } from '../../engine/engine';
import { deferred, type Deferred } from '../../lib/deferred';
import { sleep } from '../../lib/clock';
import { describeError, type Logger } from '../../lib/logger';
import type { AddOns } from '../addons/addons';
import type { AppResources } from '../apps/apps';
import { record, type PlatformContext } from '../context';
import type { Releases } from '../releases/releases';
import { OutputFiles, type OpenOutput } from '../output-streams/output-files';
import { Turns } from './turns';

export interface BuildsOptions {
  builder: Pick<Builder, 'sweep' | 'purgeCache' | 'removeApp'> & {
    build: (request: BuildRequest, output: BuildOutput, signal: AbortSignal) => Promise<BuiltSlug>;
  };
  releases: Pick<Releases, 'deploy'>;
  sources: Pick<SourceFetcher, 'fetch'>;
  /** For what buildpacks ask for. */
  addons: Pick<AddOns, 'createUsable' | 'awakenOf'>;
  /** Keeps what builds print. */
  outputDir: string;
  webUrl: (app: App) => string;
  /** Where people read a build's output; named in the app's log when it fails. */
  outputUrl: (app: App, buildId: BuildId) => string;
  logger: Logger;
  /** A build has succeeded: the app has one more slug and release. */
  onDeployed?: (appId: AppId) => void;
  /** Builds at the same time, of different apps. Default 2. */
  maxConcurrent?: number;
}

/** An archive somewhere on the web. */
export interface BlobSource extends SourceBlob {
  kind: 'blob';
  /** It was, by whoever looked into it before, and is theirs to dispose of. */
  fetched?: ArchiveSource;
}

export interface NewBuild {
  source: Source | BlobSource;
  version: string | null;
  versionDescription: string | null;
  /** For this build only; absent = those of the app. */
  buildpacks?: readonly string[];
  /** Calls the build off, e.g. because the one who pushed has gone. */
  signal?: AbortSignal;
}

export interface StartedBuild {
  build: Build;
  /** Resolves with the build once it has succeeded or failed; never rejects. */
  ended: Promise<Build>;
}

/** Ending a build's processes takes no longer, but for an engine that hangs. */
const CANCEL_MS = 30_000;
/** An add-on that takes longer is left to itself. */
const ADDON_MS = 5 * 60_000;
/** Text of Heroku's build system, as seen in transcripts of pushes. */
const STOPPED = 'The daemon was stopped during the build.';
const RELEASE_COMMAND_DECLARED =
  'Release command declared: this new release will not be available until the command succeeds.';

interface Job {
  build: Build;
  input: NewBuild;
  actor: Actor;
  output: OpenOutput;
  lines: LineOutput;
  canceled: AbortController;
  ended: Deferred<Build>;
}

/**
 * Builds and what becomes of them: a release on success (Dev Center "Slug Compiler", "Releases").
 *
 * A build is `pending` from its creation, while it waits for its turn (one at a time per app, a few in total) and
 * while it runs; then `succeeded` or `failed`, for good. Those that are pending when the daemon starts belong to an
 * earlier run and have failed.
 */
export class Builds implements AppResources {
  readonly #context: PlatformContext;
  readonly #options: BuildsOptions;
  readonly #outputs: OutputFiles;
  readonly #queue: Job[] = [];
  readonly #running = new Set<Job>();
  /** Apps whose builds wait for somebody's work on what builds use. */
  readonly #held = new Set<AppId>();
  readonly #turns = new Turns<AppId>();
  #stopping = false;

  constructor(context: PlatformContext, options: BuildsOptions) {
    this.#context = context;
    this.#options = options;
    this.#outputs = new OutputFiles(options.outputDir);
  }

  /** Clears up after an earlier run of the daemon. */
  async start(): Promise<void> {
    const { store } = this.#context;
    for (const build of store.builds.pending()) {
      this.#close(build, 'failed', { failure: STOPPED });
      this.#logFailure(build);
      await this.#endOutput(build);
    }
    try {
      const { containers } = await this.#options.builder.sweep();
      if (containers > 0) this.#options.logger.info('leftover build containers removed', { containers });
    } catch (error) {
      // They do no harm but hold memory until their own end; the next start tries again.
      this.#options.logger.warn('leftover build containers not removed', { error });
    }
  }

  /** Calls off what runs and what waits, and resolves when all of it has ended. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#cancel(() => true);
  }

  create(actor: Actor, app: App, input: NewBuild): StartedBuild {
    const { store, clock, newId } = this.#context;
    const now = clock.now();
    const build: Build = {
      id: newId() as BuildId,
      appId: app.id,
      status: 'pending',
      stack: app.buildStack,
      version: input.version,
      versionDescription: input.versionDescription,
      sourceBlob:
        input.source.kind === 'blob' ? { url: input.source.url, checksum: input.source.checksum } : null,
      buildpacks: (input.buildpacks ?? store.buildpackInstallations.get(app.id)).map(withoutSecrets),
      buildpackRevisions: [],
      user: { id: actor.id, email: actor.email },
      slugId: null,
      releaseId: null,
      failure: null,
      createdAt: now,
      updatedAt: now,
    };
    store.transaction(() => {
      store.builds.insert(build);
      record(this.#context, app.id, actor, 'build.create', { build: build.id, version: build.version });
    });
    const output = this.#outputs.create(app.id, build.id);
    const job: Job = {
      build,
      input,
      actor,
      output,
      lines: new LineOutput(output),
      canceled: new AbortController(),
      ended: deferred<Build>(),
    };
    const cancel = (): void => job.canceled.abort();
    if (input.signal?.aborted || this.#stopping) cancel();
    input.signal?.addEventListener('abort', cancel, { once: true });
    const ended = job.ended.promise.finally(() => input.signal?.removeEventListener('abort', cancel));
    job.canceled.signal.addEventListener('abort', () => this.#dequeue(job), { once: true });
    this.#queue.push(job);
    if (job.canceled.signal.aborted) this.#dequeue(job);
    else this.#next();
    if (this.#queue.includes(job)) void this.#sayThatItWaits(job);
    return { build, ended };
  }

  /** Oldest first. */
  list(app: App): Build[] {
    return this.#context.store.builds.of(app.id);
  }

  find(app: App, id: string): Build {
    const build = isUuid(id) ? this.#context.store.builds.get(id as BuildId) : undefined;
    if (build?.appId !== app.id) throw notFound('build');
    return build;
  }

  /** Ends all that it runs, and answers with it once it has failed. Refused if it is too late. */
  async cancel(actor: Actor, app: App, id: string): Promise<Build> {
    const { store, clock } = this.#context;
    const build = this.find(app, id);
    if (build.status !== 'pending') {
      throw invalidParams(`Can only cancel pending builds. Build ${build.id} has status '${build.status}'.`);
    }
    store.transaction(() => record(this.#context, app.id, actor, 'build.cancel', { build: build.id }));
    const timeout = new AbortController();
    try {
      await Promise.race([
        this.#cancel((job) => job.build.id === build.id),
        sleep(clock, CANCEL_MS, timeout.signal),
      ]);
    } finally {
      timeout.abort();
    }
    const after = store.builds.get(build.id) ?? build;
    if (after.status === 'succeeded') {
      throw conflict(`It is too late to cancel build ${build.id}: it has been released.`);
    }
    return after;
  }

  /** What it has printed and, until it ends, what it goes on to print; undefined if there is no such build. */
  outputStream(id: BuildId): AsyncIterable<Buffer> | undefined {
    const build = this.#context.store.builds.get(id);
    return build === undefined ? undefined : this.#outputs.read(build.appId, id);
  }

  /** `heroku builds:cache:purge`: the next build starts from nothing. */
  async purgeCache(actor: Actor, app: App): Promise<void> {
    try {
      await this.#options.builder.purgeCache(app.id);
    } catch (error) {
      if (!(error instanceof EngineError && error.kind === 'conflict')) throw error;
      throw conflict('A build of this app is using the cache. Try again once it has ended.');
    }
    record(this.#context, app.id, actor, 'build-cache.purge');
  }

  /** The app is gone. */
  async remove(app: App): Promise<void> {
    await this.#cancel((job) => job.build.appId === app.id);
    this.#turns.forget(app.id);
    await this.#options.builder.removeApp(app.id);
    await this.#outputs.removeApp(app.id);
  }

  isBuilding(appId: AppId): boolean {
    return [...this.#running].some((job) => job.build.appId === appId);
  }

  /** Does `work` while no build of the app runs, which then has to wait; answers false if one does. */
  async whileNotBuilding(appId: AppId, work: () => Promise<void>): Promise<boolean> {
    if (this.#isBusy(appId)) return false;
    this.#held.add(appId);
    try {
      await work();
    } finally {
      this.#held.delete(appId);
      this.#next();
    }
    return true;
  }

  async #cancel(which: (job: Job) => boolean): Promise<void> {
    const jobs = [...this.#queue, ...this.#running].filter(which);
    for (const job of jobs) job.canceled.abort();
    await Promise.all(jobs.map((job) => job.ended.promise));
  }

  #isBusy(appId: AppId): boolean {
    return this.#held.has(appId) || this.isBuilding(appId);
  }

  async #sayThatItWaits(job: Job): Promise<void> {
    // A moment, and no build.
    if (this.#held.has(job.build.appId)) return;
    const reason = this.isBuilding(job.build.appId)
      ? 'Another build is in progress for this app; waiting for it to finish...'
      : 'Builds of other apps are in progress; waiting for one to finish...';
    // If it can't be written the build fails over it in its turn, with everything that it prints.
    await job.lines.lines(complaint(reason)).catch(() => undefined);
  }

  /** Starts what may start. */
  #next(): void {
    while (this.#running.size < (this.#options.maxConcurrent ?? 2)) {
      const ready = this.#queue.filter(({ build }) => !this.#isBusy(build.appId));
      const job = this.#turns.next(ready, ({ build }) => build.appId);
      if (job === undefined) return;
      this.#queue.splice(this.#queue.indexOf(job), 1);
      this.#running.add(job);
      void this.#run(job);
    }
  }

  /** Called off before its turn. One that runs notices by its signal. */
  #dequeue(job: Job): void {
    const index = this.#queue.indexOf(job);
    if (index === -1) return;
    this.#queue.splice(index, 1);
    void this.#finish(job, () => Promise.reject(canceled()));
  }

  async #run(job: Job): Promise<void> {
    const { store, logplex } = this.#context;
    await this.#finish(job, async () => {
      const app = store.apps.get(job.build.appId);
      if (app === undefined) throw canceled();
      logplex.api(app.id, `Build started by user ${job.actor.email}`);
      await this.#buildAndRelease(job, app);
      logplex.api(app.id, 'Build succeeded');
    });
    this.#running.delete(job);
    if (store.builds.get(job.build.id)?.status === 'succeeded') this.#options.onDeployed?.(job.build.appId);
    this.#next();
  }

  /** Whatever happens, the build's row is closed, its output ends and `ended` resolves. */
  async #finish(job: Job, work: () => Promise<void>): Promise<void> {
    const { logger } = this.#options;
    try {
      try {
        await work();
      } catch (error) {
        await this.#fail(job, error);
      }
      await job.output.end();
    } catch (error) {
      logger.error('build not concluded properly', { build: job.build.id, error: describeError(error) });
    }
    const build = this.#context.store.builds.get(job.build.id);
    // Without a row the app was destroyed meanwhile.
    job.ended.resolve(build ?? { ...job.build, status: 'failed', failure: 'The app is gone.' });
  }

  async #buildAndRelease(job: Job, app: App): Promise<void> {
    const { store, newId } = this.#context;
    const { builder, logger } = this.#options;
    const slugId = newId() as SlugId;
    const configVars = store.configVars.get(app.id);
    const { source: given } = job.input;
    let source: Source;
    let fetched: FetchedSource | undefined;
    if (given.kind === 'blob' && given.fetched !== undefined) source = given.fetched;
    else if (given.kind === 'blob') {
      fetched = await this.#fetch(given, job.canceled.signal);
      source = fetched.source;
    } else source = given;
    let built: BuiltSlug;
    try {
      // Builds have the config vars, and some read their database. From here on its row keeps add-ons awake.
      const awakening = this.#options.addons.awakenOf(app);
      if (awakening !== undefined) await awakening;
      built = await builder.build(
        {
          buildId: job.build.id,
          slugId,
          appId: app.id,
          appName: app.name,
          stack: job.build.stack,
          source,
          buildpacks: job.input.buildpacks ?? store.buildpackInstallations.get(app.id),
          buildpacksGiven: job.input.buildpacks !== undefined,
          configVars,
          version: job.input.version ?? '',
          previousStack: this.#previousStack(app),
        },
        { write: (chunk) => job.lines.raw(typeof chunk === 'string' ? Buffer.from(chunk) : chunk) },
        job.canceled.signal,
      );
    } finally {
      await fetched?.dispose();
    }
    try {
      // Before the release, which is to have their config vars.
      if (this.#isFirstDeploy(app)) await this.#addAddOns(job, app, built.addons);
      await job.lines.lines(heading('Launching...'));
      // From here on it is too late to call it off (Dev Center "Deploying with Git": no release before "Launching").
      if (job.canceled.signal.aborted) throw canceled();
      const release = this.#release(job, app, slugId, built);
      await job.lines.lines(
        ...(release.command === null ? [] : [complaint(RELEASE_COMMAND_DECLARED)]),
        detail(`Released v${release.version}`),
        detail(`${this.#options.webUrl(store.apps.get(app.id) ?? app)} deployed to Heroku`),
      );
    } catch (error) {
      if (store.slugs.get(slugId) === undefined) await rm(built.archivePath, { force: true });
      throw error;
    }
    const { buildpacks, timings } = built;
    logger.info('build succeeded', { app: app.name, build: job.build.id, buildpacks, ...timings });
  }

  async #fetch(source: BlobSource, signal: AbortSignal): Promise<FetchedSource> {
    try {
      return await this.#options.sources.fetch(source, signal);
    } catch (error) {
      throw signal.aborted ? canceled() : error;
    }
  }

  #release(job: Job, app: App, slugId: SlugId, built: BuiltSlug): Release {
    const { store, clock } = this.#context;
    if (store.apps.get(app.id) === undefined) throw canceled();
    const now = clock.now();
    const slug: Slug = {
      id: slugId,
      appId: app.id,
      stack: job.build.stack,
      commit: job.input.version,
      commitDescription: job.input.versionDescription,
      processTypes: built.processTypes,
      buildpackProvidedDescription: built.buildpackProvidedDescription,
      checksum: built.checksum,
      size: built.size,
      image: built.image,
      ...(built.images === undefined ? {} : { images: built.images }),
      createdAt: now,
      updatedAt: now,
    };
    const names = built.buildpacks.map(({ name }) => name);
    const buildpackRevisions = built.buildpacks.map(({ revision }) => revision);
    return store.transaction(() => {
      if (this.#isFirstDeploy(app)) this.#applyFirstDeploy(app, built);
      return this.#options.releases.deploy(job.actor, app, slug, (made) => {
        // Detected once, kept from then on (Dev Center "Buildpacks").
        if (
          built.buildpacks.length > 0 &&
          job.input.buildpacks === undefined &&
          store.buildpackInstallations.get(app.id).length === 0 &&
          !Object.hasOwn(store.configVars.get(app.id), 'BUILDPACK_URL')
        ) {
          store.buildpackInstallations.replace(app.id, names);
        }
        this.#close(job.build, 'succeeded', {
          slugId,
          releaseId: made.id,
          buildpacks: names,
          buildpackRevisions,
        });
      });
    });
  }

  #previousStack(app: App): StackName | null {
    const succeeded = this.#context.store.builds.of(app.id).filter(({ status }) => status === 'succeeded');
    return succeeded.at(-1)?.stack ?? null;
  }

  /** What bin/release asks for counts with an app's first deploy only (Dev Center "Buildpack API"). */
  #applyFirstDeploy(app: App, built: BuiltSlug): void {
    const { store } = this.#context;
    const current = store.configVars.get(app.id);
    const missing = Object.entries(built.configVars).filter(([key]) => !Object.hasOwn(current, key));
    if (missing.length > 0) {
      try {
        store.configVars.replace(app.id, applyConfigVarChanges(current, Object.fromEntries(missing)).vars);
      } catch (error) {
        if (!(error instanceof PlatformError)) throw error;
        throw new BuildFailure(
          'release',
          `The buildpack's config vars were refused: ${error.message}`,
          undefined,
          {
            cause: error,
          },
        );
      }
    }
  }

  #isFirstDeploy(app: App): boolean {
    return this.#context.store.releases.of(app.id).every((release) => release.slugId === null);
  }

  /** One that can't be had is no reason to fail: the app may do without, or get it by hand. */
  async #addAddOns(job: Job, app: App, plans: readonly string[]): Promise<void> {
    const { store, clock } = this.#context;
    for (const plan of plans) {
      const [service] = plan.split(':');
      // Also one that this build's forerunner was given before it failed.
      if (store.addons.of(app.id).some((addon) => addon.service === service)) continue;
      await job.lines.lines(heading(`Adding ${plan}...`));
      const late = new AbortController();
      const cancel = clock.after(ADDON_MS, () => late.abort());
      try {
        const signal = AbortSignal.any([job.canceled.signal, late.signal]);
        const addon = await this.#options.addons.createUsable(job.actor, app, { plan }, signal);
        await job.lines.lines(detail(`Created ${addon.name}`));
      } catch (error) {
        if (job.canceled.signal.aborted) throw canceled();
        if (!(error instanceof PlatformError)) throw error;
        await job.lines.lines(complaint(`${plan} could not be added: ${error.message}`));
      } finally {
        cancel();
      }
    }
  }

  async #fail(job: Job, error: unknown): Promise<void> {
    const { logger } = this.#options;
    const known = error instanceof BuildFailure ? error : undefined;
    const fields = { build: job.build.id, app: job.build.appId };
    if (known === undefined)
      logger.error('build ended by a fault', { ...fields, error: describeError(error) });
    else if (known.kind === 'engine' || known.kind === 'disk') {
      logger.warn('build failed', { ...fields, kind: known.kind, error: describeError(known) });
    } else logger.info('build failed', { ...fields, kind: known.kind, reason: known.message });

    const failure = known?.message ?? `Internal error in build ${job.build.id}; the daemon's log says more.`;
    this.#close(job.build, 'failed', { failure });
    this.#logFailure(job.build);
    await job.lines.lines(
      ...(known?.lines ?? [complaint(failure)]),
      '',
      complaint('Push failed'),
      ...this.#builtBefore(job.build),
    );
  }

  /** Heroku's words where the same version has come to an end before. */
  #builtBefore({ id, appId, version }: Build): string[] {
    if (version === null) return [];
    const isOne = this.#context.store.builds
      .of(appId)
      .some((other) => other.id !== id && other.version === version && other.status !== 'pending');
    return isOne ? builtBefore(version) : [];
  }

  /** Of a build of an earlier run, for whoever looks at it later. */
  async #endOutput({ appId, id }: Build): Promise<void> {
    try {
      await this.#outputs.append(appId, id, `\n${complaint(STOPPED)}\n\n${complaint('Push failed')}\n`);
    } catch (error) {
      // The build's own record says it as well.
      this.#options.logger.warn('output of a build not ended', { build: id, error: describeError(error) });
    }
  }

  #logFailure(build: Build): void {
    const app = this.#context.store.apps.get(build.appId);
    if (app === undefined) return;
    const url = this.#options.outputUrl(app, build.id);
    this.#context.logplex.api(app.id, `Build failed -- check your build output: ${url}`);
  }

  #close(build: Build, status: 'succeeded' | 'failed', more: Partial<Build>): void {
    const { store, clock, changed } = this.#context;
    store.transaction(() => {
      store.builds.update({ ...build, ...more, status, updatedAt: clock.now() });
      // The app may be gone; then so is the build's row, and the trail needs no more of it.
      if (store.apps.get(build.appId) === undefined) return;
      record(this.#context, build.appId, build.user, `build.${status === 'succeeded' ? 'succeed' : 'fail'}`, {
        build: build.id,
        ...(more.failure == null ? {} : { reason: more.failure }),
      });
      store.afterCommit(() => changed(build.appId));
    });
  }
}

function canceled(): BuildFailure {
  return new BuildFailure('canceled', 'The build was canceled.');
}

/** What Heroku adds to the failure of a version that it has built before, as seen in transcripts of pushes. */
function builtBefore(version: string): string[] {
  return [
    '',
    `## Warning - The same version of this code has already been built: ${version}`,
    '',
    `We have detected that you have triggered a build from source code with version ${version}`,
    'at least twice. One common cause of this behavior is attempting to deploy code from a different branch.',
    '',
    'If you are developing on a branch and deploying via git you must run:',
    '',
    '    git push heroku <branchname>:main',
    '',
    'This article goes into details on the behavior:',
    '  https://devcenter.heroku.com/articles/duplicate-build-version',
  ].map((line) => (line === '' ? ' !' : ` ! ${line}`));
}
