/** Process type → command. */
export type ProcessTypes = Readonly<Record<string, string>>;

export interface ParsedProcfile {
  types: ProcessTypes;
  /** Lines that look meant as an entry but are not one, with what is wrong. */
  problems: { line: number; text: string; reason: string }[];
}

/** Platform API schema, `formation.type`. */
export const PROCESS_TYPE = /^[-\w]{1,128}$/;

export function isProcessType(text: string): boolean {
  return PROCESS_TYPE.test(text);
}

/**
 * `<type>: <command>` lines (Dev Center "The Procfile"). Blank lines and `#` comments are ignored, as are other
 * lines on Heroku; those are also reported as problems, since they are nearly always a mistake.
 */
export function parseProcfile(text: string): ParsedProcfile {
  const types: Record<string, string> = {};
  const problems: ParsedProcfile['problems'] = [];
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\n|\r/)
    .entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const problem = (reason: string): void => void problems.push({ line: index + 1, text: line, reason });
    const colon = line.indexOf(':');
    if (colon === -1) {
      problem('no colon: expected "<process type>: <command>"');
      continue;
    }
    const type = line.slice(0, colon).trim();
    const command = line.slice(colon + 1).trim();
    if (!PROCESS_TYPE.test(type))
      problem('a process type is made of letters, digits, dashes and underscores');
    else if (command === '') problem(`no command for process type ${type}`);
    else if (Object.hasOwn(types, type)) problem(`process type ${type} is declared twice`);
    else types[type] = command;
  }
  return { types, problems };
}
