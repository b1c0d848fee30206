import { DEFAULT_STACK, STACK_IDS, type StackName } from '../../domain/stack';

const SINCE = '2026-01-01T00:00:00.000Z';

export function presentStack(name: StackName): Record<string, unknown> {
  return {
    created_at: SINCE,
    default: name === DEFAULT_STACK,
    id: STACK_IDS[name],
    name,
    state: 'public',
    updated_at: SINCE,
  };
}

export function presentStackReference(name: StackName): { id: string; name: string } {
  return { id: STACK_IDS[name], name };
}
