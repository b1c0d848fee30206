import { dynoName, type Dyno } from '../domain/dyno';
import type { AppId, DynoId } from '../domain/ids';
import {
  EngineError,
  ignoring,
  type Attachment,
  type ContainerEngine,
  type ContainerId,
} from '../engine/engine';
import type { Logger } from '../lib/logger';
import type { Store } from '../store/store';
import type { DynoContainers } from './dyno-containers';
import type { DynoRows } from './dyno-rows';
import { shownCommand } from './dyno-spec';
import type { ObservedContainer } from './observe';
import type { ClientState } from './plan';
import { joinStreams, type ProcessClient } from './process-client';

export interface OneOffsOptions {
  store: Store;
  engine: ContainerEngine;
  logger: Logger;
  rows: DynoRows;
  containers: DynoContainers;
  /** Aborted when the daemon stops. */
  stopping: AbortSignal;
  kick: (appId: AppId) => void;
}

/** What Heroku's log shows for a dyno whose client never came (R13). */
const ATTACH_ERROR_EXIT = 128;
const SIGHUP_EVERY_MS = 5000;
/** After the first SIGHUP (Dev Center "Error Codes", R16). */
const R16_AFTER_MS = 15_000;
/** Heroku leaves such a dyno to its daily cycling; on somebody's own machine it would be there for good. */
const SIGKILL_AFTER_MS = 30_000;

interface Session {
  client: ProcessClient;
  state: ClientState;
}

/**
 * Carries out the steps of attached one-off dynos. A detached one is launched, followed and stopped like a dyno of
 * the formation; only its end is another (`conclude`). The life of an attached one, as its row, its container and
 * its client, of which only the first two outlive the daemon:
 *
 * - `starting`, no container: **prepare** creates the container and makes it `up`, which means that it awaits its
 *   client (`Awaiting client`): nothing runs in it yet.
 * - `up`, created, client here: **connect** attaches to the container, and only then starts it, so that no byte is
 *   lost either way.
 * - `up`, created, no client for 30 seconds: **attach-timeout** (R13) ends it without having run.
 * - `up`, running, client attached: bytes are carried both ways (`joinStreams`); nothing to decide.
 * - `up`, running, no client: it has left, or the daemon was started again and its connection died with the old
 *   one. **hang-up** sends SIGHUP to all processes, again every 5 seconds, says R16 after 15, and kills after 30.
 * - `up`, exited, client attached: its last output is still being delivered; nothing to decide.
 * - `up`, exited, no client; or the container has vanished: **conclude** says how it ended and removes container
 *   and row.
 * - `down` (told to stop, or past its time to live): as every dyno, terminated and discarded.
 */
export class OneOffs {
  readonly #options: OneOffsOptions;
  readonly #sessions = new Map<DynoId, Session>();
  readonly #hangingUp = new Map<DynoId, { done: Promise<void>; callOff: AbortController }>();
  readonly #bridges = new Set<Promise<void>>();

  constructor(options: OneOffsOptions) {
    this.#options = options;
  }

