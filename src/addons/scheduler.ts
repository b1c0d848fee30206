import { SCHEDULER_SERVICE } from '../domain/scheduled-job';
import { aPlan, type BuiltinProvider } from './provider';

/** Heroku Scheduler: nothing runs for it but the dynos of its jobs, which `platform/scheduler` starts. */
export const scheduler: BuiltinProvider = {
  kind: 'builtin',
  service: SCHEDULER_SERVICE,
  humanName: 'Heroku Scheduler',
  namePrefix: 'scheduler',
  attachmentName: 'SCHEDULER',
  colourPrefix: 'HEROKU_SCHEDULER',
  firstHasColour: false,
  plans: [aPlan({ name: 'standard', humanName: 'Standard', priceCents: 0, memoryBytes: 0 })],
  defaultPlan: 'standard',
  multiple: false,
  sharable: false,
  cliPluginName: null,
  options: {},
  newConfig: () => ({ credentials: {}, values: {} }),
  configVars: () => ({}),
  provisionMessage: () => 'To manage scheduled jobs run:\nheroku addons:open scheduler',
  page: { kind: 'drawn', name: 'scheduler' },
};
