import { BuildFailure, compileFailed, incompatible, notDetected } from './build-failure';
import { withoutCredentials } from './buildpacks';
import { complaint } from './output';
import type { RunnerFailure } from './result-reader';

/** What the client is told of a failure that the runner reports (see runner.sh). */
export function explainFailure(failure: RunnerFailure): BuildFailure {
  const buildpack = withoutCredentials(failure.buildpack);
  switch (failure.kind) {
    case 'not_detected':
      return notDetected();
    case 'incompatible':
      return incompatible(buildpack);
    case 'compile':
      return compileFailed(failure.name);
    case 'release':
      return new BuildFailure('release', `bin/release of ${buildpack} failed.`);
    case 'fetch':
      return new BuildFailure('buildpack', `Buildpack ${buildpack} could not be fetched.`, [
        complaint(`Buildpack ${buildpack} could not be fetched:`),
        complaint(withoutCredentials(failure.detail) || 'no reason was given'),
      ]);
    case 'invalid':
      return new BuildFailure('buildpack', `${buildpack} is not a buildpack: ${failure.detail}.`);
    default:
      return new BuildFailure('container', `The build could not be run: ${failure.detail}.`);
  }
}
