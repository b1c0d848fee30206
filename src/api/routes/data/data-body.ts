import { invalidParams } from '../../../domain/errors';

/** The fields of a body of the data API, for which there is no schema. Throws invalid_params for anything but an object. */
export function fieldsOf(body: unknown): Readonly<Record<string, unknown>> {
  if (body == null) return {};
  if (typeof body !== 'object' || Array.isArray(body)) {
    throw invalidParams('The request body must be an object.');
  }
  return body as Readonly<Record<string, unknown>>;
}

export function stringOf(body: unknown, name: string): string {
  const value = fieldsOf(body)[name];
  if (typeof value !== 'string') throw invalidParams(`Parameter ${name} must be a string.`);
  return value;
}

/** Empty where it is left out. */
export function stringsOf(body: unknown, name: string): readonly string[] {
  const value = fieldsOf(body)[name] ?? [];
  if (!Array.isArray(value) || !value.every((each) => typeof each === 'string')) {
    throw invalidParams(`Parameter ${name} must be a list of strings.`);
  }
  return value;
}
