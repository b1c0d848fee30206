import type { App } from '../../domain/app';
import { dynoName, type Dyno } from '../../domain/dyno';
import { dynoSize } from '../../domain/dyno-size';
import { presentAppReference } from './app';

/** `attachUrl` is told once, to whoever started the process. */
export function presentDyno(dyno: Dyno, app: App, attachUrl: string | null = null): Record<string, unknown> {
  return {
    app: presentAppReference(app),
    attach_url: attachUrl,
    command: dyno.command,
    created_at: dyno.createdAt,
    id: dyno.id,
    name: dynoName(dyno),
    release: { id: dyno.releaseId, version: dyno.releaseVersion },
    size: dynoSize(dyno.size).title,
    state: dyno.state,
    type: dyno.type,
    updated_at: dyno.updatedAt,
  };
}
