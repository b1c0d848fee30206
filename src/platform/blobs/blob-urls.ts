import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../lib/clock';
import type { SettingsStore } from '../../store/settings';

/** Sources of builds, archives of slugs, and backups of databases. */
export type BlobKind = 'sources' | 'slugs' | 'backups';
export type BlobMethod = 'GET' | 'PUT';

export interface Blob {
  kind: BlobKind;
  id: string;
}

const SECRET = 'blob_url_secret';
const PATH = /^\/blobs\/(?:(sources|slugs)\/([0-9a-f-]{36})\.tgz|(backups)\/([0-9a-f-]{36})\.dump)$/;

/**
 * URLs by which clients store and fetch archives without a token, as those that Heroku gets from its object storage:
 * good for one method and some time. They are signed with a secret of the installation, and so outlast the daemon.
 */
export class BlobUrls {
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

  /** Path and query; the caller knows by which host and port its client reaches us. */
  sign(method: BlobMethod, { kind, id }: Blob, validMs: number): string {
    const expires = Math.floor((this.#clock.now().getTime() + validMs) / 1000);
    const signature = this.#signature(method, kind, id, String(expires));
    const extension = kind === 'backups' ? 'dump' : 'tgz';
    return `/blobs/${kind}/${id}.${extension}?expires=${expires}&signature=${signature}`;
  }

  /** undefined unless it is one of ours, for this method. */
  verify(method: BlobMethod, url: URL): (Blob & { expired: boolean }) | undefined {
    const match = PATH.exec(url.pathname);
    const expires = url.searchParams.get('expires') ?? '';
    if (match === null || !/^\d{1,12}$/.test(expires)) return undefined;
    const kind = (match[1] ?? match[3]) as BlobKind;
    const id = match[2] ?? match[4] ?? '';
    const expected = Buffer.from(this.#signature(method, kind, id, expires));
    const given = Buffer.from(url.searchParams.get('signature') ?? '');
    if (expected.length !== given.length || !timingSafeEqual(expected, given)) return undefined;
    return { kind, id, expired: Number(expires) * 1000 <= this.#clock.now().getTime() };
  }

  #signature(method: BlobMethod, kind: BlobKind, id: string, expires: string): string {
    return createHmac('sha256', this.#secret).update(`${method} ${kind} ${id} ${expires}`).digest('hex');
  }
}
