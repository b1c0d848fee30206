import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { tgzOf, type ArchiveEntry } from '../support/archives';
import type { TestFiles } from '../support/git-repository';
import { eventually, TestPlatform } from '../support/platform';
import { packageJson, sampleApp } from '../support/sample-app';

jest.setTimeout(240_000);

const platform = new TestPlatform();
const served = new Map<string, Buffer>();
const web = http.createServer((request, response) => {
  const body = served.get(request.url ?? '');
  if (body === undefined) response.writeHead(404).end();
  else response.end(body);
});
let origin: string;

beforeAll(async () => {
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
  await platform.start();
}, 240_000);
afterAll(async () => {
  web.closeAllConnections();
  await new Promise((resolve) => web.close(resolve));
  await platform.destroy();
}, 120_000);

interface BuildAnswer {
  id: string;
  status: string;
  output_stream_url: string;
  release: { id: string } | null;
  slug: { id: string } | null;
  buildpacks: { name: string }[];
}

async function call<T>(method: string, target: string, body?: unknown, status?: number): Promise<T> {
  const answer = await platform.api(method, target, body);
  if (status !== undefined) expect({ body: answer.body, status: answer.status }).toMatchObject({ status });
  return answer.body;
}

function entriesOf(files: TestFiles, folder: string): Record<string, ArchiveEntry> {
  return Object.fromEntries(
    Object.entries(files).map(([name, file]) => [`${folder}${name}`, typeof file === 'string' ? file : {}]),
  );
}

