import { foreignConfigVars, ManifestError, parseManifest } from '../../../src/addons/partner-manifest';

const api = { password: 'a-password', test: { base_url: 'http://localhost:4567/heroku/resources' } };
const manifest = (more: object = {}, apiMore: object = {}): string =>
  JSON.stringify({ id: 'my-addon', api: { ...api, ...apiMore }, ...more });

test('a bare manifest is a service with one plan, and config vars by its id', () => {
  const provider = parseManifest(manifest());
  expect(provider).toMatchObject({
    kind: 'partner',
    service: 'my-addon',
    attachmentName: 'MY_ADDON',
    defaultPlan: 'test',
    multiple: false,
    sharable: false,
    endpoint: {
      version: 1,
      baseUrl: 'http://localhost:4567/heroku/resources',
      sso: null,
      prefix: 'MY_ADDON',
    },
  });
  expect(provider.page).toBeUndefined();
  expect(foreignConfigVars(provider.endpoint, ['MY_ADDON', 'MY_ADDON_URL', 'MY_ADDONS', 'PATH'])).toEqual([
    'MY_ADDONS',
    'PATH',
  ]);
});

test('the manifests of kensa have one URL, and a way of signing on', () => {
  const urls = { test: 'http://localhost:4567/', production: 'https://my.example', sso_salt: 'a-salt' };
  const test1 = parseManifest(manifest({}, { ...urls, sso: 'post' }));
  expect(test1.endpoint).toMatchObject({
    baseUrl: 'http://localhost:4567/heroku/resources',
    sso: { url: 'http://localhost:4567/heroku/resources', method: 'post', salt: 'a-salt' },
  });
  expect(parseManifest(manifest({}, urls)).endpoint.sso).toMatchObject({ method: 'get' });
  expect(parseManifest(manifest({}, urls), 'production').endpoint.baseUrl).toBe(
    'https://my.example/heroku/resources',
  );
});

test('plans have kensa’s form or ours', () => {
  const provider = parseManifest(
    manifest({
      plans: [
        'tiny',
        { id: 'big', name: 'Big One', price: '12.50', default: true },
        { name: 'old', retired: true },
      ],
    }),
  );
  expect(provider.plans).toMatchObject([
    { name: 'tiny', priceCents: 0 },
    { name: 'big', humanName: 'Big One', priceCents: 1250 },
    { name: 'old', retired: true },
  ]);
  expect(provider.defaultPlan).toBe('big');
});

test.each([
  [
    'a production URL without TLS',
    manifest({}, { production: 'http://my.example', test: undefined }),
    'https',
  ],
  [
    'a URL with a password',
    manifest({}, { test: 'http://u:secret@localhost' }),
    'may not hold a user or password',
  ],
  ['no URL', manifest({}, { test: undefined }), 'api.production is missing'],
  ['a plan twice', manifest({ plans: ['a', 'a'] }), 'a is there twice'],
  ['a plan without a name', manifest({ plans: [{ description: 'x' }] }), 'each needs an id'],
  ['a price that is none', manifest({ plans: [{ id: 'a', price: 'cheap' }] }), 'a price is no number'],
  ['a reserved prefix', manifest({}, { config_vars_prefix: 'HEROKU_X' }), 'HEROKU_ is reserved'],
  ['a version of the future', manifest({}, { version: '4' }), 'api.version'],
  ['text', 'a-password', 'it is no JSON'],
])('%s is refused, without repeating a secret', (_what, text, reason) => {
  let message = '';
  try {
    parseManifest(text);
  } catch (error) {
    expect(error).toBeInstanceOf(ManifestError);
    message = (error as Error).message;
  }
  expect(message).toContain(reason);
  expect(message).not.toMatch(/a-password|secret/);
});
