import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { BUILT_IN_PROVIDERS } from '../../../src/addons/built-in';
import { parseProviderFile } from '../../../src/addons/provider-file';
import type { AddOnProvider } from '../../../src/addons/provider';
import { html } from '../../../src/api/pages/html';
import { TestApi } from '../../support/api';
import { FakeClock } from '../../support/fake-clock';
import { PageClient } from '../../support/page-client';
import { expectToMatchSchema } from '../../support/schema';

const MINUTE_MS = 60_000;
const catcher = parseProviderFile(
  'catcher.yml',
  `
service: catcher
attachment_name: CATCHER
image: my/catcher
plans: [{ name: small, memory_mb: 64 }]
command: [catcher]
ports: [1025, 8025]
page_port: 8025
health: { argv: ['true'] }
config_vars: { URL: 'smtp://{{host}}:{{port}}' }
`,
);
const withCredentials: AddOnProvider = {
  ...catcher,
  page: { kind: 'served', port: 1, headers: () => ({ Authorization: 'Basic secret' }) },
};

let api: TestApi;
let clock: FakeClock;

beforeEach(async () => {
  clock = new FakeClock();
  api = await TestApi.start({ clock, addonProviders: [...BUILT_IN_PROVIDERS, withCredentials] });
  api.anApp('demo');
});
afterEach(async () => {
  expect(api.errors).toEqual([]);
  await api.stop();
});

interface Created {
  id: string;
  name: string;
  web_url: string;
}

async function anAddOn(plan: string): Promise<Created> {
  const { status, body } = await api.post('/apps/demo/addons', { plan });
  expect(status).toBe(201);
  return body as Created;
}

function clientOf({ web_url: link }: Created): PageClient {
  return new PageClient(link, api.server.port);
}

describe('the way to a page', () => {
  test('is a link in web_url of the add-on and of its attachments, on a host of its own', async () => {
    const addon = await anAddOn('heroku-redis');
    expect(new URL(addon.web_url).host).toBe(`${addon.id}.localhost:${api.server.port}`);
    const shown = (await api.get(`/addons/${addon.id}`)).body as Created;
    expectToMatchSchema('add-on', shown);
    expect(shown.web_url).toBe(addon.web_url);
    const [attachment] = (await api.get('/apps/demo/addon-attachments')).body as Created[];
    expect(attachment!.web_url).toBe(addon.web_url);
  });

  test('leads by a session to what there is to say, without secrets', async () => {
    const addon = await anAddOn('heroku-redis');
    const client = clientOf(addon);
    const opened = await client.open();
    expect(opened).toMatchObject({ status: 303, headers: { location: '/' } });
    expect(opened.headers['set-cookie']).toEqual([
      expect.stringMatching(
        /^dynodock_page=[^;]+; Max-Age=43200; Path=\/; Expires=[^;]+; HttpOnly; SameSite=Strict$/,
      ),
    ]);
    const { status, headers, text } = await client.get();
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': expect.stringMatching(
        /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
      ),
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'referrer-policy': 'same-origin',
    });
    for (const fact of [
      addon.name,
      'heroku-redis:mini',
      'demo',
      'provisioned',
      'REDIS_URL',
      'REDIS_TLS_URL',
    ]) {
      expect(text).toContain(fact);
    }
    expect(text).not.toContain('ssss');
    expect(await client.get('/nope')).toMatchObject({ status: 404 });
  });

  test('is closed without a link: to none, a forged one, and that of another add-on', async () => {
    const addon = await anAddOn('heroku-redis');
    const other = await anAddOn('heroku-redis');
    const link = new URL(addon.web_url);
    for (const forge of [
      (url: URL) => url.searchParams.set('signature', 'f'.repeat(64)),
      (url: URL) => url.searchParams.set('expires', '99999999999'),
      (url: URL) => url.searchParams.delete('signature'),
      (url: URL) => (url.host = new URL(other.web_url).host),
      (url: URL) => (url.host = `${randomUUID()}.localhost:${api.server.port}`),
    ]) {
      const forged = new URL(link);
      forge(forged);
      const client = new PageClient(forged.href, api.server.port);
      expect(await client.open()).toMatchObject({
        status: 403,
        headers: { 'content-type': expect.stringContaining('text/html') },
      });
      expect(client.cookie).toBeUndefined();
      expect(await client.get()).toMatchObject({ status: 403 });
    }
  });

  test('ends: links after minutes, sessions after hours, both with the add-on', async () => {
    const addon = await anAddOn('heroku-redis');
    const client = clientOf(addon);
    await clock.advance(9 * MINUTE_MS);
    expect((await client.open()).status).toBe(303);
    await clock.advance(12 * MINUTE_MS);
    expect((await clientOf(addon).open()).status).toBe(403);
    // Whoever has a session is not bothered by a link that is old.
    expect((await client.open()).status).toBe(303);
    expect((await client.get()).status).toBe(200);
    await clock.advance(12 * 60 * MINUTE_MS);
    expect((await client.get()).status).toBe(403);
    const again = new PageClient(
      ((await api.get(`/addons/${addon.id}`)).body as Created).web_url,
      api.server.port,
    );
    expect((await again.open()).status).toBe(303);
    expect((await again.get()).status).toBe(200);
    await api.delete(`/apps/demo/addons/${addon.id}`);
    expect((await again.get()).status).toBe(404);
  });

  test('is for one add-on: its session opens neither another one nor the API', async () => {
    const client = clientOf(await anAddOn('heroku-redis'));
    await client.open();
    const other = clientOf(await anAddOn('heroku-redis'));
    other.cookie = client.cookie;
    expect((await other.get()).status).toBe(403);
    expect((await client.get('/apps', { Authorization: `Bearer ${api.token}` })).status).toBe(404);
    const answer = await fetch(`${api.url}/apps`, { headers: { Cookie: client.cookie! } });
    expect(answer.status).toBe(401);
  });

  test('takes nothing that does not come from the page', async () => {
    const client = clientOf(await anAddOn('heroku-redis'));
    await client.open();
    expect((await client.post('/', {})).status).toBe(405);
    for (const headers of [
      {},
      { Origin: 'http://evil.example' },
      { Origin: 'null' },
      { Origin: `http://localhost:${api.server.port}` },
      { Origin: `http://${client.host}`, 'Sec-Fetch-Site': 'same-site' },
    ] as Record<string, string>[]) {
      expect(await client.post('/', {}, headers)).toMatchObject({ status: 403 });
    }
  });
});

