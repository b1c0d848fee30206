import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { applyConfigVarChanges, type ConfigVars } from '../domain/config-vars';
import { PlatformError } from '../domain/errors';
import { DEFAULT_STACK, isStackName, STACK_NAMES, type StackName } from '../domain/stack';
import { CommandError } from './terminal';

/** As they were given. */
export interface BuildArguments {
  buildpack?: string[];
  env?: string[];
  envFile?: string;
  tag?: string;
  stack?: string;
  test?: boolean;
}

export interface FolderBuildOptions {
  /** Absolute. */
  directory: string;
  /** Empty: detect. */
  buildpacks: string[];
  configVars: ConfigVars;
  tag: string;
  stack: Exclude<StackName, 'container'>;
  test: boolean;
}

/** Docker's rules of names and tags (github.com/distribution/reference), with a tag that has to be given. */
const PART = '[a-z0-9]+(?:(?:\\.|_{1,2}|-+)[a-z0-9]+)*';
const HOST = '[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?';
const REFERENCE = new RegExp(`^(?:${HOST}/)?${PART}(?:/${PART})*(?::[\\w][\\w.-]{0,127})?$`);

/** Throws CommandError for what cannot be meant. `workingDir`: what relative paths are relative to. */
export function readBuildOptions(
  directory: string,
  given: BuildArguments,
  workingDir: string,
): FolderBuildOptions {
  const absolute = path.resolve(workingDir, directory);
  return {
    directory: absolute,
    buildpacks: (given.buildpack ?? []).map((text) => toBuildpack(text, workingDir)),
    configVars: readVars(given, workingDir),
    tag: toReference(given.tag ?? defaultTag(absolute)),
    stack: toStack(given.stack ?? DEFAULT_STACK),
    test: given.test === true,
  };
}

/** `dynodock/build:<folder name>` */
function defaultTag(directory: string): string {
  const name = path
    .basename(directory)
    .replace(/[^\w.-]+/g, '-')
    .replace(/^[.-]+/, '')
    .slice(0, 128);
  return `dynodock/build:${name === '' ? 'app' : name}`;
}

function toReference(text: string): string {
  if (!REFERENCE.test(text) || text.length > 255) {
    throw new CommandError(`--tag ${JSON.stringify(text)} is no name of an image.`, 'For example: my-app:1');
  }
  return /:[^/]*$/.test(text) ? text : `${text}:latest`;
}

function toStack(text: string): FolderBuildOptions['stack'] {
  if (!isStackName(text)) {
    throw new CommandError(`There is no stack ${text}.`, `There are: ${STACK_NAMES.join(', ')}.`);
  }
  if (text === 'container') {
    throw new CommandError(
      'The stack container is built of a Dockerfile, which docker build does.',
      'This command builds with buildpacks.',
    );
  }
  return text;
}

/** Paths become file:// URLs, everything else is a name or URL already. */
function toBuildpack(text: string, workingDir: string): string {
  return /^\.{0,2}\//.test(text) || text === '.' || text === '..'
    ? pathToFileURL(path.resolve(workingDir, text)).href
    : text;
}

/** A file's first, then those of the command line. */
function readVars({ env = [], envFile }: BuildArguments, workingDir: string): ConfigVars {
  const vars: Record<string, string> = {};
  const lines = envFile === undefined ? [] : readEnvFile(path.resolve(workingDir, envFile));
  for (const line of lines) {
    const [key, value] = split(line.text);
    // The line itself may be a secret that somebody has put there by mistake.
    if (value === undefined) throw new CommandError(`${envFile ?? ''}, line ${line.number}: not KEY=VALUE.`);
    vars[key.replace(/^export\s+/, '').trim()] = unquote(value.trim());
  }
  for (const text of env) {
    const [key, value] = split(text);
    if (value === undefined) throw new CommandError('--env has to be KEY=VALUE.');
    vars[key] = value;
  }
  try {
    return applyConfigVarChanges({}, vars).vars;
  } catch (error) {
    if (error instanceof PlatformError) throw new CommandError(error.message);
    throw error;
  }
}

function readEnvFile(file: string): { text: string; number: number }[] {
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CommandError(`${file} cannot be read${code === undefined ? '' : ` (${code})`}.`);
  }
  return content
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\n|\r/)
    .map((text, index) => ({ text, number: index + 1 }))
    .filter(({ text }) => text.trim() !== '' && !text.trimStart().startsWith('#'));
}

function split(text: string): [key: string, value: string | undefined] {
  const equals = text.indexOf('=');
  return equals === -1 ? [text, undefined] : [text.slice(0, equals), text.slice(equals + 1)];
}

/** One pair of quotes around all of it is not meant. */
function unquote(value: string): string {
  return /^(["'])(.*)\1$/s.exec(value)?.[2] ?? value;
}
