import Ajv, { type ValidateFunction } from 'ajv-draft-04';
import addFormats from 'ajv-formats';
import { resolveSchema, schemaDefinition, type Schema } from '../../src/api/schema/heroku-schema';

/** Where our answers differ from the letter of Heroku's schema, by necessity. */
const DIFFERENCES: Readonly<Record<string, Schema>> = {
  app: {
    // The patterns in the schema name Heroku's own hosts.
    git_url: { type: 'string', format: 'uri', pattern: '^https://' },
    web_url: { type: 'string', format: 'uri' },
  },
  // `format: uri` does not hold for a host name, not even for the schema's own example.
  domain: { hostname: { type: 'string' } },
};

const validators = new Map<string, ValidateFunction>();

/** Fails unless `body` has all of the resource's properties, no others, and each of its type. */
export function expectToMatchSchema(resource: string, body: unknown): void {
  let validate = validators.get(resource);
  if (validate === undefined) {
    const definition = schemaDefinition(resource);
    const properties = { ...(definition['properties'] as Schema | undefined), ...DIFFERENCES[resource] };
    const ajv = new Ajv({ strict: false, allErrors: true, unicodeRegExp: false });
    addFormats(ajv);
    const schema = definition['properties'] === undefined ? definition : { ...definition, properties };
    validate = ajv.compile(resolveSchema(schema, { strict: true }));
    validators.set(resource, validate);
  }
  const problems = validate(body)
    ? []
    : (validate.errors ?? []).map(
        (error) => `${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`,
      );
  expect({ resource, problems, body: problems.length > 0 ? body : undefined }).toEqual({
    resource,
    problems: [],
    body: undefined,
  });
}
