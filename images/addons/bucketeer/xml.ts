import { XMLParser } from 'fast-xml-parser';
import { S3Error } from './errors.ts';

/** An element's content: text, elements, or the same element several times. */
export type XmlContent = string | number | boolean | XmlElements | readonly (string | XmlElements)[];
export interface XmlElements {
  readonly [name: string]: XmlContent | undefined;
}

const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';

export function toXml(root: string, content: XmlElements): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="${NAMESPACE}">${elements(content)}</${root}>`;
}

/** Without a namespace, as S3 does it. */
export function errorXml(content: XmlElements): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${elements(content)}</Error>`;
}

function elements(content: XmlElements): string {
  return Object.entries(content)
    .flatMap(([name, value]) =>
      (Array.isArray(value) ? (value as XmlContent[]) : [value]).map((one) => element(name, one)),
    )
    .join('');
}

function element(name: string, content: XmlContent | undefined): string {
  if (content === undefined) return '';
  const inner = typeof content === 'object' ? elements(content as XmlElements) : escapeXml(String(content));
  return `<${name}>${inner}</${name}>`;
}

/** What XML 1.0 has no way to write becomes a replacement character. */
function escapeXml(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\r', '&#13;');
}

export interface ParsedXml {
  readonly [name: string]: string | ParsedXml | readonly (string | ParsedXml)[] | undefined;
}

const parser = new XMLParser({
  parseTagValue: false,
  ignoreAttributes: true,
  removeNSPrefix: true,
  trimValues: false,
});

/** The content of the root element, which has to be `root`. Nothing outside of the text is read. */
export function parseXml(text: string, root: string): ParsedXml {
  // Entities of the document's own are of no use here, and were of much to others.
  if (text.includes('<!DOCTYPE')) throw new S3Error('MalformedXML');
  let parsed: ParsedXml;
  try {
    parsed = parser.parse(text, true) as ParsedXml;
  } catch {
    throw new S3Error('MalformedXML');
  }
  const content = parsed[root];
  if (typeof content !== 'object' || Array.isArray(content)) throw new S3Error('MalformedXML');
  return content as ParsedXml;
}

/** All elements of a name, however many there are. */
export function all(xml: ParsedXml, name: string): ParsedXml[] {
  const value = xml[name];
  const list = value === undefined ? [] : Array.isArray(value) ? (value as (string | ParsedXml)[]) : [value];
  return list.map((one) => {
    if (typeof one === 'string') throw new S3Error('MalformedXML');
    return one as ParsedXml;
  });
}

export function texts(xml: ParsedXml, name: string): string[] {
  const value = xml[name];
  const list = value === undefined ? [] : Array.isArray(value) ? (value as unknown[]) : [value];
  return list.map((one) => {
    if (typeof one !== 'string') throw new S3Error('MalformedXML');
    return one;
  });
}

export function textOf(xml: ParsedXml, name: string): string | undefined {
  return texts(xml, name)[0];
}
