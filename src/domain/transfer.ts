import type { AddOnId, AppId, TransferId } from './ids';

/**
 * - `backup`: a database into a file
 * - `restore`: a file into a database
 * - `copy`: a database into a database
 */
export type TransferKind = 'backup' | 'restore' | 'copy';

/**
 * - `pending`: waits for its turn; one database has one transfer at a time
 * - `running`
 * - `succeeded`, `failed`, `canceled`: ended; its log says how. A backup has a file if and only if it succeeded.
 */
export type TransferState = 'pending' | 'running' | 'succeeded' | 'failed' | 'canceled';

export interface Transfer {
  id: TransferId;
  /** The app that owns the add-on; its numbers are given once. */
  appId: AppId;
  num: number;
  /** The database of ours that is concerned; of a copy the target if that is ours. It goes with the add-on's data. */
  addonId: AddOnId;
  kind: TransferKind;
  state: TransferState;
  /** Of a backup: by which schedule; null = somebody asked for it. */
  schedule: string | null;
  fromName: string;
  toName: string;
  /** Of the database on disk, or of the file. */
  sourceBytes: number | null;
  /** Of the dump, so far. */
  processedBytes: number;
  /** What could not be restored without loss of data, such as comments of somebody else's. */
  warnings: number;
  createdAt: Date;
  startedAt: Date | null;
  finishedAt: Date | null;
}

export interface TransferLog {
  at: Date;
  message: string;
}

/** `b001`: the letters are the CLI's. */
export function transferName({ kind, schedule, num }: Pick<Transfer, 'kind' | 'schedule' | 'num'>): string {
  const letter = kind === 'backup' ? (schedule === null ? 'b' : 'a') : kind === 'copy' ? 'c' : 'r';
  return `${letter}${String(num).padStart(3, '0')}`;
}

export function isUnderWay({ state }: Pick<Transfer, 'state'>): boolean {
  return state === 'pending' || state === 'running';
}
