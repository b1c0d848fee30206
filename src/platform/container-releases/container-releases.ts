import type { Readable } from 'node:stream';
import { BuildFailure } from '../../build/build-failure';
import { CONTAINER_DESCRIPTION, summarize, type ContainerBuilder } from '../../build/container-builder';
import { UnusableImage, type ContainerImages, type KeptImage } from '../../build/container-images';
import { LineOutput } from '../../build/output';
import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import { invalidParams, PlatformError } from '../../domain/errors';
import type { AppId, SlugId } from '../../domain/ids';
import { PROCESS_TYPE, type ProcessTypes } from '../../domain/procfile';
import type { Release } from '../../domain/release';
import type { ProcessImages, Slug } from '../../domain/slug';
import { EngineError } from '../../engine/engine';
import type { PlatformContext } from '../context';
import type { FormationService } from '../formation/formation';
import type { Releases } from '../releases/releases';

export interface ContainerReleasesOptions {
  images: Pick<ContainerImages, 'adopt' | 'ensureBases' | 'sizeOf'>;
  builder: Pick<ContainerBuilder, 'buildDockerfile'>;
  releases: Pick<Releases, 'deploy'>;
  formation: Pick<FormationService, 'find'>;
  /** Of a build that a client waits for. */
  buildTimeoutMs: number;
  /** The app has one more release. */
  onDeployed: (appId: AppId) => void;
}

export interface ImageUpdate {
  type: string;
  /** Of an image that the engine has: its id, digest or name; null takes the process type away. */
  image: string | null;
}

export interface ImageBuild {
  processType: string;
  /** Within the context. */
  dockerfile: string;
  buildArgs: Readonly<Record<string, string>>;
  context: Readable;
}

const SHOWN_DIGITS = 12;

/** Releases of images that were made elsewhere (Dev Center "Container Registry & Runtime"). */
export class ContainerReleases {
  readonly #context: PlatformContext;
  readonly #options: ContainerReleasesOptions;

