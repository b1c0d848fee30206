import type { App } from '../../domain/app';
import type { Dyno } from '../../domain/dyno';
import type { AppId, ReleaseId } from '../../domain/ids';
import type { OneOffEnd } from '../../domain/one-off';
import type { ProcessTypes } from '../../domain/procfile';
import { isMadeByAddOn, RELEASE_TYPE, type Release } from '../../domain/release';
import type { Slug } from '../../domain/slug';
import type { Logger } from '../../lib/logger';
import { Signal } from '../../lib/signal';
import { record, type PlatformContext } from '../context';
import { newOneOffDyno } from '../dynos/new-one-off';
import { dropOtherProcessTypes } from '../formation/process-types';
import { OutputFiles } from '../output-streams/output-files';
import { ReleaseOutput } from './release-output';

export interface ReleasePhaseOptions {
  /** Keeps what release commands print. */
  outputDir: string;
  logger: Logger;
}

/** The limit of a release command (Dev Center "Release Phase"). */
const COMMAND_LIMIT_MS = 60 * 60_000;

/**
 * What happens to a release between its creation and the moment when it takes effect (Dev Center "Release Phase").
 *
 * Every release begins as `pending`. Those of one app have their turns one after the other, by number; a turn that
 * has come is either over at once (no release command: `succeeded`), or runs the command in a one-off dyno of the
 * release, `release.NNNN`, whose end decides: status 0 is `succeeded`, everything else `failed`. A release that
 * failed never takes effect: dynos, formation and the app's stack stay as the current release has them.
 *
 * That a turn has come is on record as the dyno's row, and how it ended is recorded in the transaction that removes
 * that row. So nothing of it is lost with the daemon: a pending release with a dyno is the dyno manager's business
 * (which adopts a command that goes on, or sees how it has ended), and one without is begun by `start`.
 */
export class ReleasePhase {
  readonly #context: PlatformContext;
  readonly #logger: Logger;
  readonly #files: OutputFiles;
  readonly #outputs = new Map<ReleaseId, ReleaseOutput>();
  readonly #ended = new Signal<AppId>();
  readonly #closing = new Set<Promise<void>>();

  constructor(context: PlatformContext, { outputDir, logger }: ReleasePhaseOptions) {
    this.#context = context;
    this.#logger = logger;
    this.#files = new OutputFiles(outputDir);
  }

  /** Takes up what an earlier run of the daemon left pending. To be called before the dyno manager starts. */
  start(): void {
    const { store } = this.#context;
    for (const appId of store.releases.appsWithPending()) {
      // What a command that goes on has printed is read again from its beginning, and written anew.
      for (const release of store.releases.pending(appId)) this.#open(release);
      store.transaction(() => this.advance(appId));
    }
  }

  /** Commands go on without the daemon. */
  async stop(): Promise<void> {
    for (const id of [...this.#outputs.keys()]) this.#close(id);
    await Promise.all(this.#closing);
  }

  /** The command that is to run for a release of this slug. */
  commandOf(release: Pick<Release, 'user'>, slug: Slug | undefined): string | null {
    if (slug === undefined || isMadeByAddOn(release)) return null;
    return slug.processTypes[RELEASE_TYPE] ?? null;
  }

  /**
   * Gives each pending release its turn for which it has come. To be called in the transaction in which that may have
   * changed.
   */
  advance(appId: AppId): void {
    const { store } = this.#context;
    for (let next = store.releases.pending(appId)[0]; next; next = store.releases.pending(appId)[0]) {
      if (this.#dynoOf(next) !== undefined) return;
      const slugId = next.slugId ?? store.releases.current(appId)?.slugId ?? null;
      const slug = slugId === null ? undefined : store.slugs.get(slugId);
      const command = this.commandOf(next, slug);
      store.releases.setCode(next.id, slugId, command);
      const release: Release = { ...next, slugId, command };
      if (command !== null) {
        this.#begin(release, command);
        return;
      }
      this.#succeed(release, slug);
    }
  }

  /** It may be read from now on; to be called for a release that is to have a command. */
  expect(release: Release): void {
    this.#context.store.afterCommit(() => this.#open(release));
  }

  /** What its command has printed and, until it ends, prints; undefined for a release without a command. */
  outputStream(id: ReleaseId): AsyncIterable<Buffer> | undefined {
    const release = this.#context.store.releases.get(id);
    return release?.command == null ? undefined : this.#files.read(release.appId, id);
  }

  /** Resolves with the release once it is no longer pending, undefined if it is gone or `signal` aborts. */
  async settled(id: ReleaseId, signal: AbortSignal): Promise<Release | undefined> {
    const { store } = this.#context;
    const isPending = (): boolean => store.releases.get(id)?.status === 'pending';
    if (isPending() && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const finish = (): void => {
          unsubscribe();
          signal.removeEventListener('abort', finish);
          resolve();
        };
        const unsubscribe = this.#ended.subscribe(() => {
          if (!isPending()) finish();
        });
        signal.addEventListener('abort', finish, { once: true });
      });
    }
    return signal.aborted ? undefined : store.releases.get(id);
  }

  /** A one-off dyno has printed a line. */
  async printed(dyno: Dyno, line: string): Promise<void> {
    if (dyno.type === RELEASE_TYPE) await this.#outputs.get(dyno.releaseId)?.line(line);
  }

