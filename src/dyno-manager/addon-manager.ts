import type { BackendCommand } from '../addons/provider';
import type { AddOn } from '../domain/addon';
import type { AddOnId } from '../domain/ids';
import type { AttachedCommand, ExecResult } from '../engine/engine';

/** Its image has to be made or fetched first, or the engine does not answer. */
export type Delay = 'no-image' | 'no-engine';

/** What the platform asks of the backends of add-ons. Everything else is read from the store. */
export interface AddOnManager {
  /** Something about the add-on changed: bring its container in line soon. */
  kick(id: AddOnId): void;
  /** Resolves after a whole pass that began after this call. */
  settle(id: AddOnId): Promise<void>;
  /** Why making its container will take longer than a start does, where that is known. */
  delayOf(addon: AddOn): Promise<Delay | null>;
  /** Is its container up, and does it answer? */
  isServing(id: AddOnId): boolean;
  /** Is it shut down or paused because all its apps are asleep? */
  isAsleep(id: AddOnId): boolean;
  /**
   * Somebody asks for it by hand: it wakes, and stays awake for a while. Resolves when it serves, or after `timeoutMs`
   * all the same; at once where add-ons do not sleep.
   */
  awaken(id: AddOnId, options: { timeoutMs: number }): Promise<void>;
  /**
   * Runs a command inside the backend and collects what it prints (1 MiB of each stream at most). service_unavailable
   * while it does not run.
   */
  exec(id: AddOnId, command: BackendCommand, options?: { timeoutMs?: number }): Promise<ExecResult>;
  /** The same with its streams in the caller's hands, e.g. for a dump; both outputs must be read. */
  execAttached(id: AddOnId, command: BackendCommand): Promise<AttachedCommand>;
  /** Puts credentials that have changed in the store into the running backend, by the provider's set-up commands. */
  setUp(id: AddOnId): Promise<void>;
  /** Shuts it down in order; it is started again at once. */
  restart(id: AddOnId): Promise<void>;
}
