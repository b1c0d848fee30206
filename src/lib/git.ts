/** With which every git command of ours begins. */
export const GIT_OPTIONS: readonly string[] = [
  // The repositories are our own, whoever owns the folder that they are in (git-config(1), "safe.directory").
  '-c',
  'safe.directory=*',
  // Larger files pass through git rather than lie in its memory whole.
  '-c',
  'core.bigFileThreshold=16m',
];

/** The whole environment of a git command: the configuration of whoever runs the daemon must not change results. */
export function gitEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/homebrew/bin',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    LC_ALL: 'C',
    ...more,
  };
}
