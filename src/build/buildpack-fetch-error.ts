/** Why a buildpack could not be had from where it is. */
export class BuildpackFetchError extends Error {
  override readonly name = 'BuildpackFetchError';
  constructor(
    /**
     * `unreachable`: no answer, or a server in trouble, which may be better another time; `refused`: the place is
     * there but the buildpack is not, or not for us; `unusable`: what is there is no buildpack that can be taken.
     */
    readonly reason: 'unreachable' | 'refused' | 'unusable',
    readonly host: string,
    /** Goes on after "it" or stands alone; without credentials. */
    readonly detail: string,
    options?: { cause?: unknown },
  ) {
    super(`${host}: ${detail}`, options);
  }
}
