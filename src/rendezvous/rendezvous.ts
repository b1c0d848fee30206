import type { Duplex } from 'node:stream';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import type { ProcessAttachment } from '../platform/dynos/attachments';
import { RendezvousClient } from './rendezvous-client';

export interface RendezvousOptions {
  /** undefined for a secret that is good for nothing (any more). */
  claim: (secret: string) => ProcessAttachment | undefined;
  clock: Clock;
  logger: Logger;
}

/** Where the clients of attached processes meet them: each connection brings the secret of one process. */
export class Rendezvous {
  readonly #options: RendezvousOptions;

  constructor(options: RendezvousOptions) {
    this.#options = options;
  }

  /** `socket`: encrypted, its first line read, the rest of its bytes yet to be read. */
  accept(socket: Duplex, secret: string): void {
    const { claim, clock, logger } = this.#options;
    const attachment = claim(secret);
    if (attachment === undefined) {
      logger.info('a client came to the rendezvous with a secret that is not known');
      socket.destroy();
      return;
    }
    const { hasTerminal, reportsExitStatus } = attachment;
    attachment.open(new RendezvousClient(socket, { hasTerminal, reportsExitStatus, clock }));
  }
}
