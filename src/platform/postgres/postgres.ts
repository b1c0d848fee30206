import type { AddOnId } from '../../domain/ids';
import { Turns } from '../../lib/turns';
import type { AddOns } from '../addons/addons';
import { DataAddOns } from '../addons/data-addons';
import type { PlatformContext } from '../context';
import { DatabaseCredentials } from './database-credentials';
import { DatabaseServer } from './database-server';
import { DatabaseSettings } from './database-settings';
import { Databases, POSTGRES_SERVICE } from './databases';
import { Diagnoses } from './diagnoses';

/** What Heroku Postgres offers beside the add-on itself. */
export class Postgres {
  readonly databases: Databases;
  readonly credentials: DatabaseCredentials;
  readonly settings: DatabaseSettings;
  readonly diagnoses: Diagnoses;

  constructor(context: PlatformContext, options: { addons: AddOns; secret: (length: number) => string }) {
    const { addons, secret } = options;
    const own = new DataAddOns(context, { addons, service: POSTGRES_SERVICE });
    const server = new DatabaseServer(addons);
    const turns = new Turns<AddOnId>();
    this.databases = new Databases(context, { addons, own, server, turns });
    this.credentials = new DatabaseCredentials(context, { addons, own, server, turns, secret });
    this.settings = new DatabaseSettings(context, { server, turns });
    this.diagnoses = new Diagnoses(context, { addons, server });
  }
}
