import type { AddOnId } from '../../domain/ids';
import { Turns } from '../../lib/turns';
import type { AddOns } from '../addons/addons';
import type { PlatformContext } from '../context';
import { DatabaseCredentials } from './database-credentials';
import { DatabaseServer } from './database-server';
import { DatabaseSettings } from './database-settings';
import { Databases } from './databases';
import { Diagnoses } from './diagnoses';

/** What Heroku Postgres offers beside the add-on itself. */
export class Postgres {
  readonly databases: Databases;
  readonly credentials: DatabaseCredentials;
  readonly settings: DatabaseSettings;
  readonly diagnoses: Diagnoses;

  constructor(context: PlatformContext, options: { addons: AddOns; secret: (length: number) => string }) {
    const { addons, secret } = options;
    const server = new DatabaseServer(addons);
    const turns = new Turns<AddOnId>();
    this.databases = new Databases(context, { addons, server, turns });
    this.credentials = new DatabaseCredentials(context, { addons, server, turns, secret });
    this.settings = new DatabaseSettings(context, { server, turns });
    this.diagnoses = new Diagnoses(context, { addons, server });
  }
}
