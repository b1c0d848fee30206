import { DEFAULT_STACK } from '../domain/stack';
import { complaint } from './output';

export type BuildFailureKind =
  | 'not_detected'
  | 'incompatible'
  | 'buildpack'
  | 'compile'
  | 'release'
  | 'procfile'
  | 'source'
  | 'too_large'
  | 'timeout'
  | 'canceled'
  | 'memory'
  | 'disk'
  | 'engine'
  | 'container'
  | 'manifest'
  | 'dockerfile'
  | 'not_supported';

/** Why a build came to nothing, in words for the one who pushed. */
export class BuildFailure extends Error {
  override readonly name = 'BuildFailure';

  /** `message` is one sentence for the record; `lines` (without line ends) are what the client sees. */
  constructor(
    readonly kind: BuildFailureKind,
    message: string,
    readonly lines: readonly string[] = [complaint(message)],
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** Texts of Heroku's build system, as seen in transcripts of pushes. */
export function notDetected(): BuildFailure {
  return new BuildFailure('not_detected', 'No default language could be detected for this app.', [
    complaint('No default language could be detected for this app.'),
    '\t\t\tHINT: This occurs when Heroku cannot detect the buildpack to use for this application automatically.',
    '\t\t\tSee https://devcenter.heroku.com/articles/buildpacks',
  ]);
}

export function incompatible(buildpack: string): BuildFailure {
  return new BuildFailure('incompatible', `App not compatible with buildpack: ${buildpack}`);
}

export function compileFailed(name: string): BuildFailure {
  return new BuildFailure('compile', `Push rejected, failed to compile ${name} app.`);
}

export function unusableBuildpack(name: string, reason: string, cause?: unknown): BuildFailure {
  const message = `Buildpack ${name} cannot be used: ${reason}.`;
  return new BuildFailure(
    'buildpack',
    message,
    [complaint(message), complaint('See https://devcenter.heroku.com/articles/buildpacks')],
    { cause },
  );
}

export function slugTooLarge(size: string, max: string): BuildFailure {
  const message = `Compiled slug size: ${size} is too large (max is ${max}).`;
  return new BuildFailure('too_large', message, [
    complaint(message),
    complaint('See: http://devcenter.heroku.com/articles/slug-size'),
  ]);
}

export function engineDoesNotAnswer(cause: unknown): BuildFailure {
  const message = 'The container engine does not answer.';
  return new BuildFailure('engine', message, [complaint(message), complaint('Push again once it is back.')], {
    cause,
  });
}

export function engineWentAway(cause: unknown): BuildFailure {
  return new BuildFailure(
    'engine',
    'The container engine went away during the build.',
    [
      complaint('The container engine went away during the build, which is lost.'),
      complaint('Push again once it is back.'),
    ],
    { cause },
  );
}

/** Texts of Heroku's build system for the container stack, as seen in transcripts of pushes. */
export function manifestMissing(): BuildFailure {
  const message = 'Your app does not include a heroku.yml build manifest.';
  return new BuildFailure('manifest', message, [
    '',
    `=!= ${message} To deploy your app, either create a heroku.yml: https://devcenter.heroku.com/articles/build-docker-images-heroku-yml`,
    `Or change your stack by running: 'heroku stack:set ${DEFAULT_STACK}'`,
  ]);
}

export function manifestInvalid(reason: string, cause: unknown): BuildFailure {
  return containerBuildFailed(
    'manifest',
    `heroku.yml is not valid: ${reason}`,
    [`=!= heroku.yml: ${reason}`],
    cause,
  );
}

/** `detail` is what went wrong, in lines. */
export function containerBuildFailed(
  kind: 'manifest' | 'dockerfile' | 'memory',
  message: string,
  detail: readonly string[],
  cause?: unknown,
): BuildFailure {
  const lines = ['', '=!= Build failed due to an error:', '', ...detail];
  return new BuildFailure(kind, message, lines, { cause });
}
