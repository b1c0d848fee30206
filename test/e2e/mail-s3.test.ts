import { AwsClient } from 'aws4fetch';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import nodemailer from 'nodemailer';
import { PageClient } from '../support/page-client';
import { eventually, execute, TestPlatform, words, type CommandResult } from '../support/platform';

jest.setTimeout(600_000);

const platform = new TestPlatform();
let vars: Record<string, string> = {};

async function heroku(args: string[]): Promise<CommandResult> {
  const [command = '', ...rest] = args;
  const result = await platform.heroku([command, '--app', 'shop', ...rest], { timeoutMs: 180_000 });
  expect({ args, ...result }).toMatchObject({ exitCode: 0 });
  return result;
}
async function configVars(app = 'shop'): Promise<Record<string, string>> {
  return (await platform.api('GET', `/apps/${app}/config-vars`)).body;
}
/** Ids of containers of these add-ons that run. */
async function containers(...names: string[]): Promise<string[]> {
  const ids = await Promise.all(
    names.map((name) =>
      execute('docker', ['ps', '--quiet', '--filter', `label=dynodock.add-on-name=${name}`]),
    ),
  );
  return ids.map(({ stdout }) => stdout.trim());
}

/** Of the add-on's page and of its list for programs. */
async function inbox(path: string, init: RequestInit = {}): Promise<Response> {
  const { MAILGUN_INBOX_URL = '', MAILGUN_SMTP_LOGIN = '', MAILGUN_SMTP_PASSWORD = '' } = vars;
  const login = Buffer.from(`${MAILGUN_SMTP_LOGIN}:${MAILGUN_SMTP_PASSWORD}`).toString('base64');
  return fetch(`${MAILGUN_INBOX_URL}${path}`, {
    redirect: 'manual',
    ...init,
    headers: { authorization: `Basic ${login}`, ...(init.headers as Record<string, string>) },
  });
}
interface Message {
  id: number;
  subject: string;
  from: string;
  envelope: { to: string[] };
  attachments: { filename: string; size: number }[];
}
async function messages(query = ''): Promise<Message[]> {
  return ((await (await inbox(`/messages${query}`)).json()) as { messages: Message[] }).messages;
}
type Transport = ReturnType<typeof smtp>;
function smtp(options: { password?: string; auth?: undefined; requireTLS?: boolean } = {}) {
  const {
    MAILGUN_SMTP_SERVER = '',
    MAILGUN_SMTP_PORT,
    MAILGUN_SMTP_LOGIN = '',
    MAILGUN_SMTP_PASSWORD = '',
  } = vars;
  return nodemailer.createTransport({
    host: MAILGUN_SMTP_SERVER,
    port: Number(MAILGUN_SMTP_PORT),
    auth: { user: MAILGUN_SMTP_LOGIN, pass: options.password ?? MAILGUN_SMTP_PASSWORD },
    tls: { rejectUnauthorized: false },
    ...options,
  });
}
async function refusal(transport: Transport, text = 'x'): Promise<number | undefined> {
  const sent = transport.sendMail({ from: 'a@example.com', to: 'b@example.com', text });
  return sent.then(
    () => undefined,
    (error: unknown) => (error as { responseCode?: number }).responseCode ?? 0,
  );
}

function bucket(secretAccessKey = vars.BUCKETEER_AWS_SECRET_ACCESS_KEY ?? ''): AwsClient {
  const { BUCKETEER_AWS_ACCESS_KEY_ID: accessKeyId = '', BUCKETEER_AWS_REGION: region = '' } = vars;
  return new AwsClient({ accessKeyId, secretAccessKey, region, service: 's3', retries: 0 });
}
function objectUrl(key: string): string {
  return `${vars.BUCKETEER_ENDPOINT_URL}/${vars.BUCKETEER_BUCKET_NAME}/${key}`;
}
async function put(key: string, body: string): Promise<boolean> {
  return bucket()
    .fetch(objectUrl(key), { method: 'PUT', body })
    .then(
      ({ ok }) => ok,
      () => false,
    );
}
async function errorCode(response: Response): Promise<string> {
  return `${response.status} ${/<Code>(\w+)<\/Code>/.exec(await response.text())?.[1] ?? ''}`;
}

beforeAll(async () => {
  await platform.start();
  const images = await platform.dynodock(['images', '--addons', 'mail', 'bucketeer'], {}, 600_000);
  expect(images).toMatchObject({ exitCode: 0 });
  for (const name of ['shop', 'files']) {
    expect(await platform.api('POST', '/apps', { name })).toMatchObject({ status: 201 });
  }
  const created = await Promise.all([
    heroku(['addons:create', 'mailgun:starter', '--name', 'shop-mail', '--wait']),
    heroku(['addons:create', 'bucketeer:hobbyist', '--name', 'shop-files', '--wait']),
  ]);
  expect(created.map(words).join(' ')).toMatch(
    /shop-mail as MAILGUN_DOMAIN, .*shop-files as AWS_ENDPOINT_URL_S3, BUCKETEER_AWS_ACCESS_KEY_ID/,
  );
  const attachment = { app: 'files', addon: 'shop-files' };
  expect(await platform.api('POST', '/addon-attachments', attachment)).toMatchObject({ status: 201 });
  vars = await configVars();
});
afterAll(() => platform.destroy());

