import { EngineError } from '../engine/engine';

/** apt's and the shell's ways to say what they could not reach, or do; the first that is found is told. */
const REASONS = [
  /No space left on device/,
  // Of whom, and why not: `Failed to fetch http://…/InRelease  Could not resolve 'deb.debian.org'`.
  /Failed to fetch (\S+)[^\n]*/,
  /Could not resolve '[^']+'/,
  /Temporary failure resolving '[^']+'/,
  /Could not connect to \S+ \([^)]*\)[^\n]*/,
  /Cannot initiate the connection to \S+ \([^)]*\)[^\n]*/,
  /Unable to connect to \S+/,
  /Certificate verification failed[^\n]*/,
  /^E: [^\n]+/m,
];
const LONGEST = 300;

/** Why an image could not be made, for users: whom it could not reach, if that was it. */
export function imageProblem(error: unknown): string {
  const reason = reasonOf(error);
  return reason === undefined
    ? 'its image could not be made; the log of dynodock says why'
    : `its image could not be made: ${reason}`;
}

function reasonOf(error: unknown): string | undefined {
  if (error instanceof EngineError && error.kind === 'no_space') return NO_SPACE;
  const text = messagesOf(error);
  for (const reason of REASONS) {
    const [found] = reason.exec(text) ?? [];
    if (found === undefined) continue;
    if (reason === REASONS[0]) return NO_SPACE;
    return shorten(found.replace(/^E: /, ''));
  }
  // An engine's own words on a registry name it as well; anything longer is for the log.
  return error instanceof EngineError ? shorten(error.message) : undefined;
}

const NO_SPACE = 'there is no space left on the disk';

function messagesOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}\n${messagesOf(error.cause)}`;
}

function shorten(text: string): string {
  const line = (text.split('\n', 1)[0] ?? '').trim().replace(/ {2,}/g, ': ').replace(/[.:]$/, '');
  return line.length <= LONGEST ? line : `${line.slice(0, LONGEST)}…`;
}
