/** Dev Center "Session Affinity". */
const COOKIE = 'heroku-session-affinity';
const MAX_AGE_S = 86_400;

/** The dyno that the client's cookie names; null when it has none that we have given. */
export function affineDyno(rawHeaders: readonly string[]): string | null {
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() !== 'cookie') continue;
    const match = /(?:^|;)\s*heroku-session-affinity=([A-Za-z0-9_-]+)/.exec(rawHeaders[i + 1] ?? '');
    if (match?.[1] !== undefined) return Buffer.from(match[1], 'base64url').toString('utf8');
  }
  return null;
}

/** Set-Cookie that brings the client back to this dyno. Opaque: its shape is nobody's business. */
export function affinityCookie(dynoId: string): string {
  const value = Buffer.from(dynoId).toString('base64url');
  return `${COOKIE}=${value}; Version=1; Max-Age=${MAX_AGE_S}; Path=/; HttpOnly`;
}
