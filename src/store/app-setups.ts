import type { AfterBuild, AppSetup, AppSetupStage } from '../domain/app-setup';
import type { AccountId, AppId, AppSetupId, BuildId, DynoId } from '../domain/ids';
import { date, integerOrNull, json, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

const COLUMNS = [
  'id', 'app_id', 'app_name', 'status', 'stage', 'user_id', 'user_email', 'build_id', 'dyno_id', 'after_build',
  'manifest_errors', 'failure', 'postdeploy_output', 'postdeploy_exit_code', 'resolved_success_url', 'created_at',
  'updated_at',
] as const; // prettier-ignore

export class AppSetupStore {
  readonly #save: Statement;
  readonly #byId: Statement;
  readonly #unfinished: Statement;

  constructor(database: Database) {
    const changed = COLUMNS.filter((name) => name !== 'id').map((name) => `${name} = excluded.${name}`);
    this.#save = database.prepare(
      `INSERT INTO app_setups (${COLUMNS.join(', ')}) VALUES (${COLUMNS.map((name) => `@${name}`).join(', ')})
        ON CONFLICT (id) DO UPDATE SET ${changed.join(', ')}`,
    );
    this.#byId = database.prepare('SELECT * FROM app_setups WHERE id = @id');
    this.#unfinished = database.prepare(
      "SELECT * FROM app_setups WHERE stage <> 'ended' ORDER BY created_at, id",
    );
  }

  save(setup: AppSetup): void {
    this.#save.run(toRow(setup));
  }

  get(id: AppSetupId): AppSetup | undefined {
    const row = this.#byId.get({ id });
    return row === undefined ? undefined : toSetup(row);
  }

  /** Those with something left to do, the oldest first. */
  unfinished(): AppSetup[] {
    return this.#unfinished.all().map(toSetup);
  }
}

function toRow(setup: AppSetup): Row {
  return {
    id: setup.id,
    app_id: setup.appId,
    app_name: setup.appName,
    status: setup.status,
    stage: setup.stage,
    user_id: setup.user.id,
    user_email: setup.user.email,
    build_id: setup.buildId,
    dyno_id: setup.dynoId,
    after_build: setup.afterBuild === null ? null : JSON.stringify(setup.afterBuild),
    manifest_errors: JSON.stringify(setup.manifestErrors),
    failure: setup.failure,
    postdeploy_output: setup.postdeploy?.output ?? null,
    postdeploy_exit_code: setup.postdeploy?.exitCode ?? null,
    resolved_success_url: setup.resolvedSuccessUrl,
    created_at: setup.createdAt.getTime(),
    updated_at: setup.updatedAt.getTime(),
  };
}

function toSetup(row: Row): AppSetup {
  const exitCode = integerOrNull(row, 'postdeploy_exit_code');
  return {
    id: text(row, 'id') as AppSetupId,
    appId: text(row, 'app_id') as AppId,
    appName: text(row, 'app_name'),
    status: text(row, 'status') as AppSetup['status'],
    stage: text(row, 'stage') as AppSetupStage,
    user: { id: text(row, 'user_id') as AccountId, email: text(row, 'user_email') },
    buildId: textOrNull(row, 'build_id') as BuildId | null,
    dynoId: textOrNull(row, 'dyno_id') as DynoId | null,
    afterBuild: row['after_build'] === null ? null : (json(row, 'after_build') as AfterBuild),
    manifestErrors: json(row, 'manifest_errors') as string[],
    failure: textOrNull(row, 'failure'),
    postdeploy: exitCode === null ? null : { output: textOrNull(row, 'postdeploy_output') ?? '', exitCode },
    resolvedSuccessUrl: textOrNull(row, 'resolved_success_url'),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
