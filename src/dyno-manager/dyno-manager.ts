import type { AppId } from '../domain/ids';

/** Which of an app's dynos: all, those of a type, or one by name. */
export type DynoSelection = { all: true } | { type: string } | { name: string };

/** What the platform asks of the dyno manager. It reads everything else from the store. */
export interface DynoManager {
  /** Something about the app changed: bring its containers in line soon. */
  kick(appId: AppId): void;
  /** Replaces dynos by fresh ones, and forgets their crashes. Answers how many there were. */
  restart(appId: AppId, selection: DynoSelection): number;
  /** The app's rows are gone: removes all its containers. */
  discard(appId: AppId): Promise<void>;
}
