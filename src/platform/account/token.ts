import { createHash, randomBytes } from 'node:crypto';

/** A new API token, and what is kept of it. */
export function createToken(): { token: string; tokenSha256: string } {
  const token = randomBytes(24).toString('hex');
  return { token, tokenSha256: hashToken(token) };
}

export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
