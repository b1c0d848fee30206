import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { readKeyPair } from '../../../src/platform/sni-endpoints/key-pair-reader';
import { makeCertificate, RSA, type TestCertificate } from '../../support/certificates';

let root: TestCertificate;
let intermediate: TestCertificate;
let leaf: TestCertificate;
beforeAll(async () => {
  root = await makeCertificate({ subject: 'C=DE, O=Test, CN=Root', authority: true });
  intermediate = await makeCertificate({ subject: 'CN=Intermediate', authority: true, issuer: root });
  leaf = await makeCertificate({
    names: ['www.example.com', '*.Example.com'],
    issuer: intermediate,
    notBefore: new Date('2026-01-01T00:00:00Z'),
    notAfter: new Date('2026-03-01T00:00:00Z'),
  });
});

const subjectsOf = (chain: string): string[] =>
  chain
    .split(/(?<=-----END CERTIFICATE-----\n)/)
    .filter((block) => block !== '')
    .map((block) => new X509Certificate(block).subject.replaceAll('\n', ' '));

describe('readKeyPair', () => {
  test('says what the certificate says', () => {
    const { certificate } = readKeyPair(leaf.cert, leaf.key);
    expect(certificate).toEqual({
      domains: ['www.example.com', '*.example.com'],
      startsAt: new Date('2026-01-01T00:00:00Z'),
      expiresAt: new Date('2026-03-01T00:00:00Z'),
      issuer: '/CN=Intermediate',
      subject: '/CN=www.example.com',
      selfSigned: false,
      caSigned: false,
    });
  });

  test('puts a chain in the order that TLS wants, without repetitions', () => {
    const scrambled = [root, leaf, intermediate, leaf].map(({ cert }) => cert).join('\n');
    const { keyPair } = readKeyPair(scrambled, leaf.key);
    expect(subjectsOf(keyPair.certificateChain)).toEqual([
      'CN=www.example.com',
      'CN=Intermediate',
      'C=DE O=Test CN=Root',
    ]);
  });

  test('takes certificates and nothing else from the chain file, a key in it least of all', () => {
    const { keyPair } = readKeyPair(`Bag Attributes\n${leaf.key}${leaf.cert}trailing`, leaf.key);
    expect(keyPair.certificateChain).toBe(leaf.cert);
  });

  test('takes the common name of a certificate without alternative names', async () => {
    const old = await makeCertificate({ subject: 'O=Me, CN=old.example.com' });
    expect(readKeyPair(old.cert, old.key).certificate).toMatchObject({
      domains: ['old.example.com'],
      selfSigned: true,
      subject: '/O=Me/CN=old.example.com',
      issuer: '/O=Me/CN=old.example.com',
    });
  });

  test('knows what ends in a root that everybody trusts, whether that is part of the chain or not', () => {
    const trusted = (chain: string, roots?: string[]): boolean =>
      readKeyPair(chain, leaf.key, roots).certificate.caSigned;
    const bundle = [...rootCertificates, root.cert];
    expect(trusted(leaf.cert + intermediate.cert, bundle)).toBe(true);
    expect(trusted(leaf.cert + intermediate.cert + root.cert, bundle)).toBe(true);
    expect(trusted(leaf.cert + intermediate.cert + root.cert)).toBe(false);
    // A gap between them.
    expect(trusted(leaf.cert, bundle)).toBe(false);
  });

  test.each(['RSA 2048', 'RSA 1024', 'P-384', 'P-521'])(
    'judges a key of %s by what TLS serves',
    async (kind) => {
      const algorithm = kind.startsWith('RSA')
        ? { ...RSA, modulusLength: Number(kind.slice(4)) }
        : { name: 'ECDSA', namedCurve: kind };
      const made = await makeCertificate({ names: ['a.example'], algorithm });
      const read = (): unknown => readKeyPair(made.cert, made.key).certificate.domains;
      if (kind === 'RSA 1024') expect(read).toThrow('An RSA key needs 2048 bits, and this one has 1024.');
      else expect(read()).toEqual(['a.example']);
    },
  );

  test('says what is wrong with a certificate', () => {
    const broken = leaf.cert.replace(/\n[A-Za-z0-9+/]{10}/, '\nAAAAAAAAAA');
    expect(() => readKeyPair('', leaf.key)).toThrow('holds no certificate in PEM form');
    expect(() => readKeyPair(broken, leaf.key)).toThrow('Certificate 1 of certificate_chain cannot be read.');
    expect(() => readKeyPair(leaf.cert.repeat(11), leaf.key)).toThrow('at most 10 fit');
    expect(() => readKeyPair(leaf.cert + root.cert, leaf.key)).toThrow(
      'The chain is broken: the certificate of /C=DE/O=Test/CN=Root did not sign any other of it.',
    );
  });

  test('says what is wrong with a key, without showing any of it', () => {
    const secret = 'TOPSECRETKEYMATERIAL';
    const encrypted = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: secret },
    }).privateKey;
    const ed25519 = generateKeyPairSync('ed25519').privateKey.export({
      type: 'pkcs8',
      format: 'pem',
    }) as string;
    const odd = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey;
    const cases: [key: string, message: string][] = [
      ['', 'holds no private key in PEM form'],
      [`-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----`, 'holds no private key'],
      [root.key, 'The private key does not belong to the certificate.'],
      [encrypted, 'protected by a passphrase'],
      [ed25519, 'Keys of type ed25519 cannot be served'],
      [odd.export({ type: 'sec1', format: 'pem' }) as string, 'Keys of type ec (secp256k1) cannot be served'],
    ];
    for (const [key, message] of cases) {
      let error: unknown;
      try {
        readKeyPair(leaf.cert, key);
      } catch (caught) {
        error = caught;
      }
      expect(error).toMatchObject({ id: 'invalid_params', message: expect.stringContaining(message) });
      expect((error as Error).stack).not.toContain(secret);
      expect((error as Error).cause).toBeUndefined();
    }
  });

  test('refuses what OpenSSL does not serve', async () => {
    const weak = await makeCertificate({ names: ['a.example'], issuer: root, hash: 'SHA-1' });
    expect(() => readKeyPair(weak.cert, weak.key)).toThrow(
      'The certificate cannot be served: ca md too weak.',
    );
  });

  test('refuses one that names no domain', async () => {
    const nobody = await makeCertificate({ subject: 'CN=Some Body' });
    expect(() => readKeyPair(nobody.cert, nobody.key)).toThrow('The certificate names no domain.');
    const odd = await makeCertificate({ names: ['a b, DNS:www.bank.example'] });
    expect(() => readKeyPair(odd.cert, odd.key)).toThrow('The certificate names no domain.');
  });
});
