import path from 'node:path';
import { parse } from 'yaml';
import { PROCESS_TYPE } from '../domain/procfile';
import { RELEASE_TYPE } from '../domain/release';
import { quoteForShell } from '../lib/shell';

/** What runs in an image: a line for its shell, or a program with its arguments. */
export type ImageCommand = { kind: 'shell'; line: string } | { kind: 'exec'; argv: readonly string[] };

/** A process type, and which of the images that are built it runs in. */
export interface ManifestProcess {
  image: string;
  /** null: what the image says by itself. */
  command: ImageCommand | null;
}

/** What heroku.yml says of a build (Dev Center "Building Docker Images with heroku.yml"). */
export interface HerokuYml {
  /** Name of the image, which is a process type → path of its Dockerfile. */
  dockerfiles: Readonly<Record<string, string>>;
  buildArgs: Readonly<Record<string, string>>;
  /** The release phase is the type `release`. */
  processes: Readonly<Record<string, ManifestProcess>>;
}

/** Names the place and what is wrong there, e.g. `build.docker.web: …`. */
export class HerokuYmlError extends Error {
  override readonly name = 'HerokuYmlError';
}

type Section = Readonly<Record<string, unknown>>;

const BUILD_ARG = /^[A-Za-z_]\w*$/;
/** What Heroku takes there besides; builds of buildpacks are made on the other stacks here. */
const BUILDPACK_KEYS = ['languages', 'packages', 'pack'];

/**
 * Strict: what is not known is refused, since a typing error here otherwise shows as an app that does something else
 * than was written. `setup` is for `heroku create --manifest` and only has to be well-formed. Throws HerokuYmlError.
 */
export function parseHerokuYml(text: string): HerokuYml {
  const root = section(load(text), 'heroku.yml');
  onlyKeys(root, '', ['setup', 'build', 'release', 'run']);
  checkSetup(root['setup']);
  const build = section(root['build'], 'build');
  const unsupported = BUILDPACK_KEYS.find((key) => build[key] != null);
  if (unsupported !== undefined) {
    throw new HerokuYmlError(
      `build.${unsupported}: not supported; use a stack with buildpacks, or a Dockerfile in build.docker`,
    );
  }
  onlyKeys(build, 'build', ['docker', 'config', ...BUILDPACK_KEYS]);
  const dockerfiles = parseDockerfiles(build['docker']);
  const processes: Record<string, ManifestProcess> = {};
  for (const image of Object.keys(dockerfiles)) processes[image] = { image, command: null };
  for (const [type, value] of Object.entries(section(root['run'], 'run'))) {
    const where = `run.${type}`;
    if (!PROCESS_TYPE.test(type)) throw new HerokuYmlError(`${where}: not a process type`);
    processes[type] = parseProcess(value, where, imageOf(dockerfiles, type));
    assertBuilt(dockerfiles, processes[type].image, where);
  }
  if (root['release'] != null) {
    const where = 'release';
    if (processes[RELEASE_TYPE]?.command != null)
      throw new HerokuYmlError('release: run.release says it already');
    const release = parseProcess(root['release'], where, imageOf(dockerfiles, RELEASE_TYPE));
    if (release.command === null) throw new HerokuYmlError('release: command is missing');
    processes[RELEASE_TYPE] = release;
    assertBuilt(dockerfiles, release.image, where);
  }
  return { dockerfiles, buildArgs: parseScalars(build['config'], 'build.config', BUILD_ARG), processes };
}

/** As a line for people, and for a shell that is to do the same. */
export function commandLine(command: ImageCommand): string {
  return command.kind === 'shell' ? command.line : command.argv.map(quoteForShell).join(' ');
}

function load(text: string): unknown {
  try {
    // Anchors of a few lines can stand for gigabytes otherwise.
    return parse(text, { maxAliasCount: 100, merge: true });
  } catch (error) {
    // Besides its own errors the parser throws others for input that it does not expect.
    const [reason = ''] = (error instanceof Error ? error.message : '').split('\n');
    throw new HerokuYmlError(`not valid YAML: ${reason.replace(/:$/, '')}`, { cause: error });
  }
}

function parseDockerfiles(value: unknown): Record<string, string> {
  if (value == null)
    throw new HerokuYmlError('build.docker: missing; it names a Dockerfile per process type');
  const entries = Object.entries(section(value, 'build.docker'));
  if (entries.length === 0) throw new HerokuYmlError('build.docker: names no Dockerfile');
  return Object.fromEntries(
    entries.map(([type, file]) => {
      const where = `build.docker.${type}`;
      if (!PROCESS_TYPE.test(type)) throw new HerokuYmlError(`${where}: not a process type`);
      if (typeof file !== 'string' || file.trim() === '')
        throw new HerokuYmlError(`${where}: must be the path of a Dockerfile`);
      const clean = path.posix.normalize(file.trim());
      if (clean.startsWith('/') || clean === '..' || clean.startsWith('../') || clean.includes('\0'))
        throw new HerokuYmlError(`${where}: must be a path within the app`);
      return [type, clean];
    }),
  );
}

