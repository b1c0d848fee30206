import { existsSync, readFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { pack as createPack } from 'tar-stream';

const BUSYBOX_PATHS = ['/bin/busybox', '/usr/bin/busybox'];
/** The commands that tests run in containers. */
const APPLETS = [
  'sh cat echo sleep true false env id head tail printf wc ls rm mkdir touch kill nc httpd wget dd seq yes tr',
  'hostname mount ps test stat sync chmod df od grep sed stty',
].flatMap((line) => line.split(' '));

/**
 * The tar of a root file system with one static busybox: what images in tests are made of, because none can be
 * pulled. `script/test-tools` installs it. Always the same bytes for the same busybox.
 */
export async function rootFsTar(): Promise<Buffer> {
  const busybox = BUSYBOX_PATHS.find((path) => existsSync(path));
  if (busybox === undefined) throw new Error('no busybox on this machine: run script/test-tools');
  const pack = createPack();
  const mtime = new Date(0);
  for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'app']) {
    pack.entry({ name, type: 'directory', mode: 0o755, mtime });
  }
  pack.entry({ name: 'tmp', type: 'directory', mode: 0o1777, mtime });
  pack.entry({ name: 'etc/passwd', mtime }, 'root:x:0:0:root:/:/bin/sh\ndyno:x:1000:1000::/app:/bin/sh\n');
  pack.entry({ name: 'etc/group', mtime }, 'root:x:0:\ndyno:x:1000:\n');
  pack.entry({ name: 'bin/busybox', mode: 0o755, mtime }, readFileSync(busybox));
  for (const applet of APPLETS) {
    pack.entry({ name: `bin/${applet}`, type: 'symlink', linkname: 'busybox', mtime });
  }
  pack.finalize();
  return buffer(pack);
}
