import type { ParkAnswer } from './activity';
import type { RouterMessage } from './protocol';

/** A process that serves requests. */
export interface ParkingPlace {
  park: (appId: string, atOnce: boolean) => Promise<ParkAnswer>;
  unpark: (appId: string) => void;
}

export interface ParkingOptions {
  /** All that serve at the moment. */
  places: () => readonly ParkingPlace[];
  /** false when no daemon hears it. */
  send: (message: RouterMessage) => boolean;
}

/**
 * Parks an app with all processes that serve, or with none (activity.ts): only then may the daemon put it to sleep. A
 * process that is still busy finds the app quiet itself later, and asks again.
 */
export class Parking {
  readonly #options: ParkingOptions;
  readonly #underway = new Set<string>();

  constructor(options: ParkingOptions) {
    this.#options = options;
  }

  /** One process has seen no traffic of the app for long. */
  async quiet(appId: string): Promise<void> {
    if (this.#underway.has(appId)) return;
    const answer = await this.#parkEverywhere(appId, false);
    if (answer.parked) this.#tell({ type: 'idle', app_id: appId, quiet_ms: answer.quietMs });
  }

  /** The daemon wants it to sleep now; it is told why that cannot be. */
  async park(appId: string): Promise<void> {
    const answer = await this.#parkEverywhere(appId, true);
    if (answer.parked) this.#tell({ type: 'idle', app_id: appId, quiet_ms: answer.quietMs });
    else this.#options.send({ type: 'busy', app_id: appId, in_flight: answer.inFlight });
  }

  /** The daemon does not put it to sleep after all. */
  unpark(appId: string): void {
    for (const place of this.#options.places()) place.unpark(appId);
  }

  async #parkEverywhere(appId: string, atOnce: boolean): Promise<ParkAnswer> {
    this.#underway.add(appId);
    try {
      const answers = await Promise.all(this.#options.places().map((place) => place.park(appId, atOnce)));
      let quietMs = Infinity;
      let inFlight = 0;
      for (const answer of answers) {
        if (answer.parked) quietMs = Math.min(quietMs, answer.quietMs);
        else inFlight += answer.inFlight;
      }
      if (answers.length > 0 && answers.every(({ parked }) => parked)) return { parked: true, quietMs };
      this.unpark(appId);
      return { parked: false, inFlight };
    } finally {
      this.#underway.delete(appId);
    }
  }

  #tell(message: RouterMessage & { app_id: string }): void {
    // Without a daemon nobody puts it to sleep.
    if (!this.#options.send(message)) this.unpark(message.app_id);
  }
}