/** The type's own image, else that of web, else the only one. */
function imageOf(dockerfiles: Readonly<Record<string, string>>, type: string): string | undefined {
  const built = Object.keys(dockerfiles);
  if (built.includes(type)) return type;
  if (built.includes('web')) return 'web';
  return built.length === 1 ? built[0] : undefined;
}

function parseProcess(value: unknown, where: string, ownImage: string | undefined): ManifestProcess {
  const short = typeof value === 'string' || Array.isArray(value);
  const entry = short ? { command: value } : section(value, where);
  onlyKeys(entry, where, ['command', 'image']);
  const image = entry['image'] ?? ownImage;
  if (image === undefined) throw new HerokuYmlError(`${where}: image is missing; name one of build.docker`);
  if (typeof image !== 'string') throw new HerokuYmlError(`${where}.image: must be a name of build.docker`);
  return { image, command: entry['command'] == null ? null : parseCommand(entry['command'], where) };
}

function assertBuilt(dockerfiles: Readonly<Record<string, string>>, image: string, where: string): void {
  if (Object.hasOwn(dockerfiles, image)) return;
  const built = Object.keys(dockerfiles).join(', ');
  throw new HerokuYmlError(`${where}: image ${image} is not built; build.docker has ${built}`);
}

/**
 * A text is for the image's shell, and so is a list of one text with more than one word, which is what Heroku's
 * examples show. Any other list is a program and its arguments, for which the image needs no shell.
 */
function parseCommand(value: unknown, where: string): ImageCommand {
  const texts = (Array.isArray(value) ? value : [value]) as unknown[];
  const words = texts.map((word) => {
    if (typeof word !== 'string' && typeof word !== 'number')
      throw new HerokuYmlError(`${where}: command must be a text, or a list of texts`);
    const text = String(word);
    if (text.includes('\0')) throw new HerokuYmlError(`${where}: command contains a null character`);
    return text;
  });
  const [first = ''] = words;
  if (first.trim() === '') throw new HerokuYmlError(`${where}: command is empty`);
  if (!Array.isArray(value)) return { kind: 'shell', line: first.trim() };
  if (words.length > 1) {
    if (/\s/.test(first)) {
      throw new HerokuYmlError(
        `${where}: a list is one program and its arguments; join several commands by && in one text`,
      );
    }
    return { kind: 'exec', argv: words };
  }
  return quoteForShell(first) === first
    ? { kind: 'exec', argv: [first] }
    : { kind: 'shell', line: first.trim() };
}

/** What `heroku create --manifest` reads by itself. */
function checkSetup(value: unknown): void {
  if (value == null) return;
  const setup = section(value, 'setup');
  onlyKeys(setup, 'setup', ['addons', 'config']);
  parseScalars(setup['config'], 'setup.config', /^[A-Za-z_][\w.]*$/);
  const addons = setup['addons'] ?? [];
  if (!Array.isArray(addons)) throw new HerokuYmlError('setup.addons: must be a list');
  for (const [index, addon] of addons.entries()) {
    const entry = section(addon, `setup.addons[${index}]`);
    onlyKeys(entry, `setup.addons[${index}]`, ['plan', 'as']);
    if (typeof entry['plan'] !== 'string')
      throw new HerokuYmlError(`setup.addons[${index}]: plan is missing`);
  }
}

function parseScalars(value: unknown, where: string, names: RegExp): Record<string, string> {
  return Object.fromEntries(
    Object.entries(section(value, where)).map(([name, entry]) => {
      if (!names.test(name))
        throw new HerokuYmlError(`${where}: ${JSON.stringify(name)} is not a valid name`);
      if (!['string', 'number', 'boolean'].includes(typeof entry))
        throw new HerokuYmlError(`${where}.${name}: must be a text`);
      const text = String(entry);
      if (text.includes('\0')) throw new HerokuYmlError(`${where}.${name}: contains a null character`);
      return [name, text];
    }),
  );
}

function section(value: unknown, where: string): Section {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw new HerokuYmlError(`${where}: must be a map`);
  return value as Section;
}

function onlyKeys(value: Section, where: string, known: readonly string[]): void {
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  throw new HerokuYmlError(
    `${where === '' ? '' : `${where}.`}${unknown}: not known; known are ${known.join(', ')}`,
  );
}
