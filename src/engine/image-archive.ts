import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack as createPack, type Pack } from 'tar-stream';
import type { ImageConfig, Labels } from './engine';

/** What an image's configuration says of how to run it: the part of `GET /images/{name}/json` we change. */
export interface RuntimeConfig {
  Env?: string[] | null;
  Labels?: Labels | null;
  User?: string;
  WorkingDir?: string;
  Entrypoint?: string[] | null;
  Cmd?: string[] | null;
  [other: string]: unknown;
}

/** `GET /images/{name}/json`, as far as a new image is derived from it. */
export interface BaseImage {
  Id: string;
  Architecture: string;
  Os: string;
  Variant?: string;
  Created: string;
  Config: RuntimeConfig | null;
  RootFS: { Layers?: string[] };
}

/** One entry of `GET /images/{name}/history`, which lists the newest first. */
export interface HistoryEntry {
  /** Seconds since 1970. */
  Created: number;
  CreatedBy: string;
  Comment?: string;
  Size: number;
}

/** The engine's configuration with `config` laid over it: env and labels by key, the rest whole. */
export function mergeConfig(base: RuntimeConfig, config: ImageConfig): RuntimeConfig {
  const merged: RuntimeConfig = { ...base };
  if (config.env !== undefined) {
    const env = new Map((base.Env ?? []).map((entry) => [entry.split('=', 1)[0] ?? '', entry]));
    for (const [name, value] of Object.entries(config.env)) env.set(name, `${name}=${value}`);
    merged.Env = [...env.values()];
  }
  if (config.labels !== undefined) {
    const labels = { ...base.Labels, ...config.labels };
    merged.Labels = Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  }
  if (config.user !== undefined) merged.User = config.user;
  if (config.workingDir !== undefined) merged.WorkingDir = config.workingDir;
  if (config.entrypoint !== undefined) {
    merged.Entrypoint = [...config.entrypoint];
    // As in a Dockerfile: the base's arguments were meant for the base's entrypoint.
    merged.Cmd = null;
  }
  if (config.command !== undefined) merged.Cmd = [...config.command];
  return merged;
}

/**
 * The same as Dockerfile instructions, for the API's calls that take a configuration in no other form. Throws
 * RangeError on a line break in a value, which those cannot express.
 */
export function toInstructions(config: ImageConfig): string[] {
  const instructions = [
    ...Object.entries(config.env ?? {}).map(([name, value]) => `ENV ${name}=${quote(value)}`),
    ...Object.entries(config.labels ?? {}).map(([name, value]) => `LABEL ${quote(name)}=${quote(value)}`),
  ];
  if (config.user !== undefined) instructions.push(`USER ${escapeDollar(config.user)}`);
  if (config.workingDir !== undefined) instructions.push(`WORKDIR ${escapeDollar(config.workingDir)}`);
  if (config.entrypoint !== undefined) instructions.push(`ENTRYPOINT ${JSON.stringify(config.entrypoint)}`);
  if (config.command !== undefined) instructions.push(`CMD ${JSON.stringify(config.command)}`);
  if (instructions.some((line) => /[\r\n]/.test(line))) {
    throw new RangeError('a line break in an image’s configuration');
  }
  return instructions;
}

function quote(value: string): string {
  return `"${value.replace(/[\\"$]/g, '\\$&')}"`;
}

function escapeDollar(value: string): string {
  return value.replace(/[\\$]/g, '\\$&');
}

export interface NewLayer {
  path: string;
  sizeBytes: number;
  /** `sha256:<hex>` of the uncompressed tar. */
  diffId: string;
}

/** Reads the file, unless whoever wrote it has counted and hashed already. */
export async function measureLayer(path: string, known?: Omit<NewLayer, 'path'>): Promise<NewLayer> {
  const { size } = await stat(path);
  if (known?.sizeBytes === size) return { path, ...known };
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return { path, sizeBytes: size, diffId: `sha256:${hash.digest('hex')}` };
}

export interface DerivedImage {
  /** Image configuration (OCI Image Specification, "Image Configuration"), byte by byte as it is to be stored. */
  config: string;
  /** The engine's id for it: the digest of those bytes. */
  id: string;
  diffIds: string[];
}

