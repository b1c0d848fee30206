import 'reflect-metadata'; // wanted by @peculiar/x509, before it
import { randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const DAY_MS = 24 * 60 * 60 * 1000;
const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: 'SHA-256',
} as const;

/** A certificate with its key, as a user or a CA has it. */
export interface TestCertificate {
  /** PEM, without those of its issuers. */
  cert: string;
  /** PEM. */
  key: string;
  certificate: x509.X509Certificate;
  keys: webcrypto.CryptoKeyPair;
}

export interface CertificateWishes {
  /** Alternative names; none = a certificate of the old kind, with a common name only. */
  names?: string[];
  /** Default `CN=<first name>` */
  subject?: string;
  /** Default: itself. */
  issuer?: TestCertificate;
  authority?: boolean;
  notBefore?: Date;
  notAfter?: Date;
  /** Of the signature. */
  hash?: string;
  algorithm?: webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams;
}

export async function makeCertificate(wishes: CertificateWishes): Promise<TestCertificate> {
  const { names = [], issuer, authority = false } = wishes;
  const algorithm = wishes.algorithm ?? ECDSA;
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const subject = wishes.subject ?? `CN=${names[0] ?? 'nobody'}`;
  const signingKeys = issuer?.keys ?? keys;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: `00${randomBytes(8).toString('hex')}`,
    subject,
    issuer: issuer?.certificate.subject ?? subject,
    notBefore: wishes.notBefore ?? new Date(Date.now() - DAY_MS),
    notAfter: wishes.notAfter ?? new Date(Date.now() + 90 * DAY_MS),
    signingAlgorithm: { ...signingKeys.privateKey.algorithm, hash: wishes.hash ?? 'SHA-256' } as never,
    publicKey: keys.publicKey as never,
    signingKey: signingKeys.privateKey as never,
    extensions: [
      new x509.BasicConstraintsExtension(authority, undefined, true),
      ...(names.length === 0
        ? []
        : [new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value })))]),
    ],
  });
  const der = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    cert: `${certificate.toString('pem')}\n`,
    key: `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n`,
    certificate,
    keys,
  };
}
