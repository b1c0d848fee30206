import { writeFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { PartnerClient } from '../../../src/addons/partner-client';
import type { App } from '../../../src/domain/app';
import { TestApi, type Answer } from '../../support/api';
import { PageClient } from '../../support/page-client';
import { TestPartner, type PartnerCall } from '../../support/partner-server';
import { expectToMatchSchema } from '../../support/schema';

jest.setTimeout(60_000);

let api: TestApi;
let partner: TestPartner;
let app: App;
let clientSecret: string;

beforeEach(async () => {
  partner = await TestPartner.start();
  api = await TestApi.start({
    partnerClient: new PartnerClient({ timeoutMs: 1500 }),
    partnerDelayMs: (attempts) => 20 * attempts,
  });
  app = api.anApp('demo');
});
afterEach(async () => {
  expect(api.errors).toEqual([]);
  await api.stop();
  await partner.stop();
});

async function register(manifest = partner.manifest()): Promise<Answer> {
  const answer = await api.post('/dynodock/partner-services', { manifest });
  clientSecret = answer.body?.client_secret as string;
  return answer;
}
const create = (body: object = {}, of = 'demo'): Promise<Answer> =>
  api.post(`/apps/${of}/addons`, { plan: 'acme:basic', ...body });
const vars = async (of = 'demo'): Promise<Record<string, string>> =>
  (await api.get(`/apps/${of}/config-vars`)).body as Record<string, string>;
const descriptions = (of: App = app): string[] =>
  api.store.releases.of(of.id).map(({ description, user }) => `${description} by ${user.email}`);

async function until<T>(look: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  for (let attempt = 0; attempt < 400; attempt += 1) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('it did not come to that');
}

/** As a partner calls back; URLs that it was given are of another port here. */
async function callback(
  method: string,
  target: string,
  token: string,
  body?: unknown,
  more: Record<string, string> = {},
): Promise<Answer> {
  return api.request(method, new URL(target, api.url).pathname, {
    body,
    headers: { Authorization: `Bearer ${token}`, ...more },
  });
}
async function tokenFor({ body }: PartnerCall): Promise<string> {
  const { code } = (body as { oauth_grant: { code: string } }).oauth_grant;
  const answer = await exchange({ grant_type: 'authorization_code', code, client_secret: clientSecret });
  expect(answer.status).toBe(200);
  return answer.body.access_token as string;
}
const exchange = (fields: Record<string, string>): Promise<Answer> =>
  api.request('POST', '/oauth/token', {
    anonymous: true,
    body: new URLSearchParams(fields).toString(),
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  });

describe('registering', () => {
  test('adds a service with its plans, and tells the client secret', async () => {
    const { status, body } = await register();
    expect({ status, body }).toMatchObject({
      status: 201,
      body: { service: 'acme', environment: 'test', version: 3, plans: ['basic', 'pro'] },
    });
    expect(body.client_secret).toMatch(/^[0-9a-f-]{36}$/);
    const services = (await api.get('/addon-services')).body as { name: string }[];
    const acme = services.find(({ name }) => name === 'acme');
    expect(acme).toMatchObject({ human_name: 'Acme Things', supports_multiple_installations: true });
    const plans = (await api.get('/addon-services/acme/plans')).body as object[];
    plans.forEach((plan) => expectToMatchSchema('plan', plan));
    expect(plans).toMatchObject([
      { name: 'acme:basic', default: true },
      { name: 'acme:pro', price: { cents: 1900 } },
    ]);
    expect((await api.get('/dynodock/partner-services')).text).not.toMatch(/partner-(password|salt)/);
    const again = await register(partner.manifest({}, { name: 'Acme' }));
    expect(again.body).toMatchObject({ human_name: 'Acme', client_secret: body.client_secret as string });
  });

  test('says what is wrong with a manifest', async () => {
    for (const [manifest, reason] of [
      ['{', 'it is no JSON'],
      [
        partner.manifest({ config_vars: ['OTHER_URL'] }),
        'api.config_vars: OTHER_URL does not begin with ACME_',
      ],
      [partner.manifest({ regions: ['eu'] }), 'api.regions: us is missing'],
      [partner.manifest({ password: undefined }), "api must have required property 'password'"],
      [partner.manifest({ test: { base_url: 'ftp://x' } }), 'api.test.base_url is not an http or https URL'],
      [partner.manifest({}, { id: 'Not Good' }), 'id must match pattern'],
    ] as const) {
      const answer = await register(manifest);
      expect(answer).toMatchObject({ status: 422, body: { id: 'invalid_params' } });
      expect(answer.body.message).toContain(`The manifest cannot be used: ${reason}`);
    }
    const taken = partner.manifest({ config_vars: [], config_vars_prefix: 'REDIS' }, { id: 'heroku-redis' });
    expect(await register(taken)).toMatchObject({ status: 409, body: { id: 'conflict' } });
  });

  test('is refused without a plan in use, and unregistering while there are add-ons', async () => {
    await register();
    await create();
    expect(await register(partner.manifest({}, { plans: ['pro'] }))).toMatchObject({
      status: 409,
      body: { message: expect.stringContaining('acme:basic') },
    });
    expect(await api.post('/dynodock/partner-services/acme/unregister')).toMatchObject({ status: 409 });
    expect(await api.post('/dynodock/partner-services/acme/unregister', { force: true })).toMatchObject({
      status: 200,
    });
    const [addon] = (await api.get('/apps/demo/addons')).body as { name: string }[];
    expect(await api.delete(`/apps/demo/addons/${addon?.name ?? ''}`)).toMatchObject({
      status: 200,
      body: { state: 'deprovisioned' },
    });
    expect(partner.of('DELETE')).toEqual([]);
  });

  test('reads files of the folder, and what becomes of them', async () => {
    const file = path.join(api.outputDir, 'addons', 'acme.json');
    const names = async (): Promise<string[]> =>
      ((await api.get('/dynodock/partner-services')).body as { human_name: string }[]).map(
        (each) => each.human_name,
      );
    writeFileSync(file, partner.manifest());
    await api.partners.services.readFiles();
    expect(await names()).toEqual(['Acme Things']);
    writeFileSync(file, '{');
    await api.partners.services.readFiles();
    expect(await names()).toEqual(['Acme Things']);
    writeFileSync(file, partner.manifest({}, { name: 'Acme 2' }));
    await api.partners.services.readFiles();
    expect(await names()).toEqual(['Acme 2']);
    expect(await api.post('/dynodock/partner-services/acme/unregister')).toMatchObject({ status: 422 });
    await create();
    rmSync(file);
    await api.partners.services.readFiles();
    expect(await names()).toEqual(['Acme 2']);
  });
});

describe('provisioning', () => {
  test('asks as Heroku does, and attaches what comes of it', async () => {
    await register();
    const { status, body } = await create({ config: { colour: 'red', fast: true } });
    expect(status).toBe(201);
    expectToMatchSchema('add-on', body);
    expect(body).toMatchObject({
      state: 'provisioned',
      provision_message: 'Acme at your service',
      config_vars: ['ACME_TOKEN', 'ACME_URL'],
      provider_id: body.id as string,
    });
    const [call] = partner.calls;
    expect(call).toMatchObject({
      method: 'POST',
      path: '/heroku/resources',
      headers: {
        accept: 'application/vnd.heroku-addons+json; version=3',
        authorization: `Basic ${Buffer.from('acme:partner-password').toString('base64')}`,
        'content-type': 'application/json',
      },
      body: {
        uuid: body.id as string,
        name: body.name as string,
        plan: 'basic',
        region: 'amazon-web-services::us-east-1',
        callback_url: `http://localhost:5050/addons/${String(body.id)}`,
        options: { colour: 'red', fast: 'true' },
        oauth_grant: { type: 'authorization_code' },
        log_input_url: expect.stringMatching(/^http:\/\/token:t\.[0-9a-f-]{36}@localhost:5050\/logs$/),
      },
    });
    expect(call?.body).not.toHaveProperty('heroku_id');
    expect(await vars()).toEqual(partner.config(String(body.id)));
    expect(descriptions().at(-1)).toBe(`Attach ACME (@ref:${String(body.name)}) by a@b.example`);
  });

  test('shows what the partner says when it refuses, and leaves nothing', async () => {
    await register();
    partner.next.push(() => ({ status: 422, body: { message: 'No more room on Tuesdays.' } }));
    expect(await create()).toMatchObject({
      status: 422,
      body: { id: 'invalid_params', message: 'No more room on Tuesdays.' },
    });
    expect((await api.get('/apps/demo/addons')).body).toEqual([]);
    expect(await vars()).toEqual({});
    await api.partners.resources.idle();
    expect(partner.calls.map(({ method }) => method)).toEqual(['POST']);
  });

  test.each([
    [
      'wrong names',
      { id: 'x', config: { ACME_URL: 'a', OTHER: 'b' } },
      'OTHER are not in the manifest of acme',
    ],
    ['no strings', { id: 'x', config: { ACME_URL: 1 } }, 'a config that is not an object of strings'],
    ['no id', { config: {} }, 'an answer without an id'],
  ])('gives up on an answer with %s, and has the partner let go', async (_what, body, reason) => {
    await register();
    partner.next.push(() => ({ status: 201, body }));
    const answer = await create();
    expect(answer).toMatchObject({ status: 503, body: { id: 'service_unavailable' } });
    expect(answer.body.message).toContain(reason);
    await until(() => partner.of('DELETE').length === 1);
    expect(await vars()).toEqual({});
  });

  test.each([
    ['a status 500', { status: 500 }],
    ['garbage', { status: 201, body: 'I am a teapot' }],
    ['half an answer', { status: 201, hangUp: true }],
    ['a late one', { delayMs: 5000 }],
  ])('asks again after %s', async (_what, first) => {
    await register();
    partner.next.push(() => first);
    const { status, body } = await create();
    expect({ status, body }).toMatchObject({ status: 201, body: { state: 'provisioned' } });
    const uuids = partner.of('POST').map((call) => (call.body as { uuid: string }).uuid);
    expect(uuids).toEqual([body.id, body.id]);
  });

  test('goes on by itself when the partner takes its time (202), until it says so', async () => {
    await register();
    partner.next.push(({ body }) => ({
      status: 202,
      body: { id: (body as { uuid: string }).uuid, message: 'Two minutes' },
    }));
    const { status, body } = await create();
    expect({ status, body }).toMatchObject({
      status: 201,
      body: {
        state: 'provisioning',
        provision_message: 'Two minutes',
        config_vars: ['ACME_TOKEN', 'ACME_URL'],
      },
    });
    const [call] = partner.of('POST');
    if (call === undefined) throw new Error('nobody asked');
    const { callback_url: url } = call.body as { callback_url: string };
    const token = await tokenFor(call);
    const config = [
      { name: 'ACME_URL', value: 'https://acme.example/1' },
      { name: 'ACME_TOKEN', value: 'abc' },
    ];
    const released = descriptions().length;
    expect(await callback('PATCH', `${url}/config`, token, { config })).toMatchObject({
      status: 200,
      body: config,
    });
    expect(await vars()).toEqual({});
    expect(descriptions()).toHaveLength(released);
    const provisioned = await callback('POST', `${url}/actions/provision`, token);
    expect(provisioned).toMatchObject({ status: 200, body: { state: 'provisioned', web_url: null } });
    expectToMatchSchema('add-on', provisioned.body);
    expect(await callback('POST', `${url}/actions/provision`, token)).toMatchObject({ status: 200 });
    expect(await vars()).toEqual({ ACME_URL: 'https://acme.example/1', ACME_TOKEN: 'abc' });
    expect(descriptions().at(-1)).toBe(
      `@ref:${String(body.name)} completed provisioning, setting ACME_TOKEN, ACME_URL. by acme@addons.heroku.com`,
    );
    expect(descriptions()).toHaveLength(released + 1);
  });

  test('is undone when the partner says later that it can not be had', async () => {
    await register();
    partner.next.push(() => ({ status: 202, body: { id: 'x' } }));
    const { body } = await create();
    const [call] = partner.of('POST');
    if (call === undefined) throw new Error('nobody asked');
    const { callback_url: url } = call.body as { callback_url: string };
    const token = await tokenFor(call);
    expect(await callback('POST', `${url}/actions/deprovision`, token)).toMatchObject({
      status: 200,
      body: { state: 'deprovisioned' },
    });
    expect((await api.get('/apps/demo/addons')).body).toEqual([]);
    expect(descriptions().at(-1)).toContain(`Detach ACME (@ref:${String(body.name)})`);
    expect(await callback('GET', url, token)).toMatchObject({ status: 401 });
    await api.partners.resources.idle();
    expect(partner.of('DELETE')).toEqual([]);
  });

  test('does not fail when the partner tells before it answers', async () => {
    await register();
    partner.next.push(async (call) => {
      const { callback_url: url } = call.body as { callback_url: string };
      const token = await tokenFor(call);
      const config = [{ name: 'ACME_URL', value: 'early' }];
      expect(await callback('PATCH', `${url}/config`, token, { config })).toMatchObject({ status: 200 });
      expect(await callback('POST', `${url}/actions/provision`, token)).toMatchObject({ status: 200 });
      return { status: 202, body: { id: 'theirs' } };
    });
    expect(await create()).toMatchObject({ status: 201, body: { state: 'provisioned' } });
    expect(await vars()).toEqual({ ACME_URL: 'early' });
  });

  test('is given up after some attempts, with the reason', async () => {
    const impatient = await TestApi.start({
      addonPatienceMs: 1,
      partnerDelayMs: (attempts) => 20 * attempts,
    });
    try {
      impatient.anApp('demo');
      await impatient.post('/dynodock/partner-services', { manifest: partner.manifest() });
      partner.always = ({ method }) => ({ status: method === 'DELETE' ? 204 : 500 });
      const { body } = await impatient.post('/apps/demo/addons', { plan: 'acme' });
      expect(body).toMatchObject({ state: 'provisioning' });
      const failed = await until(async () => {
        const answer = await impatient.get(`/apps/demo/addons/${String(body.name)}`);
        return answer.body.state === 'deprovisioned' && answer;
      });
      expect(failed.status).toBe(200);
      await until(() => partner.of('DELETE').length === 1);
      expect(partner.of('POST')).toHaveLength(5);
      expect(impatient.store.addons.findFailed(String(body.name))?.failure).toBe(
        'its provider answered with status 500',
      );
    } finally {
      await impatient.stop();
    }
  });
});

describe('an add-on of a partner', () => {
  let addon: { id: string; name: string };
  let token: string;
  beforeEach(async () => {
    await register();
    addon = (await create({ name: 'demo-acme' })).body as typeof addon;
    const [call] = partner.of('POST');
    if (call === undefined) throw new Error('nobody asked');
    token = await tokenFor(call);
  });

  test('gets another plan once the partner agrees', async () => {
    const answer = await api.patch('/apps/demo/addons/demo-acme', { plan: { name: 'acme:pro' } });
    expect(answer).toMatchObject({
      status: 200,
      body: { plan: { name: 'acme:pro' }, provision_message: 'On pro now' },
    });
    expect(partner.of('PUT')).toMatchObject([
      { path: `/heroku/resources/${addon.id}`, body: { plan: 'pro' } },
    ]);
    expect(partner.of('PUT')[0]?.body).toEqual({ plan: 'pro' });
    expect(await vars()).toMatchObject({ ACME_URL: 'https://pro.acme.example/' });
    expect(descriptions().at(-1)).toBe('Update ACME (@ref:demo-acme) by a@b.example');
  });

  test('keeps its plan where the partner does not agree', async () => {
    const before = descriptions();
    partner.next.push(() => ({ status: 422, body: { message: 'Not from basic.' } }));
    expect(await api.patch('/apps/demo/addons/demo-acme', { plan: 'acme:pro' })).toMatchObject({
      status: 422,
      body: { message: 'Not from basic.' },
    });
    partner.next.push(
      () => ({ status: 500 }),
      () => ({ status: 500 }),
      () => ({ status: 502 }),
    );
    expect(await api.patch('/apps/demo/addons/demo-acme', { plan: 'acme:pro' })).toMatchObject({
      status: 503,
      body: { message: 'The plan of demo-acme could not be changed: its provider answered with status 502.' },
    });
    // Nobody knows what became of it there: it is told the old one.
    await until(() => partner.of('PUT').length === 5);
    expect(partner.of('PUT').at(-1)?.body).toEqual({ plan: 'basic' });
    await api.partners.resources.idle();
    expect((await api.get('/addons/demo-acme')).body).toMatchObject({ plan: { name: 'acme:basic' } });
    expect(descriptions().slice(before.length)).toEqual([
      'Update ACME (@ref:demo-acme) by acme@addons.heroku.com',
    ]);
  });

  test('is renamed, attached elsewhere and detached like any other', async () => {
    api.anApp('other');
    expect(
      await api.post('/addon-attachments', { addon: 'demo-acme', app: 'other', name: 'THINGS' }),
    ).toMatchObject({ status: 201 });
    expect(await vars('other')).toEqual({
      THINGS_URL: `https://acme.example/${addon.id}`,
      THINGS_TOKEN: `token of ${addon.id}`,
    });
    expect(await api.patch('/apps/demo/addons/demo-acme', { name: 'renamed' })).toMatchObject({
      status: 200,
    });
    const second = await create();
    expect(second.body.config_vars).toEqual([
      expect.stringMatching(/^ACME_[A-Z]+_TOKEN$/),
      expect.stringMatching(/^ACME_[A-Z]+_URL$/),
    ]);
  });

  test('is destroyed with its partner', async () => {
    expect(await api.delete('/apps/demo/addons/demo-acme')).toMatchObject({
      status: 200,
      body: { state: 'deprovisioned' },
    });
    expect(partner.of('DELETE')).toMatchObject([{ path: `/heroku/resources/${addon.id}` }]);
    expect(partner.resources.size).toBe(0);
    expect(await vars()).toEqual({});
    expect((await api.get('/dynodock/addons/deleted')).body).toEqual([]);
    expect(await callback('GET', `/addons/${addon.id}`, token)).toMatchObject({ status: 401 });
  });

  test('stays deprovisioning until the partner has acknowledged it', async () => {
    partner.next.push(() => ({ status: 500 }));
    partner.always = () => ({ status: 422, body: { message: 'Not now.' } });
    expect(await api.delete('/apps/demo/addons/demo-acme')).toMatchObject({
      status: 200,
      body: { state: 'deprovisioning' },
    });
    expect(await vars()).toEqual({});
    await until(async () => {
      const [status] = (await api.get('/dynodock/addons')).body as { problem: string }[];
      return status?.problem === 'Not now.';
    });
    partner.always = undefined;
    await until(async () => (await api.get('/addons/demo-acme')).status === 404);
    expect(partner.resources.size).toBe(0);
  });

  test('is deprovisioned in the background where the partner takes its time', async () => {
    partner.next.push(() => ({ status: 202 }));
    expect(await api.delete('/apps/demo/addons/demo-acme')).toMatchObject({
      body: { state: 'deprovisioning' },
    });
    expect(await api.delete('/apps/demo/addons/demo-acme')).toMatchObject({
      body: { state: 'deprovisioning' },
    });
    expect(await callback('POST', `/addons/${addon.id}/actions/deprovision`, token)).toMatchObject({
      status: 200,
    });
    expect(await api.get('/addons/demo-acme')).toMatchObject({ status: 404 });
    expect(partner.of('DELETE')).toHaveLength(1);
  });

  test('goes with its app', async () => {
    expect(await api.delete('/apps/demo')).toMatchObject({ status: 200 });
    await until(() => partner.resources.size === 0);
  });

  test('gets other config vars from its partner, and the app a release', async () => {
    const config = [{ name: 'ACME_TOKEN', value: 'rotated' }];
    const answer = await callback('PATCH', `/addons/${addon.id}/config`, token, { config });
    expect(answer.status).toBe(200);
    (answer.body as unknown[]).forEach((item) => expectToMatchSchema('add-on-config', item));
    expect(answer.body).toContainEqual({ name: 'ACME_TOKEN', value: 'rotated' });
    expect(await vars()).toEqual({ ACME_URL: `https://acme.example/${addon.id}`, ACME_TOKEN: 'rotated' });
    expect(descriptions().at(-1)).toBe('Update ACME (@ref:demo-acme) by acme@addons.heroku.com');
    const removed = { config: [{ name: 'ACME_TOKEN', value: null }] };
    expect(await callback('PATCH', `/addons/${addon.id}/config`, token, removed)).toMatchObject({
      status: 200,
    });
    await api.patch('/apps/demo/config-vars', { ACME_TOKEN: 'by hand' });
    for (const [bad, message] of [
      [{ config: [{ name: 'DATABASE_URL', value: 'x' }] }, 'not in the manifest'],
      [{ config: 'x' }, 'must be an array'],
      [{ config: [{ name: 'ACME_URL', value: 1 }] }, 'must be an array'],
      [{ config }, 'config vars of its own named ACME_TOKEN'],
    ] as const) {
      const refused = await callback('PATCH', `/addons/${addon.id}/config`, token, bad);
      expect(refused).toMatchObject({ status: 422, body: { id: 'invalid_params' } });
      expect(refused.body.message).toContain(message);
    }
  });

  test('is all that its token opens', async () => {
    const other = (await create()).body as { id: string };
    expect(await callback('GET', '/addons/demo-acme', token)).toMatchObject({
      status: 200,
      body: { name: 'demo-acme', web_url: null },
    });
    expect(await callback('GET', '/apps/demo', token)).toMatchObject({
      status: 200,
      body: { owner: { email: 'a@b.example' } },
    });
    expect(await callback('GET', `/addons/${addon.id}/addon-attachments`, token)).toMatchObject({
      body: [{ name: 'ACME', web_url: null }],
    });
    expect(await callback('GET', `/addons/${other.id}`, token)).toMatchObject({ status: 404 });
    api.anApp('secret');
    expect(await callback('GET', '/apps/secret', token)).toMatchObject({ status: 404 });
    for (const [method, target] of [
      ['GET', '/apps'],
      ['GET', '/apps/demo/config-vars'],
      ['DELETE', '/apps/demo'],
      ['GET', '/account'],
    ] as const) {
      expect(await callback(method, target, token)).toMatchObject({ status: 403, body: { id: 'forbidden' } });
    }
    expect(await callback('POST', `/addons/${addon.id}/actions/deprovision`, token)).toMatchObject({
      status: 422,
    });
    // And the user can not speak for the partner.
    expect(await api.patch(`/addons/${addon.id}/config`, { config: [] })).toMatchObject({ status: 403 });
    expect(await api.post(`/addons/${addon.id}/actions/provision`)).toMatchObject({ status: 403 });
  });

  test('has grants that are good once, and tokens that can be renewed', async () => {
    const { code } = (partner.of('POST')[0]?.body as { oauth_grant: { code: string } }).oauth_grant;
    const grant = { grant_type: 'authorization_code', code, client_secret: clientSecret };
    expect(await exchange(grant)).toMatchObject({ status: 401, body: { id: 'unauthorized' } });
    await create();
    const second = (partner.of('POST')[1]?.body as { oauth_grant: { code: string } }).oauth_grant.code;
    expect(await exchange({ ...grant, code: second, client_secret: 'wrong' })).toMatchObject({ status: 401 });
    const issued = await api.request('POST', '/oauth/tokens', {
      anonymous: true,
      body: {
        grant: { type: 'authorization_code', code: second },
        client: { secret: clientSecret },
        refresh_token: {},
      },
    });
    expect(issued.status).toBe(201);
    expectToMatchSchema('oauth-token', issued.body);
    const refresh = issued.body.refresh_token.token as string;
    const renewed = await exchange({
      grant_type: 'refresh_token',
      refresh_token: refresh,
      client_secret: clientSecret,
    });
    expect(renewed).toMatchObject({ status: 200, body: { token_type: 'Bearer', refresh_token: refresh } });
    const old = issued.body.access_token.token as string;
    expect(await callback('GET', '/addons/x', old)).toMatchObject({ status: 401 });
    expect(await exchange({ grant_type: 'password' })).toMatchObject({ status: 422 });
  });

  test('writes to the log of its apps', async () => {
    const url = new URL((partner.of('POST')[0]?.body as { log_input_url: string }).log_input_url);
    const send = (body: string, password = url.password): Promise<Answer> =>
      api.request('POST', url.pathname, {
        headers: {
          'Content-Type': 'application/logplex-1',
          Authorization: `Basic ${Buffer.from(`${url.username}:${password}`).toString('base64')}`,
        },
        body,
      });
    const frame = (line: string): string => `${Buffer.byteLength(line)} ${line}`;
    const body =
      frame('<134>1 2026-01-02T03:04:05+00:00 host heroku acme - sample#things=3\n') +
      frame('<134>1 2026-01-02T03:04:05+00:00 host app - - [x@1 a="b"] größer');
    expect(await send(body)).toMatchObject({ status: 204 });
    const texts = api.logplex.history(app.id, {}, 10).map(({ line }) => `${line.process}: ${line.text}`);
    expect(texts.slice(-2)).toEqual(['acme: sample#things=3', 'acme: größer']);
    expect(await send('12 nonsense')).toMatchObject({ status: 422 });
    expect(await send(body, 't.wrong')).toMatchObject({ status: 401 });
  });

  test('opens its partner’s page, signed on', async () => {
    const { web_url: link } = (await api.get('/addons/demo-acme')).body as { web_url: string };
    const browser = new PageClient(link, api.server.port);
    expect(await browser.get()).toMatchObject({ status: 403 });
    await browser.open();
    const { status, text, headers } = await browser.get();
    expect(status).toBe(200);
    expect(text).toContain(`<form method="post" action="${partner.origin}/sso/login">`);
    expect(headers['content-security-policy']).toContain("script-src 'sha256-");
    const fields = Object.fromEntries(
      [...text.matchAll(/name="([\w-]+)" value="([^"]*)"/g)].map(([, name = '', value = '']) => [
        name,
        value,
      ]),
    );
    const sent = await fetch(`${partner.origin}/sso/login`, {
      method: 'POST',
      body: new URLSearchParams(fields),
    });
    expect(await sent.text()).toContain('Welcome to Acme');
    const { body } = await api.get('/apps/demo/addons/demo-acme/sso', {
      Accept: 'application/vnd.heroku+json; version=3.sdk',
    });
    expect(body).toMatchObject({
      method: 'post',
      action: `${partner.origin}/sso/login`,
      params: { app: 'demo', context_app: 'demo', email: 'a@b.example', resource_id: addon.id },
    });
    expect(partner.isSignedOn(new URLSearchParams(body.params as Record<string, string>))).toBe(true);
  });
});

