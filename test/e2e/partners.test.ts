import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { PageClient } from '../support/page-client';
import { TestPartner, type PartnerCall } from '../support/partner-server';
import { eventually, TestPlatform, words, type CommandResult } from '../support/platform';

jest.setTimeout(180_000);

const platform = new TestPlatform();
let partner: TestPartner;
let clientSecret: string;

function heroku(...[command = '', ...rest]: string[]): Promise<CommandResult> {
  return platform.heroku([command, '--app', 'shop', ...rest], { timeoutMs: 60_000 });
}
async function output(...args: string[]): Promise<string> {
  const result = await heroku(...args);
  expect({ args, ...result }).toMatchObject({ exitCode: 0 });
  return words(result);
}

beforeAll(async () => {
  partner = await TestPartner.start();
  await platform.start();
  const file = path.join(platform.home, 'addon-manifest.json');
  writeFileSync(file, partner.manifest());
  const [registered, created] = await Promise.all([
    platform.dynodock(['addons:register', file]),
    platform.heroku(['create', 'shop'], { cwd: platform.home }),
  ]);
  expect([registered, created]).toMatchObject([{ exitCode: 0 }, { exitCode: 0 }]);
  expect(words(registered)).toContain('acme is registered: version 3 of the API, test');
  clientSecret = /Client secret.*: (\S+)/.exec(registered.stdout)?.[1] ?? '';
});
afterAll(async () => {
  await platform.destroy();
  await partner.stop();
});

test('a service of a partner is like any other, from creation to destruction', async () => {
  expect(words(await platform.heroku(['addons:plans', 'acme']))).toContain('acme:pro');
  partner.next.push(() => ({ status: 422, body: { message: 'Acme has no blue things.' } }));
  const refused = await heroku('addons:create', 'acme', '--', '--colour=blue');
  expect(refused.exitCode).toBeGreaterThan(0);
  expect(words(refused)).toContain('Acme has no blue things.');

  // It takes its time, and calls back with a token.
  partner.next.push(({ body }) => {
    const call = body as { uuid: string; callback_url: string; oauth_grant: { code: string } };
    partner.resources.set(call.uuid, { plan: 'basic' });
    setTimeout(() => void finish(call), 200);
    return { status: 202, body: { id: call.uuid, message: 'Acme is at work' } };
  });
  const created = await output(
    'addons:create',
    'acme:basic',
    '--name',
    'shop-acme',
    '--wait',
    '--',
    '--colour=red',
  );
  expect(created).toContain('Created shop-acme as ACME_TOKEN, ACME_URL');
  expect(partner.of('POST').at(-1)?.body).toMatchObject({ name: 'shop-acme', options: { colour: 'red' } });
  expect(await output('addons:info', 'shop-acme')).toMatch(/Plan: acme:basic .*State: created/);
  expect(await output('config')).toContain('ACME_TOKEN: from the callback');

  expect(await output('addons:upgrade', 'shop-acme', 'acme:pro')).toContain('On pro now');
  expect(await output('config')).toContain('https://pro.acme.example/');

  const link = (await output('addons:open', 'shop-acme', '--show-url')).trim();
  const browser = new PageClient(link, platform.apiPort);
  await browser.open();
  const { text } = await browser.get();
  const fields = Object.fromEntries(
    [...text.matchAll(/name="([\w-]+)" value="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]),
  );
  const page = await fetch(/action="([^"]+)"/.exec(text)?.[1] ?? '', {
    method: 'POST',
    body: new URLSearchParams(fields),
  });
  expect(await page.text()).toContain('Welcome to Acme');

  expect(await output('addons:destroy', 'shop-acme', '--confirm', 'shop')).toContain('Destroying');
  expect(partner.resources.size).toBe(0);
  expect(await output('config')).not.toContain('ACME');
  const { body } = await platform.api('GET', '/apps/shop/releases');
  expect((body as { description: string }[]).map(({ description }) => description).slice(-4)).toEqual([
    'Attach ACME (@ref:shop-acme)',
    '@ref:shop-acme completed provisioning, setting ACME_TOKEN, ACME_URL.',
    'Update ACME (@ref:shop-acme)',
    'Detach ACME (@ref:shop-acme)',
  ]);
});

test('what was under way when the daemon was killed goes on', async () => {
  partner.next.push(() => ({ status: 500 }));
  partner.always = () => ({ delayMs: 30_000 });
  const creation = platform.api('POST', '/apps/shop/addons', { plan: 'acme', name: 'survivor' });
  creation.catch(() => undefined);
  await eventually(
    'the partner to be asked again',
    async () => partner.of('POST').filter(isSurvivor).length > 1,
  );
  partner.always = undefined;
  await platform.restartDaemon('SIGKILL');
  await eventually('the add-on to be there', async () => {
    const { body } = await platform.api('GET', '/addons/survivor');
    return (body as { state?: string }).state === 'provisioned';
  });
  expect(
    new Set(
      partner
        .of('POST')
        .filter(isSurvivor)
        .map(({ body }) => (body as { uuid: string }).uuid),
    ).size,
  ).toBe(1);
  expect(await output('config')).toContain('ACME_URL: https://acme.example/');
});

function isSurvivor({ body }: PartnerCall): boolean {
  return (body as { name?: string }).name === 'survivor';
}

async function finish(call: { callback_url: string; oauth_grant: { code: string } }): Promise<void> {
  const tokens = await fetch(new URL('/oauth/token', call.callback_url), {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code: call.oauth_grant.code,
      client_secret: clientSecret,
    }),
  });
  const { access_token: token } = (await tokens.json()) as { access_token: string };
  const headers = {
    Authorization: `Bearer ${token}`,
    Accept: 'application/vnd.heroku+json; version=3',
    'Content-Type': 'application/json',
  };
  const config = [
    { name: 'ACME_URL', value: 'https://acme.example/1' },
    { name: 'ACME_TOKEN', value: 'from the callback' },
  ];
  await fetch(`${call.callback_url}/config`, { method: 'PATCH', headers, body: JSON.stringify({ config }) });
  await fetch(`${call.callback_url}/actions/provision`, { method: 'POST', headers });
}
