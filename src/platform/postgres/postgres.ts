import type { AddOnId } from '../../domain/ids';
import type { Logger } from '../../lib/logger';
import { Turns } from '../../lib/turns';
import type { AddOns } from '../addons/addons';
import { DataAddOns } from '../addons/data-addons';
import type { BlobUrls } from '../blobs/blob-urls';
import type { PlatformContext } from '../context';
import { DatabaseCredentials } from './database-credentials';
import { DatabaseServer } from './database-server';
import { DatabaseSettings } from './database-settings';
import { Databases, POSTGRES_SERVICE } from './databases';
import { Diagnoses } from './diagnoses';
import { BackupFiles, type BackupFilesOptions } from './transfers/backup-files';
import { BackupSchedules } from './transfers/backup-schedules';
import { DatabaseFiller } from './transfers/database-filler';
import { Forks } from './transfers/forks';
import { TransferCommands } from './transfers/transfer-commands';
import { TransferQueue } from './transfers/transfer-queue';
import { Transfers } from './transfers/transfers';

export interface PostgresOptions {
  addons: AddOns;
  secret: (length: number) => string;
  backups: BackupFilesOptions;
  urls: Pick<BlobUrls, 'sign' | 'verify'>;
  logger: Logger;
}

/** What Heroku Postgres offers beside the add-on itself. */
export class Postgres {
  readonly databases: Databases;
  readonly credentials: DatabaseCredentials;
  readonly settings: DatabaseSettings;
  readonly diagnoses: Diagnoses;
  readonly transfers: Transfers;
  readonly schedules: BackupSchedules;
  readonly forks: Forks;

  constructor(context: PlatformContext, options: PostgresOptions) {
    const { addons, secret, backups, urls, logger } = options;
    const service = POSTGRES_SERVICE;
    const own = new DataAddOns(context, { addons, service });
    const server = new DatabaseServer(addons);
    const turns = new Turns<AddOnId>();
    this.databases = new Databases(context, { addons, own, server, turns });
    this.credentials = new DatabaseCredentials(context, { addons, own, server, turns, secret });
    this.settings = new DatabaseSettings(context, { server, turns });
    this.diagnoses = new Diagnoses(context, { addons, server });
    const commands = new TransferCommands({ addons, server, logger });
    const { clock } = context;
    this.transfers = new Transfers(context, {
      addons,
      server,
      files: new BackupFiles(backups),
      urls,
      commands,
      filler: new DatabaseFiller({ addons, server, commands, turns, clock, logger }),
      queue: new TransferQueue(context, logger),
      logger,
    });
    const { transfers } = this;
    this.schedules = new BackupSchedules(context, { addons, transfers, service, logger });
    this.forks = new Forks(context, { addons, transfers, service, logger });
  }

  /** Before any server of an add-on is looked at. */
  start(): Promise<void> {
    return this.transfers.start((transfer) => this.schedules.interrupted(transfer));
  }

  /** What runs is called off, with a reason. */
  async stop(): Promise<void> {
    this.forks.stopping();
    await this.transfers.stop();
    await this.forks.stop();
  }

  /** To be called each minute. */
  async runScheduled(): Promise<void> {
    this.schedules.run();
    await this.transfers.sweep();
  }
}
