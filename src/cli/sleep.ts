import type { ApiClient } from './api-client';
import { formatDuration, parseDuration } from './duration';
import { CommandError } from './terminal';

export interface SleepJson {
  state: 'awake' | 'asleep' | 'changing' | 'sleepless';
  idle_after_seconds: number;
  depth: string;
  frozen_seconds: number;
  overrides: { idle_after_seconds: number | null; depth: string | null; frozen_seconds: number | null };
}

interface WakeJson {
  cause: { kind: 'command' } | { kind: 'request'; method: string; path: string; fwd: string };
  depth: string;
  held: number | null;
  phases_ms: Record<'decision' | 'container' | 'boot' | 'first_byte' | 'total', number | null>;
  created_at: string;
}

export interface SleepOptions {
  after?: string;
  depth?: string;
  frozenFor?: string;
}

/** What goes back to the installation's setting. */
const DEFAULT = 'default';
const SHOWN_WAKES = 10;

/** Changes how an app sleeps, if anything is given, and says how it does. */
export async function sleepSettings(api: ApiClient, app: string, options: SleepOptions): Promise<string[]> {
  const body = {
    ...(options.after === undefined ? {} : { idle_after_seconds: secondsOf('--after', options.after) }),
    ...(options.depth === undefined ? {} : { depth: options.depth === DEFAULT ? null : options.depth }),
    ...(options.frozenFor === undefined
      ? {}
      : { frozen_seconds: secondsOf('--frozen-for', options.frozenFor) }),
  };
  const path = `/apps/${encodeURIComponent(app)}/sleep`;
  const settings = Object.keys(body).length === 0 ? await api.get(path) : await api.patch(path, body);
  return describeSleep(settings as SleepJson);
}

/** Resolves once it sleeps, or is refused. */
export async function idle(api: ApiClient, app: string): Promise<string> {
  await api.post(`/apps/${encodeURIComponent(app)}/actions/idle`);
  return `${app} is asleep. It wakes with the next request, or with: dynodock wake ${app}`;
}

export async function wake(api: ApiClient, app: string): Promise<string> {
  await api.post(`/apps/${encodeURIComponent(app)}/actions/wake`);
  return `${app} is waking up.`;
}

/** How it sleeps, and its latest wakes. */
export async function describeAppSleep(api: ApiClient, app: string): Promise<string[]> {
  const path = `/apps/${encodeURIComponent(app)}`;
  const settings = (await api.get(`${path}/sleep`)) as SleepJson;
  const wakes = (await api.get(`${path}/wakes`)) as WakeJson[];
  const latest = [...wakes].sort((a, b) => b.created_at.localeCompare(a.created_at)).slice(0, SHOWN_WAKES);
  return [
    ...describeSleep(settings),
    ...(latest.length === 0 ? ['No wakes yet.'] : ['', 'Latest wakes', ...latest.flatMap(describeWake)]),
  ];
}

function describeSleep(sleep: SleepJson): string[] {
  const { state, idle_after_seconds: after, depth, frozen_seconds: frozen, overrides } = sleep;
  const own = (value: unknown): string => (value === null ? '' : ' (set for this app)');
  return [
    `Sleep: ${STATES[state]}`,
    `  after   ${after === 0 ? 'never by itself' : `${formatDuration(after)} without web traffic`}${own(overrides.idle_after_seconds)}`,
    `  depth   ${depth}${depth === 'tiered' ? `, stopped after ${formatDuration(frozen)}` : ''}${own(overrides.depth ?? overrides.frozen_seconds)}`,
  ];
}

const STATES: Record<SleepJson['state'], string> = {
  awake: 'awake',
  asleep: 'asleep',
  changing: 'awake, its web dynos are starting or being replaced',
  sleepless: 'never: it has no web dyno of a size that sleeps (eco, free)',
};

function describeWake({ cause, depth, held, phases_ms: phases, created_at: at }: WakeJson): string[] {
  const by = cause.kind === 'command' ? 'dynodock wake' : `${cause.method} ${cause.path} from ${cause.fwd}`;
  const times = (['decision', 'container', 'boot', 'first_byte'] as const).map(
    (phase) => `${phase.replace('_', ' ')} ${phases[phase] ?? '-'}`,
  );
  const waited = held === null ? '' : `, ${held} waited`;
  return [`  ${at}  ${phases.total ?? '-'} ms, from ${depth}${waited}: ${by}`, `    ms: ${times.join(', ')}`];
}

function secondsOf(option: string, text: string): number | null {
  if (text === DEFAULT) return null;
  if (text === 'never') return 0;
  const seconds = parseDuration(text);
  if (seconds === undefined) {
    throw new CommandError(
      `${option} ${text} is no time.`,
      'Give it like 30s, 10m or 1h; "default" takes the installation\'s.',
    );
  }
  return seconds;
}
