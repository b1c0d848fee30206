/** What `pg:settings` can change: the CLI's keys, which are PostgreSQL's own but for the two noted. */
export interface DatabaseSetting {
  kind: 'boolean' | 'number' | 'choice';
  /** Of a choice: each value with what the CLI prints about it. */
  values?: Readonly<Record<string, string>>;
}

export type SettingValue = boolean | number | string;

/** Dev Center "Heroku Postgres Settings"; explanations in the sense of PostgreSQL's manual. */
export const DATABASE_SETTINGS: Readonly<Record<string, DatabaseSetting>> = {
  log_connections: { kind: 'boolean' },
  log_lock_waits: { kind: 'boolean' },
  log_min_duration_statement: { kind: 'number' },
  log_min_error_statement: {
    kind: 'choice',
    values: {
      error: 'All statements that cause an error, log, fatal or panic message will be logged.',
      log: 'All statements that cause a log, fatal or panic message will be logged.',
      fatal: 'All statements that cause a fatal or panic message will be logged.',
      panic: 'All statements that cause a panic message will be logged.',
    },
  },
  log_statement: {
    kind: 'choice',
    values: {
      none: 'No statements will be logged.',
      ddl: 'All data definition statements, such as CREATE, ALTER and DROP, will be logged.',
      mod: 'All data definition and data modifying statements, such as INSERT, UPDATE and DELETE, will be logged.',
      all: 'All statements will be logged.',
    },
  },
  track_functions: {
    kind: 'choice',
    values: {
      none: 'No functions will be tracked.',
      pl: 'Only procedural language functions will be tracked.',
      all: 'All functions will be tracked.',
    },
  },
  // No setting of its own: the module is loaded into sessions.
  auto_explain: { kind: 'boolean' },
  'auto_explain.log_analyze': { kind: 'boolean' },
  'auto_explain.log_buffers': { kind: 'boolean' },
  'auto_explain.log_format': {
    kind: 'choice',
    values: { text: 'text', json: 'json', yaml: 'yaml', xml: 'xml' },
  },
  'auto_explain.log_min_duration': { kind: 'number' },
  'auto_explain.log_nested_statements': { kind: 'boolean' },
  'auto_explain.log_triggers': { kind: 'boolean' },
  'auto_explain.log_verbose': { kind: 'boolean' },
};

const MODULE = 'auto_explain';
const LOADED_MODULES = 'session_preload_libraries';

/** The module's own settings are known only where it is loaded. */
export const LOAD_SETTINGS = `LOAD '${MODULE}'`;

/** Rows of `name` and `value`, as a session sees them that begins now. */
export const SELECT_SETTINGS = `SELECT name, setting AS value FROM pg_settings
  WHERE name IN (${[...Object.keys(DATABASE_SETTINGS), LOADED_MODULES].map((name) => `'${name}'`).join(', ')})`;

export function readSettings(rows: readonly { name: string; value: string }[]): Record<string, SettingValue> {
  const raw = new Map(rows.map(({ name, value }) => [name, value]));
  const result: Record<string, SettingValue> = {};
  for (const [name, { kind }] of Object.entries(DATABASE_SETTINGS)) {
    if (name === MODULE) {
      result[name] = (raw.get(LOADED_MODULES) ?? '').split(/[, ]+/).includes(MODULE);
      continue;
    }
    const value = raw.get(name);
    if (value === undefined) throw new Error(`the server does not know the setting ${name}`);
    result[name] = kind === 'boolean' ? value === 'on' : kind === 'number' ? Number(value) : value;
  }
  return result;
}

/** What is wrong with a value, or undefined. */
export function settingProblem(name: string, value: unknown): string | undefined {
  const setting = Object.hasOwn(DATABASE_SETTINGS, name) ? DATABASE_SETTINGS[name] : undefined;
  if (setting === undefined) return `There is no setting ${JSON.stringify(name)}.`;
  switch (setting.kind) {
    case 'boolean':
      return typeof value === 'boolean' ? undefined : `${name} must be true or false.`;
    case 'number':
      return Number.isInteger(value) && (value as number) >= -1 && (value as number) < 2 ** 31
        ? undefined
        : `${name} must be a whole number of milliseconds, or -1.`;
    case 'choice': {
      const values = Object.keys(setting.values ?? {});
      return typeof value === 'string' && values.includes(value)
        ? undefined
        : `${name} must be one of: ${values.join(', ')}.`;
    }
  }
}

/** Statements that keep checked values in the server's own file, on its volume, and make them count at once. */
export function settingStatements(changes: Readonly<Record<string, SettingValue>>): string[] {
  const alters = Object.entries(changes).map(([name, value]) => {
    if (name === MODULE) {
      return `ALTER SYSTEM SET ${LOADED_MODULES} = ${value === true ? `'${MODULE}'` : "''"}`;
    }
    return `ALTER SYSTEM SET ${name} = ${typeof value === 'string' ? `'${value}'` : String(value)}`;
  });
  // The server passes it on to its processes in its own time.
  return [LOAD_SETTINGS, ...alters, 'SELECT FROM pg_reload_conf()', 'SELECT FROM pg_sleep(0.1)'];
}
