import { imageProblem } from '../../../src/dyno-manager/addon-image-problem';
import { EngineError } from '../../../src/engine/engine';

const failed = (output: string): Error =>
  new Error(
    `The image dynodock/addon-redis:1 could not be built: its provision.sh ended with status 1.\n${output}`,
  );

// Outputs of apt 2.6.
test.each<[string, unknown, string]>([
  [
    'a mirror whose name is not known',
    failed(`Installing Redis
Err:1 http://deb.debian.org/debian bookworm InRelease
  Could not resolve 'deb.debian.org'
Reading package lists...
E: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease  Could not resolve 'deb.debian.org'
E: Some index files failed to download. They have been ignored, or old ones used instead.
Failed: apt-get update --error-on=any`),
    "Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease: Could not resolve 'deb.debian.org'",
  ],
  [
    'a proxy that is not there',
    failed(
      'E: Failed to fetch http://deb.debian.org/debian/dists/bookworm-updates/InRelease  Unable to connect to 127.0.0.1:9:\n',
    ),
    'Failed to fetch http://deb.debian.org/debian/dists/bookworm-updates/InRelease: Unable to connect to 127.0.0.1:9',
  ],
  [
    'a package that is not there',
    failed('Reading package lists...\nE: Unable to locate package redis-server\nFailed: apt-get install'),
    'Unable to locate package redis-server',
  ],
  [
    'a disk that is full, inside',
    failed('dpkg: error: cannot copy to /usr/bin/x: No space left on device'),
    'there is no space left on the disk',
  ],
  [
    'a disk that is full, says the engine',
    new EngineError('no_space', 'write /var/lib/docker/tmp/x: no space left on device'),
    'there is no space left on the disk',
  ],
  [
    'a registry that can not be reached',
    new EngineError('other', 'dial tcp: lookup registry-1.docker.io: no such host\nmore'),
    'dial tcp: lookup registry-1.docker.io: no such host',
  ],
  ['a cause', new Error('x', { cause: failed('E: Broken packages') }), 'Broken packages'],
])('%s is told', (_what, error, expected) => {
  expect(imageProblem(error)).toBe(`its image could not be made: ${expected}`);
});

test('anything else is for the log', () => {
  expect(imageProblem(failed('Segmentation fault'))).toBe(
    'its image could not be made; the log of dynodock says why',
  );
});
