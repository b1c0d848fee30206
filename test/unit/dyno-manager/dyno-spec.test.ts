import { dynoSpec } from '../../../src/dyno-manager/dyno-spec';
import { parseDynoSize } from '../../../src/domain/dyno-size';
import type { App } from '../../../src/domain/app';
import type { Dyno } from '../../../src/domain/dyno';
import type { AccountId, AppId, DynoId, ReleaseId, SlugId } from '../../../src/domain/ids';
import type { Release } from '../../../src/domain/release';
import type { ProcessImage, Slug } from '../../../src/domain/slug';
import type { ContainerSpec } from '../../../src/engine/engine';

const NOW = new Date('2026-01-02T03:04:05Z');

const image = (name: string, more: Partial<ProcessImage> = {}): ProcessImage => ({
  reference: `dynodock/slug:${name}`,
  id: `sha256:${name}`,
  argv: null,
  runsAsRoot: false,
  ...more,
});

const slug: Slug = {
  id: 'slug' as SlugId,
  appId: 'app' as AppId,
  stack: 'container',
  commit: null,
  commitDescription: null,
  processTypes: { web: 'node web.js', worker: 'node worker.js', release: './migrate' },
  buildpackProvidedDescription: null,
  checksum: '',
  size: 0,
  image: 'dynodock/slug:web',
  images: {
    web: image('web', { runsAsRoot: true }),
    worker: image('worker', { argv: ['/bin/sh', '-c', 'node worker.js'] }),
    release: image('worker', { argv: ['./migrate'] }),
  },
  createdAt: NOW,
  updatedAt: NOW,
};

function specOf(more: Partial<Dyno>, of: Slug = slug): ContainerSpec {
  const app = { id: 'app' as AppId, name: 'boxed' } as App;
  const release: Release = {
    id: 'release' as ReleaseId,
    appId: app.id,
    version: 3,
    description: '',
    status: 'succeeded',
    slugId: of.id,
    command: null,
    configVars: { COLOUR: 'blue' },
    attachmentVars: [],
    addonPlanNames: [],
    user: { id: 'user' as AccountId, email: 'user@example.com' },
    current: true,
    createdAt: NOW,
    updatedAt: NOW,
  };
  const dyno: Dyno = {
    id: 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6' as DynoId,
    appId: app.id,
    releaseId: release.id,
    releaseVersion: 3,
    type: 'web',
    number: 1,
    size: parseDynoSize('basic'),
    command: of.processTypes['web'] ?? '',
    state: 'starting',
    superseded: false,
    port: 5000,
    sandbox: null,
    endpoint: null,
    crashCount: 0,
    nextStartAt: null,
    createdAt: NOW,
    updatedAt: NOW,
    startedAt: null,
    oneOff: null,
    ...more,
  };
  return dynoSpec({ installationId: 'installation', network: 'net', app, dyno, release, slug: of });
}

const oneOff = { attached: true, terminal: null, env: {}, expiresAt: null };

test('a dyno of an image runs what the image says, as nobody in particular where that is root', () => {
  const spec = specOf({});
  expect(spec).toMatchObject({
    image: 'dynodock/slug:web',
    user: expect.stringMatching(/^([2-5]\d{4}):\1$/),
  });
  expect(spec.command).toBeUndefined();
  expect(spec.env).toMatchObject({ PORT: '5000', DYNO: 'web.1', COLOUR: 'blue' });
  expect(spec.env).not.toHaveProperty('HOME');
  expect(specOf({}).user).toBe(spec.user);
});

test('a command of its own takes the place of the image’s, and its user stays', () => {
  const spec = specOf({ type: 'worker', port: null });
  expect(spec).toMatchObject({ image: 'dynodock/slug:worker', command: ['/bin/sh', '-c', 'node worker.js'] });
  expect(spec.user).toBeUndefined();
});

test('the release command runs in its own image, and without a shell if it is written so', () => {
  const spec = specOf({ type: 'release', port: null, oneOff: { ...oneOff, attached: false } });
  expect(spec).toMatchObject({ image: 'dynodock/slug:worker', command: ['./migrate'] });
});

test('a one-off dyno runs in the image of web, or in that of the type that it names, through a shell', () => {
  const spec = specOf({ type: 'run', number: 1234, port: null, command: 'ls -l', oneOff });
  expect(spec).toMatchObject({
    image: 'dynodock/slug:web',
    command: ['/bin/sh', '-c', 'ls -l'],
    openStdin: true,
  });
  const other = specOf({
    type: 'run',
    port: null,
    command: 'ls',
    oneOff: { ...oneOff, processType: 'worker', terminal: { columns: 100, rows: 30 } },
  });
  expect(other.image).toBe('dynodock/slug:worker');
  expect(other.command?.slice(0, 2)).toEqual(['/bin/sh', '-c']);
  expect(other.command?.slice(-3)).toEqual(['ls', '100', '30']);
});

test('a process type without an image is not found', () => {
  expect(() => specOf({ type: 'clock' })).toThrow('no image for clock');
});

test('a slug runs as it always did', () => {
  const plain: Slug = { ...slug, stack: 'heroku-24' };
  delete plain.images;
  const spec = specOf({}, plain);
  expect(spec).toMatchObject({
    image: 'dynodock/slug:web',
    command: ['/usr/local/bin/dyno-launch', 'node web.js'],
    env: { HOME: '/app' },
  });
});
