import type { Dyno } from '../domain/dyno';
import type { AppId, DynoId } from '../domain/ids';
import { isSleeper, sleepStateOf } from '../domain/sleep';
import { ignoring, type ContainerEngine, type ContainerId } from '../engine/engine';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import type { Store } from '../store/store';
import type { AddOnGate } from './addon-gate';
import type { DesiredDyno } from './desired';
import type { DynoRows } from './dyno-rows';

export interface SleepOptions {
  store: Store;
  engine: ContainerEngine;
  logger: Logger;
  clock: Clock;
  addons: AddOnGate;
  rows: DynoRows;
  /** Makes a row for a dyno that sleeps stopped, in the slot of one that is gone. */
  insert: (desired: DesiredDyno, crashCount: number) => void;
  /** Of a dyno whose output is followed. */
  containerOf: (dynoId: DynoId) => ContainerId | undefined;
  /** Waits until it accepts connections, which makes it `up`. */
  attend: (dyno: Dyno, containerId: ContainerId, endpoint: Dyno['endpoint']) => void;
  becomeUp: (dyno: Dyno) => void;
  changed: (appId: AppId) => void;
  kick: (appId: AppId) => void;
}

/**
 * Sleep and wake (Dev Center "Eco Dyno Hours"): rows first, in one transaction for all of an app's dynos; their
 * containers follow by the plan. To sleep **stopped**, a dyno is replaced by one in state `idle` that has no container,
 * and ends as any retired dyno does. To sleep **frozen**, it stays and becomes `idle` itself. The log
 * calls both "down", as Heroku's does.
 */
export class Sleep {
  readonly #options: SleepOptions;
  /** Under way. A plan may come to the same while a wake is at it. */
  readonly #thaws = new Map<DynoId, Promise<void>>();
  readonly #fresh = new Map<AppId, Dyno[]>();

  constructor(options: SleepOptions) {
    this.#options = options;
  }

  idle(appId: AppId, depth: 'stopped' | 'frozen'): boolean {
    const { store, rows, insert, changed, kick } = this.#options;
    const dynos = store.dynos.of(appId);
    if (sleepStateOf(dynos) !== 'awake') return false;
    store.transaction(() => {
      for (const dyno of dynos) {
        if (!isSleeper(dyno) || dyno.state === 'idle') continue;
        store.afterCommit(() => rows.say(dyno, 'Idling'));
        if (depth === 'frozen' && dyno.state === 'up') rows.move(dyno, 'idle', 'down');
        else {
          rows.move(dyno, 'down');
          insert(dyno, dyno.crashCount);
        }
      }
      store.afterCommit(() => {
        changed(appId);
        kick(appId);
      });
    });
    return true;
  }

  wake(appId: AppId): 'stopped' | 'frozen' | null {
    const { store } = this.#options;
    const sleeping = store.dynos.of(appId).filter((dyno) => dyno.state === 'idle');
    if (sleeping.length === 0) return null;
    store.transaction(() => {
      for (const dyno of sleeping) this.unidle(dyno);
      store.afterCommit(() => void this.#rouse(appId, sleeping));
    });
    return sleeping.some((dyno) => dyno.type === 'web' && dyno.startedAt !== null) ? 'frozen' : 'stopped';
  }

  unidle(dyno: Dyno): void {
    const { store, rows, changed } = this.#options;
    store.transaction(() => {
      store.afterCommit(() => rows.say(dyno, 'Unidling'));
      rows.move(dyno, 'starting');
      store.afterCommit(() => changed(dyno.appId));
    });
  }

  async freeze(dyno: Dyno, containerId: ContainerId): Promise<void> {
    const { store, engine } = this.#options;
    // Woken while it waited for its turn.
    if (store.dynos.get(dyno.id)?.state !== 'idle') return;
    await engine.pause(containerId).catch(ignoring('not_running', 'not_found'));
  }

  /**
   * Dynos that were woken and are to be launched: of what slept stopped there is no container that a look at the engine
   * could find. Each is told of once.
   */
  takeFresh(appId: AppId): Dyno[] {
    const fresh = this.#fresh.get(appId) ?? [];
    this.#fresh.delete(appId);
    if (this.#options.addons.missing(appId).length > 0) return [];
    return fresh.flatMap(({ id }) => {
      const dyno = this.#options.store.dynos.get(id);
      return dyno?.state === 'starting' && dyno.startedAt === null ? [dyno] : [];
    });
  }

  isThawing(dynoId: DynoId): boolean {
    return this.#thaws.has(dynoId);
  }

  thaw(dyno: Dyno, containerId: ContainerId, endpoint: Dyno['endpoint']): Promise<void> {
    let thaw = this.#thaws.get(dyno.id);
    if (thaw === undefined) {
      thaw = this.#thaw(dyno, containerId, endpoint).finally(() => this.#thaws.delete(dyno.id));
      this.#thaws.set(dyno.id, thaw);
    }
    return thaw;
  }

  async #thaw(dyno: Dyno, containerId: ContainerId, endpoint: Dyno['endpoint']): Promise<void> {
    const { store, engine, clock, attend, becomeUp } = this.#options;
    let thawed = true;
    try {
      await engine.unpause(containerId);
    } catch (error) {
      ignoring('not_running', 'not_found')(error);
      thawed = false;
    }
    const current = store.dynos.get(dyno.id);
    if (current?.state !== 'starting') return;
    // Only one that was up is put to sleep frozen, and its port has stayed open: the kernel would accept a connection
    // to it even while it is frozen.
    if (thawed && dyno.state === 'idle') {
      becomeUp(current);
      return;
    }
    // It may have waited for add-ons: the time in which it has to listen begins now.
    const begun = { ...current, updatedAt: clock.now() };
    store.dynos.save(begun);
    attend(begun, containerId, endpoint);
  }

  /** What slept frozen sleeps on stopped: its memory is wanted back, or it has ended. */
  deepen(dyno: Dyno, desired: DesiredDyno): void {
    const { store, rows, insert } = this.#options;
    store.transaction(() => {
      rows.move(dyno, 'down');
      insert(desired, dyno.crashCount);
    });
  }

  /** A look at the engine first, as a plan takes it, would double the time that a frozen dyno needs. */
  async #rouse(appId: AppId, woken: readonly Dyno[]): Promise<void> {
    const { addons, kick } = this.#options;
    if (addons.missing(appId).length > 0) {
      // They wait for them: the plan's affair.
      addons.need(appId);
      kick(appId);
      return;
    }
    this.#fresh.set(
      appId,
      woken.filter(({ startedAt }) => startedAt === null),
    );
    const thaws = woken.map(async (dyno) => {
      const containerId = dyno.startedAt === null ? undefined : this.#options.containerOf(dyno.id);
      if (containerId !== undefined) await this.thaw(dyno, containerId, dyno.endpoint);
    });
    for (const thaw of await Promise.allSettled(thaws)) {
      if (thaw.status === 'fulfilled') continue;
      // The plan finds it paused and tries again.
      this.#options.logger.warn('could not thaw a dyno', { app: appId, error: thaw.reason as unknown });
    }
    kick(appId);
  }
}
