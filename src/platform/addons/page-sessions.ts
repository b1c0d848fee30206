import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { AddOnId } from '../../domain/ids';
import type { Clock } from '../../lib/clock';
import type { SettingsStore } from '../../store/settings';

const SECRET = 'addon_page_secret';
/** Links made within this time are the same one, so that what has them in it has the same ETag. */
const LINK_STEP_MS = 10 * 60 * 1000;
/** A link is good for at least one step, and for two at most. */
const LINK_STEPS = 2;
const SESSION_MS = 12 * 60 * 60 * 1000;

const NUMBER = /^\d{1,12}$/;
const SESSION = /^(\d{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})$/;

/** Where a link leads, on the page's own host. */
export const OPEN_PATH = '/.dynodock/open';

/**
 * Who may see an add-on's page (ADR 34). Browsers have no token: the API gives whoever has one a link, good for some
 * minutes, which opens a session in the browser, good for hours. Both hold for one add-on, are signed with a secret of the
 * installation, and so outlast the daemon without a record of each.
 */
export class PageSessions {
  readonly #clock: Clock;
  readonly #secret: string;

  constructor(settings: Pick<SettingsStore, 'get' | 'set'>, clock: Clock) {
    this.#clock = clock;
    let secret = settings.get(SECRET);
    if (secret === undefined) {
      secret = randomBytes(32).toString('hex');
      settings.set(SECRET, secret);
    }
    this.#secret = secret;
  }

  /** Path and query. */
  link(addonId: AddOnId): string {
    const step = Math.floor(this.#now() / LINK_STEP_MS);
    const expires = String(((step + LINK_STEPS) * LINK_STEP_MS) / 1000);
    return `${OPEN_PATH}?expires=${expires}&signature=${this.#sign('link', addonId, expires)}`;
  }

  isLink(addonId: AddOnId, query: URLSearchParams): boolean {
    const expires = query.get('expires') ?? '';
    return (
      NUMBER.test(expires) &&
      isSame(this.#sign('link', addonId, expires), query.get('signature') ?? '') &&
      Number(expires) * 1000 > this.#now()
    );
  }

  /** The value of a cookie. */
  open(addonId: AddOnId): { session: string; maxAgeMs: number } {
    const expires = String(Math.floor((this.#now() + SESSION_MS) / 1000));
    const nonce = randomBytes(16).toString('hex');
    const signature = this.#sign('session', addonId, expires, nonce);
    return { session: `${expires}.${nonce}.${signature}`, maxAgeMs: SESSION_MS };
  }

  isSession(addonId: AddOnId, session: string): boolean {
    const [, expires = '', nonce = '', signature = ''] = SESSION.exec(session) ?? [];
    return (
      expires !== '' &&
      isSame(this.#sign('session', addonId, expires, nonce), signature) &&
      Number(expires) * 1000 > this.#now()
    );
  }

  /** Stands in each form of a page that this session was shown. */
  formToken(session: string): string {
    return this.#sign('form', session);
  }

  isFormToken(session: string, token: string): boolean {
    return isSame(this.formToken(session), token);
  }

  #now(): number {
    return this.#clock.now().getTime();
  }

  #sign(...parts: readonly string[]): string {
    return createHmac('sha256', this.#secret).update(parts.join(' ')).digest('hex');
  }
}

function isSame(expected: string, given: string): boolean {
  const [a, b] = [Buffer.from(expected), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}
