import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Config } from '../../../src/daemon/config';
import { copyTrustBundle } from '../../../src/daemon/engine-setup';
import { Paths } from '../../../src/daemon/paths';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'dynodock-trust-'));
  mkdirSync(path.join(folder, 'trust'));
  mkdirSync(path.join(folder, 'tls'));
  writeFileSync(path.join(folder, 'host.pem'), 'host');
});
afterEach(() => rmSync(folder, { recursive: true }));

const copy = (caBundle: string | null): string | undefined =>
  copyTrustBundle({ caBundle } as Config, new Paths(folder));

test('dynos trust what the host trusts and, once there is one, the local CA', () => {
  const bundle = copy(path.join(folder, 'host.pem'));
  expect(readFileSync(bundle ?? '', 'utf8')).toBe('host\n');
  writeFileSync(path.join(folder, 'tls', 'ca.pem'), 'local\n');
  expect(copy(path.join(folder, 'host.pem'))).toBe(bundle);
  expect(readFileSync(bundle ?? '', 'utf8')).toBe('host\nlocal\n');
});

test('without a bundle of the host there is none', () => {
  expect(copy(null)).toBeUndefined();
});
