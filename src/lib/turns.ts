/** Lets work of one key follow on each other, in the order in which it was asked for; different keys do not wait. */
export class Turns<K> {
  readonly #last = new Map<K, Promise<void>>();

  /** Answers as `work` does, once all that came before has ended, well or not. */
  async take<T>(key: K, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const outcome = before.then(work);
    // What follows waits for the end and is not concerned by its failure, which the caller gets.
    const ended = outcome.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(key, ended);
    try {
      return await outcome;
    } finally {
      if (this.#last.get(key) === ended) this.#last.delete(key);
    }
  }
}