/** The image that is `base` plus `layer`. A pure function: the same inputs give the same id. */
export function deriveImage(
  base: BaseImage,
  history: readonly HistoryEntry[],
  layer: NewLayer,
  config: ImageConfig,
  createdAt: Date,
): DerivedImage {
  const baseDiffIds = base.RootFS.Layers ?? [];
  const diffIds = [...baseDiffIds, layer.diffId];
  const text = JSON.stringify({
    architecture: base.Architecture,
    ...(base.Variant ? { variant: base.Variant } : {}),
    os: base.Os,
    created: createdAt.toISOString(),
    config: mergeConfig(base.Config ?? {}, config),
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: [
      ...baseHistory(base, history, baseDiffIds.length),
      { created: createdAt.toISOString(), created_by: 'dynodock', comment: 'layer added to its base' },
    ],
  });
  return { config: text, id: `sha256:${createHash('sha256').update(text).digest('hex')}`, diffIds };
}

interface ImageHistory {
  created: string;
  created_by: string;
  comment?: string;
  empty_layer?: true;
}

/**
 * An image's history must have exactly one entry per layer that is not marked empty, but the API does not say which
 * are. Where a size of 0 does not tell them apart, each layer gets an entry of its own.
 */
function baseHistory(base: BaseImage, history: readonly HistoryEntry[], layers: number): ImageHistory[] {
  const oldestFirst = [...history].reverse();
  const allFilled = oldestFirst.length === layers;
  if (!allFilled && oldestFirst.filter((entry) => entry.Size > 0).length !== layers) {
    return Array.from({ length: layers }, () => ({ created: base.Created, created_by: 'base image' }));
  }
  return oldestFirst.map((entry) => ({
    created: new Date(entry.Created * 1000).toISOString(),
    created_by: entry.CreatedBy,
    ...(entry.Comment ? { comment: entry.Comment } : {}),
    ...(allFilled || entry.Size > 0 ? {} : { empty_layer: true as const }),
  }));
}

/**
 * An archive as for `docker load`, with the new layer only: the engine takes the layers below from its own store
 * by their chain ids and never opens their files (moby, image/tarexport/load.go).
 */
export function loadArchive(
  image: DerivedImage,
  reference: string,
  layer: NewLayer,
  createdAt: Date,
): Readable {
  const configName = `${hexOf(image.id)}.json`;
  const layerName = (diffId: string): string => `${hexOf(diffId)}/layer.tar`;
  const manifest = [
    { Config: configName, RepoTags: [reference], Layers: image.diffIds.map((diffId) => layerName(diffId)) },
  ];
  return archive(createdAt, async (pack) => {
    await addText(pack, configName, image.config, createdAt);
    await addText(pack, 'manifest.json', JSON.stringify(manifest), createdAt);
    await addLayerFile(pack, layerName(layer.diffId), layer, createdAt);
  });
}

/** A build context for `POST /build` that makes an image with the same content. */
export function buildContext(
  baseId: string,
  layer: NewLayer,
  config: ImageConfig,
  createdAt: Date,
): Readable {
  // The builder unpacks a local tar that is the source of an ADD.
  const dockerfile = [`FROM ${baseId}`, 'ADD layer.tar /', ...toInstructions(config), ''].join('\n');
  return archive(createdAt, async (pack) => {
    await addText(pack, 'Dockerfile', dockerfile, createdAt);
    await addLayerFile(pack, 'layer.tar', layer, createdAt);
  });
}

function archive(createdAt: Date, fill: (pack: Pack) => Promise<void>): Readable {
  const pack = createPack();
  fill(pack).then(
    () => pack.finalize(),
    (error: unknown) => pack.destroy(error instanceof Error ? error : new Error('archive', { cause: error })),
  );
  return pack as unknown as Readable;
}

function addText(pack: Pack, name: string, text: string, mtime: Date): Promise<void> {
  return new Promise((resolve, reject) => {
    pack.entry({ name, mtime }, text, (error) => (error ? reject(error) : resolve()));
  });
}

async function addLayerFile(pack: Pack, name: string, layer: NewLayer, mtime: Date): Promise<void> {
  const entry = pack.entry({ name, mtime, size: layer.sizeBytes });
  await pipeline(createReadStream(layer.path), entry);
}

function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1);
}
