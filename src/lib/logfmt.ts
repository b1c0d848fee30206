/**
 * A quoted value on one line: a client chooses its path and its X-Forwarded-For, and must be able to forge
 * neither a field nor a line with them.
 */
export function quote(value: string): string {
  if (HARMLESS.test(value)) return `"${value}"`;
  return `"${value.replace(/["\\]/g, '\\$&').replace(UNPRINTABLE, escapeCharacter)}"`;
}

/** An unquoted value: what would end it is escaped. */
export function bare(value: string): string {
  if (HARMLESS.test(value) && !value.includes('=')) return value;
  return value.replace(UNPRINTABLE, escapeCharacter).replace(/[ "=\\]/g, escapeCharacter);
}

/** Nearly every value: printable ASCII without space, quote and backslash. */
const HARMLESS = /^[!#-[\]-~]*$/;

// Controls, and what some viewers take for a line's end.
// eslint-disable-next-line no-control-regex -- finding control characters is the point
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
