import type { Account } from '../../domain/account';

export function presentAccount(account: Account): Record<string, unknown> {
  return {
    allow_tracking: false,
    beta: false,
    country_of_residence: null,
    created_at: account.createdAt,
    default_organization: null,
    default_team: null,
    delinquent_at: null,
    email: account.email,
    federated: false,
    id: account.id,
    identity_provider: null,
    last_login: null,
    name: null,
    sms_number: null,
    suspended_at: null,
    two_factor_authentication: false,
    updated_at: account.createdAt,
    verified: true,
  };
}
