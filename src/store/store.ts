import { AccountStore } from './accounts';
import { AddOnStore } from './addons';
import { AppFeatureStore } from './app-features';
import { AppSetupStore } from './app-setups';
import { AppSleepStore } from './app-sleep';
import { AppStore } from './apps';
import { AttachmentStore } from './attachments';
import { BuildpackInstallationStore } from './buildpack-installations';
import { BuildStore } from './builds';
import { ConfigVarStore } from './config-vars';
import { Database } from './database';
import { DiagnosisStore } from './diagnoses';
import { DomainNameStore } from './domain-names';
import { DynoStore } from './dynos';
import { DynoHourStore } from './dyno-hours';
import { EventStore } from './events';
import { FormationStore } from './formations';
import { migrate } from './migrate';
import { PartnerTokenStore } from './partner-tokens';
import { PartnerStore } from './partners';
import { ReleaseStore } from './releases';
import { ScheduledJobStore } from './scheduled-jobs';
import { SettingsStore } from './settings';
import { SlugUploadStore } from './slug-uploads';
import { SlugStore } from './slugs';
import { SniEndpointStore } from './sni-endpoints';
import { TransferScheduleStore } from './transfer-schedules';
import { TransferStore } from './transfers';
import { WakeStore } from './wakes';

/** All tables of one database. */
export class Store {
  readonly settings: SettingsStore;
  readonly accounts: AccountStore;
  readonly apps: AppStore;
  readonly configVars: ConfigVarStore;
  readonly buildpackInstallations: BuildpackInstallationStore;
  readonly appFeatures: AppFeatureStore;
  readonly appSetups: AppSetupStore;
  readonly appSleep: AppSleepStore;
  readonly formations: FormationStore;
  readonly slugs: SlugStore;
  readonly slugUploads: SlugUploadStore;
  readonly releases: ReleaseStore;
  readonly builds: BuildStore;
  readonly dynos: DynoStore;
  readonly domainNames: DomainNameStore;
  readonly sniEndpoints: SniEndpointStore;
  readonly wakes: WakeStore;
  readonly dynoHours: DynoHourStore;
  readonly addons: AddOnStore;
  readonly attachments: AttachmentStore;
  readonly partners: PartnerStore;
  readonly partnerTokens: PartnerTokenStore;
  readonly scheduledJobs: ScheduledJobStore;
  readonly diagnoses: DiagnosisStore;
  readonly transfers: TransferStore;
  readonly transferSchedules: TransferScheduleStore;
  readonly events: EventStore;
  readonly #database: Database;
  #afterCommit: (() => void)[] | undefined;

  private constructor(database: Database) {
    this.#database = database;
    this.settings = new SettingsStore(database);
    this.accounts = new AccountStore(database);
    this.apps = new AppStore(database);
    this.configVars = new ConfigVarStore(database);
    this.buildpackInstallations = new BuildpackInstallationStore(database);
    this.appFeatures = new AppFeatureStore(database);
    this.appSetups = new AppSetupStore(database);
    this.appSleep = new AppSleepStore(database);
    this.formations = new FormationStore(database);
    this.slugs = new SlugStore(database);
    this.slugUploads = new SlugUploadStore(database);
    this.releases = new ReleaseStore(database);
    this.builds = new BuildStore(database);
    this.dynos = new DynoStore(database);
    this.domainNames = new DomainNameStore(database);
    this.sniEndpoints = new SniEndpointStore(database);
    this.wakes = new WakeStore(database);
    this.dynoHours = new DynoHourStore(database);
    this.addons = new AddOnStore(database);
    this.attachments = new AttachmentStore(database);
    this.partners = new PartnerStore(database);
    this.partnerTokens = new PartnerTokenStore(database);
    this.scheduledJobs = new ScheduledJobStore(database);
    this.diagnoses = new DiagnosisStore(database);
    this.transfers = new TransferStore(database);
    this.transferSchedules = new TransferScheduleStore(database);
    this.events = new EventStore(database);
  }

  /** Opens `path` (or `:memory:`), creating and migrating it as needed. */
  static open(path: string): Store {
    const database = new Database(path);
    try {
      migrate(database);
      return new Store(database);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** All or nothing. There must be no `await` inside. */
  transaction<T>(work: () => T): T {
    const outer = this.#afterCommit;
    const mine: (() => void)[] = [];
    this.#afterCommit = mine;
    let result: T;
    try {
      result = this.#database.transaction(work);
    } finally {
      this.#afterCommit = outer;
    }
    if (outer !== undefined) outer.push(...mine);
    else for (const tell of mine) tell();
    return result;
  }

  /**
   * Runs `tell` once the transaction under way has been committed, and never if it is rolled back; at once where
   * there is none. For what others see of a change: log lines, kicks.
   */
  afterCommit(tell: () => void): void {
    if (this.#afterCommit === undefined) tell();
    else this.#afterCommit.push(tell);
  }

  close(): void {
    this.#database.close();
  }
}
