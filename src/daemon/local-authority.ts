import 'reflect-metadata'; // wanted by @peculiar/x509, before it
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as x509 from '@peculiar/x509';
import type { KeyPair } from '../domain/sni-endpoint';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const RSA_KEY = {
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: 'SHA-256',
} as const;
const DAY_MS = 24 * 60 * 60 * 1000;
const CA_DAYS = 3650;
/** Clocks differ. */
const BACKDATED_MS = DAY_MS;
/** RFC 5280, ub-common-name. */
const MAX_COMMON_NAME = 64;

export interface IssueRequest {
  dnsNames: readonly string[];
  ipAddresses?: readonly string[];
  now: Date;
  /** How long it is valid, the back-dating included. */
  days: number;
  /** Of the new key. Default ECDSA: smaller and faster. */
  keyType?: 'ECDSA' | 'RSA';
}

/**
 * The CA of this installation, made at first start: `ca.pem`, which clients are to trust, and `ca-key.pem`. Only this
 * class reads the key.
 */
export class LocalAuthority {
  readonly #certificate: x509.X509Certificate;
  readonly #key: webcrypto.CryptoKey;
  readonly #parsed: X509Certificate;

  private constructor(certificate: x509.X509Certificate, key: webcrypto.CryptoKey) {
    this.#certificate = certificate;
    this.#key = key;
    this.#parsed = new X509Certificate(certificate.toString('pem'));
  }

  static async open(folder: string, now: Date): Promise<LocalAuthority> {
    const certificateFile = path.join(folder, 'ca.pem');
    const keyFile = path.join(folder, 'ca-key.pem');
    if (!existsSync(certificateFile) || !existsSync(keyFile)) {
      await createAuthority(certificateFile, keyFile, now);
    }
    const certificate = new x509.X509Certificate(readFileSync(certificateFile, 'utf8'));
    return new LocalAuthority(certificate, await importKey(readFileSync(keyFile, 'utf8')));
  }

  /** PEM. */
  get certificate(): string {
    return `${this.#certificate.toString('pem')}\n`;
  }

  /** A new key and a server certificate for it, without the CA's own behind it: clients have that. */
  async issue(request: IssueRequest): Promise<KeyPair> {
    const { dnsNames, ipAddresses = [], now, days, keyType } = request;
    const keys = await (keyType === 'RSA'
      ? webcrypto.subtle.generateKey(RSA_KEY, true, ['sign', 'verify'])
      : webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']));
    const notBefore = now.getTime() - BACKDATED_MS;
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: `CN=${dnsNames.find((name) => name.length <= MAX_COMMON_NAME) ?? 'dynodock app'}`,
      issuer: this.#certificate.subject,
      notBefore: new Date(notBefore),
      notAfter: new Date(notBefore + days * DAY_MS),
      signingAlgorithm: ALGORITHM,
      publicKey: domKey(keys.publicKey),
      signingKey: domKey(this.#key),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension([
          ...dnsNames.map((value) => ({ type: 'dns' as const, value })),
          ...ipAddresses.map((value) => ({ type: 'ip' as const, value })),
        ]),
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate.publicKey),
      ],
    });
    return {
      certificateChain: `${certificate.toString('pem')}\n`,
      privateKey: await exportKey(keys.privateKey),
    };
  }

  /** Of this CA, not of one that was here before. */
  hasIssued(certificate: X509Certificate): boolean {
    return certificate.checkIssued(this.#parsed) && certificate.verify(this.#parsed.publicKey);
  }
}

async function createAuthority(certificateFile: string, keyFile: string, now: Date): Promise<void> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=dynodock local CA ${randomBytes(3).toString('hex')}`,
    notBefore: new Date(now.getTime() - BACKDATED_MS),
    notAfter: new Date(now.getTime() + CA_DAYS * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys: domKey(keys),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(domKey(keys.publicKey)),
    ],
  });
  // The key first: a certificate without a key would be trusted by clients and sign nothing.
  writeSecret(keyFile, await exportKey(keys.privateKey));
  writeSecret(certificateFile, `${certificate.toString('pem')}\n`);
}

/** Positive, and no number of another certificate of this CA (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  return `01${randomBytes(15).toString('hex')}`;
}

/** The library's typings name the browser's CryptoKey, which is the same thing under another declaration. */
function domKey(key: webcrypto.CryptoKey | webcrypto.CryptoKeyPair): never {
  return key as never;
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key);
  return `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n`;
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [der] = x509.PemConverter.decode(pem);
  if (der === undefined) throw new Error('the CA key file holds no key');
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, true, ['sign']);
}

/** Whole or not at all, readable by the owner only. */
export function writeSecret(file: string, text: string): void {
  const temporary = `${file}.new`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, file);
}
