/** One word for a POSIX shell, whatever is in it; as it is where nothing in it means anything to a shell. */
export function quoteForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** The same, but variables in it are filled in by the shell. */
export function quoteExpanding(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `"${word.replace(/["\\`]/g, '\\$&')}"`;
}
