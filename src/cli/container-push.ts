import { createReadStream } from 'node:fs';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack as createPack, type Pack } from 'tar-stream';
import { parseDockerIgnore, type DockerIgnore } from '../lib/docker-ignore';
import type { ApiClient, ContainerApiClient } from './api-client';
import { CommandError } from './terminal';

export interface ContainerPushOptions {
  /** `Dockerfile.<type>` here and in folders below, each with its own folder as context. */
  recursive?: boolean;
  file?: string;
  /** `NAME=value` */
  arg?: readonly string[];
  contextPath?: string;
}

export interface ContainerPushPlace {
  api: Pick<ApiClient, 'get' | 'list' | 'patch'> & ContainerApiClient;
  /** Of the caller. */
  cwd: string;
  write: (text: string) => void;
  signal: AbortSignal;
}

interface Job {
  type: string;
  /** Absolute. */
  dockerfile: string;
  context: string;
}

interface ReleaseJson {
  version: number;
  status: string;
  description: string;
  output_stream_url: string | null;
}

/** The engine may be busy. */
const RELEASE_TIMEOUT_MS = 60_000;
const TYPED = /^Dockerfile\.(\w+)$/;

/**
 * `heroku container:push` and `container:release` in one: builds with the container engine and releases what came of it.
 * `words` are process types and, last, the folder, which is told from them by a slash or by being `.` or `..`.
 */
export async function pushContainers(
  place: ContainerPushPlace,
  app: string,
  words: readonly string[],
  options: ContainerPushOptions,
): Promise<void> {
  const { api, write, signal } = place;
  const { types, folder } = readWords(words, place.cwd);
  const buildArgs = readBuildArgs(options.arg ?? []);
  const jobs = options.recursive === true ? await findJobs(folder, types) : plainJobs(folder, types, options);
  const context =
    options.contextPath === undefined ? undefined : path.resolve(place.cwd, options.contextPath);
  const updates: { type: string; docker_image: string }[] = [];
  for (const job of jobs) {
    const root = context ?? job.context;
    const dockerfile = path.relative(root, job.dockerfile).split(path.sep).join('/');
    if (dockerfile.startsWith('../'))
      throw new CommandError(`${job.dockerfile} is not in the context, ${root}.`);
    const tar = await packContext(root, dockerfile);
    const id = await api.buildImage(
      app,
      { processType: job.type, dockerfile, buildArgs },
      tar,
      write,
      signal,
    );
    updates.push({ type: job.type, docker_image: id });
  }
  await api.patch(
    `/apps/${encodeURIComponent(app)}/formation`,
    { updates },
    { timeoutMs: RELEASE_TIMEOUT_MS },
  );
  await follow(place, app);
}

/** Says what became of the release, with what its release command prints. */
async function follow({ api, write, signal }: ContainerPushPlace, app: string): Promise<void> {
  const release = ((await api.list(`/apps/${encodeURIComponent(app)}/releases`)) as ReleaseJson[]).at(-1);
  if (release === undefined) throw new CommandError(`${app} has no release.`);
  if (release.status === 'pending' && release.output_stream_url !== null) {
    write('Running release command...\n');
    await api.stream(release.output_stream_url, write, signal);
  }
  const path = `/apps/${encodeURIComponent(app)}/releases/${release.version}`;
  const { status, description } = (await api.get(path)) as ReleaseJson;
  if (status === 'failed') {
    throw new CommandError(
      `v${release.version} failed: its release command did not succeed.`,
      `The app runs on as before. heroku releases:output ${release.version} -a ${app} shows why.`,
    );
  }
  write(
    `Released v${release.version} of ${app}: ${description}${status === 'pending' ? ' (pending)' : ''}\n`,
  );
}

function readWords(words: readonly string[], cwd: string): { types: string[]; folder: string } {
  const isFolder = (word: string): boolean => word === '.' || word === '..' || /[\\/]/.test(word);
  const last = words.at(-1);
  const folder = last !== undefined && isFolder(last) ? last : undefined;
  const types = folder === undefined ? [...words] : words.slice(0, -1);
  const wrong = types.find((type) => !/^[-\w]{1,128}$/.test(type));
  if (wrong !== undefined) throw new CommandError(`${wrong} is not a process type.`);
  return { types: [...new Set(types)], folder: path.resolve(cwd, folder ?? '.') };
}

