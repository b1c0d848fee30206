import type { Account } from '../../domain/account';
import type { IssuedTokens } from '../../platform/addons/partners/partner-access';

export function presentOAuthToken(
  tokens: IssuedTokens,
  grant: { code: string; type: string },
  user: Account,
  now: Date,
): Record<string, unknown> {
  const { id } = tokens;
  return {
    access_token: { expires_in: tokens.expiresInSeconds, id, token: tokens.accessToken },
    authorization: { id },
    client: null,
    created_at: now,
    grant,
    id,
    refresh_token: { expires_in: null, id, token: tokens.refreshToken },
    session: { id },
    updated_at: now,
    user: { id: user.id },
  };
}
