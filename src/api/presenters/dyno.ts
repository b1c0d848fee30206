import type { App } from '../../domain/app';
import { dynoName, type Dyno } from '../../domain/dyno';
import { dynoSize } from '../../domain/dyno-size';
import { presentAppReference } from './app';

export function presentDyno(dyno: Dyno, app: App): Record<string, unknown> {
  return {
    app: presentAppReference(app),
    attach_url: null,
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
