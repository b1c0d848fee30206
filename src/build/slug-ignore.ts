/** Is this path (relative, with forward slashes) kept out of the slug? */
export type SlugIgnore = (path: string, isDirectory: boolean) => boolean;

/**
 * The rules of a `.slugignore` file: patterns as in `.gitignore`, but without negation (Dev Center "Slug Compiler",
 * "Ignoring files with .slugignore"). What lies in an ignored folder is ignored.
 */
export function parseSlugIgnore(text: string): SlugIgnore {
  const rules = text
    .split(/\r\n|\n|\r/)
    .map((line) => line.replace(/(?<!\\)\s+$/, ''))
    .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith('!'))
    .flatMap(toRule);
  return (path, isDirectory) => {
    const parts = path.split('/').filter((part) => part !== '');
    return parts.some((_, index) => {
      const prefix = parts.slice(0, index + 1).join('/');
      const prefixIsDirectory = index < parts.length - 1 || isDirectory;
      return rules.some((rule) => (prefixIsDirectory || !rule.directoriesOnly) && rule.pattern.test(prefix));
    });
  };
}

interface Rule {
  pattern: RegExp;
  directoriesOnly: boolean;
}

function toRule(line: string): Rule[] {
  const directoriesOnly = line.endsWith('/');
  const body = directoriesOnly ? line.replace(/\/+$/, '') : line;
  if (body === '') return [];
  // gitignore(5): a slash at the beginning or in the middle ties the pattern to the folder of the file.
  const anchored = body.includes('/');
  const glob = body.replace(/^\//, '');
  return [{ pattern: new RegExp(`^${anchored ? '' : '(?:.*/)?'}${toRegExp(glob)}$`, 's'), directoriesOnly }];
}

function toRegExp(glob: string): string {
  let result = '';
  for (let index = 0; index < glob.length;) {
    const rest = glob.slice(index);
    const token =
      /^(?:\*\*\/)+/.exec(rest)?.[0] ??
      /^\*+/.exec(rest)?.[0] ??
      /^\[!?\]?[^\]]*\]/.exec(rest)?.[0] ??
      /^\\./s.exec(rest)?.[0] ??
      String.fromCodePoint(rest.codePointAt(0) ?? 0);
    result += translate(token, index + token.length === glob.length);
    index += token.length;
  }
  return result;
}

function translate(token: string, isLast: boolean): string {
  if (token.startsWith('**/')) return '(?:.*/)?';
  if (token.startsWith('*')) return token.length > 1 && isLast ? '.*' : '[^/]*';
  if (token === '?') return '[^/]';
  if (token.startsWith('[') && token.length > 1) {
    const negated = token.startsWith('[!');
    const set = token.slice(negated ? 2 : 1, -1).replace(/[\\\]^[]/g, '\\$&');
    return isValidSet(set) ? `[${negated ? '^/' : ''}${set}]` : escape(token);
  }
  return escape(token.length === 2 && token.startsWith('\\') ? token.slice(1) : token);
}

/** A range may be upside down (`[z-a]`), which git takes as matching nothing and RegExp as an error. */
function isValidSet(set: string): boolean {
  try {
    new RegExp(`[${set}]`);
    return true;
  } catch {
    // Not lost: the caller takes the text literally.
    return false;
  }
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
}
