import type { Transfer, TransferLog } from '../../domain/transfer';
import type { TransferSchedule } from '../../domain/transfer-schedule';

/** What `heroku pg:backups*` and `pg:copy` read (CLI contract, section 2.6). `fileUrl`: of a backup that has a file. */
export function presentTransfer(
  transfer: Transfer,
  { fileUrl, logs }: { fileUrl: string | undefined; logs?: readonly TransferLog[] },
): Record<string, unknown> {
  const { kind, state } = transfer;
  const isOf = {
    backup: { from_type: 'pg_dump', to_type: 'gof3r' },
    restore: { from_type: 'gof3r', to_type: 'pg_restore' },
    copy: { from_type: 'pg_dump', to_type: 'pg_restore' },
  }[kind];
  const finishedAt = transferTime(transfer.finishedAt);
  return {
    uuid: transfer.id,
    num: transfer.num,
    ...isOf,
    from_name: transfer.fromName,
    to_name: transfer.toName,
    // The CLI hands it back as the backup to be restored.
    to_url: fileUrl ?? null,
    schedule: transfer.schedule === null ? null : { name: transfer.schedule },
    source_bytes: transfer.sourceBytes ?? 0,
    processed_bytes: transfer.processedBytes,
    succeeded: state === 'succeeded' ? true : state === 'failed' || state === 'canceled' ? false : null,
    warnings: transfer.warnings,
    created_at: transferTime(transfer.createdAt),
    started_at: transferTime(transfer.startedAt),
    finished_at: finishedAt,
    canceled_at: state === 'canceled' ? finishedAt : null,
    options: {},
    ...(logs === undefined
      ? {}
      : { logs: logs.map(({ at, message }) => ({ created_at: transferTime(at), message })) }),
  };
}

export function presentSchedule(schedule: TransferSchedule): Record<string, unknown> {
  return {
    uuid: schedule.id,
    name: schedule.name,
    hour: schedule.hour,
    timezone: schedule.timezone,
    created_at: transferTime(schedule.createdAt),
  };
}

/** `2026-01-31 12:00:00 +0000`: shown by the CLI as it comes, and sorted as text. */
function transferTime(at: Date | null): string | null {
  return at === null ? null : `${at.toISOString().slice(0, 19).replace('T', ' ')} +0000`;
}
