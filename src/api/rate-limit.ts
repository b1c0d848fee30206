import type { RequestHandler } from 'express';
import { PlatformError } from '../domain/errors';
import type { Clock } from '../lib/clock';
import { accountOf } from './auth';

/** Dev Center "Platform API Reference", "Rate Limits". */
export const HEROKU_REQUESTS_PER_HOUR = 4500;

const HOUR_MS = 60 * 60 * 1000;

/** A bucket of tokens per account that holds an hour's worth and is refilled steadily. */
export class RateLimit {
  readonly #clock: Clock;
  readonly #perHour: number | null;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  /** `perHour` null: unlimited, which is reported as a full bucket of Heroku's size. */
  constructor(clock: Clock, perHour: number | null) {
    this.#clock = clock;
    this.#perHour = perHour;
  }

  /** Whole tokens left. */
  remaining(key: string): number {
    return this.#perHour === null
      ? HEROKU_REQUESTS_PER_HOUR
      : Math.floor(this.#bucket(key, this.#perHour).tokens);
  }

  /** Takes a token; false if there is none. */
  take(key: string): boolean {
    if (this.#perHour === null) return true;
    const bucket = this.#bucket(key, this.#perHour);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  #bucket(key: string, perHour: number): { tokens: number; at: number } {
    const now = this.#clock.now().getTime();
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = { tokens: perHour, at: now };
      this.#buckets.set(key, bucket);
    }
    // A clock that was set back must not take tokens away.
    const elapsedMs = Math.max(0, now - bucket.at);
    bucket.tokens = Math.min(perHour, bucket.tokens + (elapsedMs * perHour) / HOUR_MS);
    bucket.at = now;
    return bucket;
  }
}

/** After authentication. Asking for the limit itself costs nothing, as on Heroku. */
export function limitRate(limit: RateLimit): RequestHandler {
  return (req, res, next) => {
    const { id } = accountOf(res);
    const allowed = req.path === '/account/rate-limits' || limit.take(id);
    res.setHeader('RateLimit-Remaining', String(limit.remaining(id)));
    if (!allowed) {
      throw new PlatformError(
        'rate_limit',
        'Your account reached the API rate limit. Please wait a few minutes.',
      );
    }
    next();
  };
}
