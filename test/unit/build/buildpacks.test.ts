import { detectableBuildpacks, resolveBuildpack, type BuildpackCatalog } from '../../../src/build/buildpacks';
import { BuildFailure } from '../../../src/build/build-failure';

const catalog: BuildpackCatalog = {
  bundled: new Map([
    ['heroku/procfile', '/bp/procfile'],
    ['heroku/nodejs', '/bp/nodejs'],
    ['heroku/ruby', '/bp/ruby'],
    ['heroku/static', '/bp/static'],
    ['heroku/go', '/bp/go'],
  ]),
  allowLocal: false,
};

describe('resolveBuildpack', () => {
  test.each([
    'heroku/nodejs',
    'urn:buildpack:heroku/nodejs',
    'https://github.com/heroku/heroku-buildpack-nodejs',
    'https://github.com/heroku/heroku-buildpack-nodejs.git',
    'https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku/nodejs.tgz',
  ])('knows %s as the bundled one', (text) => {
    expect(resolveBuildpack(text, catalog)).toEqual({
      kind: 'directory',
      name: 'heroku/nodejs',
      directory: '/bp/nodejs',
      bundled: true,
    });
  });

  test.each([
    ['heroku/python', { kind: 'git', url: 'https://github.com/heroku/heroku-buildpack-python.git', ref: '' }],
    [
      'heroku-community/nginx',
      {
        kind: 'archive',
        url: 'https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku-community/nginx.tgz',
      },
    ],
    ['https://example.com/a/b.git#v1.2', { kind: 'git', url: 'https://example.com/a/b.git', ref: 'v1.2' }],
    ['https://example.com/a/b', { kind: 'git', url: 'https://example.com/a/b', ref: '' }],
  ])('finds %s elsewhere', (text, expected) => {
    expect(resolveBuildpack(text, catalog)).toEqual({ ...expected, name: text });
  });

  // A fixed version is not what is bundled.
  test('fetches an official one of which a version is wanted', () => {
    expect(resolveBuildpack('https://github.com/heroku/heroku-buildpack-nodejs#v200', catalog).kind).toBe(
      'git',
    );
  });

  test('keeps credentials for fetching and out of the name', () => {
    expect(resolveBuildpack('https://me:secret@example.com/b.git', catalog)).toMatchObject({
      name: 'https://example.com/b.git',
      url: 'https://example.com/b.git',
      credentials: 'me:secret',
    });
    expect(resolveBuildpack('https://a%40b:p%3Aq@example.com/b.tgz', catalog)).toMatchObject({
      name: 'https://example.com/b.tgz',
      credentials: 'a@b:p:q',
    });
  });

  test('keeps keys in a query out of the name', () => {
    expect(resolveBuildpack('https://example.com/b.tar.gz?key=secret', catalog)).toEqual({
      kind: 'archive',
      name: 'https://example.com/b.tar.gz?…',
      url: 'https://example.com/b.tar.gz?key=secret',
    });
  });

  test.each([
    ['file:///etc', /not enabled/],
    ['ssh://git@example.com/x', /not supported/],
    ['no url', /no URL/],
    ['https://example.com/x.git#a..b', /no git reference/],
    ['https://example.com/x.git#%', /no git reference/],
    ['https://example.com/x.git#--upload-pack=evil', /no git reference/],
    ['https://example.com/x.git#a%1fb', /no git reference/],
  ])('refuses %s', (text, reason) => {
    expect(() => resolveBuildpack(text, catalog)).toThrow(reason);
    expect(() => resolveBuildpack(text, catalog)).toThrow(BuildFailure);
  });

  test('takes folders of this machine where that is enabled', () => {
    const local = { ...catalog, allowLocal: true };
    expect(resolveBuildpack('file:///srv/my%20pack', local)).toEqual({
      kind: 'directory',
      name: 'file:///srv/my%20pack',
      directory: '/srv/my pack',
      bundled: false,
    });
    expect(resolveBuildpack('file:///srv/pack.tgz', local)).toMatchObject({
      kind: 'file',
      file: '/srv/pack.tgz',
    });
    expect(resolveBuildpack('file:///srv/pack#v1', local)).toMatchObject({
      kind: 'git',
      url: 'file:///srv/pack',
      ref: 'v1',
    });
    expect(() => resolveBuildpack('file://server/pack', local)).toThrow(/three slashes/);
  });
});

test('an app without buildpacks is tried with the languages first, in the order of Heroku, then as static pages', () => {
  expect(detectableBuildpacks(catalog).map(({ name }) => name)).toEqual([
    'heroku/ruby',
    'heroku/nodejs',
    'heroku/go',
    'heroku/static',
    'heroku/procfile',
  ]);
});
