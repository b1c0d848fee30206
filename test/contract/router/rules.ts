import type { RouterLimits } from '../../../src/router/limits';
import type { RouterTimeouts } from '../../../src/router/exchange';
import { Place, type RouterAddress } from './place';

/** What an app without a dyno that serves can be in. */
export type Situation =
  | 'maintenance'
  | 'blank'
  | 'scaled to zero'
  | 'crashed'
  /** Its dyno refuses connections. */
  | 'refusing'
  /** Its dyno has not bound its port yet. */
  | 'starting'
  /** Its dyno does not answer a SYN. */
  | 'not accepting';

export interface Variant extends RouterAddress {
  /** The app that is in this situation here. */
  hostOf(situation: Situation): string;
  /** Stops the router. */
  stop(): Promise<void>;
}

/** Where the rules are tried. */
export interface RouterSubject extends RouterAddress {
  /** An app in this situation; `end` makes it serve, or removes it. */
  situation(name: Situation): Promise<{ host: string; end: () => Promise<void> }>;
  /** Another router before the same backend, for as long as the test; only with the capability `own options`. */
  variant(options: { timeouts?: Partial<RouterTimeouts>; limits?: Partial<RouterLimits> }): Promise<Variant>;
  /** After each test: ends the variants. */
  settle(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * `own options`: routers with limits and timeouts of the test's choosing. Without it a rule would take up to 75 s,
 * thousands of connections, or the end of the one router there is.
 */
export type Capability = 'own options';

export interface RuleOptions {
  needs?: Capability;
}

export interface Rules {
  /** `source`: the article or section that the rule is from. */
  rule: (source: string, text: string, check: () => Promise<void>, options?: RuleOptions) => void;
  /** The router under test. */
  readonly place: Place;
  readonly subject: RouterSubject;
  /** A router of its own with these options, and its place. */
  variant(options: Parameters<RouterSubject['variant']>[0]): Promise<{ place: Place; router: Variant }>;
}

/** Some situations take an installation a restart of a dyno or two. */
const RULE_TIMEOUT_MS = 120_000;

/** The rules of `parts`, each as a test of the subject. */
export function describeRules(
  name: string,
  capabilities: readonly Capability[],
  makeSubject: () => Promise<RouterSubject>,
  parts: readonly ((rules: Rules) => void)[],
  setUpMs = RULE_TIMEOUT_MS,
): void {
  describe(name, () => {
    let subject: RouterSubject | undefined;
    let place: Place | undefined;
    const places: Place[] = [];
    const leftOut = new Map<Capability, number>();

    const rules: Rules = {
      rule(source, text, check, { needs } = {}) {
        if (needs !== undefined && !capabilities.includes(needs)) {
          leftOut.set(needs, (leftOut.get(needs) ?? 0) + 1);
          return;
        }
        test(`${text} [${source}]`, check, RULE_TIMEOUT_MS);
      },
      get subject() {
        if (subject === undefined) throw new Error('no subject yet');
        return subject;
      },
      get place() {
        if (place === undefined) throw new Error('no subject yet');
        return place;
      },
      async variant(options) {
        const router = await this.subject.variant(options);
        const made = new Place(router);
        places.push(made);
        return { place: made, router };
      },
    };

    beforeAll(async () => {
      subject = await makeSubject();
      place = new Place(subject);
    }, setUpMs);

    afterEach(async () => {
      for (const made of [rules.place, ...places.splice(0)]) made.hangUp();
      await rules.subject.settle();
    });

    afterAll(() => subject?.stop(), setUpMs);

    for (const part of parts) part(rules);

    const all: Capability[] = ['own options'];
    for (const capability of all.filter((each) => !capabilities.includes(each))) {
      test(`leaves out only the rules that need ${capability}`, () => {
        expect(leftOut.get(capability)).toBeGreaterThan(0);
        expect([...leftOut.keys()]).toEqual([capability]);
      });
    }
  });
}