function sha256(bytes: Buffer): string {
  return `SHA256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** As `heroku builds:output` does: reads the stream to its end. */
async function outputOf(build: BuildAnswer): Promise<string> {
  return (await (await fetch(build.output_stream_url)).text()).replaceAll('\0', '');
}

async function buildOf(app: string, blob: unknown, more: object = {}): Promise<BuildAnswer> {
  return call('POST', `/apps/${app}/builds`, { source_blob: blob, ...more }, 201);
}

async function finished(app: string, build: BuildAnswer): Promise<BuildAnswer & { output: string }> {
  const output = await outputOf(build);
  // The row is closed before the output ends.
  return { ...(await call<BuildAnswer>('GET', `/apps/${app}/builds/${build.id}`)), output };
}

function page(app: string, text: string): Promise<unknown> {
  return eventually(`${app} to say ${text}`, async () => (await platform.visit(app)).body === text, 60_000);
}

test('an archive on the web becomes an app, as code hosts pack it', async () => {
  const archive = await tgzOf({
    ...entriesOf(sampleApp('from the web'), 'sample-1a2b3c/'),
    'sample-1a2b3c/.git/config': 'x',
  });
  served.set('/v1.tar.gz', archive);
  await call('POST', '/apps', { name: 'webby' }, 201);
  const build = await buildOf('webby', {
    url: `${origin}/v1.tar.gz`,
    version: 'v1.0.0',
    checksum: sha256(archive),
  });
  expect(build).toMatchObject({ status: 'pending', release: null, slug: null });
  const done = await finished('webby', build);
  expect(done.output).toContain('-----> Launching...\n       Released v3\n');
  expect(done).toMatchObject({ status: 'succeeded', buildpacks: [{ name: 'heroku/nodejs' }] });
  await page('webby', 'from the web');
  expect(await call('GET', `/apps/webby/releases/${done.release?.id ?? ''}`)).toMatchObject({
    version: 3,
    description: 'Deploy v1.0.0',
    slug: done.slug,
  });
});

test('what is uploaded to /sources becomes an app, as Terraform and `heroku builds:create` do it', async () => {
  await call('POST', '/apps', { name: 'uploaded' }, 201);
  const { source_blob: urls } = await call<{ source_blob: { put_url: string; get_url: string } }>(
    'POST',
    '/sources',
    undefined,
    201,
  );
  const archive = await tgzOf(entriesOf(sampleApp('uploaded'), './'));
  const put = await fetch(urls.put_url, { method: 'PUT', body: new Uint8Array(archive) });
  expect(put.status).toBe(200);
  expect(Buffer.from(await (await fetch(urls.get_url)).arrayBuffer()).equals(archive)).toBe(true);
  const build = await buildOf('uploaded', { url: urls.get_url, version: '' });
  expect(await finished('uploaded', build)).toMatchObject({ status: 'succeeded' });
  await page('uploaded', 'uploaded');
});

test('a failed build says so in the app log, and buildpacks of a build are its own', async () => {
  await call('POST', '/apps', { name: 'failing' }, 201);
  served.set(
    '/evil.tgz',
    await tgzOf([['../../etc/cron.d/x', 'x'], ...Object.entries(sampleApp())] as never),
  );
  const evil = await finished('failing', await buildOf('failing', { url: `${origin}/evil.tgz` }));
  expect(evil.status).toBe('failed');
  expect(evil.output).toContain(
    ' !     The source archive cannot be used: its entry ../../etc/cron.d/x leads out of it.\n',
  );
  const link = await tgzOf([
    ['package.json', packageJson({})],
    ['out', { symlink: '/tmp/dynodock' }],
    ['out/runner.sh', 'echo overwritten'],
  ]);
  served.set('/link.tgz', link);
  const behind = await finished('failing', await buildOf('failing', { url: `${origin}/link.tgz` }));
  expect(behind.output).toContain('its entry out/runner.sh lies behind the symbolic link out.');
  const wrong = await finished(
    'failing',
    await buildOf('failing', { url: `${origin}/link.tgz`, checksum: `SHA256:${'0'.repeat(64)}` }),
  );
  expect(wrong.output).toContain(`Actual: ${sha256(link)}`);
  const missing = await finished(
    'failing',
    await buildOf('failing', { url: `${origin}/none.tgz?token=s3cret` }),
  );
  expect(missing.output).toContain(
    ` !     The source could not be fetched: ${new URL(origin).host} answered with status 404.`,
  );
  expect(missing.output).not.toContain('s3cret');
  served.set('/app.tgz', await tgzOf(entriesOf(sampleApp(), '')));
  const other = await finished(
    'failing',
    await buildOf('failing', { url: `${origin}/app.tgz` }, { buildpacks: [{ name: 'heroku/procfile' }] }),
  );
  expect(other).toMatchObject({ status: 'succeeded', buildpacks: [{ name: 'heroku/procfile' }] });
  expect(await call('GET', '/apps/failing/buildpack-installations')).toEqual([]);
  const logs = await platform.heroku(['logs', '--app', 'failing', '--num', '200']);
  expect(logs.stdout).toContain(
    `Build failed -- check your build output: http://localhost:${platform.apiPort}/apps/`,
  );
});

test('a build is called off with all that it runs, also while another one waits', async () => {
  await call('POST', '/apps', { name: 'slow' }, 201);
  served.set(
    '/slow.tgz',
    await tgzOf(
      entriesOf(
        sampleApp('slow', { 'package.json': packageJson({ build: 'echo begun; sleep 600 & sleep 600' }) }),
        '',
      ),
    ),
  );
  served.set('/fast.tgz', await tgzOf(entriesOf(sampleApp('fast'), '')));
  const slow = await buildOf('slow', { url: `${origin}/slow.tgz` });
  const fast = await buildOf('slow', { url: `${origin}/fast.tgz` });
  await eventually(
    'the container of the build',
    async () => (await platform.containers('build')).length === 1,
    60_000,
  );
  // `heroku builds` and `heroku builds:cancel`, as the plugin calls them.
  const listed = await fetch(`http://127.0.0.1:${platform.apiPort}/apps/slow/builds`, {
    headers: {
      Authorization: `Bearer ${platform.token}`,
      Accept: 'application/vnd.heroku+json; version=3',
      Range: 'created_at ..; max=10, order=desc',
    },
  });
  expect(((await listed.json()) as BuildAnswer[]).map(({ id }) => id).sort()).toEqual(
    [slow.id, fast.id].sort(),
  );
  const canceled = await fetch(`http://127.0.0.1:${platform.apiPort}/apps/slow/builds/${slow.id}`, {
    method: 'DELETE',
    headers: {
      Authorization: `Bearer ${platform.token}`,
      Accept: 'application/vnd.heroku+json; version=3.cancel-build',
    },
  });
  expect(canceled.status).toBe(200);
  expect(await canceled.json()).toMatchObject({ id: slow.id, status: 'failed' });
  expect(await outputOf(slow)).toContain(' !     The build was canceled.\n');
  expect(await finished('slow', fast)).toMatchObject({ status: 'succeeded' });
  await page('slow', 'fast');
  expect(await platform.containers('build')).toEqual([]);
  expect(await call('DELETE', `/apps/slow/builds/${slow.id}`, undefined, 422)).toMatchObject({
    message: `Can only cancel pending builds. Build ${slow.id} has status 'failed'.`,
  });
  await call('DELETE', '/apps/slow/build-cache', undefined, 202);
});

