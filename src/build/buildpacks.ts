import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { unusableBuildpack } from './build-failure';

/** Where a buildpack comes from. `name` is how the output calls it; it has no secrets in it. */
export type BuildpackSource =
  /** A folder of this machine: what comes with dynodock, or file:///… */
  | { kind: 'directory'; name: string; directory: string; bundled: boolean }
  /** An archive on this machine. */
  | { kind: 'file'; name: string; file: string }
  /** `url` without credentials, which are `user:password`; `ref` '' = the default branch. */
  | { kind: 'git'; name: string; url: string; ref: string; credentials?: string }
  | { kind: 'archive'; name: string; url: string; credentials?: string };

/**
 * The order in which Heroku tries its own ones on an app without buildpack (Dev Center "Buildpacks"), and then static
 * pages, before what takes any app with a Procfile.
 */
const DETECT_ORDER = [
  'ruby',
  'nodejs',
  'clojure',
  'python',
  'java',
  'gradle',
  'scala',
  'php',
  'go',
  'dotnet',
  'static',
];

export interface BuildpackCatalog {
  /** `heroku/nodejs` → its folder on this machine. */
  bundled: ReadonlyMap<string, string>;
  /** May an app name a folder of this machine with file:///…? */
  allowLocal: boolean;
}

/** Every folder of `directory` that has a bin/detect is `heroku/<its name>`. */
export async function bundledBuildpacks(directory: string): Promise<Map<string, string>> {
  const entries = await readdir(directory, { withFileTypes: true });
  return new Map(
    entries
      .filter((entry) => entry.isDirectory())
      .map((entry) => [`heroku/${entry.name}`, path.join(directory, entry.name)]),
  );
}

/** What an app without buildpacks is tried with: Heroku's languages in its order, then whatever else is bundled. */
export function detectableBuildpacks(catalog: BuildpackCatalog): BuildpackSource[] {
  const languages = DETECT_ORDER.map((language) => `heroku/${language}`);
  const others = [...catalog.bundled.keys()].filter((name) => !languages.includes(name)).sort();
  return [...languages, ...others].flatMap((name) => {
    const directory = catalog.bundled.get(name);
    return directory === undefined ? [] : [{ kind: 'directory' as const, name, directory, bundled: true }];
  });
}

const OFFICIAL_GIT = /^(?:https?|git):\/\/github\.com\/heroku\/heroku-buildpack-([\w-]+?)(?:\.git)?\/?$/;
const OFFICIAL_ARCHIVE =
  /^https:\/\/(?:buildpack-registry|codon-buildpacks)\.s3\.amazonaws\.com\/buildpacks\/heroku\/([\w-]+)\.tgz$/;
const REGISTRY_NAME = /^([\w.-]+)\/([\w.-]+)$/;

/** Throws BuildFailure for what no buildpack can be fetched from. */
export function resolveBuildpack(stored: string, catalog: BuildpackCatalog): BuildpackSource {
  const text = stored.trim().replace(/^urn:buildpack:/, '');
  const official = OFFICIAL_GIT.exec(text)?.[1] ?? OFFICIAL_ARCHIVE.exec(text)?.[1];
  const name = official === undefined ? text : `heroku/${official}`;
  const directory = catalog.bundled.get(name);
  if (directory !== undefined) return { kind: 'directory', name, directory, bundled: true };

  const registered = REGISTRY_NAME.exec(text);
  if (registered !== null) {
    if (registered[1] === 'heroku') {
      const url = `https://github.com/heroku/heroku-buildpack-${registered[2] ?? ''}.git`;
      return { kind: 'git', name: text, url, ref: '' };
    }
    // Where Heroku's registry keeps the published version of everybody else's (Dev Center "Buildpack Registry").
    const url = `https://buildpack-registry.s3.amazonaws.com/buildpacks/${text}.tgz`;
    return { kind: 'archive', name: text, url };
  }
  return resolveUrl(text, catalog.allowLocal);
}

function resolveUrl(text: string, allowLocal: boolean): BuildpackSource {
  // Control characters separate the fields of what the runner reads.
  // eslint-disable-next-line no-control-regex -- see above
  if (!URL.canParse(text) || /[\x00-\x20\x7f]/.test(text))
    throw unusableBuildpack(withoutSecrets(text), 'it is no URL');
  const url = new URL(text);
  const ref = refOf(url);
  const name = withoutSecrets(text);
  if (ref === undefined) throw unusableBuildpack(name, 'its #ref is no git reference');
  const credentials = credentialsOf(url);
  url.hash = '';
  url.username = '';
  url.password = '';
  const isArchive = /\.(?:tgz|tar\.gz)$/.test(url.pathname);
  switch (url.protocol) {
    case 'file:': {
      if (!allowLocal)
        throw unusableBuildpack(name, 'buildpacks from folders of this machine are not enabled');
      if (url.host !== '') throw unusableBuildpack(name, 'a file:// URL has three slashes before the path');
      const local = fileURLToPath(new URL(url.pathname, 'file:///'));
      if (isArchive) return { kind: 'file', name, file: local };
      // With a reference it is a repository, and what is committed there counts.
      if (ref !== '') return { kind: 'git', name, url: url.href, ref };
      return { kind: 'directory', name, directory: local, bundled: false };
    }
    case 'http:':
    case 'https:':
    case 'git:':
      return isArchive
        ? { kind: 'archive', name, url: url.href, ...credentials }
        : { kind: 'git', name, url: url.href, ref, ...credentials };
    default:
      throw unusableBuildpack(name, `${url.protocol}// is not supported: use https://`);
  }
}

/** undefined if it is none that git would take, or one that git would take for something else. */
function refOf(url: URL): string | undefined {
  let ref: string;
  try {
    ref = decodeURIComponent(url.hash.slice(1));
  } catch {
    // A % that begins no escape: not a reference either.
    return undefined;
  }
  return /^[\w./@^~+-]*$/.test(ref) && !ref.startsWith('-') && !ref.includes('..') ? ref : undefined;
}

function credentialsOf({ username, password }: URL): { credentials?: string } {
  return username === '' && password === ''
    ? {}
    : { credentials: `${decodeURIComponent(username)}:${decodeURIComponent(password)}` };
}

/** Without user and password, and without the values in its query, which may be keys: names are printed and kept. */
export function withoutSecrets(text: string): string {
  return text
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, '$1')
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^?#]*)\?[^#]*/i, '$1?…');
}
