import type { AccountId, AppId } from './ids';
import type { StackName } from './stack';
import { invalidParams } from './errors';

export interface App {
  id: AppId;
  name: string;
  ownerId: AccountId;
  /** What the running release was built for; `buildStack` is what the next build uses. */
  stack: StackName;
  buildStack: StackName;
  maintenance: boolean;
  /** What the last build's buildpacks called the app, e.g. `Node.js`. */
  buildpackProvidedDescription: string | null;
  /** Bytes. */
  slugSize: number;
  repoSize: number;
  createdAt: Date;
  updatedAt: Date;
  releasedAt: Date | null;
}

/** Platform API schema, `app.name`. */
const NAME = /^[a-z][a-z0-9-]{1,28}[a-z0-9]$/;

/** Names that a user would expect to lead elsewhere. */
const RESERVED = new Set(['api', 'git', 'www', 'localhost', 'dynodock']);

export function assertAppName(name: string): void {
  if (!NAME.test(name)) {
    throw invalidParams(
      'Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and dashes (3 to 30 characters).',
    );
  }
  if (RESERVED.has(name)) throw invalidParams(`Name ${name} is reserved.`);
}

const ADJECTIVES = [
  'aqueous', 'arcane', 'boiling', 'calm', 'cryptic', 'damp', 'dry', 'enigmatic', 'evening', 'fast', 'floating',
  'frozen', 'gentle', 'glacial', 'guarded', 'hidden', 'immense', 'infinite', 'intense', 'lit', 'mighty', 'morning',
  'mysterious', 'nameless', 'obscure', 'pacific', 'peaceful', 'polar', 'protected', 'pure', 'quiet', 'radiant',
  'rocky', 'safe', 'salty', 'secret', 'serene', 'shielded', 'shrouded', 'still', 'stormy', 'tranquil', 'vast', 'warm',
] as const; // prettier-ignore
const NOUNS = [
  'anchorage', 'badlands', 'basin', 'bastion', 'bayou', 'beach', 'brook', 'brushlands', 'cliffs', 'coast', 'cove',
  'crag', 'depths', 'dusk', 'earth', 'falls', 'fjord', 'forest', 'garden', 'gorge', 'harbor', 'headland', 'hollows',
  'island', 'lake', 'lowlands', 'meadow', 'mesa', 'mountain', 'oasis', 'peak', 'plains', 'plateau', 'reef', 'ridge',
  'river', 'savannah', 'sea', 'shelf', 'spire', 'springs', 'stream', 'taiga', 'tundra', 'valley', 'wave', 'woodland',
] as const; // prettier-ignore

/** `serene-harbor-04213`; `random` answers numbers in [0, 1). */
export function generateAppName(random: () => number): string {
  const pick = (words: readonly string[]): string => words[Math.floor(random() * words.length)] ?? 'app';
  const digits = String(Math.floor(random() * 100_000)).padStart(5, '0');
  return `${pick(ADJECTIVES)}-${pick(NOUNS)}-${digits}`;
}
