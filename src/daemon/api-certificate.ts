import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { writeSecret, type LocalAuthority } from './local-authority';

/** PEM texts for a TLS server. */
export interface ServerCertificate {
  key: string;
  /** With the CA's behind it. */
  cert: string;
}

const DAY_MS = 24 * 60 * 60 * 1000;
/** Clients such as Safari refuse server certificates that are valid for longer than 825 days. */
const DAYS = 820;
const RENEW_BEFORE_MS = 30 * DAY_MS;

/** The certificate of the API's port: git remotes are https, always. Files: `server.pem`, `server-key.pem`. */
export async function ensureApiCertificate(
  folder: string,
  authority: LocalAuthority,
  now: Date,
): Promise<ServerCertificate> {
  const files = { cert: path.join(folder, 'server.pem'), key: path.join(folder, 'server-key.pem') };
  if (!isUsable(files, authority, now)) {
    const { certificateChain, privateKey } = await authority.issue({
      dnsNames: ['localhost', '*.localhost'],
      ipAddresses: ['127.0.0.1', '::1'],
      now,
      days: DAYS,
    });
    writeSecret(files.key, privateKey);
    writeSecret(files.cert, certificateChain + authority.certificate);
  }
  return { key: readFileSync(files.key, 'utf8'), cert: readFileSync(files.cert, 'utf8') };
}

/** Does it exist, is it of the present CA, and good for some time yet? */
function isUsable(files: ServerCertificate, authority: LocalAuthority, now: Date): boolean {
  if (!existsSync(files.cert) || !existsSync(files.key)) return false;
  const certificate = new X509Certificate(readFileSync(files.cert, 'utf8'));
  const expiresAt = new Date(certificate.validTo);
  return authority.hasIssued(certificate) && expiresAt.getTime() - now.getTime() > RENEW_BEFORE_MS;
}
