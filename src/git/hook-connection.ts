import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { RefUpdate } from './push-plan';

export type HookName = 'pre-receive' | 'post-receive';

export const HOOK_NAMES: readonly HookName[] = ['pre-receive', 'post-receive'];

/** What a hook sends. */
export interface HookRequest {
  hook: HookName;
  secret: string;
  updates: RefUpdate[];
  environment: Record<string, string>;
}

const MAX_REQUEST_BYTES = 8 * 1024 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;

/** The daemon's end of the protocol that hook.cjs describes. */
export class HookConnection {
  readonly #socket: Socket;
  readonly #gone: AbortSignal;

  constructor(socket: Socket, gone: AbortSignal) {
    this.#socket = socket;
    this.#gone = gone;
  }

  request(): Promise<HookRequest> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const timer = setTimeout(() => settle(new Error('a hook that says nothing')), REQUEST_TIMEOUT_MS);
      const settle = (outcome: HookRequest | Error): void => {
        clearTimeout(timer);
        this.#socket.off('data', onData);
        this.#gone.removeEventListener('abort', onGone);
        // Reading goes on, for that is how the hook's end is noticed.
        this.#socket.resume();
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      const onGone = (): void => settle(new Error('a hook that went away'));
      const onData = (chunk: Buffer): void => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > MAX_REQUEST_BYTES) settle(new Error('too many refs in one push'));
        else if (chunk.includes('\n')) settle(parseRequest(Buffer.concat(chunks).toString('utf8')));
      };
      this.#gone.addEventListener('abort', onGone, { once: true });
      this.#socket.on('data', onData);
    });
  }

  print(output: string | Uint8Array): Promise<void> {
    return this.#send('o', Buffer.from(output as Uint8Array));
  }

  exit(status: number): Promise<void> {
    return this.#send('x', Buffer.from([status]));
  }

  /** Resolves when the hook can take more; rejects when it has gone. */
  async #send(type: 'o' | 'x', payload: Buffer): Promise<void> {
    this.#gone.throwIfAborted();
    const header = Buffer.alloc(5);
    header.write(type, 0, 'latin1');
    header.writeUInt32BE(payload.length, 1);
    if (!this.#socket.write(Buffer.concat([header, payload]))) {
      await once(this.#socket, 'drain', { signal: this.#gone });
    }
  }
}

const QUARANTINE = ['GIT_OBJECT_DIRECTORY', 'GIT_ALTERNATE_OBJECT_DIRECTORIES', 'GIT_QUARANTINE_PATH'];

function parseRequest(line: string): HookRequest | Error {
  try {
    const value = JSON.parse(line) as Partial<HookRequest>;
    const { secret, updates, environment } = value;
    const hook = HOOK_NAMES.find((name) => name === value.hook);
    if (
      hook === undefined ||
      typeof secret !== 'string' ||
      !Array.isArray(updates) ||
      typeof environment !== 'object'
    ) {
      return new Error('a hook that says something else');
    }
    const isUpdate = (update: Partial<RefUpdate>): boolean =>
      /^[0-9a-f]{40,64}$/.test(update.before ?? '') &&
      /^[0-9a-f]{40,64}$/.test(update.after ?? '') &&
      typeof update.ref === 'string';
    if (!updates.every(isUpdate)) return new Error('a hook with malformed updates');
    const kept = Object.entries(environment).filter(([name]) => QUARANTINE.includes(name));
    return { hook, secret, updates, environment: Object.fromEntries(kept) };
  } catch (cause) {
    return new Error('a hook that does not speak JSON', { cause });
  }
}
