import { readArchiveFile } from '../../build/archive-source';
import { BuildFailure } from '../../build/build-failure';
import type { FetchedSource, SourceFetcher } from '../../build/source-fetcher';
import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import { MAX_APP_JSON_BYTES, parseAppJson, resolveEnv, type AppJson } from '../../domain/app-json';
import type { AppSetup } from '../../domain/app-setup';
import type { Build, SourceBlob } from '../../domain/build';
import type { Dyno } from '../../domain/dyno';
import { notFound, PlatformError } from '../../domain/errors';
import { isUuid, type AppSetupId } from '../../domain/ids';
import type { OneOffEnd } from '../../domain/one-off';
import { describeError, type Logger } from '../../lib/logger';
import type { AddOns } from '../addons/addons';
import type { AppResources, Apps, NewApp } from '../apps/apps';
import type { BuildpackInstallations } from '../buildpack-installations/buildpack-installations';
import type { Builds } from '../builds/builds';
import type { ConfigVarsService } from '../config-vars/config-vars';
import { record, type PlatformContext } from '../context';
import type { OneOffService } from '../dynos/one-offs';
import type { FormationService } from '../formation/formation';
import type { ReleasePhase } from '../releases/release-phase';
import { PostdeployOutput } from './postdeploy-output';

export interface AppSetupsOptions {
  apps: Pick<Apps, 'create' | 'update' | 'destroy' | 'webUrl'>;
  configVars: Pick<ConfigVarsService, 'update'>;
  addons: Pick<AddOns, 'createUsable'>;
  buildpackInstallations: Pick<BuildpackInstallations, 'replace'>;
  builds: Pick<Builds, 'create'>;
  releases: Pick<ReleasePhase, 'settled'>;
  formation: Pick<FormationService, 'batchUpdate'>;
  oneOffs: Pick<OneOffService, 'create'>;
  sources: Pick<SourceFetcher, 'fetch'>;
  /** 64 hexadecimal digits, for `"generator": "secret"`. */
  secret: () => string;
  logger: Logger;
}

export interface NewAppSetup {
  source: SourceBlob;
  version: string | null;
  app: NewApp;
  overrides: { env: Readonly<Record<string, string>>; buildpacks: readonly string[] | null };
}

/** What a client of the API sees of one. */
export interface AppSetupView {
  setup: AppSetup;
  /** undefined before there is one, and when it went with its app. */
  build: Build | undefined;
}

const ADDON_MS = 10 * 60_000;
const POSTDEPLOY_S = 3600;
/** Example of the Platform API schema, `app-setup.failure_message`. */
const INVALID = 'invalid app.json';
const STOPPED = 'The daemon was stopped during the set-up.';

/** Fails a set-up for a reason that its owner can read. */
class SetupFailure extends Error {
  override readonly name = 'SetupFailure';
  readonly manifestErrors: readonly string[];

  constructor(message: string, manifestErrors: readonly string[] = []) {
    super(message);
    this.manifestErrors = manifestErrors;
  }
}

/**
 * Sets apps up as the app.json in their source says (Dev Center "Setting Up Apps Using the Platform API"). For the
 * stages see `AppSetupStage`.
 *
 * What fails while it is `preparing` leaves no app; from `building` on the app stays, for whoever looks into it. A
 * daemon that starts fails what it finds `preparing` (the source and the overrides, which may be secret, are on no
 * record), goes on from where a build has ended, and leaves a postdeploy script, whose dyno goes on by itself, to the
 * dyno manager: its end is recorded in the transaction that removes the dyno's row.
 */
export class AppSetups implements AppResources {
  readonly #context: PlatformContext;
  readonly #options: AppSetupsOptions;
  readonly #running = new Map<AppSetupId, { done: Promise<void>; stop: AbortController }>();
  readonly #outputs = new PostdeployOutput();
  #stopping = false;

