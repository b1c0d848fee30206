import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/**
 * Keys in the URLs of output streams, which clients open without a token. They are made of a secret of this run of
 * the daemon: an old URL dies with it, and the resource hands out a new one.
 */
export class StreamKeys {
  readonly #secret = randomBytes(32);

  keyOf(id: string): string {
    return createHmac('sha256', this.#secret).update(id).digest('hex');
  }

  matches(id: string, key: string): boolean {
    const expected = Buffer.from(this.keyOf(id));
    const given = Buffer.from(key);
    return expected.length === given.length && timingSafeEqual(expected, given);
  }
}
