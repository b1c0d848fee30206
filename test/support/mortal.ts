import type { ContainerEngine } from '../../src/engine/engine';
import type { Clock } from '../../src/lib/clock';

const NEVER = new Promise<never>(() => undefined);

/**
 * One process's view of the engine and the clock. Once it has been killed nothing comes back to it: calls under way
 * take effect or not, but are never answered, streams go silent, and no timer fires. So whatever used them stops where
 * it stood, as with SIGKILL.
 */
export class Mortal {
  readonly engine: ContainerEngine;
  readonly clock: Clock;
  /** Resolves with its end. */
  readonly death: Promise<void>;
  #tellDeath: () => void = () => undefined;
  #dead = false;
  #fatal: { callsLeft: number; done: boolean } | undefined;

  constructor(engine: ContainerEngine, clock: Clock) {
    this.death = new Promise((resolve) => (this.#tellDeath = resolve));
    this.engine = new Proxy(engine, { get: (target, name) => this.#wrap(target, name) });
    this.clock = {
      now: () => clock.now(),
      after: (delayMs, callback) => clock.after(delayMs, () => (this.#dead ? undefined : callback())),
    };
  }

  get dead(): boolean {
    return this.#dead;
  }

  kill(): void {
    this.#dead = true;
    this.#tellDeath();
  }

  /** Takes `killAtCall` back. */
  spare(): void {
    this.#fatal = undefined;
  }

  /** Dies at one of the next calls to the engine, before it is made or (`done`) once it has taken effect. */
  killAtCall(callsLeft: number, done: boolean): void {
    this.#fatal = { callsLeft, done };
  }

  #wrap(target: ContainerEngine, name: string | symbol): unknown {
    const method: unknown = Reflect.get(target, name);
    if (typeof method !== 'function') return method;
    return (...args: unknown[]): unknown => {
      const fatal = this.#fatal !== undefined && this.#fatal.callsLeft-- === 0 ? this.#fatal : undefined;
      if (fatal?.done === false) this.kill();
      if (this.#dead) return name === 'events' || name === 'logs' ? silence() : NEVER;
      const result: unknown = method.apply(target, args);
      if (fatal !== undefined) this.kill();
      return result instanceof Promise ? this.#whileAlive(result) : this.#readWhileAlive(result);
    };
  }

  async #whileAlive(result: Promise<unknown>): Promise<unknown> {
    try {
      return await result;
    } finally {
      if (this.#dead) await NEVER;
    }
  }

  async *#readWhileAlive(result: unknown): AsyncGenerator {
    for await (const item of result as AsyncIterable<unknown>) {
      if (this.#dead) await NEVER;
      yield item;
    }
    if (this.#dead) await NEVER;
  }
}

async function* silence(): AsyncGenerator<never> {
  await NEVER;
  yield* [];
}
