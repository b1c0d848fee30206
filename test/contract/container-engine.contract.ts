import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { pack as createPack } from 'tar-stream';
import {
  EngineError,
  type ContainerEngine,
  type ContainerId,
  type ContainerLogLine,
  type ContainerSpec,
  type EngineEvent,
  type ImageBuildResult,
} from '../../src/engine/engine';
import { ownedLabels } from '../../src/engine/labels';
import { rootFsTar } from '../support/root-fs';
import type { ContainerScript } from '../support/fake-engine';

/**
 * What the contract's containers do: the real command line, and the same for the fake. Side by side, because the
 * suite keeps one honest by the other.
 */
export const PROGRAMS = {
  idle: { argv: ['sleep', '600'], script: {} },
  announced: {
    argv: ['sh', '-c', 'echo ready; exec sleep 600'],
    script: { prints: ['ready'] },
  },
  succeed: { argv: ['true'], script: { exitAfterMs: 1 } },
  failWith3: { argv: ['sh', '-c', 'exit 3'], script: { exitAfterMs: 1, exitCode: 3 } },
  stubborn: {
    argv: ['sh', '-c', "trap '' TERM; while :; do sleep 0.1; done"],
    script: { ignoresSigterm: true },
  },
  twoStreams: {
    argv: ['sh', '-c', 'echo out; sleep 0.1; echo err >&2; sleep 0.1; printf last'],
    script: {
      prints: ['out', { text: 'err', stream: 'stderr', afterMs: 5 }, { text: 'last', afterMs: 10 }],
      exitAfterMs: 20,
    },
  },
  fiveLines: {
    argv: ['sh', '-c', 'for i in 1 2 3 4 5; do echo line $i; done'],
    script: { prints: ['line 1', 'line 2', 'line 3', 'line 4', 'line 5'], exitAfterMs: 5 },
  },
  longLine: {
    argv: ['sh', '-c', "head -c 25000 /dev/zero | tr '\\0' x; echo; echo after"],
    script: { prints: ['x'.repeat(25_000), 'after'], exitAfterMs: 5 },
  },
  slowLines: {
    argv: ['sh', '-c', 'echo first; sleep 0.7; echo second'],
    script: { prints: ['first', { text: 'second', afterMs: 100 }], exitAfterMs: 120 },
  },
  echo: { argv: ['cat'], script: { echoesInput: true } },
  printEnv: {
    argv: ['sh', '-c', 'echo "$GREETING from $PLACE"'],
    script: {
      prints: ({ env }) => [`${env['GREETING'] ?? ''} from ${env['PLACE'] ?? ''}`],
      exitAfterMs: 1,
    },
  },
  printFile: {
    argv: ['cat', '/app/hello.txt'],
    script: { prints: ({ read }) => [read('/app/hello.txt')?.trimEnd() ?? 'missing'], exitAfterMs: 1 },
  },
  writeVolume: {
    argv: ['sh', '-c', 'echo kept > /data/file'],
    script: { onStart: ({ write }) => write('/data/file', 'kept\n'), exitAfterMs: 1 },
  },
  readVolume: {
    argv: ['cat', '/data/file'],
    script: { prints: ({ read }) => [read('/data/file')?.trimEnd() ?? 'missing'], exitAfterMs: 1 },
  },
  executor: {
    argv: ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.1; done'],
    script: {
      exec: (argv, { env, user }) =>
        argv[0] === 'sleep'
          ? new Promise(() => undefined)
          : { exitCode: 7, stdout: `${env?.['WORD'] ?? ''} ${user ?? ''}\n`, stderr: 'problem\n' },
    },
  },
  showSize: {
    argv: ['sh', '-c', 'sleep 1; stty size'],
    script: {
      prints: [
        { text: ({ terminal }) => `${terminal()?.rows ?? 0} ${terminal()?.columns ?? 0}`, afterMs: 50 },
      ],
      exitAfterMs: 60,
    },
  },
  host: {
    argv: ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.2; done'],
    script: {
      command: async (argv, { terminal, env }, { stdin, stdout, stderr }) => {
        if (argv.includes('sleep 0.5; stty size')) {
          stdout.write(`${terminal?.rows ?? 0} ${terminal?.columns ?? 0}\r\n`);
          return 0;
        }
        for await (const chunk of stdin) {
          stdout.write(chunk);
          // A terminal's end of input is a key.
          if (terminal !== null && String(chunk).endsWith('\u0004')) break;
        }
        stderr.write(`${env?.['WORD'] ?? ''}\n`);
        return 7;
      },
    },
  },
  serve: {
    argv: ['sh', '-c', 'while :; do echo served | nc -l -p 5000; done'],
    script: {},
  },
} satisfies Record<string, { argv: readonly string[]; script: ContainerScript }>;

export interface ContractSubject {
  /** A fresh client of the engine. */
  engine: ContainerEngine;
  /** The same engine with another strategy; absent where there is only one. */
  variants?: { publishing: ContainerEngine; building: ContainerEngine };
  /**
   * Sentences that mean nothing to this engine (reaching a container over the network in memory …); each must be a
   * sentence of the contract.
   */
  meaningless: readonly string[];
}

/** Containers here start, print and end within this; real ones on a loaded machine. */
const PATIENCE_MS = 60_000;

