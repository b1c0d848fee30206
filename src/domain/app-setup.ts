import type { Actor } from './account';
import type { Formation, Postdeploy } from './app-json';
import type { AppId, AppSetupId, BuildId, DynoId } from './ids';

/**
 * How far a set-up is; written before the work of each stage begins.
 *
 * - `preparing`: the source is fetched, its app.json read, and config vars, add-ons and buildpacks put in place
 * - `building`: its build waits or runs, and after it the release, up to the formation
 * - `postdeploy`: the dyno of the postdeploy script waits or runs
 * - `discarding`: it has failed before there was anything to keep, and the app is being destroyed
 * - `ended`
 */
export type AppSetupStage = 'preparing' | 'building' | 'postdeploy' | 'discarding' | 'ended';

/** What remains to be done of an app.json after the build. Without config vars: those are the app's by then. */
export interface AfterBuild {
  formation: readonly Formation[];
  postdeploy: Postdeploy | null;
  /** A path below the app's web page, or another URL. */
  successUrl: string | null;
}

/** An app that is made as the app.json in its source says (Dev Center "Setting Up Apps Using the Platform API"). */
export interface AppSetup {
  id: AppSetupId;
  appId: AppId;
  /** Also of an app that is gone. */
  appName: string;
  status: 'pending' | 'succeeded' | 'failed';
  stage: AppSetupStage;
  user: Actor;
  buildId: BuildId | null;
  /** Of the postdeploy script. */
  dynoId: DynoId | null;
  afterBuild: AfterBuild | null;
  manifestErrors: readonly string[];
  failure: string | null;
  postdeploy: { output: string; exitCode: number } | null;
  resolvedSuccessUrl: string | null;
  createdAt: Date;
  updatedAt: Date;
}
