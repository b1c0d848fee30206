import { DEPLOY_BRANCHES } from './repositories';

/** One line of what git tells its pre-receive hook (githooks(5)). */
export interface RefUpdate {
  /** Object ids; all zeros = the ref does not exist before or after. */
  before: string;
  after: string;
  ref: string;
}

export interface PushPlan {
  /** What to build, if anything. */
  deploy: RefUpdate | undefined;
  /** Lines for the one who pushes. */
  messages: string[];
}

/** Only main and master deploy; everything else that is pushed is kept and nothing more. */
export function planPush(updates: readonly RefUpdate[]): PushPlan {
  const pushed = updates.filter((update) => !/^0+$/.test(update.after));
  const [deploy, ...others] = DEPLOY_BRANCHES.flatMap((branch) =>
    pushed.filter((update) => update.ref === `refs/heads/${branch}`),
  );
  if (deploy !== undefined) {
    return {
      deploy,
      messages: others.map((other) => ` !     Building ${branchOf(deploy)} only, not ${branchOf(other)}.`),
    };
  }
  return {
    deploy: undefined,
    messages: pushed.some((update) => update.ref.startsWith('refs/heads/'))
      ? ['Pushed to non-main branch, skipping build.', 'To deploy, push the code to the main branch.']
      : [],
  };
}

function branchOf(update: RefUpdate): string {
  return update.ref.replace('refs/heads/', '');
}
