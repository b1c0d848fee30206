import type { App } from '../../../src/domain/app';
import { TestApi, type Answer } from '../../support/api';
import { makeCertificate, type TestCertificate } from '../../support/certificates';
import { expectToMatchSchema } from '../../support/schema';

const ENDPOINTS = '/apps/demo/sni-endpoints';
const WWW = '/apps/demo/domains/www.example.com';

let api: TestApi;
let app: App;
let certificate: TestCertificate;
let other: TestCertificate;
beforeAll(async () => {
  certificate = await makeCertificate({ names: ['www.example.com', '*.example.com'] });
  other = await makeCertificate({ names: ['example.org'] });
});
beforeEach(async () => {
  api = await TestApi.start();
  app = api.anApp();
});
afterEach(async () => {
  await api.stop();
  expect(api.errors).toEqual([]);
});

const bodyOf = ({ cert, key }: TestCertificate): unknown => ({ certificate_chain: cert, private_key: key });

async function add(from: TestCertificate = certificate): Promise<{ id: string; name: string }> {
  const answer = await api.post(ENDPOINTS, bodyOf(from));
  expect(answer.status).toBe(201);
  return answer.body as { id: string; name: string };
}

function expectError(answer: Answer, status: number, message: string): void {
  expect({ status: answer.status, body: answer.body }).toMatchObject({
    status,
    body: { message: expect.stringContaining(message) },
  });
}

const events = (): unknown[] =>
  api.store.events
    .of(app.id)
    .filter(({ kind }) => kind.startsWith('sni') || kind.startsWith('domain'))
    .map(({ kind, payload, actor }) => ({ kind, actor, ...payload }));

describe('SNI endpoints', () => {
  test('are added, listed, described and removed, in the form of the schema', async () => {
    const { status, body } = await api.post(ENDPOINTS, bodyOf(certificate));
    expect(status).toBe(201);
    expectToMatchSchema('sni-endpoint', body);
    expect(body).toMatchObject({
      app: { id: app.id, name: 'demo' },
      name: expect.stringMatching(/^[a-z][a-z0-9-]{2,29}$/),
      display_name: null,
      certificate_chain: certificate.cert,
      domains: [],
      ssl_cert: {
        acm: false,
        cert_domains: ['www.example.com', '*.example.com'],
        'ca_signed?': false,
        'self_signed?': true,
        issuer: '/CN=www.example.com',
        subject: '/CN=www.example.com',
      },
    });
    expect((await api.get(ENDPOINTS)).body).toEqual([body]);
    expect((await api.get(`${ENDPOINTS}/${body.id}`)).body).toEqual(body);
    expect((await api.get(`${ENDPOINTS}/${body.name}`)).body).toEqual(body);
    expect((await api.delete(`${ENDPOINTS}/${body.name}`)).body).toEqual(body);
    expect((await api.get(ENDPOINTS)).body).toEqual([]);
    expectError(await api.get(`${ENDPOINTS}/${body.name}`), 404, "Couldn't find that SNI endpoint.");
    expectError(await api.delete(`${ENDPOINTS}/${body.name}`), 404, "Couldn't find that SNI endpoint.");
  });

  test('belong to one app', async () => {
    const { name } = await add();
    api.anApp('another');
    expect((await api.get('/apps/another/sni-endpoints')).body).toEqual([]);
    expectError(
      await api.get(`/apps/another/sni-endpoints/${name}`),
      404,
      "Couldn't find that SNI endpoint.",
    );
    const stolen = { hostname: 'www.example.com', sni_endpoint: name };
    expectError(await api.post('/apps/another/domains', stolen), 404, "Couldn't find that SNI endpoint.");
  });

  test('show the private key to nobody', async () => {
    const { name } = await add();
    await api.post('/apps/demo/domains', { hostname: 'www.example.com', sni_endpoint: name });
    await api.patch(`${ENDPOINTS}/${name}`, bodyOf(certificate));
    const line = certificate.key.split('\n')[1] ?? '';
    expect(line).toMatch(/^\S{64}$/);
    const seen = [
      (await api.get(ENDPOINTS)).text,
      (await api.get(`${ENDPOINTS}/${name}`)).text,
      (await api.get('/apps/demo/domains')).text,
      (await api.post(ENDPOINTS, { certificate_chain: other.cert, private_key: certificate.key })).text,
      (await api.delete(`${ENDPOINTS}/${name}`)).text,
      JSON.stringify(api.store.events.of(app.id)),
      JSON.stringify(api.logplex.history(app.id, {}, 1000)),
    ].join('\n');
    expect(seen).not.toContain(line);
    expect(seen).not.toContain('PRIVATE KEY');
  });

  test('leave a trail, with names and without keys', async () => {
    const { name } = await add();
    await api.post('/apps/demo/domains', { hostname: 'www.example.com', sni_endpoint: null });
    await api.patch(WWW, { sni_endpoint: name });
    await api.patch(`${ENDPOINTS}/${name}`, bodyOf(certificate));
    await api.delete(`${ENDPOINTS}/${name}`);
    const facts = {
      actor: 'a@b.example',
      name,
      domains: ['www.example.com', '*.example.com'],
      expiresAt: certificate.certificate.notAfter.toISOString(),
    };
    expect(events()).toEqual([
      { kind: 'sni-endpoint.create', ...facts },
      { kind: 'domain.create', actor: 'a@b.example', hostname: 'www.example.com', sniEndpoint: null },
      { kind: 'domain.update', actor: 'a@b.example', hostname: 'www.example.com', sniEndpoint: name },
      { kind: 'sni-endpoint.update', ...facts },
      { kind: 'sni-endpoint.destroy', ...facts },
    ]);
  });

  test('refuse what cannot be served', async () => {
    const mixed = { certificate_chain: certificate.cert, private_key: other.key };
    expectError(await api.post(ENDPOINTS, mixed), 422, 'The private key does not belong to the certificate.');
    expectError(await api.post(ENDPOINTS, { certificate_chain: certificate.cert }), 422, 'private_key');
    expectError(
      await api.post(ENDPOINTS, { certificate_chain: 1, private_key: 'x' }),
      422,
      'certificate_chain',
    );
    expect((await api.get(ENDPOINTS)).body).toEqual([]);
    expect(events()).toEqual([]);
  });

  test('take a certificate that clients will refuse for its date, with a word about it', async () => {
    const day = 24 * 60 * 60 * 1000;
    const expired = await makeCertificate({
      names: ['www.example.com'],
      notBefore: new Date(Date.now() - 2 * day),
      notAfter: new Date(Date.now() - day),
    });
    const early = await makeCertificate({ names: ['a.example'], notBefore: new Date(Date.now() + day) });
    const warning = async (from: TestCertificate): Promise<string | null> =>
      (await api.post(ENDPOINTS, bodyOf(from))).headers.get('Warning-Message');
    expect(await warning(expired)).toContain('expired');
    expect(await warning(early)).toContain('not valid yet');
    expect(await warning(certificate)).toBeNull();
  });
});

