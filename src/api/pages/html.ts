import { createHash } from 'node:crypto';

/** A piece of HTML in which everything that came from outside is escaped. */
export class Html {
  constructor(readonly text: string) {}
}

export type HtmlValue = string | number | Html | null | undefined | false | readonly HtmlValue[];

/** Template tag: what is put in is escaped, unless it is Html. Attributes have to be quoted. */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  return new Html(parts.map((part, index) => (index === 0 ? '' : render(values[index - 1])) + part).join(''));
}

function render(value: HtmlValue): string {
  if (value === null || value === undefined || value === false) return '';
  if (value instanceof Html) return value.text;
  if (typeof value === 'object') return value.map(render).join('');
  return String(value).replace(/[&<>"'`]/g, (character) => `&#${character.charCodeAt(0)};`);
}

const STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem .4rem 0; border-bottom: 1px solid #8885; }
code, input[name=command] { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
form { display: inline; } fieldset { border: 1px solid #8885; padding: .5rem 1rem 1rem; }
label { display: block; margin-top: .6rem; } label > input, label > select { display: block; font-size: 1rem; }
input[name=command] { width: 100%; box-sizing: border-box; } button { margin-top: .6rem; font-size: 1rem; }
td button { margin-top: 0; }
.problem { border-left: 4px solid #c33; padding-left: .8rem; } .note { opacity: .75; }
`;

/** Nothing but this style: no script, nothing from elsewhere, in nobody's frame, and forms go nowhere else. */
export const DRAWN_PAGE_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** A whole document, with the style that `DRAWN_PAGE_POLICY` allows. */
export function htmlDocument(title: string, body: Html): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <title>${title}</title>
        ${new Html(`<style>${STYLE}</style>`)}
      </head>
      <body>
        ${body}
      </body>
    </html> `.text;
}
