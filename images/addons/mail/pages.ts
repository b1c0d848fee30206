import type { StoredMessage } from './mail-store.ts';

/** No script, and nothing of elsewhere; the style sheet is a file of ours. */
export const PAGE_POLICY = [
  "default-src 'none'",
  "style-src 'self'",
  "frame-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'self'",
].join('; ');

export const STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
header { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #8884; overflow-wrap: anywhere; }
th { font-weight: 600; white-space: nowrap; }
time, .size { white-space: nowrap; }
nav a { margin-right: 1rem; }
iframe { width: 100%; height: 65vh; border: 1px solid #8884; background: #fff; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #8884; padding: 1rem; }
.note { color: #888; }
`;

/** At the root; all links are relative, as the page may be reached under any path. */
export function listPage(
  title: string,
  messages: readonly StoredMessage[],
  facts: { total: number; maxMessages: number; query: string },
): string {
  const rows = messages.map(
    ({ id, receivedAt, size, envelope, summary }) => `<tr>
<td><time>${time(receivedAt)}</time></td>
<td>${escapeHtml(summary.from === '' ? envelope.from : summary.from)}</td>
<td>${escapeHtml(envelope.to.join(', '))}</td>
<td><a href="messages/${id}/view">${escapeHtml(subjectOf(summary.subject))}</a>${
      summary.attachments.length > 0 ? ` <span class="note">+${summary.attachments.length}</span>` : ''
    }</td>
<td class="size">${bytes(size)}</td></tr>`,
  );
  const table = `<table><thead><tr><th>Received</th><th>From</th><th>To</th><th>Subject</th><th>Size</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`;
  const none = facts.query === '' ? 'No messages yet.' : 'No such messages.';
  return page(
    title,
    'style.css',
    `<header><h1>${escapeHtml(title)}</h1><p class="note">${facts.total} of at most ${facts.maxMessages} messages</p></header>
<form method="get" action="."><input type="search" name="subject" aria-label="Subject" placeholder="Subject" value="${escapeHtml(facts.query)}"> <button>Search</button></form>
${messages.length === 0 ? `<p>${none}</p>` : table}
${facts.total === 0 ? '' : '<form method="post" action="clear"><p><button>Delete all</button></p></form>'}`,
  );
}

/** At `messages/<id>/view`. */
export function messagePage(
  title: string,
  { id, receivedAt, envelope, summary }: StoredMessage,
  text: string | undefined,
): string {
  const facts: [string, string][] = [
    ['From', summary.from],
    ['To', summary.to],
    ['Cc', summary.cc],
    ['Date', summary.date ?? ''],
    ['Received', receivedAt.toISOString()],
    ['Envelope', `${envelope.from} → ${envelope.to.join(', ')}`],
  ];
  const rows = facts
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `<tr><th>${name}</th><td>${escapeHtml(value)}</td></tr>`);
  const attachments = summary.attachments.map(
    ({ filename, contentType, size }, index) =>
      `<li><a href="attachments/${index}" download>${escapeHtml(filename)}</a> <span class="note">${escapeHtml(contentType)}, ${bytes(size)}</span></li>`,
  );
  const body = [
    ...(summary.problem === null
      ? []
      : [`<p>This message can only be shown as it came: ${escapeHtml(summary.problem)}.</p>`]),
    ...(summary.hasHtml
      ? [
          '<h2>HTML</h2><iframe title="HTML" sandbox="allow-popups allow-popups-to-escape-sandbox" referrerpolicy="no-referrer" src="html"></iframe>',
        ]
      : []),
    ...(text === undefined ? [] : [`<h2>Text</h2><pre>${escapeHtml(text)}</pre>`]),
    ...(attachments.length === 0 ? [] : [`<h2>Attachments</h2><ul>${attachments.join('\n')}</ul>`]),
  ];
  return page(
    subjectOf(summary.subject),
    '../../style.css',
    `<nav><a href="../../">${escapeHtml(title)}</a></nav><h1>${escapeHtml(subjectOf(summary.subject))}</h1>
<table><tbody>${rows.join('\n')}</tbody></table>
<p><a href="raw">As it came</a></p>
${body.join('\n')}
<form method="post" action="delete"><p><button>Delete message ${id}</button></p></form>`,
  );
}

function page(title: string, style: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title><link rel="stylesheet" href="${style}"></head>
<body>${body}</body></html>
`;
}

function subjectOf(subject: string): string {
  return subject.trim() === '' ? '(no subject)' : subject;
}

function time(date: Date): string {
  return date.toISOString().slice(0, 19).replace('T', ' ');
}

function bytes(size: number): string {
  if (size < 1024) return `${size} B`;
  return size < 1024 * 1024 ? `${(size / 1024).toFixed(1)} KB` : `${(size / 1024 / 1024).toFixed(1)} MB`;
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}