describe('domains and SNI endpoints', () => {
  test('are associated when a domain is added, and later', async () => {
    const { id, name } = await add();
    const added = await api.post('/apps/demo/domains', { hostname: 'www.example.com', sni_endpoint: name });
    expectToMatchSchema('domain', added.body);
    expect(added.body.sni_endpoint).toEqual({ id, name });
    const wildcard = await api.post('/apps/demo/domains', { hostname: '*.example.com' });
    expect(wildcard.body.sni_endpoint).toBeNull();
    const updated = await api.patch('/apps/demo/domains/*.example.com', { sni_endpoint: id });
    expect(updated.status).toBe(200);
    expectToMatchSchema('domain', updated.body);
    expect(updated.body.sni_endpoint).toEqual({ id, name });
    const { body } = await api.get(`${ENDPOINTS}/${name}`);
    expect([...body.domains].sort()).toEqual([added.body.id, wildcard.body.id].sort());
  });

  test('part when either asks for it or the endpoint goes', async () => {
    const { name } = await add();
    await api.post('/apps/demo/domains', { hostname: 'www.example.com', sni_endpoint: name });
    expect((await api.patch(WWW, { sni_endpoint: null })).body.sni_endpoint).toBeNull();
    await api.patch(WWW, { sni_endpoint: name });
    const removed = await api.delete(`${ENDPOINTS}/${name}`);
    expect(removed.body.domains).toHaveLength(1);
    expect((await api.get(WWW)).body.sni_endpoint).toBeNull();
  });

  test('have to fit each other, when associated and when the certificate is replaced', async () => {
    const { name } = await add();
    const foreign = { hostname: 'example.org', sni_endpoint: name };
    expectError(
      await api.post('/apps/demo/domains', foreign),
      422,
      `The certificate ${name} is not for example.org, but for www.example.com, *.example.com.`,
    );
    expectError(await api.get('/apps/demo/domains/example.org'), 404, "Couldn't find that domain.");
    const deep = { hostname: 'a.b.example.com', sni_endpoint: name };
    expectError(await api.post('/apps/demo/domains', deep), 422, 'is not for a.b.example.com');

    await api.post('/apps/demo/domains', { hostname: 'www.example.com', sni_endpoint: name });
    expectError(
      await api.patch(`${ENDPOINTS}/${name}`, bodyOf(other)),
      422,
      `The certificate is not for www.example.com, which ${name} serves, but for example.org.`,
    );
    expect((await api.get(`${ENDPOINTS}/${name}`)).body.certificate_chain).toBe(certificate.cert);
  });

  test('replace certificates under the same name', async () => {
    const { id, name } = await add(other);
    const { body } = await api.patch(`${ENDPOINTS}/${name}`, bodyOf(certificate));
    expectToMatchSchema('sni-endpoint', body);
    expect(body).toMatchObject({ id, name, certificate_chain: certificate.cert });
  });

  test('are refused what makes no sense', async () => {
    await api.post('/apps/demo/domains', { hostname: 'www.example.com' });
    expectError(await api.patch(WWW, { sni_endpoint: 'x' }), 404, "Couldn't find that SNI endpoint.");
    expectError(await api.patch(WWW, {}), 422, 'sni_endpoint');
    expectError(await api.patch(WWW, { sni_endpoint: 1 }), 422, 'sni_endpoint');
    expectError(
      await api.patch('/apps/demo/domains/demo.localhost', { sni_endpoint: null }),
      422,
      "demo.localhost always has a certificate of dynodock's own CA.",
    );
  });

  test('go with their app', async () => {
    const { name } = await add();
    await api.post('/apps/demo/domains', { hostname: 'www.example.com', sni_endpoint: name });
    expect((await api.delete('/apps/demo')).status).toBe(200);
    expect(api.store.sniEndpoints.findByName(name)).toBeUndefined();
  });
});

describe('Automated Certificate Management', () => {
  test('is off and cannot be switched', async () => {
    expect((await api.get('/apps/demo')).body.acm).toBe(false);
    for (const method of ['POST', 'PATCH', 'DELETE']) {
      const answer = await api.request(method, '/apps/demo/acm', { body: {} });
      expectError(answer, 501, 'heroku certs:add');
      expect(answer.body.id).toBe('not_supported');
    }
    expectError(await api.post('/apps/nothing/acm', {}), 404, "Couldn't find that app.");
  });
});
