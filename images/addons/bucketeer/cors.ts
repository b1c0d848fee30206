import { empty, xmlAnswer, type Answer, type Exchange } from './answer.ts';
import { readText } from './body.ts';
import type { BucketStore } from './bucket-store.ts';
import { S3Error } from './errors.ts';
import type { S3Request } from './request.ts';
import { all, parseXml, texts, textOf } from './xml.ts';

/** "Using cross-origin resource sharing": without rules, a page of another origin may not read or upload anything. */
export interface CorsRule {
  origins: string[];
  methods: string[];
  headers: string[];
  exposed: string[];
  maxAgeSeconds: number | null;
}

const SETTING = 'cors';
const MAX_XML_BYTES = 64 * 1024;
const MAX_RULES = 100;
const METHODS = new Set(['GET', 'PUT', 'POST', 'DELETE', 'HEAD']);

export async function putCors({ request, signed, store }: Exchange): Promise<Answer> {
  const xml = parseXml(await readText(request, signed, MAX_XML_BYTES), 'CORSConfiguration');
  const rules = all(xml, 'CORSRule').map((rule): CorsRule => {
    const age = textOf(rule, 'MaxAgeSeconds');
    return {
      origins: texts(rule, 'AllowedOrigin'),
      methods: texts(rule, 'AllowedMethod'),
      headers: texts(rule, 'AllowedHeader'),
      exposed: texts(rule, 'ExposeHeader'),
      maxAgeSeconds: age === undefined ? null : Number(age),
    };
  });
  const isValid = rules.every(
    ({ origins, methods, maxAgeSeconds }) =>
      origins.length > 0 &&
      origins.every((origin) => origin.split('*').length <= 2) &&
      methods.length > 0 &&
      methods.every((method) => METHODS.has(method)) &&
      (maxAgeSeconds === null || Number.isInteger(maxAgeSeconds)),
  );
  if (rules.length === 0 || rules.length > MAX_RULES || !isValid) throw new S3Error('MalformedXML');
  store.setSetting(SETTING, JSON.stringify(rules));
  return empty(200);
}

export function getCors({ store }: Exchange): Answer {
  const rules = readRules(store);
  if (rules.length === 0) throw new S3Error('NoSuchCORSConfiguration');
  return xmlAnswer('CORSConfiguration', {
    CORSRule: rules.map((rule) => ({
      AllowedOrigin: rule.origins,
      AllowedMethod: rule.methods,
      AllowedHeader: rule.headers,
      ExposeHeader: rule.exposed,
      MaxAgeSeconds: rule.maxAgeSeconds ?? undefined,
    })),
  });
}

export function deleteCors({ store }: Exchange): Answer {
  store.setSetting(SETTING, null);
  return empty(204);
}

/** Headers to add to whatever is answered; none for requests that come from no other page. */
export function corsHeaders(request: S3Request, store: BucketStore): Record<string, string> {
  const {
    origin,
    'access-control-request-method': asked,
    'access-control-request-headers': names,
  } = request.headers;
  if (origin === undefined) return {};
  const wanted = (names ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
  const rule = readRules(store).find(
    ({ origins, methods, headers }) =>
      origins.some((pattern) => fits(pattern, origin)) &&
      methods.includes(asked ?? request.method) &&
      wanted.every((name) => headers.some((pattern) => fits(pattern.toLowerCase(), name))),
  );
  if (rule === undefined) return {};
  const isForAll = rule.origins.includes('*');
  return {
    'access-control-allow-origin': isForAll ? '*' : origin,
    'access-control-allow-methods': rule.methods.join(', '),
    ...(wanted.length > 0 ? { 'access-control-allow-headers': wanted.join(', ') } : {}),
    ...(rule.exposed.length > 0 ? { 'access-control-expose-headers': rule.exposed.join(', ') } : {}),
    ...(rule.maxAgeSeconds === null ? {} : { 'access-control-max-age': String(rule.maxAgeSeconds) }),
    ...(isForAll ? {} : { 'access-control-allow-credentials': 'true' }),
    vary: 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method',
  };
}

export function preflight(request: S3Request, store: BucketStore): Answer {
  const headers = corsHeaders(request, store);
  if (headers['access-control-allow-origin'] === undefined) {
    throw new S3Error('AccessDenied', 'CORSResponse: This CORS request is not allowed.');
  }
  return empty(200, headers);
}

function readRules(store: BucketStore): CorsRule[] {
  const text = store.setting(SETTING);
  return text === undefined ? [] : (JSON.parse(text) as CorsRule[]);
}

/** One `*` at most stands for anything. */
function fits(pattern: string, text: string): boolean {
  const at = pattern.indexOf('*');
  if (at === -1) return pattern === text;
  const [head, tail] = [pattern.slice(0, at), pattern.slice(at + 1)];
  return text.length >= head.length + tail.length && text.startsWith(head) && text.endsWith(tail);
}