test('an example that sends e-mail and one that keeps files run on them as they are', async () => {
  const [mailFolder, filesFolder] = await Promise.all([
    platform.repository('examples/send-mail'),
    platform.repository('examples/s3-files'),
  ]);
  const pushes = await Promise.all([platform.push(mailFolder, 'shop'), platform.push(filesFolder, 'files')]);
  expect(pushes).toMatchObject([{ exitCode: 0 }, { exitCode: 0 }]);

  const sent = await eventually('the app to send', async () => {
    const { status, body } = await platform.visit('shop', '/send?to=ada@example.com&name=Ada');
    return status === 200 && body;
  });
  expect(sent).toMatch(/^250 .*Message queued as 1\n$/);
  const [message] = await messages('?to=ADA@example.com&subject=thank');
  expect(message).toMatchObject({
    subject: 'Thank you, Ada',
    from: `"Shop" <orders@${vars.MAILGUN_DOMAIN}>`,
    envelope: { to: ['ada@example.com'] },
    attachments: [{ filename: 'invoice.csv', size: 23 }],
  });
  expect(await messages('?to=nobody@example.com')).toEqual([]);
  const page = await (await inbox('/')).text();
  expect(page).toContain('<a href="messages/1/view">Thank you, Ada</a>');
  const view = await (await inbox('/messages/1/view')).text();
  expect(view).toContain('your parcel is on its way.');
  expect(await (await inbox('/messages/1/html')).text()).toContain('<h1>Dear Ada,</h1>');
  expect(await (await inbox('/messages/1/attachments/0')).text()).toBe('item,price\nparcel,1.00\n');
  expect(await (await inbox('/messages/1')).json()).toMatchObject({
    text: expect.stringContaining('Dear Ada'),
  });

  const { stdout: link } = await heroku(['addons:open', 'shop-mail', '--show-url']);
  const browser = new PageClient(/http:\S+/.exec(link)?.[0] ?? '', platform.apiPort);
  await browser.open();
  expect((await browser.get()).text).toContain('<a href="messages/1/view">Thank you, Ada</a>');
  expect((await browser.get('/messages/1/view')).text).toContain('<td>orders@');

  const content = randomBytes(6 * 1024 * 1024 + 17);
  const uploaded = await eventually('the app to keep a file', async () => {
    const answer = await platform.request('PUT', 'files', '/files/photo.bin', {
      headers: { 'content-type': 'image/x-test', 'content-length': String(content.length) },
      body: content,
    });
    return answer.status === 200 && answer.body;
  });
  // Of two parts.
  expect(uploaded).toMatch(/^"[0-9a-f]{32}-2"\n$/);
  expect(await platform.visit('files')).toMatchObject({
    body: `${JSON.stringify([{ key: 'files/photo.bin', size: content.length }])}\n`,
  });
  const range = await platform.visit('files', '/files/photo.bin', { range: 'bytes=5242870-5242889' });
  expect(range).toMatchObject({
    status: 206,
    headers: { 'content-type': 'image/x-test', 'content-length': '20' },
  });
  const signed = (await platform.visit('files', '/links/photo.bin')).body.trim();
  const linked = Buffer.from(await (await fetch(signed)).arrayBuffer());
  expect(linked.equals(content)).toBe(true);
  expect((await fetch(signed.replace('photo.bin', 'other.bin'))).status).toBe(403);
  expect(vars.AWS_ENDPOINT_URL_S3).toBe(vars.BUCKETEER_ENDPOINT_URL);
});

test('a bucket serves nobody without a signature that holds', async () => {
  expect(await put('secret.txt', 'secret')).toBe(true);
  expect(await errorCode(await fetch(objectUrl('secret.txt')))).toBe('403 AccessDenied');
  expect(await errorCode(await fetch(objectUrl('secret.txt'), { method: 'PUT', body: 'x' }))).toBe(
    '403 AccessDenied',
  );
  expect(await errorCode(await fetch(objectUrl('none')))).toBe('403 AccessDenied');
  expect(await errorCode(await bucket('wrong').fetch(objectUrl('secret.txt')))).toBe(
    '403 SignatureDoesNotMatch',
  );
  const signed = await bucket().sign(objectUrl('secret.txt'), {
    method: 'PUT',
    body: 'x',
    headers: { 'x-amz-content-sha256': '0'.repeat(64) },
  });
  expect(await errorCode(await fetch(signed))).toBe('400 XAmzContentSHA256Mismatch');
  const read = await bucket().fetch(objectUrl('secret.txt'));
  expect([await read.text(), read.headers.get('etag')]).toEqual([
    'secret',
    '"5ebe2294ecd0e0f08eab7690d2a6ee69"',
  ]);
  // What Bucketeer's buckets show to everybody.
  expect(await put('public/logo.txt', 'logo')).toBe(true);
  expect(await (await fetch(objectUrl('public/logo.txt'))).text()).toBe('logo');
  expect(await errorCode(await bucket().fetch(`${objectUrl('')}?policy`))).toBe('501 NotImplemented');
});

