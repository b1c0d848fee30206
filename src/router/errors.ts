/**
 * What the router itself answers: Heroku's H-codes with description, level and status (Dev Center "Error Codes"),
 * and the pages for them. The wording of the pages is our own.
 */
export type RouterErrorCode =
  | 'H10'
  | 'H11'
  | 'H12'
  | 'H13'
  | 'H14'
  | 'H15'
  | 'H17'
  | 'H18'
  | 'H19'
  | 'H20'
  | 'H21'
  | 'H24'
  | 'H25'
  | 'H26'
  | 'H27'
  | 'H28'
  | 'H32'
  | 'H80'
  | 'H81'
  | 'H82'
  | 'H99';

export type RouterErrorLevel = 'error' | 'warning' | 'info';

export interface RouterError {
  code: RouterErrorCode;
  desc: string;
  level: RouterErrorLevel;
  /** Sent and logged; null = none was sent (H24). */
  status: number | null;
  /** `cause="…"` of H26. */
  cause?: string;
  /** Which side broke, for H18 and H27. */
  sock?: 'client' | 'backend';
}

const ERRORS: Record<RouterErrorCode, Omit<RouterError, 'code'>> = {
  H10: { desc: 'App crashed', level: 'error', status: 503 },
  H11: { desc: 'Backlog too deep', level: 'error', status: 503 },
  H12: { desc: 'Request timeout', level: 'error', status: 503 },
  H13: { desc: 'Connection closed without response', level: 'error', status: 503 },
  H14: { desc: 'No web processes running', level: 'error', status: 503 },
  H15: { desc: 'Idle connection', level: 'error', status: 503 },
  H17: { desc: 'Poorly formatted HTTP response', level: 'error', status: 503 },
  H18: { desc: 'Server Request Interrupted', level: 'error', status: 503, sock: 'backend' },
  H19: { desc: 'Backend connection timeout', level: 'error', status: 503 },
  H20: { desc: 'App boot timeout', level: 'error', status: 503 },
  H21: { desc: 'Backend connection refused', level: 'error', status: 503 },
  H24: { desc: 'Forced close', level: 'error', status: null },
  H25: { desc: 'HTTP restriction', level: 'error', status: 502 },
  H26: { desc: 'Request Error', level: 'error', status: 400 },
  H27: { desc: 'Client Request Interrupted', level: 'warning', status: 499, sock: 'client' },
  H28: { desc: 'Client Connection Idle', level: 'warning', status: 499 },
  H32: { desc: 'TLS Certificate Mismatch', level: 'error', status: 421 },
  H80: { desc: 'Maintenance mode', level: 'info', status: 503 },
  H81: { desc: 'Blank app', level: 'info', status: 503 },
  H82: { desc: "You've used up your dyno hour pool", level: 'info', status: 503 },
  H99: { desc: 'Platform error', level: 'error', status: 503 },
};

export function routerError(
  code: RouterErrorCode,
  more: { desc?: string; cause?: string; status?: number } = {},
): RouterError {
  return { code, ...ERRORS[code], ...more };
}

/** `HTTP restriction: <what>`: the dyno's answer breaks a limit of "HTTP Routing". */
export function httpRestriction(
  what: 'invalid content length' | 'oversized cookie' | 'oversized header' | 'oversized status line',
): RouterError {
  return routerError('H25', { desc: `${ERRORS.H25.desc}: ${what}` });
}

/** `cause` of H26; an unsupported Expect is 417, the rest 400 (Dev Center "Error Codes", H26). */
export function badRequest(
  cause: 'unsupported expect header value' | 'bad header' | 'bad chunk',
): RouterError {
  return routerError('H26', { cause, status: cause === 'unsupported expect header value' ? 417 : 400 });
}

export interface Answer {
  status: number;
  contentType: string;
  body: Buffer;
}

interface PageText {
  title: string;
  lines: string[];
}

/** The answer to a request that the router refuses for `error`; for a client that prefers JSON, as JSON. */
export function errorAnswer(
  error: RouterError,
  request: { accept: string | undefined; appName: string; requestId: string },
  pages: { errorPageUrl: string | null; maintenancePageUrl: string | null },
): Answer {
  const status = error.status ?? 503;
  const text = pageText(error, request.appName);
  if (prefersJson(request.accept)) {
    return jsonAnswer(status, {
      id: error.code === 'H80' ? 'maintenance' : 'router_error',
      code: error.code,
      message: `${error.desc}${error.cause === undefined ? '' : `: ${error.cause}`}`,
      request_id: request.requestId,
    });
  }
  const override = overrideUrl(error, pages);
  return htmlAnswer(
    status,
    override === null
      ? page(text, `${error.code} · request ${request.requestId}`)
      : framePage(text, override),
  );
}

/** For a host that no app has. There is no app, hence no log line and no code. */
export function noSuchAppAnswer(host: string, accept: string | undefined): Answer {
  if (prefersJson(accept)) return jsonAnswer(404, { id: 'not_found', message: 'No such app', host });
  return htmlAnswer(
    404,
    page(
      {
        title: 'No such app',
        lines: [
          `There is no app at “${host}”.`,
          'Its owner may have renamed or removed it. An app is made with “heroku create”, a name of its own is added with “heroku domains:add”.',
        ],
      },
      '404',
    ),
  );
}

