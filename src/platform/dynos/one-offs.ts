import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import { dynoName, type Dyno } from '../../domain/dyno';
import { parseDynoSize, type DynoSizeName } from '../../domain/dyno-size';
import { conflict, invalidParams } from '../../domain/errors';
import {
  assertRoomForOneOff,
  EXIT_STATUS_MARKER,
  ONE_OFF_TYPE,
  parseCommand,
  parseEnvironment,
  parseTimeToLive,
  SCHEDULER_TYPE,
  substituteProcessType,
  terminalSize,
} from '../../domain/one-off';
import type { Release } from '../../domain/release';
import type { Slug } from '../../domain/slug';
import { record, type PlatformContext } from '../context';
import type { Attachments } from './attachments';
import { newOneOffDyno, type NewOneOffDyno } from './new-one-off';

type Environment = Readonly<Record<string, string | number | boolean | null>>;

export interface NewOneOff {
  command: string;
  attach?: boolean | null;
  env?: Environment | null;
  size?: string | null;
  /** A process type whose size is taken, unless there is a size. */
  type?: string | null;
  timeToLiveSeconds?: number | null;
  forceNoTty?: boolean | null;
}

export interface NewInsideCommand {
  command: string;
  env?: Environment | null;
  forceNoTty?: boolean | null;
}

type Unexpiring = Omit<NewOneOffDyno, 'oneOff'> & {
  oneOff: Omit<NewOneOffDyno['oneOff'], 'expiresAt'>;
  timeToLiveMs: number | null;
};

/** A dyno, and how a client gets at a process in it. */
export interface AttachableDyno {
  dyno: Dyno;
  attachUrl: string | null;
}

/** Those of the release phase are not: they have to run. */
const LIMITED: ReadonlySet<string> = new Set([ONE_OFF_TYPE, SCHEDULER_TYPE]);
const PROCESS_TYPE = /^[-\w]{1,128}$/;

/** Dynos and commands that somebody starts by hand (Dev Center "One-Off Dynos"). */
export class OneOffService {
  readonly #context: PlatformContext;
  readonly #attachments: Attachments;

  constructor(context: PlatformContext, attachments: Attachments) {
    this.#context = context;
    this.#attachments = attachments;
  }

