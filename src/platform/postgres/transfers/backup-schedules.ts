import type { Actor } from '../../../domain/account';
import type { AddOn } from '../../../domain/addon';
import { invalidParams, notFound, PlatformError } from '../../../domain/errors';
import { isUuid, type TransferScheduleId } from '../../../domain/ids';
import type { Transfer } from '../../../domain/transfer';
import { isDue, isTimezone, lastOccurrence, type TransferSchedule } from '../../../domain/transfer-schedule';
import type { Logger } from '../../../lib/logger';
import type { AddOns } from '../../addons/addons';
import { serviceActor } from '../../addons/provisioning';
import { record, type PlatformContext } from '../../context';
import type { Transfers } from './transfers';

export interface NewSchedule {
  /** `DATABASE_URL` */
  name: string;
  /** 0 to 23, also as a string with or without a leading zero. */
  hour: unknown;
  timezone: string;
}

export interface BackupSchedulesOptions {
  addons: AddOns;
  transfers: Transfers;
  service: string;
  logger: Logger;
}

/** Of plans that are backed up without anybody asking. */
const NIGHTLY = { name: 'NIGHTLY', hour: 3, timezone: 'UTC' } as const;
/** Scheduled backups that run at once; the others begin a minute later, and so on. */
const AT_ONCE = 2;

/**
 * Daily backups: those that somebody has asked for, and nightly ones of plans that have them, where nobody has. A day is
 * marked as seen to when its backup is begun, and unmarked if the daemon ends in the middle of it.
 */
export class BackupSchedules {
  readonly #context: PlatformContext;
  readonly #options: BackupSchedulesOptions;

  constructor(context: PlatformContext, options: BackupSchedulesOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Those of all databases of the app that owns this one: the CLI asks any of them. */
  list(addon: AddOn): TransferSchedule[] {
    return this.#context.store.transferSchedules.ofApp(addon.appId);
  }

  /** In place of one of that name. Begins at its next hour. */
  create(actor: Actor, addon: AddOn, { name, hour: asked, timezone }: NewSchedule): TransferSchedule {
    const hour = typeof asked === 'string' && /^\d{1,2}$/.test(asked) ? Number(asked) : asked;
    if (typeof hour !== 'number' || !Number.isInteger(hour) || hour < 0 || hour > 23) {
      throw invalidParams('hour must be a whole hour, 0 to 23.');
    }
    if (!isTimezone(timezone)) {
      throw invalidParams(
        `${JSON.stringify(timezone)} is not a time zone. They are named like Europe/Paris.`,
      );
    }
    if (!/^[A-Za-z][A-Za-z0-9_]{0,254}$/.test(name))
      throw invalidParams('schedule_name must be a config var.');
    const { store } = this.#context;
    return store.transaction(() => {
      const schedule = this.#save(addon, { name, hour, timezone }, false);
      record(this.#context, addon.appId, actor, 'postgres.schedule', { addon: addon.name, hour, timezone });
      return schedule;
    });
  }

  /** Of this database. Throws not_found. */
  delete(actor: Actor, addon: AddOn, id: string): TransferSchedule {
    const { store } = this.#context;
    const found = isUuid(id) ? store.transferSchedules.get(id as TransferScheduleId) : undefined;
    if (found?.addonId !== addon.id || found.automatic) throw notFound('schedule');
    store.transaction(() => {
      store.transferSchedules.delete(found.id);
      record(this.#context, addon.appId, actor, 'postgres.unschedule', { addon: addon.name });
    });
    return found;
  }

  /** Begins what is due. To be called each minute. */
  run(): void {
    const { store, clock } = this.#context;
    const { addons, transfers, service, logger } = this.#options;
    let free = AT_ONCE - store.transfers.underWay().filter(({ schedule }) => schedule !== null).length;
    for (const addon of addons.all()) {
      if (addon.service !== service || addon.state !== 'provisioned') continue;
      for (const schedule of this.#of(addon)) {
        if (free <= 0) return;
        const day = lastOccurrence(schedule, clock.now());
        if (day === null || !isDue(schedule, clock.now())) continue;
        try {
          store.transaction(() => {
            transfers.capture(serviceActor(addon), addon, schedule.name);
            store.transferSchedules.setLastRun(schedule.id, day);
          });
          free -= 1;
        } catch (error) {
          // Its server is away: tried again each minute, for as long as it is made up for.
          if (!(error instanceof PlatformError)) throw error;
          logger.warn('a scheduled backup could not begin', { addon: addon.name, error });
        }
      }
    }
  }

  /** The daemon ended in the middle of it: the day is not seen to yet. */
  interrupted({ addonId, schedule: name }: Transfer): void {
    const { transferSchedules } = this.#context.store;
    for (const schedule of name === null ? [] : transferSchedules.ofAddOn(addonId)) {
      if (schedule.name === name) transferSchedules.setLastRun(schedule.id, null);
    }
  }

  /** Those that count now. */
  #of(addon: AddOn): TransferSchedule[] {
    const all = this.#context.store.transferSchedules.ofAddOn(addon.id);
    const asked = all.filter(({ automatic }) => !automatic);
    const isBackedUp = this.#options.addons.catalogue.find(addon)?.plan.backedUp === true;
    if (asked.length > 0 || !isBackedUp) return asked;
    return [all.find(({ automatic }) => automatic) ?? this.#save(addon, NIGHTLY, true)];
  }

  #save(
    addon: AddOn,
    schedule: Pick<TransferSchedule, 'name' | 'hour' | 'timezone'>,
    automatic: boolean,
  ): TransferSchedule {
    const { store, clock, newId } = this.#context;
    const now = clock.now();
    return store.transferSchedules.save({
      ...schedule,
      id: newId() as TransferScheduleId,
      addonId: addon.id,
      automatic,
      // An hour that has passed already is not made up for.
      lastRunOn: lastOccurrence(schedule, now),
      createdAt: now,
    });
  }
}