describe('a page that the add-on’s own server serves', () => {
  let server: http.Server;
  let seen: { method: string; url: string; headers: http.IncomingHttpHeaders; body: string }[];
  let client: PageClient;

  beforeEach(async () => {
    seen = [];
    const addon = await anAddOn('catcher');
    server = http.createServer((req, res) => {
      void (async () => {
        let body = '';
        for await (const chunk of req) body += String(chunk);
        seen.push({ method: req.method!, url: req.url!, headers: req.headers, body });
        res.writeHead(req.method === 'POST' ? 201 : 200, {
          'Content-Type': 'text/html',
          'Content-Security-Policy': "script-src 'none'",
          'Set-Cookie': ['own=1', 'more=2'],
          Connection: 'X-Hop',
          'X-Hop': 'between two',
        });
        res.end('<h1>messages</h1>');
      })();
    });
    const port = api.store.addons.findByName(addon.name)!.backend.port!;
    server.listen(port + 1, '127.0.0.1');
    await once(server, 'listening');
    client = clientOf(addon);
  });
  afterEach(() => void server.close());

  test('is passed through, behind the session, with credentials that the browser does not have', async () => {
    expect((await client.get()).status).toBe(403);
    await client.open();
    const answer = await client.get('/messages/1?part=html', { Cookie: `${client.cookie!}; own=1` });
    expect(answer).toMatchObject({ status: 200, text: '<h1>messages</h1>' });
    expect(answer.headers['content-security-policy']).toMatch(/^script-src 'none', default-src 'self'/);
    expect(answer.headers['set-cookie']).toEqual(['own=1', 'more=2']);
    expect(answer.headers['x-hop']).toBeUndefined();
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ method: 'GET', url: '/messages/1?part=html' });
    expect(seen[0]!.headers).toMatchObject({
      authorization: 'Basic secret',
      cookie: 'own=1',
      host: client.host,
    });
  });

  test('gets what its own forms send, and nobody else’s', async () => {
    await client.open();
    expect((await client.post('/delete', { id: '1' })).status).toBe(201);
    expect((await client.post('/delete', { id: '2' }, { Origin: 'http://evil.example' })).status).toBe(403);
    expect((await client.request('DELETE', '/messages')).status).toBe(403);
    expect(seen.map(({ body }) => body)).toEqual(['id=1']);
  });

  test('is a clear answer while the server is away', async () => {
    await client.open();
    server.close();
    await once(server, 'close');
    const { status, text } = await client.get();
    expect(status).toBe(503);
    expect(text).toContain('Its server does not answer just now.');
  });
});

test('a file of a service can only show a port that it has', () => {
  expect(catcher.page).toEqual({ kind: 'served', port: 1 });
  const file =
    'service: x\nattachment_name: X\nimage: x\nplans: [{ name: a, memory_mb: 8 }]\ncommand: [x]\nports: [1]\n';
  expect(() =>
    parseProviderFile('x.yml', `${file}page_port: 2\nhealth: { argv: [x] }\nconfig_vars: { URL: x }\n`),
  ).toThrow('page_port: 2 is not among the ports');
});

test('templates escape what they are given', () => {
  const evil = `<img src=x onerror="alert('1')">&\``;
  const { text } = html`<p title="${evil}">${[evil, 1, null, false, html`<b>${evil}</b>`]}</p>`;
  expect(text).not.toMatch(/<img|onerror="|'1'|`/);
  expect(text).toContain('&#60;img src=x onerror=&#34;alert(&#39;1&#39;)&#34;&#62;&#38;&#96;');
});