describe('version 1', () => {
  const legacy = (): string =>
    partner.manifest({ version: '1', test: partner.origin, sso: undefined, config_vars: ['ACME_URL'] });
  const vendor = (
    method: string,
    target: string,
    body?: unknown,
    password = 'partner-password',
  ): Promise<Answer> =>
    api.request(method, new URL(target, api.url).pathname, {
      body,
      headers: { Authorization: `Basic ${Buffer.from(`acme:${password}`).toString('base64')}` },
    });

  test('is spoken as kensa does', async () => {
    await register(legacy());
    partner.always = ({ method }) =>
      method === 'POST' ? { body: { id: 123, config: { ACME_URL: 'http://one/' } } } : { body: {} };
    const { body } = await create({ name: 'old' });
    expect(body).toMatchObject({ state: 'provisioned', provider_id: '123' });
    const herokuId = `${String(body.id)}@heroku.com`;
    const callbackUrl = `http://localhost:5050/vendor/apps/${encodeURIComponent(herokuId)}`;
    expect(partner.calls[0]).toMatchObject({
      path: '/heroku/resources',
      headers: { accept: 'application/json' },
      body: { heroku_id: herokuId, plan: 'basic', callback_url: callbackUrl, options: {} },
    });
    expect(partner.calls[0]?.body).not.toHaveProperty('oauth_grant');
    await api.patch('/apps/demo/addons/old', { plan: 'acme:pro' });
    expect(partner.calls[1]).toMatchObject({
      method: 'PUT',
      path: '/heroku/resources/123',
      body: { plan: 'pro', heroku_id: herokuId },
    });
    expect(await vendor('GET', callbackUrl)).toMatchObject({
      status: 200,
      body: { name: 'demo', config: { ACME_URL: 'http://one/' }, owner_email: 'a@b.example' },
    });
    expect((await vendor('GET', '/vendor/apps')).body).toMatchObject([{ provider_id: '123', plan: 'pro' }]);
    expect(await vendor('GET', '/vendor/apps', undefined, 'wrong')).toMatchObject({ status: 401 });
    expect(await vendor('PUT', callbackUrl, { config: { ACME_URL: 'http://two/' } })).toMatchObject({
      status: 200,
    });
    expect(await vars()).toEqual({ ACME_URL: 'http://two/' });
    const sso = (await api.get('/apps/demo/addons/old/sso')).body as { method: string; action: string };
    expect(sso.method).toBe('get');
    expect(sso.action).toContain(`${partner.origin}/heroku/resources/123?id=123&timestamp=`);
    await api.delete('/apps/demo/addons/old');
    expect(partner.calls.at(-1)).toMatchObject({ method: 'DELETE', path: '/heroku/resources/123' });
  });

  test('ends what is provisioned in the background by setting its config', async () => {
    await register(legacy());
    partner.always = () => ({ status: 202, body: { id: 5 } });
    const { body } = await create();
    expect(body.state).toBe('provisioning');
    const url = (partner.calls[0]?.body as { callback_url: string }).callback_url;
    expect(await vendor('PUT', url, { config: { ACME_URL: 'http://late/' } })).toMatchObject({ status: 200 });
    expect(await vars()).toEqual({ ACME_URL: 'http://late/' });
  });
});
