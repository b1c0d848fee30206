import { databaseOf } from '../../addons/postgres';
import { checkStatement, DATABASE_CHECKS, readChecks } from '../../addons/postgres-checks';
import type { AddOn } from '../../domain/addon';
import { DIAGNOSIS_KEPT_MS, type Diagnosis } from '../../domain/diagnosis';
import { invalidParams, notFound } from '../../domain/errors';
import { isUuid } from '../../domain/ids';
import type { AddOns } from '../addons/addons';
import type { PlatformContext } from '../context';
import type { DatabaseServer } from './database-server';
import { POSTGRES_SERVICE } from './databases';

export interface NewDiagnosis {
  app: string;
  /** `DATABASE_URL` */
  database: string;
  /** The connection URL of one of the installation's databases; nothing ever connects to it. */
  url: string;
}

/** Of one check. */
const CHECK_TIMEOUT_MS = 10_000;

/** Reports of `pg:diagnose`. */
export class Diagnoses {
  readonly #context: PlatformContext;
  readonly #addons: AddOns;
  readonly #server: DatabaseServer;

  constructor(context: PlatformContext, options: { addons: AddOns; server: DatabaseServer }) {
    this.#context = context;
    this.#addons = options.addons;
    this.#server = options.server;
  }

  async create({ app, database, url }: NewDiagnosis): Promise<Diagnosis> {
    const { store, clock, newId } = this.#context;
    const addon = this.#ofUrl(url);
    const { connections } = this.#addons.catalogue.of(addon).plan;
    const printed = await this.#server.run(addon, DATABASE_CHECKS.map(checkStatement), {
      statementTimeoutMs: CHECK_TIMEOUT_MS,
      keepGoing: true,
    });
    const now = clock.now();
    const diagnosis: Diagnosis = {
      id: newId(),
      app,
      database,
      checks: readChecks(printed, { connections }),
      createdAt: now,
    };
    store.transaction(() => {
      store.diagnoses.deleteBefore(new Date(now.getTime() - DIAGNOSIS_KEPT_MS));
      store.diagnoses.insert(diagnosis);
    });
    return diagnosis;
  }

  find(id: string): Diagnosis {
    const found = isUuid(id) ? this.#context.store.diagnoses.get(id) : undefined;
    if (found === undefined) throw notFound('report');
    return found;
  }

  /** The CLI sends the URL rather than the add-on, and the app that owns it rather than the one that was asked about. */
  #ofUrl(text: string): AddOn {
    const name = URL.canParse(text) ? new URL(text).pathname.slice(1) : '';
    const found = this.#addons
      .all()
      .find(
        (addon) =>
          addon.service === POSTGRES_SERVICE && addon.state === 'provisioned' && databaseOf(addon) === name,
      );
    if (found === undefined) throw invalidParams('The URL is not that of a database of this installation.');
    return found;
  }
}
