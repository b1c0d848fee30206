import type { Account } from '../../domain/account';
import { GLOBAL_SCOPE, type AuthorizationView } from '../../platform/authorizations/authorizations';

/** The token itself is there only where it is known: only its hash is kept. */
export function presentAuthorization(
  authorization: AuthorizationView,
  account: Account,
  now: Date,
): Record<string, unknown> {
  const { id, description, expiresAt, token, createdAt, updatedAt } = authorization;
  const secondsLeft = expiresAt === null ? null : (expiresAt.getTime() - now.getTime()) / 1000;
  return {
    access_token: {
      expires_in: secondsLeft === null ? null : Math.max(0, Math.ceil(secondsLeft)),
      id,
      ...(token === null ? {} : { token }),
    },
    client: null,
    created_at: createdAt,
    description,
    grant: null,
    id,
    refresh_token: null,
    scope: [GLOBAL_SCOPE],
    session: null,
    updated_at: updatedAt,
    user: { email: account.email, full_name: null, id: account.id },
  };
}
