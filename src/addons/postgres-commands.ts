import type { AddOn } from '../domain/addon';
import { databaseOf } from './postgres';
import type { BackendCommand } from './provider';

export interface PsqlOptions {
  /** Where the statements run; default: the add-on's own database. */
  database?: string;
  /** Of each statement. */
  statementTimeoutMs: number;
  /** Go on after a statement that failed. */
  keepGoing?: boolean;
}

/**
 * psql as the server's superuser, through the socket inside the container. Each statement is a transaction of its own.
 * Nothing secret may stand in them: they are arguments of a process. Passwords go through the set-up's file.
 */
export function psql(addon: AddOn, statements: readonly string[], options: PsqlOptions): BackendCommand {
  return {
    argv: [
      'psql',
      '--no-psqlrc',
      '--quiet',
      '--tuples-only',
      '--no-align',
      ...(options.keepGoing === true ? [] : ['--set=ON_ERROR_STOP=1']),
      '--host=/tmp',
      `--dbname=${options.database ?? databaseOf(addon)}`,
      ...statements.map((statement) => `--command=${statement}`),
    ],
    user: 'postgres',
    env: {
      PGAPPNAME: 'dynodock',
      PGCONNECT_TIMEOUT: '10',
      PGOPTIONS: `-c statement_timeout=${options.statementTimeoutMs}`,
    },
  };
}

/** A SELECT whose rows come as one line of JSON, an array of objects. */
export function asJson(select: string): string {
  return `SELECT coalesce(jsonb_agg(to_jsonb(row)), '[]') FROM (${select}) AS row`;
}

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteLiteral(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
