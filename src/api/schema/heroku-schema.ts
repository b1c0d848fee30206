import { readFileSync } from 'node:fs';
import path from 'node:path';

/** A JSON schema (draft 4), or the part of one. */
export type Schema = Readonly<Record<string, unknown>>;

/** One endpoint as the hyper-schema declares it. */
export interface SchemaLink {
  /** Name of the definition that has it, e.g. `app-feature`. */
  resource: string;
  title: string;
  method: string;
  /** Express path, its parameters numbered: `/apps/:p1/features/:p2`. */
  path: string;
  /** Of the request body. */
  schema: Schema | undefined;
}

let text: string | undefined;
let parsed: Schema | undefined;

/** The document as it is served at GET /schema. */
export function schemaText(): string {
  text ??= readFileSync(path.join(__dirname, 'heroku-schema.json'), 'utf8');
  return text;
}

/** Every endpoint of the Platform API, in the order of the document. */
export function schemaLinks(): SchemaLink[] {
  return Object.entries(asSchema(document()['definitions'])).flatMap(([resource, definition]) => {
    const links = (asSchema(definition)['links'] ?? []) as {
      title: string;
      method: string;
      href: string;
      schema?: Schema;
    }[];
    return links.map((link) => ({
      resource,
      title: link.title,
      method: link.method,
      path: expressPath(link.href),
      schema: link.schema,
    }));
  });
}

/** The request body's schema of one link, all references resolved. */
export function requestSchema(resource: string, title: string): Schema {
  const link = schemaLinks().find((entry) => entry.resource === resource && entry.title === title);
  if (link?.schema === undefined) throw new Error(`the schema has no request body for ${resource} ${title}`);
  return resolveSchema(link.schema, { strict: false });
}

/** A resource as Heroku documents it, references unresolved. */
export function schemaDefinition(resource: string): Schema {
  const definition = asSchema(document()['definitions'])[resource];
  if (definition === undefined) throw new Error(`the schema has no definition ${resource}`);
  return asSchema(definition);
}

/** Keywords that say something about a value; the others (examples, hrefs, descriptions …) are left out. */
const KEYWORDS = new Set([
  'type', 'enum', 'format', 'pattern', 'minLength', 'maxLength', 'minimum', 'maximum', 'minItems', 'maxItems',
]); // prettier-ignore
const MAX_DEPTH = 30;

/**
 * The schema with all references replaced by what they refer to. With `strict`, `strictProperties` is heeded: the
 * notation of Heroku's schemas (prmd) for "all of these properties and no others", which draft 4 writes as
 * `required` plus `additionalProperties: false`.
 */
export function resolveSchema(schema: unknown, options: { strict: boolean }, depth = 0): Schema {
  if (depth > MAX_DEPTH) throw new Error('the schema refers to itself');
  const next = (value: unknown): Schema => resolveSchema(value, options, depth + 1);
  // One `items` of the document is the bare text of a reference.
  if (typeof schema === 'string') return next({ $ref: schema });
  const source = asSchema(schema);
  if (typeof source['$ref'] === 'string') return next(lookUp(source['$ref']));

  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(source)) {
    if (KEYWORDS.has(key)) result[key] = value;
    else if (key === 'items') result[key] = next(value);
    else if (key === 'properties' || key === 'patternProperties') {
      result[key] = Object.fromEntries(
        Object.entries(asSchema(value)).map(([name, property]) => [name, next(property)]),
      );
    } else if (key === 'anyOf' || key === 'oneOf' || key === 'allOf') {
      result[key] = (value as unknown[]).map(next);
    } else if (key === 'required' && Array.isArray(value) && value.length > 0) result[key] = value;
    else if (key === 'additionalProperties') result[key] = typeof value === 'boolean' ? value : next(value);
  }
  if (options.strict && source['strictProperties'] === true) {
    const names = Object.keys(asSchema(source['properties'] ?? {}));
    if (names.length > 0) result['required'] = names;
    result['additionalProperties'] = false;
  }
  return result;
}

/** `#/definitions/app/definitions/name` */
function lookUp(reference: string): unknown {
  let node: unknown = document();
  for (const part of reference.replace(/^#\//, '').split('/')) node = asSchema(node)[part];
  if (node === undefined) throw new Error(`the schema lacks ${reference}`);
  return node;
}

/** Parameters are written as `{(<URL-encoded reference>)}`. */
function expressPath(href: string): string {
  let count = 0;
  return href.replace(/\{\([^)]*\)\}/g, () => `:p${++count}`);
}

function document(): Schema {
  parsed ??= asSchema(JSON.parse(schemaText()));
  return parsed;
}

function asSchema(value: unknown): Schema {
  if (typeof value !== 'object' || value === null) throw new Error('the schema is not as expected');
  return value as Schema;
}