  constructor(context: PlatformContext, options: ContainerReleasesOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** One release for all of them; process types that are not named keep their images. */
  async update(actor: Actor, app: App, updates: readonly ImageUpdate[]): Promise<Release> {
    const { store, clock, newId } = this.#context;
    const { images, releases, onDeployed } = this.#options;
    assertContainerStack(app);
    for (const { type, image } of updates) {
      if (!PROCESS_TYPE.test(type)) throw invalidParams(`${type} is not a process type.`);
      if (updates.filter((other) => other.type === type).length > 1) {
        throw invalidParams(`Process type ${type} is named twice.`);
      }
      if (image === null) this.#options.formation.find(app, type);
    }
    const adopted = new Map<string, KeptImage | null>();
    for (const { type, image } of updates) {
      adopted.set(type, image === null ? null : await this.#adopt(app, image));
    }
    const before = Object.values(this.#newestCode(app).images ?? {});
    const sizes = await images.sizeOf(before.map(({ reference }) => reference));
    const release = store.transaction(() => {
      const current = store.apps.get(app.id);
      if (current === undefined) throw new PlatformError('not_found', "Couldn't find that app.", 'app');
      const code = merge(this.#newestCode(current), adopted);
      const now = clock.now();
      const references = new Set(Object.values(code.images).map(({ reference }) => reference));
      for (const kept of adopted.values()) if (kept !== null) sizes.set(kept.reference, kept.sizeBytes);
      const slug: Slug = {
        ...code,
        ...summarize(code.images),
        id: newId() as SlugId,
        appId: app.id,
        stack: 'container',
        commit: null,
        commitDescription: null,
        buildpackProvidedDescription: CONTAINER_DESCRIPTION,
        size: [...references].reduce((sum, reference) => sum + (sizes.get(reference) ?? 0), 0),
        createdAt: now,
        updatedAt: now,
      };
      return releases.deploy(actor, current, slug, undefined, describe(adopted));
    });
    onDeployed(app.id);
    return release;
  }

  /** Builds a Dockerfile for the app, without releasing it. Answers the image's id. */
  async build(
    app: App,
    { processType, ...build }: ImageBuild,
    write: (text: string) => Promise<void>,
    callerSignal: AbortSignal,
  ): Promise<string> {
    const { images, builder, buildTimeoutMs } = this.#options;
    assertContainerStack(app);
    if (!PROCESS_TYPE.test(processType)) throw invalidParams(`${processType} is not a process type.`);
    const deadline = new AbortController();
    const cancelDeadline = this.#context.clock.after(buildTimeoutMs, () => deadline.abort());
    const output = new LineOutput({
      write: (chunk) => write(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8')),
    });
    try {
      await images.ensureBases();
      const { dockerfile } = build;
      const request = { ...build, appId: app.id, name: processType, title: dockerfile };
      const signal = AbortSignal.any([deadline.signal, callerSignal]);
      return (await builder.buildDockerfile(request, output, signal)).id;
    } catch (error) {
      if (deadline.signal.aborted) {
        throw invalidParams(`The build took longer than ${Math.round(buildTimeoutMs / 60_000)} minutes.`);
      }
      if (error instanceof BuildFailure) {
        await output.lines(...error.lines);
        throw new PlatformError('invalid_params', error.message, undefined, { cause: error });
      }
      throw toPlatformError(error);
    } finally {
      cancelDeadline();
    }
  }

  async #adopt(app: App, reference: string): Promise<KeptImage> {
    try {
      return await this.#options.images.adopt(app.id, reference);
    } catch (error) {
      if (error instanceof UnusableImage) throw invalidParams(error.message);
      throw toPlatformError(error);
    }
  }

  /** What runs, or is to run once the release that is under way takes effect. */
  #newestCode(app: App): Partial<Slug> {
    const { store } = this.#context;
    const newest =
      store.releases.pending(app.id).findLast(({ slugId }) => slugId !== null) ??
      store.releases.current(app.id);
    const slug = store.slugs.ofRelease(newest);
    // The code of another stack has no images that could stay.
    return slug?.images === undefined ? {} : slug;
  }
}

function assertContainerStack(app: App): void {
  if (app.stack === 'container' || app.buildStack === 'container') return;
  throw invalidParams(
    `This command is for Docker apps only. Switch stacks by running heroku stack:set container -a ${app.name}.`,
  );
}

function merge(
  { images = {}, processTypes = {} }: Partial<Slug>,
  adopted: ReadonlyMap<string, KeptImage | null>,
): { images: ProcessImages; processTypes: ProcessTypes } {
  const removed = (type: string): boolean => adopted.get(type) === null;
  const kept = [...adopted].flatMap(([type, image]) => (image === null ? [] : [[type, image] as const]));
  return {
    images: {
      ...without(images, removed),
      ...Object.fromEntries(
        kept.map(([type, { reference, id, argv, runsAsRoot }]) => [
          type,
          { reference, id, argv, runsAsRoot },
        ]),
      ),
    },
    processTypes: {
      ...without(processTypes, removed),
      ...Object.fromEntries(kept.map(([type, { command }]) => [type, command])),
    },
  };
}

function without<T>(
  entries: Readonly<Record<string, T>>,
  which: (name: string) => boolean,
): Record<string, T> {
  return Object.fromEntries(Object.entries(entries).filter(([name]) => !which(name)));
}

/** `Deployed web (6c1e92d0fa42)` */
function describe(adopted: ReadonlyMap<string, KeptImage | null>): string {
  const deployed = [...adopted].flatMap(([type, kept]) =>
    kept === null ? [] : [`${type} (${kept.id.replace(/^sha256:/, '').slice(0, SHOWN_DIGITS)})`],
  );
  const removed = [...adopted].flatMap(([type, kept]) => (kept === null ? [type] : []));
  return [
    ...(deployed.length === 0 ? [] : [`Deployed ${deployed.join(', ')}`]),
    ...(removed.length === 0 ? [] : [`Removed ${removed.join(', ')}`]),
  ].join('; ');
}

function toPlatformError(error: unknown): unknown {
  if (!(error instanceof EngineError)) return error;
  switch (error.kind) {
    case 'unreachable':
      return new PlatformError('service_unavailable', 'The container engine does not answer.', undefined, {
        cause: error,
      });
    case 'no_space':
      return new PlatformError(
        'service_unavailable',
        'The disk of the container engine is full.',
        undefined,
        { cause: error },
      );
    default:
      return error;
  }
}