  /** Which dynos have a client in this process. */
  get clients(): ReadonlyMap<DynoId, ClientState> {
    return new Map([...this.#sessions].map(([dynoId, { state }]) => [dynoId, state]));
  }

  get hangingUp(): Iterable<DynoId> {
    return this.#hangingUp.keys();
  }

  /** The client of an attached one-off has come. It is sent away if the dyno does not wait for one. */
  attach(dynoId: DynoId, client: ProcessClient): void {
    const { store, kick, stopping } = this.#options;
    const dyno = store.dynos.get(dynoId);
    const awaited = dyno?.oneOff?.attached === true && dyno.startedAt === null && dyno.state !== 'down';
    if (!awaited || this.#sessions.has(dynoId) || stopping.aborted || client.gone.aborted) {
      client.close();
      return;
    }
    const session: Session = { client, state: 'waiting' };
    this.#sessions.set(dynoId, session);
    client.gone.addEventListener('abort', () => this.#forget(dyno, session), { once: true });
    kick(dyno.appId);
  }

  async prepare(dyno: Dyno): Promise<void> {
    const { rows, containers } = this.#options;
    try {
      if ((await containers.create(dyno)) === undefined) return;
    } catch (error) {
      await this.#fail(dyno, null, error);
      return;
    }
    rows.move(dyno, 'up');
    rows.say(dyno, 'Awaiting client');
  }

  async connect(dyno: Dyno, containerId: ContainerId): Promise<void> {
    const { engine } = this.#options;
    const session = this.#sessions.get(dyno.id);
    if (session?.state !== 'waiting') return;
    let attachment: Attachment | undefined;
    try {
      attachment = await engine.attach(containerId, { stdin: true });
      if (session.client.gone.aborted) {
        attachment.close();
        return;
      }
      await this.#start(dyno, containerId);
    } catch (error) {
      attachment?.close();
      await this.#fail(dyno, containerId, error);
      return;
    }
    session.state = 'attached';
    const bridge = this.#carry(dyno, containerId, session, attachment);
    this.#bridges.add(bridge);
    void bridge.finally(() => this.#bridges.delete(bridge));
  }

  /** R13: nobody came. */
  async endUnattended(dyno: Dyno, container: ObservedContainer | null): Promise<void> {
    const { rows, engine } = this.#options;
    rows.say(dyno, 'Error R13 (Attach error) -> Failed to attach to process');
    rows.say(dyno, `Process exited with status ${ATTACH_ERROR_EXIT}`);
    if (container !== null) await engine.remove(container.id);
    rows.conclude(dyno, { how: 'exited', status: ATTACH_ERROR_EXIT });
  }

  /** Begins to end a dyno that lost its client; a plan sees when it has ended. */
  hangUp(dyno: Dyno, containerId: ContainerId): void {
    if (this.#hangingUp.has(dyno.id)) return;
    const { logger, stopping, kick } = this.#options;
    const callOff = new AbortController();
    const done = this.#hangUp(dyno, containerId, callOff.signal)
      .catch((error: unknown) => {
        if (stopping.aborted || callOff.signal.aborted) return;
        logger.warn('could not end a dyno without a client, trying again', { dyno: dynoName(dyno), error });
      })
      .finally(() => {
        this.#hangingUp.delete(dyno.id);
        kick(dyno.appId);
      });
    this.#hangingUp.set(dyno.id, { done, callOff });
  }

  /** The dyno is told to stop: that takes the place of a hang-up under way. */
  callOffHangUp(dynoId: DynoId): void {
    this.#hangingUp.get(dynoId)?.callOff.abort();
  }

  /** The dyno is gone without having run: so is what its client waits for. */
  dismiss(dynoId: DynoId): void {
    const session = this.#sessions.get(dynoId);
    if (session?.state === 'waiting') session.client.close();
  }

  /** Clients are sent away; their dynos are hung up on by the next daemon. */
  async stop(): Promise<void> {
    for (const { client } of this.#sessions.values()) client.close();
    await Promise.all([...this.#bridges, ...[...this.#hangingUp.values()].map(({ done }) => done)]);
  }

  async #start(dyno: Dyno, containerId: ContainerId): Promise<void> {
    const { engine, rows } = this.#options;
    rows.say(dyno, `Starting process with command \`${shownCommand(dyno)}\``);
    await engine.start(containerId);
    const terminal = dyno.oneOff?.terminal ?? null;
    // One that has ended by now needs no size any more.
    if (terminal !== null) await engine.resize(containerId, terminal).catch(ignoring('not_running'));
    rows.started(dyno);
  }

  async #carry(
    dyno: Dyno,
    containerId: ContainerId,
    session: Session,
    attachment: Attachment,
  ): Promise<void> {
    const { engine, logger, stopping } = this.#options;
    const { client } = session;
    try {
      await joinStreams(attachment, client);
      // A process may close its outputs and go on.
      const signal = AbortSignal.any([client.gone, stopping]);
      const end = await engine.wait(containerId, { signal }).catch(ignoring('not_found'));
      await client.finish(end?.exitCode ?? null);
    } catch (error) {
      if (!client.gone.aborted && !stopping.aborted) {
        logger.warn('lost the streams of an attached dyno', { dyno: dynoName(dyno), error });
      }
      client.close();
    } finally {
      attachment.close();
      this.#forget(dyno, session);
    }
  }

  #forget(dyno: Dyno, session: Session): void {
    if (this.#sessions.get(dyno.id) !== session) return;
    this.#sessions.delete(dyno.id);
    this.#options.kick(dyno.appId);
  }

  async #hangUp(dyno: Dyno, containerId: ContainerId, calledOff: AbortSignal): Promise<void> {
    const { rows, containers } = this.#options;
    for (let elapsedMs = 0; elapsedMs < SIGKILL_AFTER_MS; elapsedMs += SIGHUP_EVERY_MS) {
      if (elapsedMs === R16_AFTER_MS) {
        rows.say(
          dyno,
          'Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed.',
        );
      }
      rows.say(dyno, 'Client connection closed. Sending SIGHUP to all processes');
      await containers.signalAll(containerId, 'HUP');
      if (await containers.hasEnded(containerId, SIGHUP_EVERY_MS, calledOff)) return;
    }
    rows.say(dyno, 'Stopping remaining processes with SIGKILL');
    await containers.killAndWait(containerId);
  }

  /** The engine refused; nothing is tried again, since somebody waits and can. */
  async #fail(dyno: Dyno, containerId: ContainerId | null, error: unknown): Promise<void> {
    if (!(error instanceof EngineError) || error.kind === 'unreachable') throw error;
    const { logger, rows, engine } = this.#options;
    logger.error('one-off dyno could not be launched', { dyno: dynoName(dyno), app: dyno.appId, error });
    rows.say(dyno, `Error R99 (Platform error) -> Failed to launch the dyno: ${error.message}`);
    if (containerId !== null) await engine.remove(containerId);
    this.dismiss(dyno.id);
    rows.conclude(dyno, { how: 'refused', reason: error.message });
  }
}
