import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { MailStore, StoredMessage } from './mail-store.ts';
import { parseMessage } from './message.ts';
import { listPage, messagePage, PAGE_POLICY, STYLE } from './pages.ts';
import { MESSAGE_POLICY, messageDocument } from './sanitize.ts';
import type { Settings } from './settings.ts';
import { isSame, type Log } from './smtp.ts';

interface Reply {
  status: number;
  headers?: Readonly<Record<string, string>>;
  body?: string | Buffer;
}

/** Of the page; the list for programs answers `limit`, up to all that are kept. */
const PAGE_LIMIT = 200;
const DEFAULT_LIMIT = 50;
const NOT_FOUND: Reply = { status: 404, body: 'Not found\n' };

/**
 * `GET /` is the page. For programs: `GET /messages?to=&subject=&limit=`, `GET /messages/<id>`, `DELETE /messages`,
 * `DELETE /messages/<id>`. All but the probe wants the login of SMTP (HTTP Basic).
 */
export function createWebServer(settings: Settings, store: MailStore, log: Log): Server {
  return createServer((request, response) => {
    // Nothing here has a body.
    request.resume();
    respond(request, settings, store).then(
      (reply) => send(request, response, reply),
      (error: unknown) => {
        log('a request could not be answered', error);
        send(request, response, { status: 500, body: 'Internal error\n' });
      },
    );
  });
}

async function respond(request: IncomingMessage, settings: Settings, store: MailStore): Promise<Reply> {
  const url = new URL(request.url ?? '/', 'http://mail.invalid');
  if (url.pathname === '/health') {
    store.count();
    return { status: 204 };
  }
  if (!isAllowed(request.headers.authorization, settings)) {
    return {
      status: 401,
      headers: { 'www-authenticate': 'Basic realm="mail", charset="UTF-8"' },
      body: 'Unauthorized\n',
    };
  }
  const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '');
  // Another site's page may make a browser send this, along with the password.
  const site = request.headers['sec-fetch-site'];
  if (method !== 'GET' && site !== undefined && site !== 'same-origin' && site !== 'none') {
    return { status: 403, body: 'Forbidden\n' };
  }
  const [, id, action = '', part] =
    /^\/messages\/(\d{1,15})(?:\/([a-z]+)(?:\/(\d{1,4}))?)?$/.exec(url.pathname) ?? [];
  if (id !== undefined) return onMessage(store, settings, { method, id: Number(id), action, part });
  switch (`${method} ${url.pathname}`) {
    case 'GET /':
      return html(
        listPage(settings.title, store.list({ ...filterOf(url), limit: PAGE_LIMIT }), {
          total: store.count(),
          maxMessages: settings.maxMessages,
          query: url.searchParams.get('subject') ?? '',
        }),
      );
    case 'GET /style.css':
      return { status: 200, headers: { 'content-type': 'text/css; charset=utf-8' }, body: STYLE };
    case 'GET /messages':
      return json({
        messages: store.list({ ...filterOf(url), limit: limitOf(url, settings) }).map(presentMessage),
        total: store.count(),
      });
    case 'DELETE /messages':
      store.deleteAll();
      return { status: 204 };
    case 'POST /clear':
      store.deleteAll();
      return { status: 303, headers: { location: './' } };
    default:
      return NOT_FOUND;
  }
}

