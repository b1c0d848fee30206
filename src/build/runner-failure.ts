import { BuildFailure, compileFailed, incompatible, notDetected } from './build-failure';
import type { RunnerFailure } from './result-reader';

/** What the client is told of a failure that the runner reports (see runner.sh). */
export function explainFailure(failure: RunnerFailure): BuildFailure {
  const { buildpack } = failure;
  switch (failure.kind) {
    case 'not_detected':
      return notDetected();
    case 'incompatible':
      return incompatible(buildpack);
    case 'compile':
      return compileFailed(failure.name);
    case 'release':
      return new BuildFailure('release', `bin/release of ${buildpack} failed.`);
    case 'removed': {
      const message = `Push rejected, ${buildpack} removed the folder that it was to build in.`;
      return new BuildFailure('compile', message);
    }
    case 'invalid':
      return new BuildFailure('buildpack', `${buildpack} is not a buildpack: ${failure.detail}.`);
    default:
      return new BuildFailure('container', `The build could not be run: ${failure.detail}.`);
  }
}
