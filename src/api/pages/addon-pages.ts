import express, {
  type ErrorRequestHandler,
  type Express,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import type { AddOn } from '../../domain/addon';
import { forbidden, PlatformError } from '../../domain/errors';
import type { AddOnId } from '../../domain/ids';
import type { Logger } from '../../lib/logger';
import { OPEN_PATH } from '../../platform/addons/page-sessions';
import type { Offer } from '../../platform/addons/catalogue';
import { errorAnswer, requestIdOf } from '../errors';
import { commonHeaders } from '../headers';
import type { ApiServices } from '../services';
import type { DrawnPage, Visit } from './drawn-page';
import { drawnPage } from './drawn-pages';
import { DRAWN_PAGE_POLICY, html, htmlDocument, type Html } from './html';
import { pageIdOf } from './page-host';
import { serveFromContainer } from './served-page';
import { sendSignOn } from './sign-on-page';

export interface AddOnPagesOptions {
  services: ApiServices;
  logger: Logger;
  stopping: AbortSignal;
}

interface OpenedPage {
  session: string;
  addon: AddOn;
  page: Offer['provider']['page'];
}

const COOKIE = 'dynodock_page';
/** Field of forms. */
const TOKEN = 'form_token';
const FORM = 'application/x-www-form-urlencoded';
const MAX_FORM = '1mb';
const SAFE_METHODS = new Set(['GET', 'HEAD']);

/**
 * What `addons:open` opens (ADR 34): pages of add-ons, each on a host name of its own (`page-host.ts`). A signed link
 * opens a session, which is a cookie of that host; without one nothing is served. What changes anything has to come from
 * the page itself, by its Origin; forms of pages that the daemon draws have a token besides.
 */
export function createAddOnPages({ services, logger, stopping }: AddOnPagesOptions): Express {
  const { addons, pageSessions } = services;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(commonHeaders);
  app.use(pageHeaders);

  app.get(OPEN_PATH, (req, res) => {
    const id = idOf(req);
    if (pageSessions.isLink(id, queryOf(req))) {
      const { session, maxAgeMs } = pageSessions.open(id);
      res.cookie(COOKIE, session, { httpOnly: true, sameSite: 'strict', path: '/', maxAge: maxAgeMs });
    } else if (sessionOf(req) === undefined) {
      throw forbidden('This link is not good, or not any more.');
    }
    res.redirect(303, '/');
  });

  app.use((req, res, next) => {
    const session = sessionOf(req);
    if (session === undefined)
      throw forbidden('Nobody has opened this page in this browser, or it was long ago.');
    if (!SAFE_METHODS.has(req.method) && !isFromPageItself(req)) {
      throw forbidden('This did not come from the page itself.');
    }
    const addon = addons.find(idOf(req));
    const page = addons.catalogue.find(addon)?.provider.page;
    const opened: OpenedPage = { session, addon, page };
    Object.assign(res.locals, opened);
    next();
  });

  // Before the parser: its body is a stream.
  app.use(async (req, res, next) => {
    const { addon, page } = res.locals as OpenedPage;
    if (page?.kind !== 'served') {
      next();
      return;
    }
    if (!addons.isServing(addon)) await addons.awaken(addon);
    const target = addons.address(addon, page.port);
    if (target === undefined || !addons.isServing(addon)) throw notServing(addon, addons.problem(addon));
    const headers = page.headers?.(addon) ?? {};
    await serveFromContainer(req, res, { target, headers, sessionCookie: COOKIE, stopping, logger });
  });

  app.get('/', (_req, res, next) => {
    const { addon, page } = res.locals as OpenedPage;
    if (page?.kind !== 'sign-on' || addon.state !== 'provisioned') {
      next();
      return;
    }
    sendSignOn(res, addon.name, services.partners.signOn.request(addon, services.account.current()));
  });

  app.use(express.text({ type: FORM, limit: MAX_FORM }));
  app.use(async (req, res) => {
    const { session, addon, page } = res.locals as OpenedPage;
    const name = page?.kind === 'drawn' ? page.name : undefined;
    await draw(drawnPage(services, name), addon, session, req, res);
  });

  app.use(renderPageErrors(logger));
  return app;

  function sessionOf(req: Request): string | undefined {
    return cookiesOf(req).find((value) => pageSessions.isSession(idOf(req), value));
  }

  async function draw(
    page: DrawnPage,
    addon: AddOn,
    session: string,
    req: Request,
    res: Response,
  ): Promise<void> {
    const visit: Visit = {
      addon,
      actor: services.account.current(),
      path: req.path,
      query: queryOf(req),
      formToken: html`<input type="hidden" name="${TOKEN}" value="${pageSessions.formToken(session)}" />`,
    };
    if (SAFE_METHODS.has(req.method)) {
      send(res, 200, addon.name, await page.show(visit));
      return;
    }
    if (req.method !== 'POST' || page.submit === undefined) {
      throw new PlatformError('method_not_allowed', "That can't be done with this page.");
    }
    const form = new URLSearchParams(typeof req.body === 'string' ? req.body : '');
    if (!pageSessions.isFormToken(session, form.get(TOKEN) ?? '')) {
      throw forbidden('This form is of another session. Load the page again.');
    }
    try {
      res.redirect(303, await page.submit(visit, form));
    } catch (error) {
      if (!(error instanceof PlatformError) || error.status === 500) throw error;
      const problem = html`<p class="problem" role="alert">${error.message}</p>`;
      const again = await page.show({ ...visit, refused: form });
      send(res, error.status, addon.name, html`${problem}${again}`);
    }
  }
}

function idOf(req: Request): AddOnId {
  const id = pageIdOf(req.get('Host'));
  if (id === undefined) throw new Error('the request is for no page');
  return id;
}

/** Browsers say where a request comes from, and pages can't make them lie: Sec-Fetch-Site, or else Origin. */
function isFromPageItself(req: Request): boolean {
  const site = req.get('Sec-Fetch-Site');
  if (site !== undefined) return site === 'same-origin';
  return req.get('Origin') === `${req.protocol}://${req.get('Host') ?? ''}`;
}

function queryOf(req: Request): URLSearchParams {
  return new URL(req.originalUrl, 'http://localhost').searchParams;
}

/** All of this name: another page on this machine may have set one as well. */
function cookiesOf(req: Request): string[] {
  return (req.get('Cookie') ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${COOKIE}=`))
    .map((pair) => pair.slice(COOKIE.length + 1));
}

const pageHeaders: RequestHandler = (_req, res, next) => {
  res.setHeader('Cache-Control', 'no-store');
  // `no-referrer` would take the Origin from forms as well (Fetch standard, "append a request Origin header").
  res.setHeader('Referrer-Policy', 'same-origin');
  res.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
  res.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
  next();
};

function send(res: Response, status: number, title: string, body: Html): void {
  res.status(status);
  res.setHeader('Content-Security-Policy', DRAWN_PAGE_POLICY);
  res.type('html').send(htmlDocument(title, body));
}

function notServing(addon: AddOn, problem: string | null): PlatformError {
  return new PlatformError(
    'service_unavailable',
    `${addon.name} does not run just now: ${problem ?? (addon.state === 'provisioned' ? 'it is starting' : addon.state)}.`,
    'add_on',
  );
}

function renderPageErrors(logger: Logger): ErrorRequestHandler {
  // Express knows an error handler by its four parameters.
  return (error: unknown, req, res, next) => {
    const { status, body, bug } = errorAnswer(error, requestIdOf(res));
    if (bug)
      logger.error('a page failed', {
        requestId: requestIdOf(res),
        method: req.method,
        path: req.path,
        error,
      });
    if (res.headersSent) {
      next(error);
      return;
    }
    const advice = status === 403 && html`<p>To open it: <code>heroku addons:open NAME</code></p>`;
    send(
      res,
      status,
      'dynodock',
      html`<h1>${body.message}</h1>
        ${advice}`,
    );
  };
}