/** The sentences that every container engine must make true. */
export function describeContainerEngine(name: string, makeSubject: () => Promise<ContractSubject>): void {
  describe(`${name} as a container engine`, () => {
    const run = randomBytes(6).toString('hex');
    const labels = ownedLabels(`contract-${run}`, 'dyno');
    const image = `dynodock-contract-${run}:base`;
    const network = `dynodock-contract-${run}`;
    let subject: ContractSubject;
    let engine: ContainerEngine;
    let folder: string;
    let lastName = 0;
    const sentences = new Set<string>();

    const sentence = (text: string, check: () => Promise<void>): void => {
      sentences.add(text);
      test(
        text,
        async () => {
          if (!subject.meaningless.includes(text)) await check();
        },
        PATIENCE_MS,
      );
    };

    beforeAll(async () => {
      subject = await makeSubject();
      engine = subject.engine;
      folder = await mkdtemp(join(tmpdir(), 'dynodock-contract-'));
      await engine.importImage(Readable.from([await rootFsTar()]), image, {
        env: { PATH: '/bin', PLACE: 'the image', GREETING: 'hi' },
        labels,
      });
      await engine.ensureNetwork({ name: network, labels, interContainerTraffic: false });
    }, PATIENCE_MS);

    afterEach(async () => {
      for (const { id } of await engine.list(labels)) await engine.remove(id);
    }, PATIENCE_MS);

    afterAll(async () => {
      await engine.removeNetwork(network);
      for (const volume of await engine.listVolumes(labels)) await engine.removeVolume(volume.name);
      for (const { id, references } of await engine.listImages(labels)) {
        // One whose name went to another image is left with its id only.
        for (const name of references.length > 0 ? references : [id]) await engine.removeImage(name);
      }
      expect(await engine.listImages(labels)).toEqual([]);
      await rm(folder, { recursive: true, force: true });
      const unknown = subject.meaningless.filter((text) => !sentences.has(text));
      expect(unknown).toEqual([]);
    }, PATIENCE_MS);

    const aSpec = (program: keyof typeof PROGRAMS, changes: Partial<ContainerSpec> = {}): ContainerSpec => ({
      name: `dynodock-contract-${run}-${++lastName}`,
      image,
      command: PROGRAMS[program].argv,
      env: {},
      labels,
      network: 'none',
      init: true,
      ...changes,
    });
    const started = async (
      program: keyof typeof PROGRAMS,
      changes: Partial<ContainerSpec> = {},
      on = engine,
    ): Promise<ContainerId> => {
      const id = await on.create(aSpec(program, changes));
      await on.start(id);
      return id;
    };
    const finished = async (
      program: keyof typeof PROGRAMS,
      changes: Partial<ContainerSpec> = {},
    ): Promise<string[]> => {
      const id = await started(program, changes);
      await engine.wait(id);
      return (await allLines(engine, id)).map(({ text }) => text);
    };

    describe('containers', () => {
      sentence('a created container has not started and is found by id and by name', async () => {
        const spec = aSpec('idle');
        const id = await engine.create(spec);
        expect(await engine.inspect(id)).toMatchObject({ id, name: spec.name, image, state: 'created' });
        expect(await engine.inspect(spec.name)).toMatchObject({ id, labels });
        expect((await engine.inspect(id)).startedAt).toBeUndefined();
      });

      sentence('a started container runs, and starting it again is success', async () => {
        const id = await started('idle');
        await engine.start(id);
        const info = await engine.inspect(id);
        expect(info.state).toBe('running');
        expect(info.startedAt).toBeInstanceOf(Date);
        expect(info.exitCode).toBeUndefined();
      });

      sentence('a taken name is a conflict', async () => {
        const spec = aSpec('idle');
        await engine.create(spec);
        await expectKind(engine.create(spec), 'conflict');
      });

      sentence('an image that does not exist is not found', async () => {
        await expectKind(engine.create(aSpec('idle', { image: `dynodock-none-${run}` })), 'not_found');
      });

      sentence(
        'a container that does not exist is not found, except by those who wanted it gone',
        async () => {
          const id = `dynodock-none-${run}` as ContainerId;
          await expectKind(engine.inspect(id), 'not_found');
          await expectKind(engine.start(id), 'not_found');
          await expectKind(engine.stop(id, { timeoutMs: 1000 }), 'not_found');
          await expectKind(engine.kill(id, 'SIGTERM'), 'not_found');
          await expectKind(engine.pause(id), 'not_found');
          await expectKind(engine.unpause(id), 'not_found');
          await expectKind(engine.wait(id), 'not_found');
          await expectKind(engine.exec(id, ['true']), 'not_found');
          await expectKind(engine.execAttached(id, ['true'], { terminal: null }), 'not_found');
          await expectKind(engine.resize(id, { columns: 80, rows: 24 }), 'not_found');
          await expectKind(engine.attach(id, { stdin: false }), 'not_found');
          await expectKind(allLines(engine, id), 'not_found');
          await expectKind(engine.putArchive(id, '/', await aTar({ f: 'x' })), 'not_found');
          await engine.remove(id);
        },
      );

      sentence('stopping ends a container with SIGTERM, and stopping it again is success', async () => {
        const id = await started('announced');
        // A signal in the first milliseconds finds an init that does not pass any on yet.
        await firstLine(engine, id);
        await engine.stop(id, { timeoutMs: 10_000 });
        const info = await engine.inspect(id);
        expect(info).toMatchObject({ state: 'exited', exitCode: 143, oomKilled: false });
        expect(info.finishedAt).toBeInstanceOf(Date);
        await engine.stop(id, { timeoutMs: 10_000 });
      });

      sentence('stopping a container that ignores SIGTERM kills it after the timeout', async () => {
        const id = await started('stubborn', { init: false });
        await engine.stop(id, { timeoutMs: 1000 });
        expect(await engine.inspect(id)).toMatchObject({ state: 'exited', exitCode: 137 });
      });

      sentence('a signal reaches a running container, and one that has ended is not running', async () => {
        const id = await started('idle');
        await engine.kill(id, 'SIGKILL');
        expect(await engine.wait(id)).toEqual({ exitCode: 137 });
        await expectKind(engine.kill(id, 'SIGTERM'), 'not_running');
        await expectKind(engine.exec(id, ['true']), 'not_running');
      });

      sentence('removing takes a running container away, and removing it again is success', async () => {
        const spec = aSpec('idle');
        const id = await engine.create(spec);
        await engine.start(id);
        await Promise.all([engine.remove(id), engine.remove(id)]);
        await engine.remove(id);
        await expectKind(engine.inspect(id), 'not_found');
        await engine.create(spec);
      });

      sentence(
        'a paused container is neither running nor ended, and goes on when it is unpaused',
        async () => {
          const id = await started('executor', { network, exposePort: 5000 });
          const { endpoint } = await engine.inspect(id);
          expect(endpoint).toBeDefined();
          await engine.pause(id);
          await engine.pause(id);
          expect(await engine.inspect(id)).toMatchObject({ state: 'paused', endpoint });
          expect(await engine.list(labels)).toMatchObject([{ id, state: 'paused', endpoint }]);
          await expectKind(engine.exec(id, ['true']), 'not_running');
          await engine.unpause(id);
          await engine.unpause(id);
          expect(await engine.inspect(id)).toMatchObject({ state: 'running', endpoint });
          expect(await engine.exec(id, ['sh', '-c', 'exit 7'])).toMatchObject({ exitCode: 7 });
        },
      );

      sentence('a paused container can be killed and removed', async () => {
        const killed = await started('idle');
        await engine.pause(killed);
        await engine.kill(killed, 'SIGKILL');
        expect(await engine.wait(killed)).toEqual({ exitCode: 137 });
        const removed = await started('idle');
        await engine.pause(removed);
        await engine.remove(removed);
        await expectKind(engine.inspect(removed), 'not_found');
      });

      sentence('what has not started or has ended can neither be paused nor unpaused', async () => {
        const created = await engine.create(aSpec('idle'));
        await expectKind(engine.pause(created), 'not_running');
        const ended = await started('succeed');
        await engine.wait(ended);
        await expectKind(engine.pause(ended), 'not_running');
        await expectKind(engine.unpause(ended), 'not_running');
      });

      sentence('the exit code is told by wait, by inspect and by the list', async () => {
        const id = await started('failWith3');
        expect(await engine.wait(id)).toEqual({ exitCode: 3 });
        expect(await engine.wait(id)).toEqual({ exitCode: 3 });
        expect(await engine.inspect(id)).toMatchObject({ state: 'exited', exitCode: 3 });
        expect(await engine.list(labels)).toMatchObject([{ id, state: 'exited', exitCode: 3 }]);
      });

      sentence('waiting for a container that is yet to start ends when it has ended', async () => {
        const id = await engine.create(aSpec('failWith3'));
        const waiting = engine.wait(id);
        await delay(50);
        await engine.start(id);
        expect(await waiting).toEqual({ exitCode: 3 });
      });

      sentence('waiting can be called off', async () => {
        const id = await started('idle');
        const abort = new AbortController();
        const waiting = expectKind(engine.wait(id, { signal: abort.signal }), 'other');
        await delay(50);
        abort.abort();
        await waiting;
      });

      sentence('the list has all containers in any state that bear all labels, and no others', async () => {
        const own = { ...labels, 'dynodock.app': 'a' };
        const created = await engine.create(aSpec('idle', { labels: own }));
        const running = await started('idle', { labels: own });
        const ended = await started('succeed', { labels: own });
        const other = await started('idle', { labels: { ...labels, 'dynodock.app': 'b' } });
        await engine.wait(ended);
        const states = (await engine.list(own)).map(({ id, state }) => [id, state]);
        expect(new Map(states as [string, string][])).toEqual(
          new Map([
            [created, 'created'],
            [running, 'running'],
            [ended, 'exited'],
          ]),
        );
        expect((await engine.list(labels)).map(({ id }) => id)).toContain(other);
        expect((await engine.list(own))[0]?.labels).toEqual(own);
      });

      sentence('a container’s environment goes over its image’s', async () => {
        expect(await finished('printEnv', { env: { GREETING: 'a "quoted" $word' } })).toEqual([
          'a "quoted" $word from the image',
        ]);
      });
    });

    describe('output and input', () => {
      sentence(
        'the log has both streams’ lines with their times, the last one without a line end too',
        async () => {
          const id = await started('twoStreams');
          const lines = await allLines(engine, id, { follow: true });
          expect(lines.map(({ stream, text }) => [stream, text])).toEqual([
            ['stdout', 'out'],
            ['stderr', 'err'],
            ['stdout', 'last'],
          ]);
          for (const { at } of lines) expect(Math.abs(at.getTime() - Date.now())).toBeLessThan(PATIENCE_MS);
        },
      );

      sentence('a log resumed at a line’s position goes on with the next line', async () => {
        const id = await started('fiveLines');
        await engine.wait(id);
        const lines = await allLines(engine, id);
        expect(lines).toHaveLength(5);
        for (const [index, { position }] of lines.entries()) {
          const rest = await allLines(engine, id, { since: position });
          expect(rest.map(({ text }) => text)).toEqual(lines.slice(index + 1).map(({ text }) => text));
        }
      });

      sentence('a log since a date has only lines of later milliseconds', async () => {
        const id = await started('slowLines');
        await engine.wait(id);
        const [first] = await allLines(engine, id);
        const rest = await allLines(engine, id, { since: first!.at });
        expect(rest.map(({ text }) => text)).toEqual(['second']);
        expect(await allLines(engine, id, { since: new Date(Date.now() + 60_000) })).toEqual([]);
      });

      sentence('a followed log delivers lines while the container runs and ends with it', async () => {
        const id = await started('slowLines');
        const lines: [string, string][] = [];
        for await (const { text } of engine.logs(id, { follow: true })) {
          lines.push([text, (await engine.inspect(id)).state]);
        }
        expect(lines[0]).toEqual(['first', 'running']);
        expect(lines.map(([text]) => text)).toEqual(['first', 'second']);
      });

      sentence('following a log can be called off, without an error', async () => {
        const id = await started('idle');
        const abort = new AbortController();
        const reading = allLines(engine, id, { follow: true, signal: abort.signal });
        await delay(100);
        abort.abort();
        expect(await reading).toEqual([]);
      });

      sentence('a line beyond 10,000 bytes comes in pieces of that size', async () => {
        const lines = await finished('longLine');
        expect(lines.map((line) => line.length)).toEqual([10_000, 10_000, 5_000, 5]);
      });

      sentence('a container that keeps no log is seen through attach only', async () => {
        const id = await engine.create(aSpec('twoStreams', { discardLog: true }));
        const { stdout, stderr } = await engine.attach(id, { stdin: false });
        await engine.start(id);
        const [out, err] = await Promise.all([text(stdout), text(stderr)]);
        expect([out.trimEnd(), err]).toEqual(['out\nlast', 'err\n']);
        await expectKind(allLines(engine, id), 'other');
      });

      sentence(
        'what is written to an attached container is its input, and closing it is the end of it',
        async () => {
          const id = await engine.create(aSpec('echo', { openStdin: true }));
          const { stdin, stdout, stderr } = await engine.attach(id, { stdin: true });
          stderr.resume();
          await engine.start(id);
          const big = randomBytes(300_000);
          stdin!.write(big);
          stdin!.end('the end');
          expect((await buffer(stdout)).equals(Buffer.concat([big, Buffer.from('the end')]))).toBe(true);
          expect(await engine.wait(id)).toEqual({ exitCode: 0 });
        },
      );

      sentence('an attachment can be closed while the container goes on', async () => {
        const id = await engine.create(aSpec('idle', { openStdin: true }));
        const attachment = await engine.attach(id, { stdin: true });
        await engine.start(id);
        attachment.close();
        await delay(100);
        expect((await engine.inspect(id)).state).toBe('running');
      });

      sentence('a running container’s terminal takes the size that it is given', async () => {
        const size = { columns: 133, rows: 44 };
        const id = await engine.create(aSpec('showSize', { tty: true }));
        await expectKind(engine.resize(id, size), 'not_running');
        const { stdout } = await engine.attach(id, { stdin: false });
        await engine.start(id);
        await engine.resize(id, size);
        expect((await text(stdout)).trim()).toBe('44 133');
        await engine.wait(id);
        await expectKind(engine.resize(id, size), 'not_running');
      });

      sentence('a terminal’s output is all standard output', async () => {
        const id = await engine.create(aSpec('twoStreams', { tty: true }));
        const { stdout, stderr } = await engine.attach(id, { stdin: false });
        await engine.start(id);
        const [out, err] = await Promise.all([text(stdout), text(stderr)]);
        expect(out.replaceAll('\r', '').trimEnd()).toBe('out\nerr\nlast');
        expect(err).toBe('');
        const lines = await allLines(engine, id);
        expect(lines.map((line) => line.text)).toEqual(['out', 'err', 'last']);
      });
    });

    describe('commands and files', () => {
      sentence('a command in a container gives its exit code and both outputs', async () => {
        const id = await started('executor');
        const argv = ['sh', '-c', 'echo $WORD $(id -u); echo problem >&2; exit 7'];
        const result = await engine.exec(id, argv, { user: '1000', env: { WORD: 'hello' } });
        expect(result).toEqual({ exitCode: 7, stdout: 'hello 1000\n', stderr: 'problem\n' });
      });

      sentence('a command with its streams attached reads its input and tells how it ended', async () => {
        const id = await started('host');
        const command = await engine.execAttached(id, ['sh', '-c', 'cat; echo $WORD >&2; exit 7'], {
          env: { WORD: 'hello' },
          terminal: null,
        });
        const big = randomBytes(300_000);
        command.stdin.write(big);
        command.stdin.end('the end');
        const [out, err] = await Promise.all([buffer(command.stdout), text(command.stderr)]);
        expect(out.equals(Buffer.concat([big, Buffer.from('the end')]))).toBe(true);
        expect(err).toBe('hello\n');
        expect(await command.exitCode()).toBe(7);
      });

      sentence('a command has a terminal of the size that it is given', async () => {
        const id = await started('host');
        const command = await engine.execAttached(id, ['sh', '-c', 'sleep 0.5; stty size'], {
          terminal: { columns: 133, rows: 44 },
        });
        const [out, err] = await Promise.all([text(command.stdout), text(command.stderr)]);
        expect([out.trim(), err]).toEqual(['44 133', '']);
        expect(await command.exitCode()).toBe(0);
      });

      sentence('a command that ends at once is no failure, whatever its terminal', async () => {
        const id = await started('host');
        // Often enough that its terminal is sized too late at least once.
        for (let round = 0; round < 10; round++) {
          for (const terminal of [null, { columns: 80, rows: 24 }]) {
            const command = await engine.execAttached(id, ['sh', '-c', 'cat'], { terminal });
            if (terminal === null) command.stdin.end('bye');
            else command.stdin.write('bye\n\u0004');
            const [out] = await Promise.all([text(command.stdout), text(command.stderr)]);
            expect(out).toContain('bye');
            expect(typeof (await command.exitCode())).toBe('number');
          }
        }
      });

      sentence('no command is attached to in a container that does not run', async () => {
        const id = await started('succeed');
        await engine.wait(id);
        await expectKind(engine.execAttached(id, ['true'], { terminal: null }), 'not_running');
      });

      sentence('a command that takes too long is given up', async () => {
        const id = await started('executor');
        await expectKind(engine.exec(id, ['sleep', '30'], { timeoutMs: 200 }), 'other');
      });

      sentence('files are put into a container before it starts', async () => {
        const id = await engine.create(aSpec('printFile'));
        await engine.putArchive(id, '/app', await aTar({ 'hello.txt': 'hello, file\n' }));
        await engine.start(id);
        await engine.wait(id);
        expect((await allLines(engine, id)).map((line) => line.text)).toEqual(['hello, file']);
      });
    });

    describe('events', () => {
      sentence('start, end and removal are told of containers with the labels only', async () => {
        const mine = { ...labels, 'dynodock.app': 'mine' };
        const abort = new AbortController();
        const events = engine.events(mine, { signal: abort.signal });
        const reading = take(events, 3);
        await delay(300);
        const other = await started('idle');
        const id = await started('failWith3', { labels: mine });
        await engine.wait(id);
        await engine.remove(id);
        await engine.remove(other);
        const seen = await reading;
        abort.abort();
        expect(seen.map(({ kind, containerId }) => [kind, containerId])).toEqual([
          ['start', id],
          ['die', id],
          ['destroy', id],
        ]);
        expect(seen[1]).toMatchObject({ labels: mine, exitCode: 3 });
      });

      sentence('following the events can be called off, without an error', async () => {
        const abort = new AbortController();
        const reading = take(engine.events(labels, { signal: abort.signal }), 1);
        await delay(50);
        abort.abort();
        expect(await reading).toEqual([]);
      });
    });

    describe('images', () => {
      sentence('an image that does not exist is undefined', async () => {
        expect(await engine.inspectImage(`dynodock-none-${run}`)).toBeUndefined();
      });

      sentence('an imported image has its labels and is listed by them', async () => {
        expect(await engine.inspectImage(image)).toMatchObject({ references: [image], labels });
        expect((await engine.listImages(labels)).flatMap(({ references }) => references)).toContain(image);
      });

      sentence('an image has as many names as it is given, and goes with the last', async () => {
        const second = `dynodock-contract-${run}:second`;
        await engine.tagImage(image, second);
        expect((await engine.inspectImage(second))?.id).toBe((await engine.inspectImage(image))?.id);
        await engine.removeImage(second);
        await engine.removeImage(second);
        expect(await engine.inspectImage(second)).toBeUndefined();
        expect(await engine.inspectImage(image)).toBeDefined();
        await expectKind(engine.tagImage(second, image), 'not_found');
      });

      sentence('an image that a container uses is not removed', async () => {
        await engine.create(aSpec('idle'));
        await expectKind(engine.removeImage(image), 'conflict');
      });

      sentence('a container’s files become an image by commit', async () => {
        const reference = `dynodock-contract-${run}:committed`;
        const id = await engine.create(aSpec('succeed'));
        await engine.putArchive(id, '/app', await aTar({ 'hello.txt': 'committed\n' }));
        await engine.commit(id, reference, { env: { GREETING: 'committed' }, labels });
        expect(await finished('printFile', { image: reference })).toEqual(['committed']);
        expect(await finished('printEnv', { image: reference })).toEqual(['committed from the image']);
      });

      const build = async (
        files: Record<string, string>,
        {
          dockerfile = 'Dockerfile',
          signal = new AbortController().signal,
          onOutput = (): void => undefined,
        } = {},
        buildArgs: Record<string, string> = {},
      ): Promise<ImageBuildResult & { output: string }> => {
        let output = '';
        const result = await engine.buildImage(
          { dockerfile, buildArgs, labels, network: 'none', memoryBytes: 256 * 1024 * 1024 },
          Readable.from([await aTar(files)]),
          {
            signal,
            onOutput: (text) => {
              output += text;
              onOutput();
              return Promise.resolve();
            },
          },
        );
        return { ...result, output };
      };

      sentence(
        'a Dockerfile becomes an image without a name, with labels, files and configuration',
        async () => {
          const dockerfile = [
            `FROM ${image}`,
            'ARG WORD',
            'COPY greeting.txt /app/hello.txt',
            'RUN echo the word is $WORD',
            'USER 1000',
            'WORKDIR /app',
            'ENTRYPOINT ["cat"]',
            'CMD ["/app/hello.txt"]',
          ].join('\n');
          const files = { 'deploy/Dockerfile': dockerfile, 'greeting.txt': 'from a context\n' };
          const result = await build(files, { dockerfile: 'deploy/Dockerfile' }, { WORD: 'swordfish' });
          expect(result.output).toMatch(/^Step 1\/8 : FROM /m);
          expect(result.output).toMatch(/^the word is swordfish$/m);
          if (result.outcome !== 'built') throw new Error(result.output);
          expect(await engine.inspectImage(result.imageId)).toMatchObject({ references: [], labels });
          expect(await engine.imageConfig(result.imageId)).toMatchObject({
            user: '1000',
            workingDir: '/app',
            entrypoint: ['cat'],
            command: ['/app/hello.txt'],
            env: { PLACE: 'the image' },
          });
          expect(await finished('printFile', { image: result.imageId })).toEqual(['from a context']);
        },
      );

      sentence('what an earlier stage leaves is told, and can be removed', async () => {
        const result = await build({
          Dockerfile: `FROM ${image} AS first\nENV A=${run}\nFROM ${image}\nENV B=${run}\n`,
        });
        if (result.outcome !== 'built') throw new Error(result.output);
        expect(result.output).toMatch(/^Step 4\/4 : ENV B/m);
        expect(result.output).not.toContain('LABEL');
        const [stage = '', ...others] = result.stages;
        expect(others).toEqual([]);
        expect(await engine.imageConfig(stage)).toMatchObject({ env: { A: run } });
        await engine.removeImage(stage);
        expect(await engine.inspectImage(stage)).toBeUndefined();
        expect(await engine.inspectImage(result.imageId)).toBeDefined();
      });

      sentence('what is wrong with a build is its result', async () => {
        const failing = `FROM ${image}\nRUN echo before && exit 7\n`;
        const ran = await build({ Dockerfile: failing });
        expect(ran).toMatchObject({
          outcome: 'failed',
          reason: expect.stringContaining('returned a non-zero code: 7'),
        });
        expect(ran.output).toMatch(/^before$/m);
        expect(await build({ Dockerfile: `FROM dynodock-none-${run}\n` })).toMatchObject({
          outcome: 'failed',
          step: `FROM dynodock-none-${run}`,
        });
        expect(await build({ 'other.txt': '' })).toMatchObject({
          outcome: 'failed',
          reason: expect.stringContaining('Dockerfile'),
        });
        expect(await build({ Dockerfile: `FROM ${image}\nNONSENSE here\n` })).toMatchObject({
          outcome: 'failed',
          reason: expect.stringMatching(/unknown instruction/i),
        });
      });

      sentence('a build that is called off ends, and so does one whose context breaks off', async () => {
        const calledOff = new AbortController();
        const building = build(
          { Dockerfile: `FROM ${image}\nRUN echo started; sleep 600\n` },
          { signal: calledOff.signal, onOutput: () => setTimeout(() => calledOff.abort(), 200) },
        );
        expect(await building).toMatchObject({ outcome: 'called-off' });
        const broken = new Readable({ read: () => undefined });
        broken.push(Buffer.alloc(512));
        setTimeout(() => broken.destroy(new Error('the source is gone')), 50);
        const spec = { dockerfile: 'Dockerfile', buildArgs: {}, labels, network: 'none' };
        const signal = new AbortController().signal;
        await expectKind(
          engine.buildImage(spec, broken, { signal, onOutput: () => Promise.resolve() }),
          'other',
        );
      });

      sentence('an image that does not exist has no configuration', async () => {
        expect(await engine.imageConfig(`dynodock-none-${run}`)).toBeUndefined();
      });

      const layered = async (on: ContainerEngine, reference: string, content: string): Promise<string> => {
        const layerTarPath = join(folder, 'layer.tar');
        await writeFile(layerTarPath, await aTar({ 'app/hello.txt': content }));
        const config = { env: { GREETING: 'a "b" $c \\d' }, labels: { ...labels, 'dynodock.app': "it's" } };
        const createdAt = new Date('2024-02-03T04:05:06.000Z');
        const spec = { base: image, reference, layerTarPath, config, createdAt };
        const made = await on.addLayer(spec);
        expect(made).toMatchObject({ references: [reference], labels: config.labels });
        expect(await finished('printFile', { image: reference })).toEqual([content.trimEnd()]);
        expect(await finished('printEnv', { image: reference })).toEqual(['a "b" $c \\d from the image']);
        expect((await on.addLayer(spec)).id).toBe(made.id);
        return made.id;
      };

      sentence('a layer on a base makes an image, the same one for the same inputs', async () => {
        const first = await layered(engine, `dynodock-contract-${run}:layer`, 'layered\n');
        const second = await layered(engine, `dynodock-contract-${run}:layer`, 'otherwise\n');
        expect(second).not.toBe(first);
      });

      sentence('a layer on a base makes an image for an engine that only builds', async () => {
        await layered(subject.variants!.building, `dynodock-contract-${run}:built`, 'built\n');
      });

      sentence('the image made of a layer bears the creation time it was given', async () => {
        const reference = `dynodock-contract-${run}:dated`;
        const layerTarPath = join(folder, 'dated.tar');
        await writeFile(layerTarPath, await aTar({ 'app/dated': 'x' }));
        const createdAt = new Date('2023-01-02T03:04:05.000Z');
        const made = await engine.addLayer({ base: image, reference, layerTarPath, config: {}, createdAt });
        expect(made.createdAt).toEqual(createdAt);
      });

      sentence('a layer on a base that does not exist is not found', async () => {
        const layerTarPath = join(folder, 'orphan.tar');
        await writeFile(layerTarPath, await aTar({ f: 'x' }));
        const base = `dynodock-none-${run}:base`;
        const spec = { base, reference: `${base}-2`, layerTarPath, config: {}, createdAt: new Date(0) };
        await expectKind(engine.addLayer(spec), 'not_found');
        await expectKind(engine.addLayer({ ...spec, base: image, layerTarPath: '/none' }), 'other');
      });
    });

    describe('disk usage', () => {
      sentence('an image’s own part is what it shares with no other', async () => {
        const layerTarPath = join(folder, 'own.tar');
        await writeFile(layerTarPath, await aTar({ 'app/own': 'x'.repeat(100_000) }));
        const reference = `dynodock-contract-${run}:own`;
        const createdAt = new Date(0);
        const { id } = await engine.addLayer({ base: image, reference, layerTarPath, config: {}, createdAt });
        const after = await engine.diskUsage();
        expect(after.images.get(id)).toBeGreaterThanOrEqual(100_000);
        expect(after.images.get(id)).toBeLessThan(150_000);
        // Others use the same engine, so that there is no more to be said of all images together.
        expect(after.imagesBytes).toBeGreaterThanOrEqual(100_000);
        await engine.removeImage(reference);
        expect((await engine.diskUsage()).images.has(id)).toBe(false);
      });

      sentence('a volume’s size is that of its files', async () => {
        const volume = `dynodock-contract-${run}-sized`;
        await engine.ensureVolume(volume, labels);
        expect((await engine.diskUsage()).volumes.get(volume)).toBe(0);
        const mounts = [{ kind: 'volume', source: volume, target: '/data', readOnly: false }] as const;
        await finished('writeVolume', { mounts });
        expect((await engine.diskUsage()).volumes.get(volume)).toBe('kept'.length + 1);
        for (const { id } of await engine.list(labels)) await engine.remove(id);
        await engine.removeVolume(volume);
      });
    });

    describe('volumes', () => {
      sentence('a volume keeps its files from one container to the next', async () => {
        const volume = `dynodock-contract-${run}-kept`;
        await engine.ensureVolume(volume, labels);
        await engine.ensureVolume(volume, labels);
        const mounts = [{ kind: 'volume', source: volume, target: '/data', readOnly: false }] as const;
        await finished('writeVolume', { mounts });
        expect(await finished('readVolume', { mounts })).toEqual(['kept']);
        expect(await engine.listVolumes(labels)).toEqual([{ name: volume, labels }]);
      });

      sentence('a volume in use is not removed, and one that is gone is success', async () => {
        const volume = `dynodock-contract-${run}-used`;
        await engine.ensureVolume(volume, labels);
        const mounts = [{ kind: 'volume', source: volume, target: '/data', readOnly: false }] as const;
        const id = await engine.create(aSpec('idle', { mounts }));
        await expectKind(engine.removeVolume(volume), 'conflict');
        await engine.remove(id);
        await engine.removeVolume(volume);
        await engine.removeVolume(volume);
      });
    });

    describe('networks', () => {
      sentence('a network is made once, however often and simultaneously it is asked for', async () => {
        const name = `dynodock-contract-${run}-more`;
        const spec = { name, labels, interContainerTraffic: true };
        await Promise.all([
          engine.ensureNetwork(spec),
          engine.ensureNetwork(spec),
          engine.ensureNetwork(spec),
        ]);
        await engine.ensureNetwork(spec);
        const id = await started('idle', { network: name });
        await expectKind(engine.removeNetwork(name), 'conflict');
        await engine.remove(id);
        await engine.removeNetwork(name);
        await engine.removeNetwork(name);
      });

      sentence('a container on a network that does not exist does not start', async () => {
        const id = await engine.create(aSpec('idle', { network: `dynodock-none-${run}` }));
        await expectKind(engine.start(id), 'not_found');
      });

      sentence('a running container has an endpoint if a port was exposed, and else none', async () => {
        const id = await started('idle', { network, exposePort: 5000 });
        const plain = await started('idle', { network });
        const endpoint = { host: expect.any(String), port: expect.any(Number) };
        expect((await engine.inspect(id)).endpoint).toEqual(endpoint);
        expect((await engine.inspect(plain)).endpoint).toBeUndefined();
        const listed = (await engine.list(labels)).find((info) => info.id === id);
        expect(listed?.endpoint).toEqual((await engine.inspect(id)).endpoint);
        await engine.stop(id, { timeoutMs: 5000 });
        expect((await engine.inspect(id)).endpoint).toBeUndefined();
      });

      sentence('this process reaches a container at its endpoint', async () => {
        const id = await started('serve', { network, exposePort: 5000 });
        expect(await said((await engine.inspect(id)).endpoint!)).toBe('served\n');
      });

      sentence('this process reaches a container at a published port', async () => {
        const { publishing } = subject.variants!;
        const id = await started('serve', { network, exposePort: 5000 }, publishing);
        const { endpoint } = await publishing.inspect(id);
        expect(endpoint?.host).toBe('127.0.0.1');
        expect(await said(endpoint!)).toBe('served\n');
        const listed = (await publishing.list(labels)).find((info) => info.id === id);
        expect(listed?.endpoint).toEqual(endpoint);
      });

      sentence('containers on a network without traffic between them do not reach each other', async () => {
        const server = await started('serve', { network, exposePort: 5000 });
        const client = await started('executor', { network });
        const { host } = (await engine.inspect(server)).endpoint!;
        expect(await said({ host, port: 5000 })).toBe('served\n');
        const attempt = await engine.exec(client, ['nc', '-w', '2', host, '5000']);
        expect(attempt).toMatchObject({ stdout: '' });
        expect(attempt.exitCode).not.toBe(0);
      });
    });

    describe('ports of the host', () => {
      sentence('a published port is reached from here and from containers that reach no other', async () => {
        const hostAddress = await engine.networkGateway(network);
        const hostPort = await freePort(hostAddress);
        await started('serve', { network, publish: [{ containerPort: 5000, hostAddress, hostPort }] });
        const client = await started('executor', { network });
        expect(await said({ host: hostAddress, port: hostPort })).toBe('served\n');
        const attempt = await engine.exec(client, ['nc', '-w', '2', hostAddress, String(hostPort)]);
        expect(attempt).toMatchObject({ exitCode: 0, stdout: 'served\n' });
      });

      sentence('a port that somebody has is taken, and free once they have ended', async () => {
        const hostAddress = await engine.networkGateway(network);
        const hostPort = await freePort('127.0.0.1');
        const publish = [{ containerPort: 5000, hostAddress, hostPort }];
        const first = await started('serve', { network, publish });
        const second = await engine.create(aSpec('serve', { network, publish }));
        await expectKind(engine.start(second), 'port_taken');
        expect((await engine.inspect(second)).state).not.toBe('running');
        await engine.stop(first, { timeoutMs: 1000 });
        await engine.start(second);
        expect((await engine.inspect(second)).state).toBe('running');
      });

      sentence('only a network that exists has a gateway', async () => {
        await expectKind(engine.networkGateway(`dynodock-none-${run}`), 'not_found');
      });
    });

    describe('confinement', () => {
      sentence('limits, capabilities and users are applied', async () => {
        const id = await started('executor', {
          limits: { memoryBytes: 64 * 1024 * 1024, cpuShares: 256, pids: 50 },
          user: '1000:1000',
          workingDir: '/app',
          hostname: 'dyno-host',
        });
        const probe =
          'id -u; pwd; hostname; grep -E "^(CapEff|CapBnd|NoNewPrivs)" /proc/1/status; ' +
          'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; ' +
          'cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null';
        const { stdout } = await engine.exec(id, ['sh', '-c', probe]);
        const words = stdout.trim().split('\n');
        expect(words.slice(0, 3)).toEqual(['1000', '/app', 'dyno-host']);
        expect(stdout).toMatch(/CapBnd:\s+0000000000000000/);
        expect(stdout).toMatch(/NoNewPrivs:\s+1/);
        expect(words.slice(-2)).toEqual([String(64 * 1024 * 1024), '50']);
      });

      sentence('the memory of a running container is measured, that of another is not', async () => {
        const id = await started('idle');
        const use = await engine.memory(id);
        expect(use.rssBytes).toBeGreaterThan(0);
        expect(use.rssBytes).toBeLessThan(256 * 1024 * 1024);
        await engine.kill(id, 'SIGKILL');
        await engine.wait(id);
        await expectKind(engine.memory(id), 'not_running');
        await engine.remove(id);
        await expectKind(engine.memory(id), 'not_found');
      });

      sentence('bind mounts and temporary file systems are mounted', async () => {
        await writeFile(join(folder, 'from-host'), 'from the host\n');
        const id = await started('executor', {
          mounts: [
            { kind: 'bind', source: folder, target: '/host', readOnly: true },
            { kind: 'tmpfs', target: '/scratch', sizeBytes: 1024 * 1024 },
          ],
        });
        const read = await engine.exec(id, ['cat', '/host/from-host']);
        expect(read.stdout).toBe('from the host\n');
        expect((await engine.exec(id, ['touch', '/host/new'])).exitCode).not.toBe(0);
        const full = await engine.exec(id, ['dd', 'if=/dev/zero', 'of=/scratch/big', 'bs=1k', 'count=2048']);
        expect(full.exitCode).not.toBe(0);
      });

      sentence('only the first MiB of a command’s output is kept', async () => {
        const id = await started('executor');
        const result = await engine.exec(id, ['head', '-c', '3000000', '/dev/zero']);
        expect(result).toMatchObject({ exitCode: 0 });
        expect(result.stdout).toHaveLength(1024 * 1024);
      });
    });
  });
}

