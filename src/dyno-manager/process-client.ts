import type { Readable } from 'node:stream';
import type { Attachment } from '../engine/engine';

/** Whoever is at the other end of an attached process: types what it reads, sees what it prints. */
export interface ProcessClient {
  /** Ends where the process's input is to end. */
  readonly input: Readable;
  /** Resolves once there is room for more. What comes after the client has gone is dropped. */
  write(chunk: Buffer): Promise<void>;
  /**
   * The process has ended, with this status if it is known: what is still to be sent is sent, then the connection
   * is closed. Resolves once it is.
   */
  finish(exitCode: number | null): Promise<void>;
  /** Closes the connection at once. */
  close(): void;
  /** Aborted once the connection is gone, whoever closed it. */
  readonly gone: AbortSignal;
}

/**
 * Carries bytes both ways, each no faster than the other side takes them, until the process's outputs have ended or
 * the client is gone. Rejects when the engine cuts the streams off.
 */
export async function joinStreams(process: Attachment, client: ProcessClient): Promise<void> {
  const { stdin } = process;
  const leave = (): void => process.close();
  if (client.gone.aborted) leave();
  client.gone.addEventListener('abort', leave, { once: true });
  // A process that reads no more, or has ended, is judged by its output and its exit status.
  stdin?.on('error', () => client.input.resume());
  if (stdin !== undefined) client.input.pipe(stdin);
  try {
    await Promise.all([carry(process.stdout, client), carry(process.stderr, client)]);
  } catch (error) {
    if (!client.gone.aborted) throw error;
  } finally {
    client.gone.removeEventListener('abort', leave);
    client.input.unpipe();
    // What is typed from here on has nobody to read it.
    client.input.resume();
  }
}

async function carry(output: Readable, client: ProcessClient): Promise<void> {
  for await (const chunk of output) await client.write(chunk as Buffer);
}
