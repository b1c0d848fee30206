import { isEssential } from '../../../addons/postgres';
import {
  dumpFrom,
  dumpOwn,
  restoreElsewhere,
  type TransferCommand,
} from '../../../addons/postgres-transfers';
import type { Actor } from '../../../domain/account';
import type { AddOn } from '../../../domain/addon';
import type { App } from '../../../domain/app';
import { expiredBackups, type BackupRetention } from '../../../domain/backup-retention';
import { invalidParams, notFound, PlatformError } from '../../../domain/errors';
import { isUuid, type AddOnId, type TransferId } from '../../../domain/ids';
import { isUnderWay, transferName, type Transfer, type TransferLog } from '../../../domain/transfer';
import { sleep, type Clock } from '../../../lib/clock';
import type { Logger } from '../../../lib/logger';
import type { AddOns } from '../../addons/addons';
import { serviceActor } from '../../addons/provisioning';
import type { BlobUrls } from '../../blobs/blob-urls';
import { record, type PlatformContext } from '../../context';
import type { DatabaseServer } from '../database-server';
import type { BackupFiles } from './backup-files';
import type { DatabaseFiller } from './database-filler';
import { parseExtension, type DumpSource } from './database-filler';
import { resolveDatabaseUrl, type CopySide } from './database-urls';
import { DumpJudge, type TransferCommands } from './transfer-commands';
import { TransferError } from './transfer-error';
import type { TransferQueue, TransferWork } from './transfer-queue';
import type { TransferRun } from './transfer-run';

export interface TransfersOptions {
  addons: AddOns;
  server: DatabaseServer;
  files: BackupFiles;
  urls: Pick<BlobUrls, 'sign' | 'verify'>;
  commands: TransferCommands;
  filler: DatabaseFiller;
  queue: TransferQueue;
  logger: Logger;
}

export interface NewRestore {
  /** One of ours, or of a dump elsewhere. */
  url: string;
  extensions: readonly string[];
}

export interface NewCopy {
  /** Connection URLs: secret. */
  fromUrl: string;
  toUrl: string;
  fromName: string;
  toName: string;
}

/** How long the URL of a backup is good (Dev Center "Heroku PGBackups": 60 minutes). */
export const BACKUP_URL_MS = 3_600_000;
/** Of restores, copies, and backups without a file. */
const KEPT_RECORDS = 100;
const DEFAULT_WAIT_MS = 60_000;
const LOOK_EVERY_MS = 500;

/** Backups, restores and copies of databases (Dev Center "Heroku PGBackups"). */
export class Transfers {
  readonly #context: PlatformContext;
  readonly #options: TransfersOptions;
  readonly #stopping = new AbortController();
  #recovery: Promise<unknown> = Promise.resolve();

  constructor(context: PlatformContext, options: TransfersOptions) {
    this.#context = context;
    this.#options = options;
  }

  get files(): BackupFiles {
    return this.#options.files;
  }

  /**
   * After a start: backups that have not begun are taken up. What was running, or waited with what only memory held, is
   * ended and gets its reason, as soon as its server answers.
   */
  async start(onInterrupted: (transfer: Transfer) => void = () => undefined): Promise<void> {
    const { store } = this.#context;
    await this.files.start(store.transfers.ids());
    const recovered = store.transfers.underWay().map((transfer) => {
      if (transfer.state === 'pending' && transfer.kind === 'backup') {
        this.#beginBackup(transfer);
        return Promise.resolve();
      }
      return this.#recover(transfer, onInterrupted);
    });
    this.#recovery = Promise.all(recovered);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#options.queue.stop();
    await this.#recovery;
  }

  /** Of the databases that the app owns, destroyed ones too for as long as their data is kept; the newest first. */
  list(app: App): Transfer[] {
    return this.#context.store.transfers.of(app.id);
  }

  /** By number or id. */
  find(app: App, numOrId: string): Transfer {
    const { transfers } = this.#context.store;
    const found = isUuid(numOrId)
      ? transfers.get(numOrId as TransferId)
      : /^\d{1,9}$/.test(numOrId)
        ? transfers.findByNum(app.id, Number(numOrId))
        : undefined;
    if (found?.appId !== app.id) throw notFound('backup');
    return found;
  }

  logs(transfer: Transfer): TransferLog[] {
    return this.#context.store.transfers.logs(transfer.id);
  }

  /** Path and query of a backup's file; undefined without one. */
  filePath(transfer: Transfer): string | undefined {
    if (transfer.kind !== 'backup' || transfer.state !== 'succeeded') return undefined;
    return this.#options.urls.sign('GET', { kind: 'backups', id: transfer.id }, BACKUP_URL_MS);
  }

