import type { App } from '../../domain/app';
import { wakePhases, type Wake } from '../../domain/wake';
import type { SleepView } from '../../platform/sleep/sleep';
import { presentAppReference } from './app';

export function presentSleep({ state, policy, overrides }: SleepView, app: App): Record<string, unknown> {
  return {
    app: presentAppReference(app),
    state,
    idle_after_seconds: policy.idleAfterMs / 1000,
    depth: policy.depth,
    frozen_seconds: policy.frozenMs / 1000,
    overrides: {
      idle_after_seconds: overrides.idleAfterMs === null ? null : overrides.idleAfterMs / 1000,
      depth: overrides.depth,
      frozen_seconds: overrides.frozenMs === null ? null : overrides.frozenMs / 1000,
    },
  };
}

export function presentWake(wake: Wake, app: App): Record<string, unknown> {
  const { cause } = wake;
  const { decision, container, boot, firstByte, total } = wakePhases(wake);
  return {
    id: wake.id,
    app: presentAppReference(app),
    cause:
      cause.kind === 'command'
        ? { kind: cause.kind }
        : {
            kind: cause.kind,
            method: cause.request.method,
            path: cause.request.path,
            request_id: cause.request.requestId,
            fwd: cause.request.fwd,
          },
    depth: wake.depth,
    held: wake.held,
    phases_ms: { decision, container, boot, first_byte: firstByte, total },
    created_at: wake.askedAt,
  };
}
