import { X509Certificate, createPrivateKey } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { AppCertificates } from '../../../src/daemon/app-certificates';
import { LocalAuthority } from '../../../src/daemon/local-authority';
import { silentLogger } from '../../../src/lib/logger';
import { makeCertificate } from '../../support/certificates';
import { FakeClock } from '../../support/fake-clock';
import { eventually } from '../../support/router-client';

const DAY_MS = 24 * 60 * 60 * 1000;

let dir: string;
let folder: string;
let clock: FakeClock;
let authority: LocalAuthority;
let certificates: AppCertificates;
let issued: number;
beforeEach(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'dynodock-certificates-'));
  folder = path.join(dir, 'apps');
  clock = new FakeClock();
  authority = await LocalAuthority.open(dir, clock.now());
  issued = 0;
  certificates = start();
});
afterEach(async () => {
  await certificates.stop();
  rmSync(dir, { recursive: true });
});

function start(): AppCertificates {
  const started = new AppCertificates({
    folder,
    authority,
    clock,
    logger: silentLogger,
    onIssued: () => (issued += 1),
  });
  started.start();
  return started;
}

/** As the daemon gets it: null first, and another table once it is there. */
async function issue(host: string): Promise<string> {
  const before = issued;
  certificates.forHost(host);
  await eventually(() => issued > before, `a certificate for ${host}`);
  return certificates.forHost(host) ?? '';
}

const read = (id: string): string => readFileSync(path.join(folder, `${id}.pem`), 'utf8');
const parse = (id: string): X509Certificate => new X509Certificate(read(id));

describe('AppCertificates', () => {
  test('issues one per host, once, and says when it is there', async () => {
    expect(certificates.forHost('demo.localhost')).toBeNull();
    expect(certificates.forHost('demo.localhost')).toBeNull();
    expect(certificates.forHost('*.example.com')).toBeNull();
    await eventually(() => issued > 0, 'certificates');
    expect(issued).toBe(1);
    const id = certificates.forHost('demo.localhost') ?? '';
    const certificate = parse(id);
    expect(certificate.subjectAltName).toBe('DNS:demo.localhost');
    expect(authority.hasIssued(certificate)).toBe(true);
    expect(certificate.checkPrivateKey(createPrivateKey(read(id)))).toBe(true);
    expect(certificate.checkHost('demo.localhost')).toBe('demo.localhost');
    expect(parse(certificates.forHost('*.example.com') ?? '').checkHost('a.example.com')).toBe(
      '*.example.com',
    );
    expect(readdirSync(folder)).toHaveLength(2);
  });

  test('are what clients take: ECDSA, for servers, for at most 397 days', async () => {
    const certificate = parse(await issue('demo.localhost'));
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(certificate.ca).toBe(false);
    const [from, to] = [new Date(certificate.validFrom).getTime(), new Date(certificate.validTo).getTime()];
    expect((to - from) / DAY_MS).toBe(397);
    expect(from).toBeLessThan(clock.now().getTime());
    expect(certificate.serialNumber).not.toMatch(/^[-89A-F]/);
  });

  test('names of any length are issued, and the default one is good for addresses', async () => {
    const long = `${'a'.repeat(60)}.${'b'.repeat(60)}.example`;
    const certificate = parse(await issue(long));
    expect(certificate.checkHost(long)).toBe(long);
    expect(certificate.subject).toBe('CN=dynodock app');
    const byDefault = parse(await issue('localhost'));
    expect(byDefault.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(byDefault.checkIP('::1')).toBe('::1');
    expect(byDefault.publicKey.asymmetricKeyType).toBe('rsa');
  });

  test('keeps keys from everybody else', async () => {
    const id = await issue('demo.localhost');
    expect(statSync(path.join(folder, `${id}.pem`)).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  test('replaces one in time, and serves it until then', async () => {
    const first = await issue('demo.localhost');
    await clock.advance(365 * DAY_MS);
    expect(certificates.forHost('demo.localhost')).toBe(first);
    expect(issued).toBe(1);
    await clock.advance(2 * DAY_MS);
    expect(certificates.forHost('demo.localhost')).toBe(first);
    await eventually(() => issued === 2, 'the renewed certificate');
    const second = certificates.forHost('demo.localhost') ?? '';
    expect(second).not.toBe(first);
    expect(new Date(parse(second).validTo).getTime()).toBeGreaterThan(clock.now().getTime() + 390 * DAY_MS);
  });

  test('has them still after a restart, the newest of each host', async () => {
    const first = await issue('demo.localhost');
    await clock.advance(370 * DAY_MS);
    const second = await issue('demo.localhost');
    expect(existsSync(path.join(folder, `${first}.pem`))).toBe(true);
    await certificates.stop();
    certificates = start();
    expect(certificates.forHost('demo.localhost')).toBe(second);
    expect(issued).toBe(2);
  });

  test('issues anew under a new CA', async () => {
    const before = await issue('demo.localhost');
    await certificates.stop();
    rmSync(path.join(dir, 'ca.pem'));
    authority = await LocalAuthority.open(dir, clock.now());
    certificates = start();
    expect(certificates.forHost('demo.localhost')).toBeNull();
    const after = await issue('demo.localhost');
    expect(after).not.toBe(before);
    expect(authority.hasIssued(parse(after))).toBe(true);
  });

  test("writes a user's own once, key and chain in one file", async () => {
    const { cert, key } = await makeCertificate({ names: ['www.example.com'] });
    let reads = 0;
    const ask = (): string | null =>
      certificates.forChain(cert, () => {
        reads += 1;
        return { certificateChain: cert, privateKey: key };
      });
    const id = ask();
    expect(ask()).toBe(id);
    expect(reads).toBe(1);
    expect(read(id ?? '')).toBe(key + cert);
    await certificates.stop();
    certificates = start();
    expect(ask()).toBe(id);
    expect(reads).toBe(1);
    // It is no certificate of this CA, whatever name it bears.
    expect(certificates.forHost('www.example.com')).toBeNull();
  });

  test('goes on without a file that cannot be written', async () => {
    rmSync(folder, { recursive: true });
    const { cert, key } = await makeCertificate({ names: ['www.example.com'] });
    expect(certificates.forChain(cert, () => ({ certificateChain: cert, privateKey: key }))).toBeNull();
    expect(certificates.forHost('demo.localhost')).toBeNull();
    await certificates.stop();
    expect(issued).toBe(0);
    certificates = start();
    expect(await issue('demo.localhost')).toMatch(/^[0-9a-f]{64}$/);
  });

  test('removes what no table names, but only the second time', async () => {
    const kept = await issue('demo.localhost');
    const gone = await issue('gone.localhost');
    certificates.sweep(new Set([kept]));
    expect(readdirSync(folder)).toHaveLength(2);
    // Named again in between.
    certificates.sweep(new Set([kept, gone]));
    certificates.sweep(new Set([kept]));
    expect(readdirSync(folder)).toHaveLength(2);
    certificates.sweep(new Set([kept]));
    expect(readdirSync(folder)).toEqual([`${kept}.pem`]);
    expect(certificates.forHost('demo.localhost')).toBe(kept);
    expect(await issue('gone.localhost')).not.toBe(gone);
  });

  test('removes files that are none, and half ones of a killed daemon', async () => {
    const id = await issue('demo.localhost');
    await certificates.stop();
    writeFileSync(path.join(folder, `${'0'.repeat(64)}.pem`), 'not a certificate');
    writeFileSync(path.join(folder, `${'1'.repeat(64)}.pem.new`), 'half');
    certificates = start();
    expect(readdirSync(folder)).toEqual([`${id}.pem`]);
  });
});
