import { timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { SMTPServer, type SMTPServerDataStream, type SMTPServerSession } from 'smtp-server';
import type { MailStore } from './mail-store.ts';
import { summarize } from './message.ts';
import type { Settings } from './settings.ts';

const SOCKET_TIMEOUT_MS = 60_000;
const CLOSE_TIMEOUT_MS = 5_000;
const MAX_RECIPIENTS = 1000;

export type Log = (message: string, error: unknown) => void;

/** Takes every message of whoever has the password, to whomever, and delivers none of them. */
export function createSmtpServer(settings: Settings, store: MailStore, log: Log): SMTPServer {
  const tls = settings.startTls
    ? {
        cert: readFileSync(path.join(settings.tlsFolder, 'server.crt')),
        key: readFileSync(path.join(settings.tlsFolder, 'server.key')),
      }
    : {};
  const server = new SMTPServer({
    ...tls,
    banner: 'dynodock',
    size: settings.maxMessageBytes,
    authMethods: ['PLAIN', 'LOGIN'],
    // Not everybody speaks TLS to an address that nobody else reaches.
    allowInsecureAuth: true,
    disabledCommands: settings.startTls ? [] : ['STARTTLS'],
    disableReverseLookup: true,
    logger: false,
    maxClients: settings.maxClients,
    maxRecipients: MAX_RECIPIENTS,
    socketTimeout: SOCKET_TIMEOUT_MS,
    closeTimeout: CLOSE_TIMEOUT_MS,
    onAuth: ({ username, password }, _session, callback) => {
      const isRight = isSame(username ?? '', settings.login) && isSame(password ?? '', settings.password);
      if (isRight) callback(null, { user: settings.login });
      else callback(smtpError(535, 'Authentication credentials invalid'));
    },
    onData: (stream, session, callback) => {
      receive(stream, session, store).then(
        (id) => callback(null, `Message queued as ${id}`),
        (error: unknown) => {
          if (error instanceof Error && 'responseCode' in error) {
            callback(error);
            return;
          }
          log('a message could not be kept', error);
          callback(smtpError(452, 'Insufficient system storage'));
        },
      );
    },
  });
  // A client that breaks off, or greets wrongly: nothing to be done.
  server.on('error', (error) => log('an SMTP connection failed', error));
  return server;
}

async function receive(
  stream: SMTPServerDataStream,
  session: SMTPServerSession,
  store: MailStore,
): Promise<number> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) {
    // Read to its end, so that the client hears why, but not kept.
    if (stream.sizeExceeded) chunks.length = 0;
    else chunks.push(chunk as Buffer);
  }
  if (stream.sizeExceeded) throw smtpError(552, 'Message exceeds fixed maximum message size');
  const raw = Buffer.concat(chunks);
  const { mailFrom, rcptTo } = session.envelope;
  const envelope = {
    from: mailFrom === false ? '' : mailFrom.address,
    to: rcptTo.map(({ address }) => address),
  };
  return store.add(raw, envelope, await summarize(raw), new Date());
}

function smtpError(responseCode: number, message: string): Error {
  return Object.assign(new Error(message), { responseCode });
}

/** Takes as long for any two texts of the same length. */
export function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
