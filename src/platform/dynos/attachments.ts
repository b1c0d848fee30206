import { createHash, randomBytes } from 'node:crypto';
import type { ProcessClient } from '../../dyno-manager/process-client';
import type { Clock } from '../../lib/clock';

export type { ProcessClient } from '../../dyno-manager/process-client';

/** A process that waits for its client at the rendezvous. */
export interface ProcessAttachment {
  /** Without one, input and output are pipes. */
  hasTerminal: boolean;
  /** Its client looks for the exit status in the output. */
  reportsExitStatus: boolean;
  /** Hands the client over; to be called once. */
  open: (client: ProcessClient) => void;
}

/** Longer than a dyno awaits its client, so that it is the dyno's own patience that ends. */
const EXPIRY_MS = 5 * 60_000;

/**
 * Secrets with which clients claim processes, each good for once. Only in memory: a process whose client has not
 * come when the daemon ends is ended as well.
 */
export class Attachments {
  readonly #clock: Clock;
  /** By hash, so that looking one up takes no longer for a better guess. */
  readonly #waiting = new Map<string, { attachment: ProcessAttachment; expiresAt: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Answers the secret: 48 hexadecimal digits. */
  offer(attachment: ProcessAttachment): string {
    this.#expire();
    const secret = randomBytes(24).toString('hex');
    this.#waiting.set(hash(secret), { attachment, expiresAt: this.#clock.now().getTime() + EXPIRY_MS });
    return secret;
  }

  /** undefined for a secret that is wrong, too old or used. */
  claim(secret: string): ProcessAttachment | undefined {
    this.#expire();
    const key = hash(secret);
    const entry = this.#waiting.get(key);
    this.#waiting.delete(key);
    return entry?.attachment;
  }

  #expire(): void {
    const now = this.#clock.now().getTime();
    for (const [key, { expiresAt }] of this.#waiting) {
      if (expiresAt <= now) this.#waiting.delete(key);
    }
  }
}

function hash(secret: string): string {
  return createHash('sha256').update(secret).digest('base64');
}
