/** Headers whose value is a list (RFC 9110 §5.6.1). Raw headers are name, value, name, value, … */

/** All values of one header, joined as one list; null when there is none. `name` in lower case. */
export function listValue(rawHeaders: readonly string[], name: string): string | null {
  let value: string | null = null;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const key = rawHeaders[i] as string;
    if (key.length !== name.length || key.toLowerCase() !== name) continue;
    value = value === null ? (rawHeaders[i + 1] as string) : `${value}, ${rawHeaders[i + 1] as string}`;
  }
  return value;
}

/** The members of a comma-separated list, trimmed, empty ones left out. */
export function membersOf(value: string | null): string[] {
  if (value === null) return [];
  return value
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '');
}
