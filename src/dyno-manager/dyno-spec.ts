import type { App } from '../domain/app';
import { dynoName, type Dyno } from '../domain/dyno';
import { dynoSize } from '../domain/dyno-size';
import { RELEASE_TYPE, type Release } from '../domain/release';
import type { ProcessImage, Slug } from '../domain/slug';
import { EngineError, type ContainerSpec, type Mount, type TerminalSize } from '../engine/engine';
import {
  APP_LABEL,
  APP_NAME_LABEL,
  DYNO_LABEL,
  DYNO_NAME_LABEL,
  ownedLabels,
  RELEASE_LABEL,
} from '../engine/labels';
import type { Sandbox } from './sandboxes';
import { trustedEnvironment, trustMounts } from '../engine/trust';

/**
 * Heroku lets a dyno exceed its quota, which pages to swap and is logged (R14), and ends it at twice the quota (R15).
 * Swap can't be counted on here, so that the kernel's limit stands where R15 does.
 */
const HARD_LIMIT_QUOTAS = 2;

export interface DynoSpecInput {
  installationId: string;
  network: string;
  /** PEM bundle of the CAs that the host trusts, on the engine's host; absent = the image's own. */
  caBundlePath?: string;
  app: App;
  dyno: Dyno;
  /** Of `dyno.sandbox`, where it has one. */
  sandbox?: Sandbox;
  release: Release;
  slug: Slug;
}

/** `DYNO`, `PORT` and so on (Dev Center "Dyno startup behavior"); config vars come last, so that they may override. */
export function dynoSpec(input: DynoSpecInput): ContainerSpec {
  const { installationId, app, dyno, release, slug } = input;
  const size = dynoSize(dyno.size);
  const mounts: Mount[] = trustMounts(input.caBundlePath);
  const isOfImages = slug.images !== undefined;
  return {
    name: containerName(installationId, app, dyno),
    ...program(dyno, slug),
    env: {
      ...trustedEnvironment(input.caBundlePath),
      // An image that somebody else has made says by itself where its home is.
      ...(isOfImages ? {} : { HOME: '/app' }),
      // For buildpacks that size themselves by memory: the container's limit is not the quota.
      MEMORY_AVAILABLE: String(size.memoryMb),
      ...release.configVars,
      ...dyno.oneOff?.env,
      DYNO: dynoName(dyno),
      ...(dyno.port === null ? {} : { PORT: String(dyno.port) }),
    },
    labels: ownedLabels(installationId, 'dyno', {
      [APP_LABEL]: app.id,
      [APP_NAME_LABEL]: app.name,
      [DYNO_LABEL]: dyno.id,
      [DYNO_NAME_LABEL]: dynoName(dyno),
      [RELEASE_LABEL]: `v${release.version}`,
    }),
    ...placement(input),
    init: true,
    limits: {
      memoryBytes: HARD_LIMIT_QUOTAS * size.memoryMb * 1024 * 1024,
      cpuShares: Math.min(1024 * size.compute, 262_144),
      pids: size.maxProcesses,
    },
    mounts,
    // What an attached one prints is its client's alone.
    ...(dyno.oneOff?.attached === true
      ? { openStdin: true, tty: dyno.oneOff.terminal !== null, discardLog: true }
      : {}),
  };
}

/** What the container is made of, and what runs in it as whom. */
function program(dyno: Dyno, slug: Slug): Pick<ContainerSpec, 'image' | 'command' | 'user'> {
  const terminal = dyno.oneOff?.terminal ?? null;
  if (slug.images === undefined) {
    return { image: slug.image, command: launchCommand(dyno.command, terminal) };
  }
  const image = processImage(dyno, slug);
  if (image === undefined) throw new EngineError('not_found', `the release has no image for ${dyno.type}`);
  const own = dyno.oneOff === null || dyno.type === RELEASE_TYPE;
  const command = own ? image.argv : shellCommand(dyno.command, terminal);
  return {
    image: image.reference,
    ...(command === null ? {} : { command }),
    ...(image.runsAsRoot ? { user: unprivilegedUser(dyno) } : {}),
  };
}

/** Of the dyno's process type. One-off dynos run that of `web` unless they say otherwise (Dev Center "Container Registry"). */
export function processImage(dyno: Dyno, slug: Slug): ProcessImage | undefined {
  const images = slug.images ?? {};
  if (dyno.oneOff === null || dyno.type === RELEASE_TYPE) return images[dyno.type];
  const { processType } = dyno.oneOff;
  return processType === undefined ? (images['web'] ?? Object.values(images)[0]) : images[processType];
}

/** No dyno runs as root; as on Heroku each has a number of its own, which nobody has given a name to. */
function unprivilegedUser(dyno: Dyno): string {
  const id = 20_000 + (Number.parseInt(dyno.id.replaceAll('-', '').slice(0, 8), 16) % 40_000);
  return `${id}:${id}`;
}

/**
 * The program that runs a dyno's command line. A terminal exists only once its process runs, so that the engine
 * can't size it in advance: it is done from the inside first, before the command could look.
 */
export function launchCommand(command: string, terminal: TerminalSize | null): string[] {
  const launch = '/usr/local/bin/dyno-launch';
  if (terminal === null) return [launch, command];
  const script = `stty cols "$2" rows "$3"; exec ${launch} "$1"`;
  return ['/bin/bash', '-c', script, 'dyno', command, String(terminal.columns), String(terminal.rows)];
}

/** The same in an image that somebody else has made, of which only a shell is expected. */
export function shellCommand(command: string, terminal: TerminalSize | null): string[] {
  if (terminal === null) return ['/bin/sh', '-c', command];
  const script = 'stty cols "$2" rows "$3" 2> /dev/null; exec /bin/sh -c "$1"';
  return ['/bin/sh', '-c', script, 'dyno', command, String(terminal.columns), String(terminal.rows)];
}

/** Into its sandbox, or straight onto the network. */
function placement({
  dyno,
  network,
  sandbox,
}: DynoSpecInput): Pick<ContainerSpec, 'hostname' | 'network' | 'exposePort'> {
  if (sandbox !== undefined) return { network: `container:${sandbox.containerId}` };
  return { network, hostname: dyno.id, ...(dyno.port === null ? {} : { exposePort: dyno.port }) };
}

/** Deterministic, so that a second attempt finds what the first one made. */
function containerName(installationId: string, app: App, dyno: Dyno): string {
  return `dynodock-${installationId.slice(0, 8)}-${app.name}-${dynoName(dyno)}-${dyno.id.slice(0, 8)}`;
}

/** `$PORT` and `$DYNO` filled in, as Heroku logs it; other variables may be secrets and stay as they are. */
export function shownCommand(dyno: Dyno): string {
  const known: Record<string, string> = { DYNO: dynoName(dyno) };
  if (dyno.port !== null) known.PORT = String(dyno.port);
  return dyno.command.replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced: string | undefined, bare: string) => {
    return known[braced ?? bare] ?? whole;
  });
}
