import type { LogSession } from '../../platform/log-sessions/log-sessions';

export function presentLogSession(session: LogSession, logplexUrl: string): Record<string, unknown> {
  return {
    created_at: session.createdAt,
    id: session.id,
    logplex_url: logplexUrl,
    updated_at: session.createdAt,
  };
}
