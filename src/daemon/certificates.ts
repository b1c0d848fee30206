import 'reflect-metadata'; // wanted by @peculiar/x509, before it
import { randomBytes, webcrypto } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as x509 from '@peculiar/x509';

/** PEM texts for a TLS server. */
export interface ServerCertificate {
  key: string;
  /** With the CA's behind it. */
  cert: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 24 * 60 * 60 * 1000;
const CA_DAYS = 3650;
/** Clients such as Safari refuse server certificates that are valid for longer than 825 days. */
const SERVER_DAYS = 820;
const RENEW_BEFORE_MS = 30 * DAY_MS;

/**
 * The local CA, made at first start, and the certificate of the API port that it signs: git remotes are https,
 * always. Files: `ca.pem` (to be trusted by clients), `ca-key.pem`, `server.pem`, `server-key.pem`.
 */
export async function ensureCertificates(folder: string, now: Date): Promise<ServerCertificate> {
  const file = (name: string): string => path.join(folder, name);
  if (!existsSync(file('ca.pem')) || !existsSync(file('ca-key.pem'))) {
    await createAuthority(file, now);
  }
  if (!isUsable(file('server.pem'), file('server-key.pem'), file('ca.pem'), now)) {
    await createServerCertificate(file, now);
  }
  return {
    key: readFileSync(file('server-key.pem'), 'utf8'),
    cert: readFileSync(file('server.pem'), 'utf8'),
  };
}

type FileNamer = (name: string) => string;

async function createAuthority(file: FileNamer, now: Date): Promise<void> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomBytes(8).toString('hex'),
    name: `CN=dynodock local CA ${randomBytes(3).toString('hex')}`,
    notBefore: new Date(now.getTime() - DAY_MS),
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
  writeSecret(file('ca-key.pem'), await exportKey(keys.privateKey));
  writeSecret(file('ca.pem'), certificate.toString('pem') + '\n');
}

async function createServerCertificate(file: FileNamer, now: Date): Promise<void> {
  const authority = new x509.X509Certificate(readFileSync(file('ca.pem'), 'utf8'));
  const authorityKey = await importKey(readFileSync(file('ca-key.pem'), 'utf8'));
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomBytes(8).toString('hex'),
    subject: 'CN=localhost',
    issuer: authority.subject,
    notBefore: new Date(now.getTime() - DAY_MS),
    notAfter: new Date(now.getTime() + SERVER_DAYS * DAY_MS),
    signingAlgorithm: ALGORITHM,
    publicKey: domKey(keys.publicKey),
    signingKey: domKey(authorityKey),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([
        { type: 'dns', value: 'localhost' },
        { type: 'dns', value: '*.localhost' },
        { type: 'ip', value: '127.0.0.1' },
        { type: 'ip', value: '::1' },
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  writeSecret(file('server-key.pem'), await exportKey(keys.privateKey));
  writeSecret(file('server.pem'), certificate.toString('pem') + '\n' + authority.toString('pem') + '\n');
}

/** The library's typings name the browser's CryptoKey, which is the same thing under another declaration. */
function domKey(key: webcrypto.CryptoKey | webcrypto.CryptoKeyPair): never {
  return key as never;
}

/** Does the server's certificate exist, is it of the present CA, and good for some time yet? */
function isUsable(certificate: string, key: string, authority: string, now: Date): boolean {
  if (!existsSync(certificate) || !existsSync(key)) return false;
  const server = new x509.X509Certificate(readFileSync(certificate, 'utf8'));
  const issuer = new x509.X509Certificate(readFileSync(authority, 'utf8'));
  return server.issuer === issuer.subject && server.notAfter.getTime() - now.getTime() > RENEW_BEFORE_MS;
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key);
  return x509.PemConverter.encode(der, 'PRIVATE KEY') + '\n';
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [der] = x509.PemConverter.decode(pem);
  if (der === undefined) throw new Error('the CA key file holds no key');
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, true, ['sign']);
}

/** Whole or not at all, readable by the owner only. */
function writeSecret(file: string, text: string): void {
  const temporary = `${file}.new`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, file);
}
