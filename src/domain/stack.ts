export const STACK_NAMES = ['heroku-24', 'heroku-22', 'container'] as const;
export type StackName = (typeof STACK_NAMES)[number];
export const DEFAULT_STACK: StackName = 'heroku-24';

export function isStackName(text: string): text is StackName {
  return (STACK_NAMES as readonly string[]).includes(text);
}

/** `Heroku-24`, as the build output writes it. */
export function stackTitle(stack: StackName): string {
  return stack.charAt(0).toUpperCase() + stack.slice(1);
}

/** Fixed, so that they are the same on every installation and over time. */
export const STACK_IDS: Readonly<Record<StackName, string>> = {
  'heroku-24': '6f1e2a4c-0b5d-4c8e-9a37-24a1c0de0024',
  'heroku-22': '6f1e2a4c-0b5d-4c8e-9a37-24a1c0de0022',
  container: '6f1e2a4c-0b5d-4c8e-9a37-24a1c0de0000',
};
