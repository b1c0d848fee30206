import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

const BUILDPACKS = path.join(__dirname, '../../../buildpacks');

// A buildpack is copied into the build alone, so that it can't share a file with another.
test.each(['output.sh', 'config-vars.sh'])('lib/%s is the same in all buildpacks that have it', (name) => {
  const having = ['go', 'java', 'php', 'static'];
  const contents = having.map((buildpack) =>
    readFileSync(path.join(BUILDPACKS, buildpack, 'lib', name), 'utf8'),
  );
  expect(new Set(contents).size).toBe(1);
});

test('every bundled buildpack has its scripts and says what it does', () => {
  for (const buildpack of readdirSync(BUILDPACKS)) {
    expect(readdirSync(path.join(BUILDPACKS, buildpack))).toContain('README.md');
    expect(readdirSync(path.join(BUILDPACKS, buildpack, 'bin'))).toEqual(
      expect.arrayContaining(['compile', 'detect', 'release']),
    );
  }
});