test('a slug that was made elsewhere is shipped, shared with another app, and outlives the first', async () => {
  await call('POST', '/apps', { name: 'shipped' }, 201);
  await call('POST', '/apps', { name: 'receiver' }, 201);
  // As if from another installation.
  const [release] = (await call<{ slug: { id: string } | null }[]>('GET', '/apps/webby/releases')).slice(-1);
  const built = await call<{ blob: { url: string } }>('GET', `/apps/webby/slugs/${release?.slug?.id ?? ''}`);
  const archive = Buffer.from(await (await fetch(built.blob.url)).arrayBuffer());
  const slug = await call<{ id: string; blob: { method: string; url: string } }>(
    'POST',
    '/apps/shipped/slugs',
    { process_types: { web: 'node server.js' }, checksum: sha256(archive), commit: '60883d9e8947a57e' },
    201,
  );
  expect(slug.blob.method).toBe('PUT');
  expect(await call('POST', '/apps/shipped/releases', { slug: slug.id }, 422)).toMatchObject({
    id: 'invalid_params',
  });
  expect((await fetch(slug.blob.url, { method: 'PUT', body: new Uint8Array(archive) })).status).toBe(200);
  expect(await call('POST', '/apps/shipped/releases', { slug: slug.id }, 201)).toMatchObject({
    version: 3,
    description: 'Deploy 60883d9e',
    slug: { id: slug.id },
  });
  await page('shipped', 'from the web');
  expect(await call('POST', '/apps/receiver/releases', { slug: slug.id }, 201)).toMatchObject({ version: 3 });
  await call('DELETE', '/apps/shipped', undefined, 200);
  await page('receiver', 'from the web');
  const info = await call<{ blob: { method: string; url: string }; checksum: string }>(
    'GET',
    `/apps/receiver/slugs/${slug.id}`,
  );
  expect(info).toMatchObject({ checksum: sha256(archive), blob: { method: 'GET' } });
  expect(Buffer.from(await (await fetch(info.blob.url)).arrayBuffer()).equals(archive)).toBe(true);
  expect(await call('POST', '/apps/receiver/dynos', { command: 'true' }, 201)).toBeDefined();
});

test('a build that the daemon does not live to see has failed, says why, and leaves nothing', async () => {
  await call('POST', '/apps', { name: 'orphan' }, 201);
  const build = await buildOf('orphan', { url: `${origin}/slow.tgz` });
  await eventually(
    'the container of the build',
    async () => (await platform.containers('build')).length === 1,
    60_000,
  );
  await delay(500);
  await platform.restartDaemon('SIGKILL');
  const after = await call<BuildAnswer>('GET', `/apps/orphan/builds/${build.id}`);
  expect(after.status).toBe('failed');
  expect(await outputOf(after)).toContain(' !     The daemon was stopped during the build.\n');
  await eventually(
    'its container to go',
    async () => (await platform.containers('build')).length === 0,
    60_000,
  );
  expect(readdirSync(path.join(platform.data, 'work'))).toEqual([]);
});