  create(actor: Actor, app: App, input: NewOneOff): AttachableDyno {
    const { store, dynoManager } = this.#context;
    const attached = input.attach ?? false;
    const env = parseEnvironment(input.env ?? {});
    const dyno = store.transaction(() => {
      const code = this.#currentCode(app);
      const processType = imageTypeOf(code.slug, input.type);
      return this.#insert(actor, app, code, {
        type: ONE_OFF_TYPE,
        size: this.#size(app, input),
        command: input.command,
        timeToLiveMs: input.timeToLiveSeconds == null ? null : parseTimeToLive(input.timeToLiveSeconds),
        oneOff: {
          attached,
          terminal: attached && input.forceNoTty !== true ? terminalSize(env) : null,
          env,
          ...(processType === undefined ? {} : { processType }),
        },
      });
    });
    return {
      dyno,
      attachUrl: attached
        ? this.#offer(dyno.command, dyno.oneOff?.terminal != null, (client) =>
            dynoManager.attach(dyno.id, client),
          )
        : null,
    };
  }

  /** A detached one for a scheduled job, as part of the transaction under way. Throws invalid_params like `create`. */
  createScheduled(
    actor: Actor,
    app: App,
    { command, size, timeToLiveMs }: { command: string; size: DynoSizeName | null; timeToLiveMs: number },
  ): Dyno {
    return this.#context.store.transaction(() => {
      const code = this.#currentCode(app);
      imageTypeOf(code.slug, null);
      return this.#insert(actor, app, code, {
        type: SCHEDULER_TYPE,
        size: this.#size(app, { size }),
        command,
        timeToLiveMs,
        oneOff: { attached: false, terminal: null, env: {} },
      });
    });
  }

  /** Inside a transaction; what others see of it follows the commit. */
  #insert(
    actor: Actor,
    app: App,
    { release, slug }: { release: Release; slug: Slug },
    { oneOff, timeToLiveMs, ...what }: Unexpiring,
  ): Dyno {
    const { store, clock, logplex, dynoManager, changed, settings } = this.#context;
    // Those that are ending included: they still run.
    const present = store.dynos.of(app.id).filter((dyno) => dyno.oneOff !== null && LIMITED.has(dyno.type));
    assertRoomForOneOff(
      what.size,
      present.map(({ size }) => size),
      settings,
    );
    const created = newOneOffDyno(this.#context, release, {
      ...what,
      command: substituteProcessType(parseCommand(what.command), slug.processTypes),
      oneOff: {
        ...oneOff,
        expiresAt: timeToLiveMs === null ? null : new Date(clock.now().getTime() + timeToLiveMs),
      },
    });
    store.dynos.save(created);
    record(this.#context, app.id, actor, 'dyno.create', {
      dyno: dynoName(created),
      id: created.id,
      release: created.releaseVersion,
      attached: oneOff.attached,
    });
    store.afterCommit(() => {
      logplex.api(app.id, `Starting process with command \`${created.command}\` by user ${actor.email}`);
      dynoManager.kick(app.id);
      changed(app.id);
    });
    return created;
  }

  /** In a dyno that runs; it sees what the dyno's own process sees. */
  runInside(actor: Actor, app: App, dyno: Dyno, input: NewInsideCommand): AttachableDyno {
    const { store, logplex, dynoManager } = this.#context;
    if (dyno.startedAt === null || (dyno.state !== 'up' && dyno.state !== 'starting')) {
      throw conflict(`Dyno ${dynoName(dyno)} is not running (it is ${dyno.state}).`);
    }
    const env = parseEnvironment(input.env ?? {});
    const types = store.slugs.ofRelease(store.releases.get(dyno.releaseId))?.processTypes ?? {};
    const command = substituteProcessType(parseCommand(input.command), types);
    const terminal = input.forceNoTty === true ? null : terminalSize(env);
    store.transaction(() =>
      record(this.#context, app.id, actor, 'dyno.run-inside', { dyno: dynoName(dyno), id: dyno.id }),
    );
    logplex.api(
      app.id,
      `Starting process with command \`${command}\` inside ${dynoName(dyno)} by user ${actor.email}`,
    );
    return {
      dyno: { ...dyno, command },
      attachUrl: this.#offer(command, terminal !== null, (client) =>
        dynoManager.runInside(dyno.id, { command, env, terminal }, client),
      ),
    };
  }

  #offer(command: string, hasTerminal: boolean, open: Parameters<Attachments['offer']>[0]['open']): string {
    const secret = this.#attachments.offer({
      hasTerminal,
      reportsExitStatus: command.includes(EXIT_STATUS_MARKER),
      open,
    });
    return `rendezvous://localhost:${this.#context.settings.apiPort}/${secret}`;
  }

  #currentCode(app: App): { release: Release; slug: Slug } {
    const { store } = this.#context;
    const release = store.releases.current(app.id);
    const slug = store.slugs.ofRelease(release);
    if (release === undefined || slug === undefined) {
      throw invalidParams(
        `Cannot run a process: app ${app.name} has no code yet. Deploy it first, e.g. with "git push heroku main".`,
      );
    }
    return { release, slug };
  }

  #size(app: App, { size, type }: Pick<NewOneOff, 'size' | 'type'>): DynoSizeName {
    if (type != null && !PROCESS_TYPE.test(type)) throw invalidParams(`${type} is not a process type.`);
    if (size != null) return parseDynoSize(size);
    const formations = this.#context.store.formations.of(app.id);
    const sizeOf = (wanted: string): DynoSizeName | undefined =>
      formations.find((formation) => formation.type === wanted)?.size;
    return (
      (type == null ? undefined : sizeOf(type)) ?? sizeOf('web') ?? this.#context.settings.defaultDynoSize
    );
  }
}

/** On the container stack a one-off dyno runs the image of the type that it is given (`heroku run --type`). */
function imageTypeOf({ images }: Slug, type: string | null | undefined): string | undefined {
  if (images === undefined) return undefined;
  if (Object.keys(images).length === 0)
    throw invalidParams('Cannot run a process: the app has no image any more.');
  if (type == null || Object.hasOwn(images, type)) return type ?? undefined;
  throw invalidParams(`The app has no image for process type ${type}.`);
}
