import { parse, YAMLParseError } from 'yaml';
import { parseProcfile, type ProcessTypes } from '../domain/procfile';
import { BuildFailure } from './build-failure';
import { complaint, detail, heading } from './output';

/** What a buildpack's bin/release prints (Dev Center "Buildpack API", "bin/release"). */
export interface ReleaseInfo {
  addons: string[];
  defaultProcessTypes: ProcessTypes;
  configVars: Readonly<Record<string, string>>;
}

/** Throws BuildFailure if it is not the YAML that was agreed on. */
export function parseReleaseInfo(yaml: string, buildpack: string): ReleaseInfo {
  const fail = (reason: string, cause?: unknown): BuildFailure => {
    const message = `bin/release of ${buildpack} did not print valid YAML: ${reason}`;
    return new BuildFailure('release', message, [complaint(message)], { cause });
  };
  let value: unknown;
  try {
    value = parse(yaml);
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error;
    throw fail(error.message.split('\n')[0] ?? '', error);
  }
  if (value === null || value === undefined) return { addons: [], defaultProcessTypes: {}, configVars: {} };
  if (typeof value !== 'object' || Array.isArray(value)) throw fail('it is not a map');
  const { addons, default_process_types: types, config_vars: vars } = value as Record<string, unknown>;
  if (addons !== undefined && addons !== null && !Array.isArray(addons)) throw fail('addons is not a list');
  return {
    addons: (addons ?? []).map(String),
    defaultProcessTypes: toStringMap(types, () => fail('default_process_types is not a map of texts')),
    configVars: toStringMap(vars, () => fail('config_vars is not a map of texts')),
  };
}

function toStringMap(value: unknown, fail: () => BuildFailure): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw fail();
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]: [string, unknown]) => {
      if (!['string', 'number', 'boolean'].includes(typeof entry)) throw fail();
      return [key, String(entry)];
    }),
  );
}

export interface DiscoveredProcessTypes {
  types: ProcessTypes;
  /** What the client is to see of it. */
  lines: string[];
}

/**
 * The Procfile's types and, for those it does not declare, the buildpack's defaults. Throws BuildFailure when a
 * Procfile says something but not one process type: on Heroku that goes through and leaves an app without dynos.
 */
export function discoverProcessTypes(
  procfile: string | null,
  defaults: ProcessTypes,
): DiscoveredProcessTypes {
  const parsed = parseProcfile(procfile ?? '');
  const problems = parsed.problems.map(({ line, text, reason }) =>
    complaint(`Procfile line ${line} is ignored (${reason}): ${clip(text)}`),
  );
  const declared = Object.keys(parsed.types);
  if (declared.length === 0 && problems.length > 0) {
    throw new BuildFailure('procfile', 'The Procfile declares no process type.', [
      ...problems,
      complaint('The Procfile declares no process type. Each line has to read <process type>: <command>,'),
      complaint('for example: web: node server.js'),
      complaint('See https://devcenter.heroku.com/articles/procfile'),
    ]);
  }
  const added = Object.keys(defaults).filter((type) => !Object.hasOwn(parsed.types, type));
  return {
    types: { ...defaults, ...parsed.types },
    lines: [
      heading('Discovering process types'),
      ...problems,
      detail(`Procfile declares types     -> ${declared.join(', ') || '(none)'}`),
      ...(added.length > 0 ? [detail(`Default types for buildpack -> ${added.join(', ')}`)] : []),
    ],
  };
}

function clip(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
