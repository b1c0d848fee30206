import type { Row } from './database';

/** Typed access to the columns of a row; a wrong type is a bug in a migration or a query, hence a plain Error. */
export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw new Error(`column ${column} is not text`);
  return value;
}
export function textOrNull(row: Row, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}
export function integer(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== 'number') throw new Error(`column ${column} is not a number`);
  return value;
}
export function integerOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : integer(row, column);
}
export function flag(row: Row, column: string): boolean {
  return integer(row, column) !== 0;
}
export function date(row: Row, column: string): Date {
  return new Date(integer(row, column));
}
export function dateOrNull(row: Row, column: string): Date | null {
  return row[column] === null ? null : date(row, column);
}
/** What was written with JSON.stringify; the caller says what that was. */
export function json(row: Row, column: string): unknown {
  return JSON.parse(text(row, column));
}
