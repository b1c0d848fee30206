import { once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { App } from '../../../src/domain/app';
import { EngineError } from '../../../src/engine/engine';
import { ArchiveError } from '../../../src/build/tar-tree';
import { TestApi, type Answer } from '../../support/api';
import { FakeClock } from '../../support/fake-clock';
import { expectToMatchSchema } from '../../support/schema';

const MAX = 1024 * 1024;
const HOUR = 3_600_000;

describe('archives', () => {
  let api: TestApi;
  let app: App;
  let clock: FakeClock;
  let adopt: () => Promise<{ checksum: string; size: number; image: string }>;
  let adopted: string[];

  beforeEach(async () => {
    clock = new FakeClock(new Date());
    adopted = [];
    adopt = async () => ({ checksum: `SHA256:${'a'.repeat(64)}`, size: 7, image: 'slug:elsewhere' });
    api = await TestApi.start({
      clock,
      maxBlobBytes: MAX,
      slugImages: {
        adopt: (_slug, file) => {
          adopted.push(file);
          return adopt();
        },
        copy: async () => 'slug:copy',
        archivePath: (appId, slugId) => path.join(api.outputDir, 'slugs', appId, `${slugId}.tgz`),
      },
    });
    app = api.anApp();
  });
  afterEach(async () => {
    expect(api.errors).toEqual([]);
    await api.stop();
  });

  const put = (url: string, body: string): Promise<Answer> =>
    api.request('PUT', url, { body, anonymous: true });
  const get = (url: string): Promise<Answer> => api.request('GET', url, { anonymous: true });

  async function aSource(target = '/sources'): Promise<{ put_url: string; get_url: string }> {
    const { status, body } = await api.post(target);
    expect(status).toBe(201);
    expectToMatchSchema('source', body);
    return (body as { source_blob: { put_url: string; get_url: string } }).source_blob;
  }

  function stored(folder: string): string[] {
    const directory = path.join(api.outputDir, folder);
    return existsSync(directory)
      ? readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('.tgz'))
      : [];
  }

  describe('of source code', () => {
    test('are uploaded and fetched without a token, and the last upload counts', async () => {
      for (const target of ['/sources', '/apps/demo/sources']) {
        const { put_url: putUrl, get_url: getUrl } = await aSource(target);
        expect(putUrl.startsWith(`${api.url}/`)).toBe(true);
        expect(await get(getUrl)).toMatchObject({ status: 404, body: { id: 'not_found' } });
        expect((await put(putUrl, 'first')).status).toBe(200);
        expect((await put(putUrl, 'second')).status).toBe(200);
        expect(await get(getUrl)).toMatchObject({ status: 200, text: 'second' });
        const head = await api.request('HEAD', getUrl, { anonymous: true });
        expect([head.status, head.headers.get('content-length')]).toEqual([200, '6']);
      }
    });

    test('need a URL that is good for what is done with it, and still good', async () => {
      const { put_url: putUrl, get_url: getUrl } = await aSource();
      for (const url of [
        getUrl,
        putUrl.replace(/signature=./, 'signature=x'),
        putUrl.replace(/expires=\d+/, 'expires=9999999999'),
      ]) {
        expect(await put(url, 'x')).toMatchObject({ status: 403, body: { id: 'forbidden' } });
      }
      expect(await get(putUrl)).toMatchObject({ status: 403 });
      await clock.advance(24 * HOUR);
      expect(await put(putUrl, 'x')).toMatchObject({
        status: 403,
        body: { message: expect.stringContaining('expired') },
      });
      expect(stored('sources')).toEqual([]);
    });

    test('are bounded, and the client reads why', async () => {
      const { put_url: putUrl, get_url: getUrl } = await aSource();
      await put(putUrl, 'before');
      const announced = await put(putUrl, 'x'.repeat(MAX + 1));
      expect(announced).toMatchObject({ status: 413, body: { id: 'payload_too_large' } });
      expect(announced.body.message).toContain('at most 1M are taken');
      const chunked = await fetch(putUrl, {
        method: 'PUT',
        body: new Blob(['x'.repeat(MAX + 1)]).stream(),
        duplex: 'half',
      });
      expect(chunked.status).toBe(413);
      expect((await get(getUrl)).text).toBe('before');
      expect(stored('sources')).toHaveLength(1);
    });

    test('that are broken off leave nothing', async () => {
      const { put_url: putUrl } = await aSource();
      const { pathname, search, port } = new URL(putUrl);
      const socket = connect(Number(port), '127.0.0.1');
      socket.write(
        `PUT ${pathname}${search} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf`,
      );
      while (stored('sources').length === 0) await delay(5);
      socket.destroy();
      await once(socket, 'close');
      while (stored('sources').length > 0) await delay(5);
    });

    test('that are old or half done are gone after a start', async () => {
      const { put_url: putUrl, get_url: getUrl } = await aSource();
      await put(putUrl, 'x');
      await api.services.sources.start();
      expect((await get(getUrl)).status).toBe(200);
      await clock.advance(24 * HOUR + 60_000);
      await api.services.sources.start();
      expect(stored('sources')).toEqual([]);
    });
  });

  describe('of slugs', () => {
    const NEW = { process_types: { web: 'node web.js' } };

    async function aSlug(body: object = NEW): Promise<{ id: string; blob: { method: string; url: string } }> {
      const answer = await api.post('/apps/demo/slugs', body);
      expect(answer).toMatchObject({ status: 201, body: { blob: { method: 'PUT' } } });
      expectToMatchSchema('slug', answer.body);
      return answer.body as Awaited<ReturnType<typeof aSlug>>;
    }

    test('are announced, uploaded and released, and scale web to 1', async () => {
      const checksum = `SHA256:${'a'.repeat(64)}`;
      const more = { commit: '60883d9e8947a57e', checksum, buildpack_provided_description: 'Ruby' };
      const slug = await aSlug({ ...NEW, ...more });
      expect((await put(slug.blob.url, 'archive')).status).toBe(200);
      const before = await api.get(`/apps/demo/slugs/${slug.id}`);
      expectToMatchSchema('slug', before.body);
      expect(before.body).toMatchObject({ ...NEW, ...more, size: 7, blob: { method: 'GET' } });
      expect((await get(before.body.blob.url)).text).toBe('archive');

      const release = await api.post('/apps/demo/releases', { slug: slug.id });
      expect(release).toMatchObject({
        status: 201,
        body: { version: 3, description: 'Deploy 60883d9e', slug: { id: slug.id } },
      });
      expectToMatchSchema('release', release.body);
      expect(adopted).toHaveLength(1);
      expect(stored('uploads')).toEqual([]);
      expect((await api.get('/apps/demo/formation/web')).body).toMatchObject({ quantity: 1 });
      expect(api.store.slugs.get(slug.id as never)).toMatchObject({
        image: 'slug:elsewhere',
        uploaded: true,
      });
      expect(await put(slug.blob.url, 'another')).toMatchObject({ status: 409, body: { id: 'conflict' } });
      expect(await api.post('/apps/demo/releases', { slug: slug.id })).toMatchObject({
        body: { version: 4 },
      });
      expect(adopted).toHaveLength(1);
    });

    test('share the work when they are released twice at once', async () => {
      const slug = await aSlug();
      await put(slug.blob.url, 'archive');
      const releases = [1, 2].map(() => api.post('/apps/demo/releases', { slug: slug.id }));
      expect((await Promise.all(releases)).map(({ body }) => Number(body.version)).sort()).toEqual([3, 4]);
      expect(adopted).toHaveLength(1);
    });

    test('are not released before they are there, or if something is wrong with them', async () => {
      const slug = await aSlug();
      const release = (): Promise<Answer> => api.post('/apps/demo/releases', { slug: slug.id });
      expect(await release()).toMatchObject({
        status: 422,
        body: { id: 'invalid_params', message: expect.stringContaining('Nothing has been uploaded') },
      });
      await put(slug.blob.url, 'archive');
      adopt = () => Promise.reject(new ArchiveError('it is not gzipped'));
      expect(await release()).toMatchObject({
        status: 422,
        body: { message: "The slug's archive cannot be used: it is not gzipped." },
      });
      adopt = () => Promise.reject(new EngineError('unreachable', 'no answer'));
      expect(await release()).toMatchObject({
        status: 503,
        body: { message: 'The container engine does not answer.' },
      });
      adopt = () => Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' }));
      expect(await release()).toMatchObject({ status: 503, body: { message: 'The disk is full.' } });
      expect(api.store.releases.of(app.id)).toHaveLength(2);
      expect(stored('uploads')).toHaveLength(1);
    });

    test('have to make sense', async () => {
      for (const body of [
        {},
        { process_types: { 'a b': 'x' } },
        { process_types: { web: '' } },
        { process_types: { web: 1 } },
        { ...NEW, checksum: 'md5:1' },
        { ...NEW, stack: 'heroku-18' },
      ]) {
        expect(await api.post('/apps/demo/slugs', body)).toMatchObject({
          status: 422,
          body: { id: 'invalid_params' },
        });
      }
      expect(await api.post('/apps/demo/slugs', { ...NEW, stack: 'container' })).toMatchObject({
        status: 501,
      });
    });

    test('of another app are copied, once', async () => {
      const slug = await aSlug();
      await put(slug.blob.url, 'archive');
      api.anApp('other');
      const first = await api.post('/apps/other/releases', { slug: slug.id, description: 'Promote demo v3' });
      expect(first).toMatchObject({ status: 201, body: { version: 3, description: 'Promote demo v3' } });
      const copy = api.store.slugs.get(first.body.slug.id);
      expect(copy).toMatchObject({ image: 'slug:copy', copiedFrom: slug.id });
      expect((await api.get(`/apps/other/slugs/${slug.id}`)).body.id).toBe(copy?.id);
      await api.delete('/apps/demo');
      expect((await api.get('/apps/other/releases/3')).body).toMatchObject({ slug: { id: copy?.id } });
      expect(await api.post('/apps/other/releases', { slug: slug.id })).toMatchObject({ status: 404 });
    });

    test('that were half uploaded when the daemon ended are gone after a start', async () => {
      const slug = await aSlug();
      await put(slug.blob.url, 'archive');
      const folder = path.join(api.outputDir, 'uploads', app.id);
      writeFileSync(path.join(folder, `${slug.id}.tgz.1.partial`), 'half');
      await api.services.slugs.start();
      expect(stored('uploads')).toEqual([path.join(app.id, `${slug.id}.tgz`)]);
    });

    test('go with their app, even while they are uploaded', async () => {
      const slug = await aSlug();
      await put(slug.blob.url, 'archive');
      await api.delete('/apps/demo');
      expect(stored('uploads')).toEqual([]);
      expect(await put(slug.blob.url, 'archive')).toMatchObject({ status: 404 });
      expect(stored('uploads')).toEqual([]);
    });
  });
});
