import type { AppId, DynoId } from '../domain/ids';
import type { InsideCommand } from './inside';
import type { ProcessClient } from './process-client';

/** Which of an app's dynos: all, those of a type, or one by name. */
export type DynoSelection = { all: true } | { type: string } | { name: string };

/** What the platform asks of the dyno manager. It reads everything else from the store. */
export interface DynoManager {
  /** Something about the app changed: bring its containers in line soon. */
  kick(appId: AppId): void;
  /**
   * Replaces dynos by fresh ones, and forgets their crashes. One-off dynos are stopped, if they are selected by name
   * or by their own type. Answers how many there were.
   */
  restart(appId: AppId, selection: DynoSelection): number;
  /**
   * Puts the app's dynos of sleeping sizes to sleep, all together; answers false if they cannot just now
   * (`sleepStateOf` says why). Nobody may be sending them requests.
   */
  idle(appId: AppId, depth: 'stopped' | 'frozen'): boolean;
  /** Starts the app's sleeping dynos; answers what the web dynos wake from, null where none sleeps. */
  wake(appId: AppId): 'stopped' | 'frozen' | null;
  /** The app's rows are gone: removes all its containers. */
  discard(appId: AppId): Promise<void>;
  /** The client of an attached one-off dyno has come: its process starts. */
  attach(dynoId: DynoId, client: ProcessClient): void;
  /** Runs a command in the container of a running dyno. */
  runInside(dynoId: DynoId, command: InsideCommand, client: ProcessClient): void;
}
