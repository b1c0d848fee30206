import Ajv, { type ErrorObject, type ValidateFunction } from 'ajv-draft-04';
import { invalidParams } from '../../domain/errors';
import { requestSchema, type Schema } from './heroku-schema';

/** How a request body may differ from Heroku's schema. */
export interface Loosening {
  /** Replaces the schema of these top-level properties, or adds properties that the CLI sends and the schema lacks. */
  properties?: Readonly<Record<string, Schema>>;
  /** Replaces the list of properties that must be there. */
  required?: readonly string[];
  /** What holds for properties that the schema does not name. */
  additionalProperties?: Schema;
}

/**
 * The body of one endpoint, validated by Heroku's schema. `T` is what the handler may rely on after `parse`; it has
 * to say no more than the schema does. The validator is compiled at first use and kept.
 *
 * Three loosenings hold for every body:
 * - keys that the schema does not know are ignored, as Heroku ignores them (the CLI sends some: contract, section 2)
 * - patterns are left to the domain, which says what is wrong in words instead of showing a regular expression
 * - `format` likewise: the schema calls host names "uri"
 */
export class RequestBody<T> {
  readonly #resource: string;
  readonly #title: string;
  readonly #loosening: Loosening;
  #validate: ValidateFunction<T> | undefined;

  constructor(resource: string, title: string, loosening: Loosening = {}) {
    this.#resource = resource;
    this.#title = title;
    this.#loosening = loosening;
  }

  /** Throws invalid_params. A request without a body counts as one with an empty object. */
  parse(body: unknown): T {
    this.#validate ??= compile<T>(this.#schema());
    const value = body ?? {};
    if (this.#validate(value)) return value;
    throw invalidParams(describe(this.#validate.errors?.[0]));
  }

  #schema(): Schema {
    const schema = requestSchema(this.#resource, this.#title);
    const properties = { ...(schema['properties'] as Schema | undefined), ...this.#loosening.properties };
    const required = this.#loosening.required ?? schema['required'];
    return {
      ...schema,
      properties,
      ...(this.#loosening.additionalProperties === undefined
        ? {}
        : { additionalProperties: this.#loosening.additionalProperties }),
      // Draft 4 does not allow an empty list.
      ...(Array.isArray(required) && required.length > 0 ? { required } : { required: undefined }),
    };
  }
}

function compile<T>(schema: Schema): ValidateFunction<T> {
  // allErrors stays off: the first error is the one that is reported, and work on hostile input is bounded.
  // The schema's regular expressions escape more than Unicode mode lets them.
  const ajv = new Ajv({ strict: false, logger: false, unicodeRegExp: false });
  return ajv.compile<T>(loosen(schema) as Schema);
}

const LEFT_TO_THE_DOMAIN = new Set(['pattern', 'format']);

/** Without patterns and formats, and open to unknown keys. */
function loosen(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(loosen);
  if (typeof node !== 'object' || node === null) return node;
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(node)) {
    if (value === undefined || (LEFT_TO_THE_DOMAIN.has(key) && typeof value === 'string')) continue;
    if (key === 'additionalProperties' && value === false) continue;
    result[key] =
      key === 'properties' || key === 'patternProperties'
        ? Object.fromEntries(Object.entries(value as Schema).map(([name, schema]) => [name, loosen(schema)]))
        : loosen(value);
  }
  return result;
}

/** `Parameter updates[0].quantity must be integer.` */
function describe(error: ErrorObject | undefined): string {
  if (error === undefined) return 'Invalid request body.';
  const where = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce(
      (path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : path === '' ? part : `${path}.${part}`),
      '',
    );
  const subject = where === '' ? 'The request body' : `Parameter ${where}`;
  if (error.keyword === 'enum') {
    const allowed = (error.params as { allowedValues?: unknown[] }).allowedValues ?? [];
    return `${subject} must be one of: ${allowed.join(', ')}.`;
  }
  return `${subject} ${error.message ?? 'is invalid'}.`;
}
