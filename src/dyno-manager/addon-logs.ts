import type { BackendLogLine } from '../addons/provider';
import type { ProviderRegistry } from '../addons/registry';
import type { AddOn } from '../domain/addon';
import type { AddOnId, AppId } from '../domain/ids';
import type { ContainerEngine, ContainerId } from '../engine/engine';
import { sleep, type Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import type { Logplex } from '../logplex/logplex';
import type { Store } from '../store/store';

export interface AddOnLogsOptions {
  store: Store;
  engine: ContainerEngine;
  providers: ProviderRegistry;
  logplex: Logplex;
  clock: Clock;
  logger: Logger;
}

/** So many lines at once, and so many a second after that: a server that logs each statement must not drown its app. */
const BURST_LINES = 200;
const LINES_PER_SECOND = 10;
const RETRY_MS = 1000;

interface Flow {
  /** Of the newest line that was read, from which reading goes on. */
  position: string | Date;
  room: number;
  roomAt: number;
  /** Since the last line that was let through. */
  dropped: number;
}

/**
 * Carries what the servers of add-ons print into the logs of the apps that have them attached (Dev Center "Heroku Postgres
 * Logs"): from when they serve until they end, without what stood there before the daemon's start. Passwords of the
 * add-on never get there.
 */
export class AddOnLogs {
  readonly #options: AddOnLogsOptions;
  readonly #flows = new Map<AddOnId, Flow>();
  readonly #following = new Map<
    AddOnId,
    { containerId: ContainerId; end: AbortController; done: Promise<void> }
  >();
  #stopped = false;

  constructor(options: AddOnLogsOptions) {
    this.#options = options;
  }

  /** It serves. Following it twice is following it once. */
  follow(id: AddOnId, containerId: ContainerId): void {
    const current = this.#following.get(id);
    if (this.#stopped || current?.containerId === containerId) return;
    current?.end.abort();
    const end = new AbortController();
    this.#following.set(id, { containerId, end, done: this.#follow(id, containerId, end.signal) });
  }

  /** Nothing is left of it. */
  forget(id: AddOnId): void {
    this.#following.get(id)?.end.abort();
    this.#following.delete(id);
    this.#flows.delete(id);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { end } of this.#following.values()) end.abort();
    await Promise.all([...this.#following.values()].map(({ done }) => done));
  }

  async #follow(id: AddOnId, containerId: ContainerId, signal: AbortSignal): Promise<void> {
    const { engine, logger, clock } = this.#options;
    const flow = this.#flowOf(id);
    try {
      for await (const line of engine.logs(containerId, { follow: true, since: flow.position, signal })) {
        flow.position = line.position;
        this.#append(id, flow, line.text, line.at);
      }
    } catch (error) {
      if (signal.aborted) return;
      logger.debug('lost the log of an add-on', { addon: id, error });
      // Not sooner: whoever finds it serving again follows it again.
      await sleep(clock, RETRY_MS, signal).catch(() => undefined); // Aborted: done with.
    } finally {
      if (this.#following.get(id)?.containerId === containerId && !signal.aborted) this.#following.delete(id);
    }
  }

  #flowOf(id: AddOnId): Flow {
    let flow = this.#flows.get(id);
    if (flow === undefined) {
      const now = this.#options.clock.now();
      flow = { position: now, room: BURST_LINES, roomAt: now.getTime(), dropped: 0 };
      this.#flows.set(id, flow);
    }
    return flow;
  }

  #append(id: AddOnId, flow: Flow, raw: string, at: Date): void {
    const { store, providers, logplex } = this.#options;
    const addon = store.addons.get(id);
    const provider = addon === undefined ? undefined : providers.of(addon)?.provider;
    if (addon === undefined || provider?.kind !== 'container') return;
    const readers = this.#readers(addon);
    if (readers.length === 0) return;
    const shown = (line: string, name: string): BackendLogLine | null =>
      provider.logLine === undefined
        ? { process: addon.service, text: `[${name}] ${line}` }
        : provider.logLine(line, name);
    const line = withoutSecrets(raw, addon);
    if (shown(line, '') === null) return;
    if (!this.#hasRoom(flow)) {
      flow.dropped += 1;
      return;
    }
    for (const { appId, name } of readers) {
      const entry = shown(line, name);
      if (entry === null) continue;
      if (flow.dropped > 0) {
        const text = `[${name}] ${flow.dropped} lines of ${addon.name} were left out`;
        logplex.append(appId, { at, source: 'app', process: entry.process, text });
      }
      logplex.append(appId, { at, source: 'app', process: entry.process, text: entry.text });
    }
    flow.dropped = 0;
  }

  /** Apps with a log, each with its first name for the add-on. */
  #readers({ id }: AddOn): { appId: AppId; name: string }[] {
    const { store, logplex } = this.#options;
    const names = new Map<AppId, string>();
    for (const { appId, name } of store.attachments.ofAddOn(id)) {
      if (!names.has(appId) && logplex.has(appId)) names.set(appId, name);
    }
    return [...names].map(([appId, name]) => ({ appId, name }));
  }

  #hasRoom(flow: Flow): boolean {
    const now = this.#options.clock.now().getTime();
    const gained = ((now - flow.roomAt) / 1000) * LINES_PER_SECOND;
    flow.room = Math.min(BURST_LINES, flow.room + Math.max(gained, 0));
    flow.roomAt = now;
    if (flow.room < 1) return false;
    flow.room -= 1;
    return true;
  }
}

/** A statement that a server repeats may hold one. */
function withoutSecrets(line: string, { config }: AddOn): string {
  let text = line;
  for (const { password } of Object.values(config.credentials))
    text = text.replaceAll(password, '[REDACTED]');
  return text;
}
