import { simpleParser, type AddressObject, type Attachment, type ParsedMail } from 'mailparser';
import type { Summary } from './mail-store.ts';

/** Bounds for what anybody may send: beyond them a message is kept, and shown as it came only. */
const LIMITS = {
  maxHeadSize: 256 * 1024,
  maxChildNodes: 200,
  maxHtmlLengthToParse: 1024 * 1024,
  checksumAlgo: false,
} as const;
const MAX_SUBJECT = 500;
const MAX_ADDRESSES = 2000;

/** One at a time: a large message takes several times its size while it is read. */
let turn: Promise<unknown> = Promise.resolve();

export function parseMessage(raw: Buffer): Promise<ParsedMail> {
  const result = turn.then(() => simpleParser(raw, LIMITS));
  turn = result.catch(() => undefined); // whoever waits for it is told
  return result;
}

/** Never fails: a message that can't be read was sent all the same. */
export async function summarize(raw: Buffer): Promise<Summary> {
  try {
    const mail = await parseMessage(raw);
    return {
      from: (mail.from?.text ?? '').slice(0, MAX_ADDRESSES),
      to: addresses(mail.to),
      cc: addresses(mail.cc),
      subject: (mail.subject ?? '').slice(0, MAX_SUBJECT),
      date: readDate(mail.date),
      attachments: mail.attachments.map(summarizeAttachment),
      hasHtml: typeof mail.html === 'string',
      problem: null,
    };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return { from: '', to: '', cc: '', subject: '', date: null, attachments: [], hasHtml: false, problem };
  }
}

function summarizeAttachment(
  { filename, contentType, size }: Attachment,
  index: number,
): Summary['attachments'][number] {
  return { filename: filename ?? `attachment-${index}`, contentType, size };
}

function addresses(header: AddressObject | AddressObject[] | undefined): string {
  const list = header === undefined ? [] : Array.isArray(header) ? header : [header];
  return list
    .map(({ text }) => text)
    .join(', ')
    .slice(0, MAX_ADDRESSES);
}

function readDate(date: Date | undefined): string | null {
  return date === undefined || Number.isNaN(date.getTime()) ? null : date.toISOString();
}
