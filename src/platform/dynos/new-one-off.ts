import type { Dyno } from '../../domain/dyno';
import type { DynoId } from '../../domain/ids';
import { ONE_OFF_NUMBERS } from '../../domain/one-off';
import type { Release } from '../../domain/release';
import type { PlatformContext } from '../context';

export type NewOneOffDyno = Pick<Dyno, 'type' | 'size' | 'command'> & {
  oneOff: NonNullable<Dyno['oneOff']>;
};

/** A one-off dyno of this release under a free name, as it is before anything was done for it: to be saved. */
export function newOneOffDyno(
  { store, clock, newId, random }: PlatformContext,
  release: Pick<Release, 'id' | 'appId' | 'version'>,
  what: NewOneOffDyno,
): Dyno {
  const present = store.dynos.of(release.appId).filter(({ type }) => type === what.type);
  const now = clock.now();
  return {
    ...what,
    id: newId() as DynoId,
    appId: release.appId,
    releaseId: release.id,
    releaseVersion: release.version,
    number: freeNumber(new Set(present.map((dyno) => dyno.number)), random),
    state: 'starting',
    superseded: false,
    sandbox: null,
    port: null,
    endpoint: null,
    crashCount: 0,
    nextStartAt: null,
    createdAt: now,
    updatedAt: now,
    startedAt: null,
  };
}

function freeNumber(taken: ReadonlySet<number>, random: () => number): number {
  for (;;) {
    const number = ONE_OFF_NUMBERS.first + Math.floor(random() * ONE_OFF_NUMBERS.count);
    if (!taken.has(number)) return number;
  }
}
