import type { AddOn } from '../../domain/addon';
import type { ScheduledJob } from '../../domain/scheduled-job';

export function presentScheduledJob(
  job: ScheduledJob,
  { addon, nextDue }: { addon: AddOn; nextDue: Date | null },
): Record<string, unknown> {
  const { lastRun } = job;
  return {
    addon: { id: addon.id, name: addon.name },
    command: job.command,
    created_at: job.createdAt,
    dyno_size: job.size,
    frequency: job.frequency,
    id: job.id,
    last_run:
      lastRun === null
        ? null
        : { at: lastRun.at, dyno: lastRun.dyno?.name ?? null, outcome: lastRun.outcome },
    next_due_at: nextDue,
    updated_at: job.updatedAt,
  };
}
