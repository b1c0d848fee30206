import sanitizeHtml from 'sanitize-html';

/**
 * The HTML of a message, as a document that can do nothing: no script, form, frame or meta element is left, links open
 * another window, pictures are those that the message brings along. It is served with `MESSAGE_POLICY` and shown in a
 * sandboxed frame besides, so that what gets past one of the three meets the next.
 */
export function messageDocument(html: string): string {
  if (html.length > MAX_LENGTH)
    return page('', '<p>This message is too long to be shown. See it as it came.</p>');
  return page(styleSheets(html), sanitizeHtml(html, OPTIONS));
}

/** An opaque origin without scripts and forms, to which nothing is loaded, and which only the page may frame. */
export const MESSAGE_POLICY = [
  'sandbox allow-popups allow-popups-to-escape-sandbox',
  "default-src 'none'",
  "style-src 'unsafe-inline'",
  'img-src data:',
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'self'",
].join('; ');

const MAX_LENGTH = 4 * 1024 * 1024;
const LAYOUT = [
  ...[
    'align',
    'valign',
    'width',
    'height',
    'bgcolor',
    'border',
    'cellpadding',
    'cellspacing',
    'color',
    'face',
  ],
  ...['size', 'class', 'id', 'dir', 'lang', 'style', 'title', 'colspan', 'rowspan', 'role'],
];
const OPTIONS: sanitizeHtml.Options = {
  allowedTags: [
    ...sanitizeHtml.defaults.allowedTags,
    ...['img', 'center', 'font', 'big', 'del', 'ins', 'strike', 'col', 'colgroup', 'body'],
  ],
  allowedAttributes: { '*': LAYOUT, a: ['href', 'name', 'target', 'rel'], img: ['src', 'alt'] },
  allowedSchemes: ['http', 'https', 'mailto', 'tel'],
  allowedSchemesByTag: { img: ['data'] },
  allowedSchemesAppliedToAttributes: ['href', 'src'],
  allowProtocolRelative: false,
  parseStyleAttributes: false,
  nestingLimit: 200,
  transformTags: {
    body: 'div',
    a: (tagName, attributes) => ({
      tagName,
      attribs: { ...attributes, target: '_blank', rel: 'noopener noreferrer nofollow' },
    }),
  },
};

/** Without the one character that could end the element which they are put into. */
function styleSheets(html: string): string {
  return [...html.matchAll(/<style\b[^>]*>([^]*?)<\/style/gi)]
    .map(([, css = '']) => css.replaceAll('<', ''))
    .join('\n');
}

function page(css: string, body: string): string {
  return `<!doctype html><html><head><meta charset="utf-8"><style>${css}</style></head><body>${body}</body></html>`;
}
