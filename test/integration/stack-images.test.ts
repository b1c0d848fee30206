import { randomUUID } from 'node:crypto';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pack } from 'tar-stream';
import { createHostTools } from '../../src/build/host-tools';
import { ImageBuilder, type ImageRecipe } from '../../src/build/image-builder';
import { ensureStackImages, stackImageReferences, type StackImages } from '../../src/build/stack-images';
import type { DockerEngine } from '../../src/engine/docker-engine';
import { PROJECT_DIR, realEngine, realStackImages, stackImageOptions } from '../support/stack';

const RUN_ID = randomUUID().slice(0, 8);
const LABELS = { 'dynodock.test-run': RUN_ID };

let engine: DockerEngine;
let images: StackImages;

beforeAll(async () => {
  engine = await realEngine();
  images = await realStackImages(engine);
}, 10 * 60_000);

afterAll(async () => {
  for (const container of await engine.list(LABELS)) await engine.remove(container.id);
  for (const image of await engine.listImages(LABELS)) {
    for (const reference of image.references) await engine.removeImage(reference);
  }
}, 60_000);

jest.setTimeout(60_000);

/** Runs one command line through the image's own launcher, as a dyno does. */
async function launch(
  image: string,
  commandLine: string,
  files: Record<string, string> = {},
  env: Record<string, string> = {},
): Promise<{ exitCode: number; lines: string[] }> {
  const id = await engine.create({
    name: `dynodock-test-${randomUUID()}`,
    image,
    command: ['/usr/local/bin/dyno-launch', commandLine],
    env,
    labels: LABELS,
    network: 'none',
  });
  try {
    if (Object.keys(files).length > 0) {
      const tar = pack();
      for (const [name, content] of Object.entries(files)) tar.entry({ name }, content);
      tar.finalize();
      await engine.putArchive(id, '/app', tar as unknown as Readable);
    }
    await engine.start(id);
    const { exitCode } = await engine.wait(id, { signal: AbortSignal.timeout(60_000) });
    const lines: string[] = [];
    for await (const line of engine.logs(id, { follow: false })) lines.push(line.text);
    return { exitCode, lines };
  } finally {
    await engine.remove(id);
  }
}

describe('stack images', () => {
  it('bear the computed references and labels and are not built again', async () => {
    const info = await engine.info();
    const { stacks } = await stackImageReferences(path.join(PROJECT_DIR, 'images'), info.architecture);
    expect(images).toEqual(stacks);
    const progress: string[] = [];
    const before = performance.now();
    expect(await ensureStackImages(stackImageOptions(engine, progress))).toEqual(stacks);
    expect(performance.now() - before).toBeLessThan(2000);
    expect(progress).toEqual([]);
    for (const stack of ['heroku-24', 'heroku-22'] as const) {
      for (const reference of [stacks[stack].run, stacks[stack].build]) {
        const image = await engine.inspectImage(reference);
        expect(image?.labels).toEqual({ 'dynodock.role': 'stack', 'dynodock.stack': stack });
      }
    }
  });

  // Ruby, Python, PHP and their web servers are in it, beside Node.js and the packages of Heroku’s list.
  it('keep the run image below 530 MB', async () => {
    const image = await engine.inspectImage(images['heroku-24'].run);
    expect(image?.sizeBytes).toBeLessThan(530_000_000);
  });

  it('have the locale that Heroku’s stacks have', async () => {
    const { lines } = await launch(
      images['heroku-24'].run,
      'LC_ALL=en_US.UTF-8 perl -e "use locale; use POSIX; print setlocale(LC_ALL, q())"',
    );
    expect(lines).toEqual(['en_US.UTF-8']);
  });

  it.each(['heroku-24', 'heroku-22'] as const)(
    'run a dyno of %s as an ordinary user in /app',
    async (stack) => {
      const { exitCode, lines } = await launch(
        images[stack].run,
        'echo "$STACK $HOME $PWD $(id -u):$(id -g) $LANG"; exit 7',
      );
      expect(lines).toEqual([`${stack} /app /app 10001:10001 C.UTF-8`]);
      expect(exitCode).toBe(7);
    },
  );

  it('have the tools of a dyno, and Node.js aside from the PATH', async () => {
    const { exitCode, lines } = await launch(
      images['heroku-24'].run,
      'for tool in curl jq psql redis-cli perl openssl unzip ps; do command -v $tool > /dev/null || echo no $tool; done;' +
        'command -v node; /opt/dynodock/node/bin/node --version; cat /opt/dynodock/runtimes/default-node',
    );
    expect(exitCode).toBe(0);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toBe(`v${lines[1]}`);
  });

  it('do not contain the host’s certificate authorities', async () => {
    const inImage = await launch(images['heroku-24'].build, 'sha256sum < /etc/ssl/certs/ca-certificates.crt');
    const inBase = await launch(images['heroku-24'].run, 'sha256sum < /etc/ssl/certs/ca-certificates.crt');
    expect(inImage.lines).toEqual(inBase.lines);
    const subjects = await launch(
      images['heroku-24'].build,
      'grep -c "BEGIN CERT" /etc/ssl/certs/ca-certificates.crt; ls /usr/share/ca-certificates/mozilla | wc -l',
    );
    expect(subjects.lines[0]).toBe(subjects.lines[1]);
  });

  it('let builds compile: toolchain, git, headers and a cache of their own', async () => {
    const { exitCode, lines } = await launch(
      images['heroku-24'].build,
      'for tool in cc g++ make git python3 pkg-config; do command -v $tool > /dev/null || echo no $tool; done;' +
        'touch /cache/x /tmp/x /app/x && ls /opt/dynodock/node/include/node/node.h && pkg-config --exists libpq openssl && echo ok',
    );
    expect(lines).toEqual(['/opt/dynodock/node/include/node/node.h', 'ok']);
    expect(exitCode).toBe(0);
  });
});