async function onMessage(
  store: MailStore,
  settings: Settings,
  { method, id, action, part }: { method: string; id: number; action: string; part: string | undefined },
): Promise<Reply> {
  if (method === 'DELETE' && action === '') return store.delete(id) ? { status: 204 } : NOT_FOUND;
  if (method === 'POST' && action === 'delete') {
    store.delete(id);
    return { status: 303, headers: { location: '../../' } };
  }
  const message = method === 'GET' ? store.get(id) : undefined;
  if (message === undefined) return NOT_FOUND;
  const isReadable = message.summary.problem === null;
  switch (part === undefined ? action : `${action} part`) {
    case '':
      return json({ ...presentMessage(message), ...(isReadable ? await contentOf(message.raw) : {}) });
    case 'view': {
      const text = isReadable ? (await parseMessage(message.raw)).text : undefined;
      return html(messagePage(settings.title, message, text));
    }
    case 'html': {
      const content = isReadable ? (await parseMessage(message.raw)).html : undefined;
      if (typeof content !== 'string') return NOT_FOUND;
      return html(messageDocument(content), MESSAGE_POLICY);
    }
    case 'raw':
      return { status: 200, headers: { 'content-type': 'text/plain; charset=utf-8' }, body: message.raw };
    case 'attachments part': {
      const attachment = isReadable ? (await parseMessage(message.raw)).attachments[Number(part)] : undefined;
      if (attachment === undefined) return NOT_FOUND;
      return {
        status: 200,
        // Never what the sender calls it: nothing of it is to be run or shown in here.
        headers: {
          'content-type': 'application/octet-stream',
          'content-disposition': `attachment; filename*=UTF-8''${encodeName(attachment.filename ?? `attachment-${part ?? ''}`)}`,
        },
        body: attachment.content,
      };
    }
    default:
      return NOT_FOUND;
  }
}

/** What `GET /messages/<id>` has besides what the list has. */
async function contentOf(raw: Buffer): Promise<Record<string, unknown>> {
  const mail = await parseMessage(raw);
  return {
    text: mail.text ?? null,
    html: typeof mail.html === 'string' ? mail.html : null,
    headers: mail.headerLines.map(({ line }) => {
      const at = line.indexOf(':');
      return { name: line.slice(0, at), value: line.slice(at + 1).trim() };
    }),
  };
}

function presentMessage({ id, receivedAt, size, envelope, summary }: StoredMessage): Record<string, unknown> {
  return {
    id,
    received_at: receivedAt.toISOString(),
    size,
    envelope,
    from: summary.from,
    to: summary.to,
    cc: summary.cc,
    subject: summary.subject,
    date: summary.date,
    attachments: summary.attachments.map(({ filename, contentType, size: bytes }) => ({
      filename,
      content_type: contentType,
      size: bytes,
    })),
  };
}

function filterOf(url: URL): { to: string | undefined; subject: string | undefined } {
  return {
    to: url.searchParams.get('to') ?? undefined,
    subject: url.searchParams.get('subject') ?? undefined,
  };
}

function limitOf(url: URL, { maxMessages }: Settings): number {
  const limit = Number(url.searchParams.get('limit') ?? DEFAULT_LIMIT);
  return Number.isInteger(limit) && limit > 0 ? Math.min(limit, maxMessages) : DEFAULT_LIMIT;
}

function isAllowed(authorization: string | undefined, { login, password }: Settings): boolean {
  const [, encoded = ''] = /^Basic +(\S+)$/i.exec(authorization ?? '') ?? [];
  return isSame(Buffer.from(encoded, 'base64').toString('utf8'), `${login}:${password}`);
}

function send(request: IncomingMessage, response: ServerResponse, { status, headers, body }: Reply): void {
  const bytes = body === undefined ? undefined : Buffer.from(body);
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-security-policy': "default-src 'none'; sandbox",
    'x-content-type-options': 'nosniff',
    // `no-referrer` would take the Origin from forms as well.
    'referrer-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'cache-control': 'no-store',
    ...headers,
    ...(status === 204 ? {} : { 'content-length': String(bytes?.length ?? 0) }),
  });
  response.end(request.method === 'HEAD' ? undefined : bytes);
}

function html(body: string, policy = PAGE_POLICY): Reply {
  return {
    status: 200,
    headers: { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy },
    body,
  };
}

function json(content: unknown): Reply {
  return {
    status: 200,
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: `${JSON.stringify(content, null, 2)}\n`,
  };
}

/** RFC 8187; without what file systems take for a folder. */
function encodeName(name: string): string {
  // By way of bytes, which half a surrogate pair does not survive.
  const safe = Buffer.from(name)
    .toString('utf8')
    .replace(/[/\\\p{Cc}]/gu, '_');
  return encodeURIComponent(safe).replace(
    /['()*!]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
