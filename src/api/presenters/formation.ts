import type { App } from '../../domain/app';
import { dynoSize } from '../../domain/dyno-size';
import type { FormationView } from '../../platform/formation/formation';
import { presentAppReference } from './app';

export function presentFormation(formation: FormationView, app: App): Record<string, unknown> {
  const size = dynoSize(formation.size);
  return {
    app: presentAppReference(app),
    command: formation.command,
    created_at: formation.createdAt,
    dyno_size: { id: size.id, name: size.title },
    id: formation.id,
    quantity: formation.quantity,
    size: size.title,
    type: formation.type,
    updated_at: formation.updatedAt,
  };
}