describe('dyno-launch', () => {
  it('sources .profile.d/*.sh, then .profile, which override config vars', async () => {
    const { lines } = await launch(
      images['heroku-24'].run,
      'echo "$A $B $C"',
      {
        '.profile.d/a.sh': 'export A=a B=${B:-default}\n',
        '.profile.d/ignored.txt': 'export A=ignored\n',
        '.profile': 'export C="profile sees $A"\n',
      },
      { A: 'config', B: 'config' },
    );
    expect(lines).toEqual(['a config profile sees a']);
  });

  it('becomes the command, which then gets the signals itself', async () => {
    const { lines } = await launch(images['heroku-24'].run, 'readlink /proc/1/exe');
    expect(lines).toEqual(['/usr/bin/readlink']);
  });
});

describe('building an image', () => {
  const recipe = (script: string): ImageRecipe => ({
    reference: `dynodock/test-${RUN_ID}:${randomUUID().slice(0, 12)}`,
    parent: images['heroku-24'].run,
    files: [{ path: 'provision.sh', content: Buffer.from(script) }],
    config: { user: '10001:10001' },
    labels: LABELS,
    trustHostAuthorities: false,
  });
  const builder = (progress: string[], buildEnv: Record<string, string> = {}): ImageBuilder =>
    new ImageBuilder({
      engine,
      caBundlePath: undefined,
      buildEnv,
      onProgress: (line) => progress.push(line),
    });
  const never = new AbortController().signal;

  it('happens once when two want the same at the same time', async () => {
    const wanted = recipe('sleep 1; date +%s%N > /built');
    const first: string[] = [];
    const second: string[] = [];
    await Promise.all([builder(first).ensure(wanted, never), builder(second).ensure(wanted, never)]);
    const all = [...first, ...second];
    expect(all.filter((line) => line.startsWith('Built '))).toHaveLength(1);
    expect(all.filter((line) => line.startsWith('Waiting for another build '))).toHaveLength(1);
    expect(await engine.inspectImage(wanted.reference)).toBeDefined();
  });

  it('gives the build environment to the script and to nothing else', async () => {
    const wanted = recipe('printf "%s" "$PROXY" | md5sum > /seen');
    await builder([], { PROXY: "it's $HOME" }).ensure(wanted, never);
    const { lines } = await launch(
      wanted.reference,
      `cat /seen; printf "%s" "it's \\$HOME" | md5sum; echo "<$PROXY>"; ls /tmp`,
    );
    expect(lines[0]).toBe(lines[1]);
    expect(lines.slice(2)).toEqual(['<>']);
  });

  it('that fails says the last lines and leaves neither container nor image', async () => {
    const wanted = recipe('echo the reason; exit 3');
    await expect(builder([]).ensure(wanted, never)).rejects.toThrow(/status 3\.\nthe reason/);
    expect(await engine.inspectImage(wanted.reference)).toBeUndefined();
    expect(await engine.list(LABELS)).toEqual([]);
  });

  it('can be called off and leaves no container', async () => {
    const wanted = recipe('sleep 60');
    const started = new AbortController();
    const building = builder([]).ensure(wanted, started.signal);
    setTimeout(() => started.abort(new Error('called off')), 1500);
    await expect(building).rejects.toThrow('called off');
    expect(await engine.list(LABELS)).toEqual([]);
  });
});

describe('without Debian and without the means to make it', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'dynodock-no-debian-'));
    await cp(path.join(PROJECT_DIR, 'images'), directory, { recursive: true });
    // Another recipe, so that there is no such base yet.
    await writeFile(path.join(directory, 'stack', 'base', 'test-run'), RUN_ID);
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it('building fails with what is to be done', async () => {
    if ((await engine.inspectImage('debian:bookworm-slim')) !== undefined) return;
    await expect(
      ensureStackImages({
        ...stackImageOptions(engine, []),
        imagesDir: directory,
        hostTools: createHostTools({ searchPath: '/nowhere' }),
      }),
    ).rejects.toThrow(/load or pull the image debian:bookworm-slim|install mmdebstrap/);
  }, 60_000);
});
