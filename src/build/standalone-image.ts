import { createWriteStream } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack as createPack, type Pack } from 'tar-stream';
import type { ProcessTypes } from '../domain/procfile';
import { ignoring, type ContainerEngine } from '../engine/engine';
import { INSTALLATION_LABEL } from '../engine/labels';
import { appendEntry } from './tar-entry';

const SCRIPT = path.join(__dirname, 'start-process.sh');
const FOLDER = 'opt/dynodock/app';
/** Where nothing else is said; what Heroku's local tools use as well. */
export const DEFAULT_PORT = 5000;

export interface StandaloneImage {
  /** The slug's image, which loses its name: nothing but the new image is kept. */
  slugImage: string;
  processTypes: ProcessTypes;
  installationId: string;
  /** Which the new image gets, taken from another one if need be. */
  reference: string;
  createdAt: Date;
  /** For a small file, which is removed again. */
  layerPath: string;
}

/**
 * Makes an image that starts by itself of a slug's: `docker run IMAGE web`. An image of ours that had the name before
 * goes, unless a container uses it.
 */
export async function makeStandaloneImage(engine: ContainerEngine, image: StandaloneImage): Promise<void> {
  const { slugImage, processTypes, reference, createdAt, layerPath } = image;
  const before = await engine.inspectImage(reference);
  try {
    await writeLayer(layerPath, processTypes, createdAt);
    await engine.addLayer({
      base: slugImage,
      reference,
      layerTarPath: layerPath,
      config: {
        entrypoint: [`/${FOLDER}/start-process`],
        command: [Object.hasOwn(processTypes, 'web') ? 'web' : 'bash'],
        env: { PORT: String(DEFAULT_PORT) },
      },
      createdAt,
    });
  } finally {
    await rm(layerPath, { force: true });
  }
  await engine.removeImage(slugImage);
  const after = await engine.inspectImage(reference);
  if (before === undefined || before.id === after?.id) return;
  if (before.labels[INSTALLATION_LABEL] !== image.installationId || before.references.length > 1) return;
  // In use by a container: then it stays, without a name.
  await engine.removeImage(before.id).catch(ignoring('conflict'));
}

async function writeLayer(file: string, processTypes: ProcessTypes, mtime: Date): Promise<void> {
  const pack = createPack();
  const written = pipeline(pack as unknown as Readable, createWriteStream(file, { mode: 0o600 }));
  await Promise.all([fill(pack, processTypes, mtime), written]);
}

async function fill(pack: Pack, processTypes: ProcessTypes, mtime: Date): Promise<void> {
  for (const folder of ['opt', 'opt/dynodock', FOLDER, `${FOLDER}/process-types`]) {
    await appendEntry(pack, { name: `${folder}/`, type: 'directory', mode: 0o755, mtime });
  }
  const script = await readFile(SCRIPT);
  await appendEntry(pack, { name: `${FOLDER}/start-process`, mode: 0o755, mtime }, script);
  for (const [type, command] of Object.entries(processTypes)) {
    await appendEntry(pack, { name: `${FOLDER}/process-types/${type}`, mode: 0o644, mtime }, command);
  }
  pack.finalize();
}
