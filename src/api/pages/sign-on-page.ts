import { createHash } from 'node:crypto';
import type { Response } from 'express';
import type { SignOn } from '../../platform/addons/partners/partner-sign-on';
import { html, Html } from './html';

const SCRIPT = 'document.forms[0].submit()';
/** `form-action` would stop redirects of the partner's as well. */
const POLICY = [
  "default-src 'none'",
  `script-src 'sha256-${createHash('sha256').update(SCRIPT).digest('base64')}'`,
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Takes the browser to the partner: by a form that sends itself, or, without scripts, at the push of its button. */
export function sendSignOn(res: Response, title: string, { method, action, params }: SignOn): void {
  if (method === 'get') {
    res.redirect(303, action);
    return;
  }
  res.setHeader('Content-Security-Policy', POLICY);
  // The partner has no use for where this came from.
  res.setHeader('Referrer-Policy', 'no-referrer');
  res.type('html').send(
    html`<!doctype html>
      <html lang="en">
        <head>
          <meta charset="utf-8" />
          <title>${title}</title>
        </head>
        <body>
          <form method="post" action="${action}">
            ${Object.entries(params).map(
              ([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`,
            )}
            <button>Open ${title}</button>
          </form>
          ${new Html(`<script>${SCRIPT}</script>`)}
        </body>
      </html> `.text,
  );
}