  /** A one-off dyno has ended. Called in the transaction that removes its row. */
  dynoEnded(dyno: Dyno, end: OneOffEnd): void {
    const { store } = this.#context;
    const release = store.releases.get(dyno.releaseId);
    if (dyno.type !== RELEASE_TYPE || release?.status !== 'pending') return;
    if (end.how === 'exited' && end.status === 0) {
      this.#succeed(release, store.slugs.ofRelease(release));
    } else this.#fail(release, this.#explain(dyno, end));
    this.advance(release.appId);
  }

  /** The app is gone. */
  async remove(app: App): Promise<void> {
    for (const id of [...this.#outputs.keys()]) {
      // Its row went with the app.
      if (this.#context.store.releases.get(id) === undefined) this.#close(id);
    }
    this.#ended.emit(app.id);
    await Promise.all(this.#closing);
    await this.#files.removeApp(app.id);
  }

  #dynoOf(release: Release): Dyno | undefined {
    return this.#context.store.dynos
      .of(release.appId)
      .find((dyno) => dyno.releaseId === release.id && dyno.type === RELEASE_TYPE && dyno.oneOff !== null);
  }

  #begin(release: Release, command: string): void {
    const { store, clock, settings, logplex, dynoManager, changed } = this.#context;
    const { appId, user, version } = release;
    const formation = store.formations.of(appId).find(({ type }) => type === RELEASE_TYPE);
    const dyno = newOneOffDyno(this.#context, release, {
      type: RELEASE_TYPE,
      size: formation?.size ?? settings.defaultDynoSize,
      command,
      oneOff: {
        attached: false,
        terminal: null,
        env: {},
        expiresAt: new Date(clock.now().getTime() + COMMAND_LIMIT_MS),
      },
    });
    store.dynos.save(dyno);
    record(this.#context, appId, user, 'release.run-command', { version, id: dyno.id });
    store.afterCommit(() => {
      this.#open(release);
      logplex.api(appId, `Running release v${version} commands by user ${user.email}`);
      logplex.api(appId, `Starting process with command \`${command}\` by user ${user.email}`);
      dynoManager.kick(appId);
      changed(appId);
    });
  }

  /** It takes effect, and with it what its slug says of the app. */
  #succeed(release: Release, slug: Slug | undefined): void {
    const { store, clock, logplex, dynoManager, changed } = this.#context;
    const { id, appId, version, user } = release;
    const now = clock.now();
    store.releases.setStatus(id, 'succeeded', now);
    const app = store.apps.get(appId);
    if (app !== undefined) {
      store.apps.update({ ...app, ...ofSlug(slug), releasedAt: now, updatedAt: now });
    }
    if (slug !== undefined) {
      dropOtherProcessTypes(this.#context, appId, this.#typesInUse(appId, slug.processTypes));
    }
    record(this.#context, appId, user, 'release.succeed', { version });
    store.afterCommit(() => {
      logplex.api(appId, `Release v${version} created by user ${user.email}`);
      this.#end(release);
      dynoManager.kick(appId);
      changed(appId);
    });
  }

  #fail(release: Release, reason: string): void {
    const { store, clock, logplex, changed } = this.#context;
    const { id, appId, version, user } = release;
    store.releases.setStatus(id, 'failed', clock.now());
    record(this.#context, appId, user, 'release.fail', { version, reason });
    store.afterCommit(() => {
      // A line of our own: Heroku tells of it by mail.
      logplex.api(appId, `Release v${version} failed: ${reason}`);
      this.#end(release);
      changed(appId);
    });
  }

  /** Of the slug and of the releases that wait: those were given a place in the formation when they were made. */
  #typesInUse(appId: AppId, processTypes: ProcessTypes): ProcessTypes {
    const { store } = this.#context;
    const waiting = store.releases
      .pending(appId)
      .map(({ slugId }) => (slugId === null ? undefined : store.slugs.get(slugId)?.processTypes));
    return Object.assign({}, ...waiting, processTypes) as ProcessTypes;
  }

  #explain(dyno: Dyno, end: OneOffEnd): string {
    switch (end.how) {
      case 'exited':
        return `the release command exited with status ${end.status}.`;
      case 'stopped': {
        const expiresAt = dyno.oneOff?.expiresAt ?? null;
        return expiresAt !== null && expiresAt <= this.#context.clock.now()
          ? 'the release command took longer than 1 hour.'
          : 'the release command was stopped.';
      }
      case 'refused':
        return `the dyno of the release command could not be launched: ${end.reason}`;
      case 'vanished':
        return 'the dyno of the release command is gone.';
    }
  }

  #open({ id, appId, command }: Release): void {
    if (command === null || this.#outputs.has(id)) return;
    this.#outputs.set(id, new ReleaseOutput(this.#files.create(appId, id), this.#logger));
  }

  /** It is settled: its output ends, and whoever waits for it hears of it. */
  #end({ id, appId }: Release): void {
    this.#close(id);
    this.#ended.emit(appId);
  }

  #close(id: ReleaseId): void {
    const output = this.#outputs.get(id);
    if (output === undefined) return;
    this.#outputs.delete(id);
    const closing = output.end().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}

function ofSlug(slug: Slug | undefined): Partial<App> {
  if (slug === undefined) return {};
  const { stack, size, buildpackProvidedDescription } = slug;
  return { stack, slugSize: size, buildpackProvidedDescription };
}