function readBuildArgs(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) throw new CommandError(`--arg ${text}: expected NAME=value.`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

function plainJobs(folder: string, types: readonly string[], { file }: ContainerPushOptions): Job[] {
  if (types.length === 0) {
    throw new CommandError(
      'Requires one or more process types.',
      'For example: dynodock container:push my-app web. With --recursive, Dockerfile.<type> says it.',
    );
  }
  const dockerfile = path.resolve(folder, file ?? 'Dockerfile');
  return types.map((type) => ({ type, dockerfile, context: folder }));
}

/** The closest to the folder counts, where a type has several. */
async function findJobs(folder: string, types: readonly string[]): Promise<Job[]> {
  const names = await readdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw new CommandError(`${folder} cannot be read.`, undefined, { cause });
  });
  const jobs = new Map<string, Job>();
  const sorted = names.sort((a, b) => depth(a) - depth(b) || (a < b ? -1 : 1));
  for (const name of sorted) {
    const type = TYPED.exec(path.basename(name))?.[1];
    if (type === undefined || jobs.has(type) || name.split(path.sep).includes('node_modules')) continue;
    const dockerfile = path.join(folder, name);
    if (types.length === 0 || types.includes(type))
      jobs.set(type, { type, dockerfile, context: path.dirname(dockerfile) });
  }
  const missing = types.find((type) => !jobs.has(type));
  if (missing !== undefined) throw new CommandError(`Dockerfile.${missing} not found.`);
  if (jobs.size === 0) throw new CommandError('No images to push: there is no Dockerfile.<process type>.');
  return [...jobs.values()];
}

function depth(name: string): number {
  return name.split(path.sep).length;
}

/** A folder as a tar, without what its `.dockerignore` names. */
async function packContext(folder: string, dockerfile: string): Promise<Readable> {
  const file = path.join(folder, dockerfile);
  await lstat(file).catch((cause: unknown) => {
    throw new CommandError(`${file} not found.`, undefined, { cause });
  });
  const text = await readFile(path.join(folder, '.dockerignore'), 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  });
  const ignores = parseDockerIgnore(text);
  const needed = new Set([dockerfile, '.dockerignore']);
  const pack = createPack();
  const tar = pack as unknown as Readable;
  // Whoever sends it asks for what went wrong.
  tar.on('error', () => undefined);
  const rules: ContextRules = {
    ignores: (name) => ignores(name) && !needed.has(name),
    // Exceptions may name what is in an ignored folder, and so may the Dockerfile's own path.
    skips: (name) => ignores(name) && !/^\s*!/m.test(text) && !dockerfile.startsWith(`${name}/`),
  };
  appendFolder(pack, folder, '', rules).then(
    () => pack.finalize(),
    (error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return tar;
}

interface ContextRules {
  ignores: DockerIgnore;
  /** Is there nothing to be found in this folder? */
  skips: DockerIgnore;
}

async function appendFolder(
  pack: Pack,
  root: string,
  folder: string,
  { ignores, skips }: ContextRules,
): Promise<void> {
  const entries = await readdir(path.join(root, folder), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
    const source = path.join(root, name);
    if (entry.isDirectory()) {
      if (skips(name)) continue;
      if (!ignores(name)) await append(pack, { name: `${name}/`, type: 'directory', mode: 0o755 });
      await appendFolder(pack, root, name, { ignores, skips });
    } else if (ignores(name)) continue;
    else if (entry.isSymbolicLink()) {
      await append(pack, { name, type: 'symlink', linkname: await readlink(source) });
    } else if (entry.isFile()) {
      const { size, mode, mtime } = await lstat(source);
      const header = { name, size, mode: mode & 0o777, mtime };
      // Exactly so many bytes, even where it grows meanwhile: the header has said it.
      const content = size === 0 ? undefined : createReadStream(source, { end: size - 1 });
      if (content === undefined) await append(pack, header);
      else await pipeline(content, pack.entry(header) as unknown as NodeJS.WritableStream);
    }
  }
}

function append(pack: Pack, header: Parameters<Pack['entry']>[0]): Promise<void> {
  return new Promise((resolve, reject) => {
    pack.entry(header, '', (error) => (error ? reject(error) : resolve()));
  });
}
