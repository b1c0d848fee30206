/**
 * Git's credential helper protocol (git-credential(1)): `key=value` lines in, the same out. Answers only for the
 * daemon's own address, so that the token goes nowhere else.
 */
export function answerCredentialRequest(
  operation: string,
  request: string,
  settings: { apiPort: number; token: string },
): string {
  // `store` and `erase` come too; there is nothing to keep or forget.
  if (operation !== 'get') return '';
  const fields = new Map(
    request.split('\n').flatMap((line) => {
      const equals = line.indexOf('=');
      return equals === -1 ? [] : [[line.slice(0, equals), line.slice(equals + 1)] as const];
    }),
  );
  const hosts = [`localhost:${settings.apiPort}`, `127.0.0.1:${settings.apiPort}`];
  if (fields.get('protocol') !== 'https' || !hosts.includes(fields.get('host') ?? '')) return '';
  return `username=heroku\npassword=${settings.token}\n`;
}