test('a bucket is reached by its own host name too', async () => {
  const { BUCKETEER_ENDPOINT_URL = '', BUCKETEER_BUCKET_NAME = '' } = vars;
  const { port, hostname } = new URL(BUCKETEER_ENDPOINT_URL);
  const host = `${BUCKETEER_BUCKET_NAME}.s3.localhost`;
  const { headers } = await bucket().sign(`http://${host}/secret.txt`);
  const body = await new Promise<string>((resolve, reject) => {
    http
      .get(
        { host: hostname, port, path: '/secret.txt', headers: { ...Object.fromEntries(headers), host } },
        (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => (text += chunk.toString()));
          response.on('end', () => resolve(text));
        },
      )
      .on('error', reject);
  });
  expect(body).toBe('secret');
});

test('the catcher takes mail from whoever has the password, over TLS if wanted, up to its size', async () => {
  await smtp({ requireTLS: true }).sendMail({
    from: 'a@example.com',
    to: ['b@example.com', 'c@example.com'],
    subject: 'TLS',
    text: 'x',
  });
  expect((await messages())[0]).toMatchObject({
    subject: 'TLS',
    envelope: { to: ['b@example.com', 'c@example.com'] },
  });
  expect(await refusal(smtp({ password: 'wrong' }))).toBe(535);
  expect(await refusal(smtp({ auth: undefined }))).toBe(530);
  expect(await refusal(smtp(), 'x'.repeat(11 * 1024 * 1024))).toBe(552);
  expect((await fetch(vars.MAILGUN_INBOX_URL ?? '')).status).toBe(401);
  expect(
    (await inbox('/messages', { method: 'DELETE', headers: { 'sec-fetch-site': 'cross-site' } })).status,
  ).toBe(403);
});

test('mail that means harm is shown without it', async () => {
  await smtp().sendMail({
    from: '"<script>alert(1)</script>" <evil@example.com>',
    to: 'b@example.com',
    subject: '<img src=x onerror=alert(1)>',
    html: `<style>p { color: red } </style><script>alert(1)</script><meta http-equiv="refresh" content="0;url=https://evil.example"><base href="https://evil.example/"><p onclick="alert(1)">harmless</p><a href="javascript:alert(1)">link</a><img src="https://evil.example/pixel.png"><iframe src="https://evil.example"></iframe><form action="https://evil.example"><input name="p"></form><svg onload="alert(1)"></svg>`,
    attachments: [
      { filename: '../../<b>.html', content: '<script>alert(1)</script>', contentType: 'text/html' },
    ],
  });
  const [{ id } = { id: 0 }] = await messages();
  const shown = await inbox(`/messages/${id}/html`);
  const html = await shown.text();
  expect(html).toMatch(/<p>harmless<\/p>/);
  expect(html).toContain('p { color: red }');
  expect(html).not.toMatch(/script|onclick|onload|evil\.example|<meta http|<base|<iframe|<form|<input|<svg/);
  const policy = shown.headers.get('content-security-policy');
  expect(policy).toMatch(/^sandbox (?!.*allow-(scripts|same-origin|forms)).*default-src 'none'/);
  const view = await (await inbox(`/messages/${id}/view`)).text();
  expect(view).toContain('&lt;img src=x onerror=alert(1)&gt;');
  expect(view).not.toMatch(/<script|<img/);
  const attachment = await inbox(`/messages/${id}/attachments/0`);
  expect(attachment.headers.get('content-type')).toBe('application/octet-stream');
  expect(attachment.headers.get('content-disposition')).toMatch(/^attachment; filename\*=UTF-8''[^/\\]+$/);
  expect((await inbox(`/messages/${id}/raw`)).headers.get('x-content-type-options')).toBe('nosniff');
});

test('killed, both come back with all that they had acknowledged', async () => {
  const before = (await messages('?limit=500')).length;
  const written: string[] = [];
  let mails = 0;
  const writing = Promise.all([
    ...[0, 1, 2].map(async (lane) => {
      for (let n = 0; ; n += 1) {
        const key = `kill/${lane}-${n}`;
        if (await put(key, `${key}!`)) written.push(key);
        else return;
      }
    }),
    (async () => {
      while ((await refusal(smtp())) === undefined) mails += 1;
    })(),
  ]);
  await eventually('some to be written', () => written.length >= 30 && mails >= 5);
  await execute('docker', ['kill', '--signal', 'KILL', ...(await containers('shop-mail', 'shop-files'))]);
  await writing;
  await eventually('both to serve again', async () => {
    const answers = await Promise.all([inbox('/health'), bucket().fetch(objectUrl('secret.txt'))]).catch(
      () => [],
    );
    return answers.length === 2 && answers.every(({ ok }) => ok);
  });
  const kept = await Promise.all(
    written.map(async (key) => (await (await bucket().fetch(objectUrl(key))).text()) === `${key}!`),
  );
  expect(kept.filter(Boolean)).toHaveLength(written.length);
  expect((await messages('?limit=500')).length).toBeGreaterThanOrEqual(before + mails);
});
