import { chmodSync, mkdirSync } from 'node:fs';
import path from 'node:path';

/** Where things lie in the data folder. */
export class Paths {
  constructor(readonly dataDir: string) {}

  get database(): string {
    return path.join(this.dataDir, 'dynodock.sqlite');
  }
  get token(): string {
    return path.join(this.dataDir, 'token');
  }
  get tls(): string {
    return path.join(this.dataDir, 'tls');
  }
  /** The local CA's certificate, which clients have to trust. */
  get caCertificate(): string {
    return path.join(this.tls, 'ca.pem');
  }
  /** Certificates and keys of app hosts, which the router reads. */
  get appCertificates(): string {
    return path.join(this.tls, 'apps');
  }
  /** A copy of the host's bundle, at a path that the engine can mount. */
  get trustBundle(): string {
    return path.join(this.dataDir, 'trust', 'ca-bundle.pem');
  }
  get repositories(): string {
    return path.join(this.dataDir, 'repos');
  }
  get slugs(): string {
    return path.join(this.dataDir, 'slugs');
  }
  /** Source code that was uploaded for a build. */
  get sources(): string {
    return path.join(this.dataDir, 'sources');
  }
  /** Slugs that were uploaded and are not released yet. */
  get slugUploads(): string {
    return path.join(this.dataDir, 'slug-uploads');
  }
  get buildOutput(): string {
    return path.join(this.dataDir, 'build-output');
  }
  get releaseOutput(): string {
    return path.join(this.dataDir, 'release-output');
  }
  /** Of databases. */
  get backups(): string {
    return path.join(this.dataDir, 'backups');
  }
  /** Add-on services of the user's own, a YAML file each. */
  get addons(): string {
    return path.join(this.dataDir, 'addons');
  }
  /** Buildpacks fetched from elsewhere. */
  get buildpacks(): string {
    return path.join(this.dataDir, 'buildpacks');
  }
  get work(): string {
    return path.join(this.dataDir, 'work');
  }
  /** For `dynodock build`: what daemons have of their own is cleared away when they start. */
  get folderBuilds(): string {
    return path.join(this.dataDir, 'folder-builds');
  }
  /** Sockets and pid files. */
  get run(): string {
    return path.join(this.dataDir, 'run');
  }
  get pid(): string {
    return path.join(this.run, 'daemon.json');
  }
  get lockSocket(): string {
    return path.join(this.run, 'daemon.sock');
  }
  get hooks(): string {
    return path.join(this.run, 'hooks');
  }
  get hookSocket(): string {
    return path.join(this.run, 'git-hook.sock');
  }
  get routerSocket(): string {
    return path.join(this.run, 'router.sock');
  }
  get routerSnapshot(): string {
    return path.join(this.run, 'routes.json');
  }
  get logs(): string {
    return path.join(this.dataDir, 'log');
  }
  get daemonLog(): string {
    return path.join(this.logs, 'daemon.log');
  }
  get routerLog(): string {
    return path.join(this.logs, 'router.log');
  }

  /** The data folder holds config vars, keys and tokens: nobody else may look into it. */
  create(): void {
    mkdirSync(this.dataDir, { recursive: true, mode: 0o700 });
    chmodSync(this.dataDir, 0o700);
    for (const folder of [
      this.tls,
      path.dirname(this.trustBundle),
      this.repositories,
      this.slugs,
      this.sources,
      this.slugUploads,
      this.buildOutput,
      this.releaseOutput,
      this.backups,
      this.addons,
      this.buildpacks,
      this.work,
      this.folderBuilds,
      this.run,
      this.logs,
    ]) {
      mkdirSync(folder, { recursive: true });
    }
  }
}
