/** How clients say which one they mean: an id or a name, bare or in an object. */
export type Identity = string | { id?: string; name?: string };

/** Its schema: the CLI sends the same thing in both forms (contract, G7). */
export const IDENTITY = {
  anyOf: [
    { type: 'string' },
    { type: 'object', properties: { id: { type: 'string' }, name: { type: 'string' } } },
  ],
};

/** The id or name in either of the two forms; empty if it has neither. */
export function nameOf(identity: Identity): string {
  return typeof identity === 'string' ? identity : (identity.name ?? identity.id ?? '');
}

/** A header's words: `Accept-Expansion: addon_service,plan`. */
export function wordsOf(header: string | undefined): ReadonlySet<string> {
  const words = (header ?? '').split(',').map((word) => word.trim());
  return new Set(words.filter((word) => word !== ''));
}