  /** The same for somebody who asks for it. Throws invalid_params without a file. */
  publicUrl(actor: Actor, transfer: Transfer): { path: string; expiresAt: Date } {
    const path = this.filePath(transfer);
    if (path === undefined) {
      throw invalidParams(
        `${transferName(transfer)} is not a backup that has finished: there is nothing to download.`,
      );
    }
    this.#record(transfer, actor, 'postgres.backup.url');
    return { path, expiresAt: new Date(this.#context.clock.now().getTime() + BACKUP_URL_MS) };
  }

  capture(actor: Actor, addon: AddOn, schedule: string | null = null): Transfer {
    const transfer = this.#insert(actor, addon, {
      kind: 'backup',
      schedule,
      fromName: this.#nameOf(addon),
      toName: 'BACKUP',
    });
    this.#beginBackup(transfer);
    return transfer;
  }

  /** Throws invalid_params for URLs and extensions that are of no use. */
  restore(actor: Actor, addon: AddOn, { url: text, extensions: asked }: NewRestore): Transfer {
    const extensions = asked.map(parseExtension);
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
      throw invalidParams('backup_url must be the http or https URL of a backup.');
    }
    const own = this.#ownBackup(url);
    const transfer = this.#insert(actor, addon, {
      kind: 'restore',
      schedule: null,
      fromName: own === undefined ? 'BACKUP' : transferName(own),
      toName: this.#nameOf(addon),
    });
    void this.#options.queue.begin(transfer, [addon.id], async (run) => {
      const target = this.#target(addon.id);
      if (own === undefined) run.log(`Fetching the dump from ${url.host}.`);
      try {
        const { size, content } =
          own === undefined ? await this.files.fetch(run.id, url, run.signal) : await this.files.read(own.id);
        run.sourceBytes(size);
        return await this.#options.filler.fill(run, target, { content, assertWhole: noMore }, extensions);
      } finally {
        await this.files.remove(run.id);
      }
    });
    return transfer;
  }

  /** `addon` is one side of it. Throws invalid_params for URLs of nothing, or of twice the same. */
  copy(actor: Actor, addon: AddOn, { fromUrl, toUrl, fromName, toName }: NewCopy): Transfer {
    const own = this.#options.addons
      .all()
      .filter(({ service, state }) => service === addon.service && state === 'provisioned');
    const from = resolveDatabaseUrl(fromUrl, own);
    const to = resolveDatabaseUrl(toUrl, own);
    const ids = [from, to].flatMap((side) => ('addon' in side ? [side.addon.id] : []));
    if (!ids.includes(addon.id)) {
      throw invalidParams(
        `Neither URL is that of ${addon.name}, which is to be source or target of the copy.`,
      );
    }
    if (ids.length === 2 && ids[0] === ids[1]) throw invalidParams('Cannot copy database onto itself');
    return this.#beginCopy(actor, addon, { from, to, fromName, toName }).transfer;
  }

  /** All of `source` into the new add-on. Rejects with a TransferError if that fails. */
  async fork(actor: Actor, addon: AddOn, source: AddOn): Promise<void> {
    const { transfer, ended } = this.#beginCopy(actor, addon, {
      from: { addon: source },
      to: { addon },
      fromName: source.name,
      toName: addon.name,
    });
    await ended;
    const after = this.#context.store.transfers.get(transfer.id);
    if (after?.state === 'succeeded') return;
    throw new TransferError(
      after?.state === 'canceled'
        ? 'the copy of its source was canceled'
        : (this.logs(transfer).at(-1)?.message ?? 'its source could not be copied'),
    );
  }

  /** Resolves once it has ended. Throws invalid_params if it had before. */
  async cancel(actor: Actor, transfer: Transfer): Promise<Transfer> {
    if (!isUnderWay(transfer)) throw invalidParams(`${transferName(transfer)} has ended already.`);
    this.#record(transfer, actor, 'postgres.transfer.cancel');
    await this.#options.queue.cancel(transfer);
    return this.#context.store.transfers.get(transfer.id) ?? transfer;
  }

  /** With its file. */
  async delete(actor: Actor, transfer: Transfer): Promise<void> {
    const { store } = this.#context;
    store.transaction(() => {
      const current = store.transfers.get(transfer.id);
      if (current !== undefined && isUnderWay(current)) {
        throw invalidParams(`${transferName(transfer)} is still running. Cancel it first.`);
      }
      store.transfers.delete(transfer.id);
      this.#record(transfer, actor, 'postgres.transfer.delete');
    });
    await this.files.remove(transfer.id);
  }

  /** Files of what is gone, e.g. together with the data of an add-on. */
  sweep(): Promise<void> {
    return this.files.sweep(() => this.#context.store.transfers.ids());
  }

  #beginBackup(transfer: Transfer): void {
    const { addonId } = transfer;
    void this.#options.queue
      .begin(transfer, [addonId], async (run) => {
        await this.#backup(run, this.#target(addonId));
        return 0;
      })
      .then(() => this.#expire(addonId))
      .catch((error: unknown) =>
        this.#options.logger.error('old backups could not be removed', { addon: addonId, error }),
      );
  }

  async #backup(run: TransferRun, addon: AddOn): Promise<void> {
    run.sourceBytes(await this.#size(addon));
    const dump = await this.#dump(run, addon, dumpOwn(addon, { transferId: run.id, compressed: true }));
    try {
      await this.files.write(run.id, dump.content, {
        onBytes: run.processed,
        keep: dump.assertWhole,
        signal: run.signal,
      });
    } catch (error) {
      await this.#options.commands.end(addon, run.id);
      throw error;
    }
  }

  #beginCopy(
    actor: Actor,
    addon: AddOn,
    copy: { from: CopySide; to: CopySide; fromName: string; toName: string },
  ): { transfer: Transfer; ended: Promise<void> } {
    const { from, to, fromName, toName } = copy;
    const transfer = this.#insert(actor, addon, { kind: 'copy', schedule: null, fromName, toName });
    const ids = [from, to].flatMap((side) => ('addon' in side ? [side.addon.id] : []));
    const work: TransferWork = async (run) => {
      // Where the client of a database elsewhere runs.
      const host = this.#target(addon.id);
      const source = 'addon' in from ? this.#target(from.addon.id) : undefined;
      const options = { transferId: run.id, compressed: false };
      const command = 'endpoint' in from ? inWords(() => dumpFrom(from.endpoint, options)) : undefined;
      if (source !== undefined) run.sourceBytes(await this.#size(source));
      const dumping = source ?? host;
      const dump = await this.#dump(run, dumping, command ?? dumpOwn(dumping, options));
      try {
        if ('addon' in to) return await this.#options.filler.fill(run, this.#target(to.addon.id), dump);
        const restore = inWords(() => restoreElsewhere(to.endpoint, run.id));
        return await this.#options.filler.feed(run, host, restore, dump);
      } catch (error) {
        await this.#options.commands.end(dumping, run.id);
        throw error;
      }
    };
    return { transfer, ended: this.#options.queue.begin(transfer, ids, work) };
  }

  async #dump(run: TransferRun, addon: AddOn, command: TransferCommand): Promise<DumpSource> {
    const judge = new DumpJudge();
    const { stdin, stdout, ended } = await this.#options.commands.start(run, addon, command, (line) => {
      judge.read(line);
      run.log(line);
    });
    stdin.end();
    return { content: stdout, assertWhole: async () => judge.assertGood(await ended) };
  }

  async #size(addon: AddOn): Promise<number> {
    const sql = 'SELECT pg_database_size(current_database()) AS bytes';
    const [row] = await this.#options.server.rows<{ bytes: number }>(addon, sql);
    return row?.bytes ?? 0;
  }

  /** As it is when its turn has come: it may have been destroyed meanwhile. */
  #target(id: AddOnId): AddOn {
    const addon = this.#context.store.addons.get(id);
    if (addon === undefined || addon.state === 'deprovisioned') {
      throw new TransferError('The database has been destroyed.');
    }
    return addon;
  }

  #ownBackup(url: URL): Transfer | undefined {
    const blob = this.#options.urls.verify('GET', url);
    if (blob?.kind !== 'backups') return undefined;
    if (blob.expired) throw invalidParams('The URL of the backup has expired. Ask for a new one.');
    const found = this.#context.store.transfers.get(blob.id as TransferId);
    if (found?.state !== 'succeeded') throw invalidParams('The backup is there no more.');
    return found;
  }

  #insert(
    actor: Actor,
    addon: AddOn,
    transfer: Pick<Transfer, 'kind' | 'schedule' | 'fromName' | 'toName'>,
  ): Transfer {
    const { store, clock, newId } = this.#context;
    if (!this.#options.server.isServing(addon)) {
      throw new PlatformError('service_unavailable', `${addon.name} is not running just now.`, 'add_on');
    }
    return store.transaction(() => {
      const inserted = store.transfers.insert({
        ...transfer,
        id: newId() as TransferId,
        appId: addon.appId,
        addonId: addon.id,
        state: 'pending',
        sourceBytes: null,
        processedBytes: 0,
        warnings: 0,
        createdAt: clock.now(),
        startedAt: null,
        finishedAt: null,
      });
      this.#record(inserted, actor, `postgres.transfer.${transfer.kind}`);
      return inserted;
    });
  }

  /** What was running when the daemon ended. */
  async #recover(transfer: Transfer, onInterrupted: (transfer: Transfer) => void): Promise<void> {
    const { queue, addons, commands, filler, logger } = this.#options;
    try {
      await queue.inTurn([transfer.addonId], async () => {
        const addon = this.#context.store.addons.get(transfer.addonId);
        let inPlace = false;
        if (addon !== undefined && transfer.state === 'running' && (await this.#untilServing(addon))) {
          // Of a copy the dump runs in another container.
          const others = addons
            .all()
            .filter(({ service, id }) => service === addon.service && id !== addon.id);
          for (const each of [addon, ...(transfer.kind === 'copy' ? others : [])]) {
            await commands.end(each, transfer.id);
          }
          if (transfer.kind !== 'backup') {
            inPlace = await filler.isInPlace(addon, transfer.id);
            await filler.clear(addon);
            if (inPlace) await addons.setUp(addon);
          }
        }
        this.#interrupted(transfer, inPlace, onInterrupted);
      });
    } catch (error) {
      logger.warn('after a transfer that was cut off there was trouble', { transfer: transfer.id, error });
      this.#interrupted(transfer, false, onInterrupted);
    }
  }

  #interrupted(transfer: Transfer, inPlace: boolean, onInterrupted: (transfer: Transfer) => void): void {
    const { store, clock } = this.#context;
    const now = clock.now();
    const message = inPlace
      ? 'dynodock was stopped right after the new database had taken its place.'
      : `dynodock was stopped ${transfer.state === 'pending' ? 'before it began' : 'while it ran'}.`;
    store.transaction(() => {
      const current = store.transfers.get(transfer.id);
      if (current === undefined || !isUnderWay(current)) return;
      store.transfers.update({ ...current, state: inPlace ? 'succeeded' : 'failed', finishedAt: now });
      store.transfers.log(transfer.id, [{ at: now, message }]);
      if (!inPlace) onInterrupted(current);
    });
  }

  async #untilServing(addon: AddOn): Promise<boolean> {
    const { clock } = this.#context;
    const until = clock.now().getTime() + DEFAULT_WAIT_MS;
    while (!this.#options.server.isServing(addon)) {
      if (clock.now().getTime() >= until || this.#stopping.signal.aborted) return false;
      await wait(clock, LOOK_EVERY_MS, this.#stopping.signal);
    }
    return true;
  }

  /** What is kept no longer of a database's backups, and of an app's records of what left no file. */
  async #expire(addonId: AddOnId): Promise<void> {
    const { store } = this.#context;
    const addon = store.addons.get(addonId);
    if (addon === undefined) return;
    const all = store.transfers.ofAddOn(addonId).filter((each) => !isUnderWay(each));
    const backups = all.filter(({ kind, state }) => kind === 'backup' && state === 'succeeded');
    const others = all.filter((each) => !backups.includes(each));
    const expired = [...expiredBackups(backups, retentionOf(addon)), ...others.slice(KEPT_RECORDS)];
    for (const transfer of expired) {
      store.transaction(() => {
        store.transfers.delete(transfer.id);
        this.#record(transfer, serviceActor(addon), 'postgres.transfer.expire');
      });
      await this.files.remove(transfer.id);
    }
  }

  #nameOf(addon: AddOn): string {
    const { attachments } = this.#options.addons;
    const own = attachments.ofAddOn(addon).filter(({ appId }) => appId === addon.appId);
    return own.length === 0 ? addon.name : attachments.mainName(addon, own);
  }

  #record(transfer: Transfer, actor: Actor, kind: string): void {
    record(this.#context, transfer.appId, actor, kind, { transfer: transferName(transfer) });
  }
}

/** Dev Center "Heroku PGBackups", on how many manual and scheduled backups a plan retains. */
export function retentionOf(addon: AddOn): BackupRetention {
  if (isEssential(addon)) return { manual: 5, daily: 7, weekly: 1, monthly: 0 };
  return addon.plan.startsWith('premium')
    ? { manual: 50, daily: 7, weekly: 8, monthly: 12 }
    : { manual: 25, daily: 7, weekly: 4, monthly: 0 };
}

/** A file has no more to it than its bytes. */
const noMore = (): Promise<void> => Promise.resolve();

/** An endpoint that can't be written down is the user's to know. */
function inWords<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError) throw new TransferError(error.message, { cause: error });
    throw error;
  }
}

/** Aborted: the caller's condition sees it. */
function wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return sleep(clock, ms, signal).catch(() => undefined);
}