async function expectKind(call: Promise<unknown>, kind: string): Promise<void> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(EngineError);
  expect((error as EngineError).kind).toBe(kind);
}

async function allLines(
  engine: ContainerEngine,
  id: ContainerId,
  options: { follow?: boolean; since?: Date | string; signal?: AbortSignal } = {},
): Promise<ContainerLogLine[]> {
  const lines: ContainerLogLine[] = [];
  for await (const line of engine.logs(id, { follow: false, ...options })) lines.push(line);
  return lines;
}

async function firstLine(engine: ContainerEngine, id: ContainerId): Promise<string | undefined> {
  for await (const line of engine.logs(id, { follow: true })) return line.text;
  return undefined;
}

async function take(events: AsyncIterable<EngineEvent>, count: number): Promise<EngineEvent[]> {
  const seen: EngineEvent[] = [];
  for await (const event of events) {
    seen.push(event);
    if (seen.length === count) break;
  }
  return seen;
}

async function aTar(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const pack = createPack();
  for (const [name, content] of Object.entries(files)) pack.entry({ name, mtime: new Date(0) }, content);
  pack.finalize();
  return buffer(pack);
}

/** What a server says to whoever connects; tries until it listens. */
async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

async function said(endpoint: { host: string; port: number }): Promise<string> {
  const until = Date.now() + 10_000;
  for (;;) {
    const socket: Socket = createConnection(endpoint);
    socket.setTimeout(2000, () => socket.destroy(new Error('silence')));
    try {
      const answer = await text(socket);
      if (answer !== '' || Date.now() > until) return answer;
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    await delay(50);
  }
}