  constructor(context: PlatformContext, options: AppSetupsOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Takes up what an earlier run of the daemon left. To be called when builds and dynos have been. */
  start(): void {
    const { store } = this.#context;
    for (const setup of store.appSetups.unfinished()) {
      switch (setup.stage) {
        case 'preparing':
          this.#spawn(setup, () => Promise.reject(new SetupFailure(STOPPED)));
          break;
        case 'building':
          this.#spawn(setup, (signal) => this.#afterBuild(setup.id, signal));
          break;
        case 'postdeploy':
          if (setup.dynoId === null || store.dynos.get(setup.dynoId) === undefined) {
            this.#spawn(setup, () => Promise.reject(new SetupFailure('The postdeploy dyno is gone.')));
          }
          break;
        case 'discarding':
          this.#spawn(setup, () => this.#discard(setup.id));
          break;
        case 'ended':
          break;
      }
    }
  }

  /** Leaves what is under way to the next start. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const { stop } of this.#running.values()) stop.abort();
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  /** The app is there at once; the rest follows. */
  create(actor: Actor, input: NewAppSetup): AppSetupView {
    const { store, clock, newId } = this.#context;
    const setup = store.transaction(() => {
      const app = this.#options.apps.create(actor, input.app);
      const now = clock.now();
      const created: AppSetup = {
        id: newId() as AppSetupId,
        appId: app.id,
        appName: app.name,
        status: 'pending',
        stage: 'preparing',
        user: { id: actor.id, email: actor.email },
        buildId: null,
        dynoId: null,
        afterBuild: null,
        manifestErrors: [],
        failure: null,
        postdeploy: null,
        resolvedSuccessUrl: null,
        createdAt: now,
        updatedAt: now,
      };
      store.appSetups.save(created);
      record(this.#context, app.id, actor, 'app-setup.create', { setup: created.id });
      return created;
    });
    this.#spawn(setup, (signal) => this.#setUp(setup, input, signal));
    return this.#view(setup);
  }

  find(id: string): AppSetupView {
    const setup = isUuid(id) ? this.#context.store.appSetups.get(id as AppSetupId) : undefined;
    if (setup === undefined) throw notFound('app_setup');
    return this.#view(setup);
  }

  /** A one-off dyno has printed a line. */
  printed(dyno: Dyno, line: string): void {
    if (this.#ofDyno(dyno) !== undefined) this.#outputs.append(dyno.id, line);
  }

  /** A one-off dyno has ended. Called in the transaction that removes its row. */
  dynoEnded(dyno: Dyno, end: OneOffEnd): void {
    const setup = this.#ofDyno(dyno);
    if (setup === undefined) return;
    const output = this.#outputs.take(dyno.id);
    if (end.how !== 'exited') {
      this.#fail(setup, `The postdeploy script did not run to its end: ${explain(end)}`);
      return;
    }
    const ran: AppSetup = { ...setup, postdeploy: { output, exitCode: end.status } };
    if (end.status === 0) this.#succeed(ran);
    else this.#fail(ran, `The postdeploy script exited with status ${end.status}.`);
  }

  appDestroyed(_actor: Actor, app: App): void {
    for (const setup of this.#context.store.appSetups.unfinished()) {
      if (setup.appId !== app.id || setup.status !== 'pending') continue;
      if (setup.dynoId !== null) this.#outputs.take(setup.dynoId);
      this.#fail({ ...setup, appName: app.name }, 'The app was destroyed during the set-up.');
      this.#context.store.afterCommit(() => this.#running.get(setup.id)?.stop.abort());
    }
  }

  #view(setup: AppSetup): AppSetupView {
    const { store } = this.#context;
    return {
      setup: { ...setup, appName: store.apps.get(setup.appId)?.name ?? setup.appName },
      build: setup.buildId === null ? undefined : store.builds.get(setup.buildId),
    };
  }

  #ofDyno(dyno: Dyno): AppSetup | undefined {
    if (dyno.oneOff === null) return undefined;
    return this.#context.store.appSetups
      .unfinished()
      .find(({ dynoId, stage }) => dynoId === dyno.id && stage === 'postdeploy');
  }

  /** Whatever happens in `work`, the set-up does not stay pending, unless the daemon stops. */
  #spawn({ id }: AppSetup, work: (signal: AbortSignal) => Promise<void>): void {
    if (this.#stopping) return;
    const stop = new AbortController();
    const done = (async () => {
      try {
        await work(stop.signal);
      } catch (error) {
        if (!this.#stopping) this.#failBy(id, error);
      }
      if (!this.#stopping) await this.#discard(id);
    })()
      .catch((error: unknown) => {
        this.#options.logger.error('app set-up not concluded properly', {
          setup: id,
          error: describeError(error),
        });
      })
      .finally(() => this.#running.delete(id));
    this.#running.set(id, { done, stop });
  }

  async #setUp(setup: AppSetup, input: NewAppSetup, signal: AbortSignal): Promise<void> {
    const { sources } = this.#options;
    const fetched = await sources.fetch(input.source, signal);
    try {
      const manifest = await this.#prepare(setup, input, fetched, signal);
      await this.#build(setup.id, input, manifest, fetched, signal);
    } finally {
      await fetched.dispose();
    }
    await this.#afterBuild(setup.id, signal);
  }

  async #prepare(
    { user, appId }: AppSetup,
    { app: given, overrides }: NewAppSetup,
    { source }: FetchedSource,
    signal: AbortSignal,
  ): Promise<AppJson> {
    const { apps, configVars, addons, buildpackInstallations, secret } = this.#options;
    const text = await readArchiveFile(source, 'app.json', { maxBytes: MAX_APP_JSON_BYTES, signal });
    if (text === undefined) throw new SetupFailure('app.json not found');
    const { manifest, errors } = parseAppJson(text);
    const env = resolveEnv(manifest.env, overrides.env, secret);
    const problems = [...errors, ...env.errors.filter((error) => !errors.includes(error))];
    if (problems.length > 0) throw new SetupFailure(INVALID, problems);

    if (given.stack == null && manifest.stack !== null) {
      apps.update(user, appId, { buildStack: manifest.stack });
    }
    const buildpacks = overrides.buildpacks ?? manifest.buildpacks;
    if (buildpacks.length > 0) buildpackInstallations.replace(user, this.#app(appId), buildpacks);
    if (Object.keys(env.vars).length > 0) configVars.update(user, this.#app(appId), env.vars);
    for (const { plan, as, options } of manifest.addons) {
      await this.#withDeadline(ADDON_MS, signal, (until) =>
        addons.createUsable(user, this.#app(appId), { plan, attachment: as, options }, until),
      );
    }
    return manifest;
  }

  /** Resolves when it has ended, however. */
  async #build(
    id: AppSetupId,
    { source, version }: NewAppSetup,
    { formation, postdeploy, successUrl }: AppJson,
    fetched: FetchedSource,
    signal: AbortSignal,
  ): Promise<void> {
    const { store } = this.#context;
    const { ended } = store.transaction(() => {
      const setup = this.#pending(id);
      const started = this.#options.builds.create(setup.user, this.#app(setup.appId), {
        source: { kind: 'blob', ...source, fetched: fetched.source },
        version,
        versionDescription: null,
        signal,
      });
      this.#save({
        ...setup,
        stage: 'building',
        buildId: started.build.id,
        afterBuild: { formation, postdeploy, successUrl },
      });
      return started;
    });
    await ended;
  }

  /** Also where an earlier run of the daemon saw the build end: nothing in here harms when it is done twice. */
  async #afterBuild(id: AppSetupId, signal: AbortSignal): Promise<void> {
    const { store } = this.#context;
    const { releases, formation, oneOffs } = this.#options;
    if (this.#stopping) return;
    const { buildId, afterBuild, user, appId } = this.#pending(id);
    const build = buildId === null ? undefined : store.builds.get(buildId);
    if (build?.status !== 'succeeded' || build.releaseId === null || afterBuild === null) {
      throw new SetupFailure(`The build failed: ${build?.failure ?? 'it is gone'}`);
    }
    const release = await releases.settled(build.releaseId, signal);
    if (signal.aborted) return;
    if (release?.status !== 'succeeded') throw new SetupFailure('The release command failed.');
    if (afterBuild.formation.length > 0) {
      formation.batchUpdate(
        user,
        this.#app(appId),
        afterBuild.formation.map(({ type, quantity, size }) => ({
          type,
          quantity,
          ...(size === null ? {} : { size }),
        })),
      );
    }
    const { postdeploy } = afterBuild;
    store.transaction(() => {
      const setup = this.#pending(id);
      if (postdeploy === null) {
        this.#succeed(setup);
        return;
      }
      const { dyno } = oneOffs.create(user, this.#app(appId), {
        command: postdeploy.command,
        size: postdeploy.size,
        timeToLiveSeconds: POSTDEPLOY_S,
      });
      this.#save({ ...setup, stage: 'postdeploy', dynoId: dyno.id });
    });
  }

  async #withDeadline<T>(
    ms: number,
    signal: AbortSignal,
    work: (until: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const late = new AbortController();
    const cancel = this.#context.clock.after(ms, () => late.abort());
    try {
      return await work(AbortSignal.any([signal, late.signal]));
    } finally {
      cancel();
    }
  }

  /** Throws if it has ended meanwhile, which is when its app was destroyed. */
  #pending(id: AppSetupId): AppSetup {
    const setup = this.#context.store.appSetups.get(id);
    if (setup?.status !== 'pending') throw new SetupFailure('The set-up has ended.');
    return setup;
  }

  #app(id: App['id']): App {
    const app = this.#context.store.apps.get(id);
    if (app === undefined) throw notFound('app');
    return app;
  }

  #failBy(id: AppSetupId, error: unknown): void {
    const { store } = this.#context;
    const known =
      error instanceof SetupFailure || error instanceof PlatformError || error instanceof BuildFailure;
    if (!known) {
      this.#options.logger.error('app set-up ended by a fault', { setup: id, error: describeError(error) });
    }
    const message = known ? error.message : 'Internal error; the log of the daemon says more.';
    const manifestErrors = error instanceof SetupFailure ? error.manifestErrors : [];
    store.transaction(() => {
      const setup = store.appSetups.get(id);
      if (setup?.status === 'pending') this.#fail({ ...setup, manifestErrors }, message);
    });
  }

  /** In a transaction. An app that has no build yet goes, once that is on record. */
  #fail(setup: AppSetup, failure: string): void {
    const { store, logplex } = this.#context;
    const app = store.apps.get(setup.appId);
    const isWorthless = setup.stage === 'preparing' && app !== undefined;
    this.#save({ ...setup, status: 'failed', stage: isWorthless ? 'discarding' : 'ended', failure });
    if (app === undefined) return;
    record(this.#context, app.id, setup.user, 'app-setup.fail', { setup: setup.id, reason: failure });
    store.afterCommit(() => logplex.api(app.id, `App setup failed: ${failure}`));
  }

  #succeed(setup: AppSetup): void {
    const { store } = this.#context;
    const app = this.#app(setup.appId);
    const resolvedSuccessUrl = new URL(setup.afterBuild?.successUrl ?? '', this.#options.apps.webUrl(app))
      .href;
    this.#save({ ...setup, status: 'succeeded', stage: 'ended', resolvedSuccessUrl });
    record(this.#context, app.id, setup.user, 'app-setup.succeed', { setup: setup.id });
    store.afterCommit(() => this.#options.logger.info('app set up', { app: app.name, setup: setup.id }));
  }

  #save(setup: AppSetup): void {
    const { store, clock } = this.#context;
    store.appSetups.save({ ...setup, updatedAt: clock.now() });
  }

  async #discard(id: AppSetupId): Promise<void> {
    const { store } = this.#context;
    const setup = store.appSetups.get(id);
    if (setup?.stage !== 'discarding') return;
    if (store.apps.get(setup.appId) !== undefined) {
      await this.#options.apps.destroy(setup.user, setup.appId);
    }
    this.#save({ ...setup, stage: 'ended' });
  }
}

function explain(end: Exclude<OneOffEnd, { how: 'exited' }>): string {
  switch (end.how) {
    case 'stopped':
      return 'it was stopped, or took longer than 1 hour.';
    case 'refused':
      return `its dyno could not be launched: ${end.reason}`;
    case 'vanished':
      return 'its dyno is gone.';
  }
}
