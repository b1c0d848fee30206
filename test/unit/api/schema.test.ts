import { RequestBody } from '../../../src/api/schema/request-body';
import { schemaLinks } from '../../../src/api/schema/heroku-schema';
import { TestApi } from '../../support/api';
import { expectToMatchSchema } from '../../support/schema';

describe('RequestBody', () => {
  test('compiles for every body of the schema', () => {
    const links = schemaLinks().filter((link) => link.schema !== undefined);
    expect(links.length).toBeGreaterThan(80);
    for (const { resource, title } of links) {
      try {
        new RequestBody(resource, title).parse({});
      } catch (error) {
        expect({ resource, title, error }).toMatchObject({ error: { id: 'invalid_params' } });
      }
    }
  });

  test('says which parameter is wrong, and where', () => {
    const body = new RequestBody('buildpack-installation', 'Update');
    expect(() => body.parse({ updates: [{ buildpack: 'x' }, { buildpack: 1 }] })).toThrow(
      'Parameter updates[1].buildpack must be string.',
    );
    expect(() => body.parse(undefined)).toThrow("The request body must have required property 'updates'.");
  });

  test('ignores what the schema does not know', () => {
    const body = { updates: [{ buildpack: 'x', more: 1 }], extra: true };
    expect(new RequestBody('buildpack-installation', 'Update').parse(body)).toBe(body);
  });
});

describe('expectToMatchSchema', () => {
  test('notices a property that is missing, one too many and one of a wrong type', () => {
    const stack = {
      created_at: '2026-01-01T00:00:00Z',
      default: true,
      id: '6f1e2a4c-0b5d-4c8e-9a37-24a1c0de0024',
      name: 'heroku-24',
      state: 'public',
      updated_at: '2026-01-01T00:00:00Z',
    };
    expectToMatchSchema('stack', stack);
    const { name, ...nameless } = stack;
    expect(name).toBe('heroku-24');
    expect(() => expectToMatchSchema('stack', nameless)).toThrow();
    expect(() => expectToMatchSchema('stack', { ...stack, more: 1 })).toThrow();
    expect(() => expectToMatchSchema('stack', { ...stack, default: 'yes' })).toThrow();
    expect(() => expectToMatchSchema('stack', { ...stack, created_at: 'yesterday' })).toThrow();
  });
});

describe('every endpoint of the schema', () => {
  let api: TestApi;
  beforeAll(async () => {
    api = await TestApi.start();
  });
  afterAll(() => api.stop());

  test.each(schemaLinks())('$method $path ($resource, $title)', async ({ method, path }) => {
    if (!api.services.apps.list().some((app) => app.name === 'demo')) api.anApp();
    const attempts: [name: string, body: unknown][] = [
      ['demo', undefined],
      ['~', {}],
      ['%00', []],
      ['01234567-89ab-cdef-0123-456789abcdef', undefined],
      ['demo', { name: null, updates: [null], release: {}, hostname: 1 }],
    ];
    for (const [name, body] of attempts) {
      const answer = await api.request(
        method,
        path.replace(/:p\d+/g, name),
        method === 'GET' ? {} : { body },
      );
      expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
      // 403: the token that the request is made with is not revoked (`~`).
      expect([200, 201, 202, 403, 404, 422, 501]).toContain(answer.status);
      if (answer.status >= 400) {
        expect(answer.body).toMatchObject({ id: expect.any(String), message: expect.stringMatching(/\S/) });
      }
    }
    expect(api.errors).toEqual([]);
  });
});
