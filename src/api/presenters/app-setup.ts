import type { AppSetupView } from '../../platform/app-setups/app-setups';

export function presentAppSetup(
  { setup, build }: AppSetupView,
  outputStreamUrl: string,
): Record<string, unknown> {
  return {
    app: { id: setup.appId, name: setup.appName },
    build:
      build === undefined ? null : { id: build.id, output_stream_url: outputStreamUrl, status: build.status },
    created_at: setup.createdAt,
    failure_message: setup.failure,
    id: setup.id,
    manifest_errors: setup.manifestErrors,
    postdeploy:
      setup.postdeploy === null
        ? null
        : { exit_code: setup.postdeploy.exitCode, output: setup.postdeploy.output },
    resolved_success_url: setup.resolvedSuccessUrl,
    status: setup.status,
    updated_at: setup.updatedAt,
  };
}
