/**
 * Who is next of those that wait: whoever has had no turn for the longest time, and among equals who came first. One
 * that asks over and over does not keep the others waiting.
 */
export class Turns<K> {
  readonly #last = new Map<K, number>();
  #count = 0;

  /** Takes one of `waiting`, which are in the order in which they came; undefined where there is none. */
  next<T>(waiting: readonly T[], keyOf: (item: T) => K): T | undefined {
    let next: T | undefined;
    for (const item of waiting) {
      if (next === undefined || this.#lastOf(keyOf(item)) < this.#lastOf(keyOf(next))) next = item;
    }
    if (next !== undefined) this.#last.set(keyOf(next), ++this.#count);
    return next;
  }

  forget(key: K): void {
    this.#last.delete(key);
  }

  #lastOf(key: K): number {
    return this.#last.get(key) ?? 0;
  }
}
