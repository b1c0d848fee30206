/** Is this path (relative, with forward slashes) kept out of a build's context? */
export type DockerIgnore = (path: string) => boolean;

interface Rule {
  pattern: RegExp;
  keeps: boolean;
}

/**
 * The rules of a `.dockerignore` file (Docker's reference, "Dockerfile", ".dockerignore file"): the patterns of Go's
 * filepath.Match from the root of the context, `**` for any number of folders, `!` for exceptions; the last rule that
 * matches a path or a folder above it decides.
 */
export function parseDockerIgnore(text: string): DockerIgnore {
  const rules = text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\n/)
    .filter((line) => !line.startsWith('#'))
    .flatMap(toRule);
  return (path) => {
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    const prefixes = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    const last = rules.findLast(({ pattern }) => prefixes.some((prefix) => pattern.test(prefix)));
    return last !== undefined && !last.keeps;
  };
}

function toRule(line: string): Rule[] {
  const text = line.trim();
  const keeps = text.startsWith('!');
  const parts = (keeps ? text.slice(1).trim() : text)
    .split('/')
    .filter((part) => part !== '' && part !== '.');
  // As filepath.Clean does, which is what the engine's own client calls.
  const clean: string[] = [];
  for (const part of parts) {
    if (part === '..') clean.pop();
    else clean.push(part);
  }
  if (clean.length === 0) return [];
  return [{ pattern: new RegExp(`^${toRegExp(clean.join('/'))}$`, 's'), keeps }];
}

function toRegExp(glob: string): string {
  let result = '';
  for (let index = 0; index < glob.length;) {
    const rest = glob.slice(index);
    const token =
      /^\*\*\//.exec(rest)?.[0] ??
      /^\*\*/.exec(rest)?.[0] ??
      /^\[\^?\]?(?:\\.|[^\]\\])*\]/s.exec(rest)?.[0] ??
      /^\\./s.exec(rest)?.[0] ??
      String.fromCodePoint(rest.codePointAt(0) ?? 0);
    result += translate(token);
    index += token.length;
  }
  return result;
}

function translate(token: string): string {
  if (token === '**/') return '(?:.*/)?';
  if (token === '**') return '.*';
  if (token === '*') return '[^/]*';
  if (token === '?') return '[^/]';
  if (token.startsWith('[') && token.length > 1) {
    const negated = token.startsWith('[^');
    const body = token.slice(negated ? 2 : 1, -1).replace(/\\(.)|[\][\\^]/gs, (whole, escaped?: string) => {
      return `\\${escaped ?? whole}`;
    });
    return `(?!/)[${negated ? '^' : ''}${body}]`;
  }
  return (token.startsWith('\\') && token.length > 1 ? token.slice(1) : token).replace(
    /[\\^$.*+?()[\]{}|/]/g,
    '\\$&',
  );
}
