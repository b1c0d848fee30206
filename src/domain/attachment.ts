import { invalidParams, PlatformError } from './errors';
import type { AddOnId, AppId, AttachmentId } from './ids';

/** An add-on as one app sees it: under a name, from which its config vars have theirs. */
export interface AddOnAttachment {
  id: AttachmentId;
  addonId: AddOnId;
  appId: AppId;
  /** `DATABASE`: unique within the app. */
  name: string;
  /** `credential:x`: which of the add-on's credentials it gives; null = the default one. */
  namespace: string | null;
  createdAt: Date;
  updatedAt: Date;
}

const NAME = /^[A-Z][A-Z0-9_]*$/;

/** Upper case, since config vars are named after it (Dev Center "Managing Add-ons"). Throws invalid_params. */
export function parseAttachmentName(text: string): string {
  const name = text.toUpperCase();
  if (!NAME.test(name) || name.length > 255) {
    throw invalidParams(
      `Attachment name ${JSON.stringify(text)} is invalid. It must start with a letter and can only contain letters, digits and underscores.`,
    );
  }
  if (name.startsWith('HEROKU_') && !COLOURED.test(name)) {
    throw invalidParams(`Attachment name ${name} is invalid. The HEROKU_ prefix is reserved.`);
  }
  return name;
}

/** Names that Heroku itself gives, which users may give as well, e.g. when they move a database. */
const COLOURED = /^HEROKU_[A-Z0-9]+_[A-Z0-9_]+$/;

const CREDENTIAL = /^credential:(.+)$/;

/** `reporting` of `credential:reporting`; undefined for a namespace that names no credential. */
export function credentialOf(namespace: string): string | undefined {
  return CREDENTIAL.exec(namespace)?.[1];
}

/** Order of Heroku's own list; `HEROKU_POSTGRESQL_AMBER` and so on. */
export const COLOURS = [
  'AMBER', 'AQUA', 'BLACK', 'BLUE', 'BRONZE', 'BROWN', 'CHARCOAL', 'COBALT', 'COPPER', 'CRIMSON', 'CYAN', 'GOLD',
  'GRAY', 'GREEN', 'IVORY', 'JADE', 'LAVENDER', 'LIME', 'MAROON', 'MAUVE', 'NAVY', 'OLIVE', 'ONYX', 'ORANGE', 'PINK',
  'PURPLE', 'RED', 'ROSE', 'SILVER', 'TEAL', 'VIOLET', 'WHITE', 'YELLOW',
] as const; // prettier-ignore

/** `HEROKU_POSTGRESQL_COBALT`: a colour that the app does not use yet, and numbered ones once all are used. */
export function pickColourName(
  prefix: string,
  isTaken: (name: string) => boolean,
  random: () => number,
): string {
  const free = COLOURS.map((colour) => `${prefix}_${colour}`).filter((name) => !isTaken(name));
  const picked = free[Math.floor(random() * free.length)];
  if (picked !== undefined) return picked;
  for (let number = 2; ; number += 1) {
    const name = `${prefix}_${COLOURS[0]}_${number}`;
    if (!isTaken(name)) return name;
  }
}

/** In Heroku's words. */
export function attachmentNotFound(): PlatformError {
  return new PlatformError('not_found', "Couldn't find that add on attachment.", 'add_on attachment');
}

/** Heroku's sentences about what belongs to an attachment. */
export function overwritesVars(name: string, appName: string, vars: readonly string[]): PlatformError {
  return new PlatformError(
    'confirmation_required',
    `Adding ${name} to app ${appName} would overwrite existing vars ${sentence(vars)}.`,
  );
}
export function ownedByAttachment(vars: readonly string[]): PlatformError {
  return invalidParams(`Cannot overwrite attachment values ${vars.join(', ')}.`);
}

/** `A`, `A and B`, `A, B, and C` */
function sentence(words: readonly string[]): string {
  if (words.length <= 2) return words.join(' and ');
  return `${words.slice(0, -1).join(', ')}, and ${words.at(-1) ?? ''}`;
}
