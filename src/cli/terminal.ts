/** An error of a command that is meant for the user, with what to do about it. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  constructor(
    message: string,
    readonly advice?: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

export function printLines(...lines: string[]): void {
  for (const line of lines) console.log(line);
}

/** Bytes as they come, no faster than they are taken. */
export function writeOutput(chunk: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(chunk, (error) => (error == null ? resolve() : reject(error)));
  });
}

/** Progress and problems go to standard error, so that they never end up in an `eval`. */
export function warn(...lines: string[]): void {
  for (const line of lines) console.error(line);
}

/** Columns as wide as their widest cell; a note stands below its row. */
export function printTable(rows: readonly { cells: readonly string[]; note?: string }[]): void {
  const widths: number[] = [];
  for (const { cells } of rows) {
    cells.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  }
  const indent = ' '.repeat((widths[0] ?? 0) + 2);
  for (const { cells, note } of rows) {
    printLines(
      cells
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
    if (note !== undefined) printLines(`${indent}-> ${note}`);
  }
}

export async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
