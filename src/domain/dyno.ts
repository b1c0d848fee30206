import type { DynoSizeName } from './dyno-size';
import type { AppId, DynoId, ReleaseId } from './ids';
import type { OneOff } from './one-off';

/**
 * - `starting`: its container is being made, or runs but does not accept connections yet (web)
 * - `up`: running; a web dyno accepts connections on $PORT
 * - `idle`: put to sleep; no container
 * - `crashed`: ended by itself; `nextStartAt` says when it is tried again
 * - `down`: told to stop, its container may still be ending; removed once that is gone
 */
export type DynoState = 'starting' | 'up' | 'idle' | 'crashed' | 'down';

/**
 * One dyno from its start to its end. A restart is a new Dyno of the same name, so old and new may overlap,
 * as they do on Heroku ("$DYNO is not guaranteed to be unique").
 */
export interface Dyno {
  id: DynoId;
  appId: AppId;
  releaseId: ReleaseId;
  releaseVersion: number;
  type: string;
  number: number;
  size: DynoSizeName;
  /** As declared in the Procfile, unexpanded. */
  command: string;
  state: DynoState;
  /** Of an old release, serving on beside its successor until that has been up for a while (preboot). */
  superseded: boolean;
  /** Value of $PORT for web dynos. */
  port: number | null;
  /** The network sandbox that it lives in, if it was given one: the id of the holder's container. */
  sandbox: string | null;
  /** Where the router reaches it, once its container runs. */
  endpoint: { host: string; port: number } | null;
  /** Starts that ended in a crash within the back-off window, in a row. */
  crashCount: number;
  /** With state `crashed`: when to start again. */
  nextStartAt: Date | null;
  createdAt: Date;
  /** Last change of state. */
  updatedAt: Date;
  /** When its process was launched. */
  startedAt: Date | null;
  /** Set for one that was started by hand; null for a dyno of the formation. */
  oneOff: OneOff | null;
}

/** A value for $PORT: Dev Center "Dyno startup behavior" promises no range, 3000 to 60000 is what is seen. */
export function choosePort(random: () => number): number {
  return 3000 + Math.floor(random() * 57_000);
}

export function dynoName(dyno: { type: string; number: number }): string {
  return `${dyno.type}.${dyno.number}`;
}