/** For a request that is no HTTP the router accepts: it cannot be told for which app it was. */
export function plainAnswer(status: number, title: string, line: string): Answer {
  return htmlAnswer(status, page({ title, lines: [line] }, String(status)));
}

/** An explicit preference only: `*\/*` gets the page, as does a tie. */
export function prefersJson(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  let json = 0;
  let html = 0;
  for (const range of accept.split(',')) {
    const [type = '', ...parameters] = range
      .trim()
      .toLowerCase()
      .split(/\s*;\s*/);
    const q = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1);
    const quality = Number.isFinite(q) ? q : 0;
    if (type === 'application/json' || /^application\/[\w.+-]+\+json$/.test(type)) {
      json = Math.max(json, quality);
    } else if (type === 'text/html' || type === 'application/xhtml+xml') html = Math.max(html, quality);
  }
  return json > html;
}

function pageText(error: RouterError, appName: string): PageText {
  switch (error.code) {
    case 'H80':
      return {
        title: 'Offline for maintenance',
        lines: ['This application is being worked on and will be back shortly.'],
      };
    case 'H81':
      return {
        title: `Welcome to ${appName}`,
        lines: [
          'This app exists, but no code has been deployed to it yet.',
          'Deploy with “git push heroku main”, then reload this page.',
        ],
      };
    case 'H32':
      return {
        title: 'Misdirected request',
        lines: ['This connection was made for another host. A new one for this host will do.'],
      };
    case 'H82':
      return {
        title: 'Asleep until next month',
        lines: [
          'The dyno hours of this month are used up, so that this application sleeps until the next one begins.',
          `If it is yours: “heroku ps --app ${appName}” shows the hours, “heroku ps:type web=basic --app ${appName}” lets it run without them.`,
        ],
      };
    case 'H25':
    case 'H26':
      return {
        title: error.code === 'H26' ? 'Bad request' : 'Bad answer from the application',
        lines: [error.cause === undefined ? error.desc : `${error.desc}: ${error.cause}.`],
      };
    case 'H10':
    case 'H11':
    case 'H12':
    case 'H13':
    case 'H14':
    case 'H15':
    case 'H17':
    case 'H18':
    case 'H19':
    case 'H20':
    case 'H21':
    case 'H24':
    case 'H27':
    case 'H28':
    case 'H99':
      return {
        title: 'Application error',
        lines: [
          'The application could not answer this request.',
          `If it is yours, look at its logs: “heroku logs --tail --app ${appName}”. The line for this request says ${error.code} (${error.desc}).`,
        ],
      };
  }
}

/** Config vars ERROR_PAGE_URL and MAINTENANCE_PAGE_URL (Dev Center "Customizing Error Pages"). */
function overrideUrl(
  error: RouterError,
  pages: { errorPageUrl: string | null; maintenancePageUrl: string | null },
): string | null {
  // The blank app's welcome and a client's mistakes are no application errors.
  if (error.code === 'H81' || error.code === 'H26' || error.code === 'H32') return null;
  const url = error.code === 'H80' ? pages.maintenancePageUrl : pages.errorPageUrl;
  // Anything but http(s), such as a javascript: URL, would run inside the app's own origin.
  return url !== null && /^(https?:)?\/\//i.test(url) ? url : null;
}

const STYLE =
  'body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;' +
  'font:16px/1.5 system-ui,sans-serif;color:#25293c;background:#f7f8fb}' +
  'main{max-width:36rem;padding:2rem}h1{font-size:1.6rem;margin:0 0 1rem}' +
  'p{margin:0 0 .8rem;overflow-wrap:anywhere}small{color:#62677f}' +
  '@media(prefers-color-scheme:dark){body{color:#e8eaf3;background:#191c28}small{color:#a3a8be}}';

function page(text: PageText, footer: string): string {
  const lines = text.lines.map((line) => `<p>${escapeHtml(line)}</p>`).join('');
  return document(
    text.title,
    `<style>${STYLE}</style>`,
    `<main><h1>${escapeHtml(text.title)}</h1>${lines}<small>${escapeHtml(footer)}</small></main>`,
  );
}

function framePage(text: PageText, url: string): string {
  return document(
    text.title,
    '<style>html,body,iframe{margin:0;padding:0;border:0;width:100%;height:100%}</style>',
    `<iframe src="${escapeHtml(url)}" title="${escapeHtml(text.title)}"></iframe>`,
  );
}

function document(title: string, head: string, body: string): string {
  return (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">' +
    '<meta name="viewport" content="width=device-width,initial-scale=1">' +
    `<title>${escapeHtml(title)}</title>${head}</head><body>${body}</body></html>\n`
  );
}

function htmlAnswer(status: number, html: string): Answer {
  return { status, contentType: 'text/html; charset=utf-8', body: Buffer.from(html) };
}

function jsonAnswer(status: number, value: Record<string, string>): Answer {
  return { status, contentType: 'application/json', body: Buffer.from(`${JSON.stringify(value)}\n`) };
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
