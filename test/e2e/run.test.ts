import { createHash } from 'node:crypto';
import { createReadStream, openSync, writeFileSync, writeSync, closeSync } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually, execute, TestPlatform, type CommandResult } from '../support/platform';
import { Terminal } from '../support/terminal';

const MEBIBYTE = 1024 * 1024;

let platform: TestPlatform;
beforeAll(async () => {
  platform = new TestPlatform();
  await platform.start();
  const folder = await platform.repository('examples/procfile-only');
  writeFileSync(
    path.join(folder, 'Procfile'),
    'web: perl server.pl\nshow: echo shown: $GREETING\nclock: while true; do date; sleep 1; done\n',
  );
  await platform.commit(folder, 'Processes');
  await platform.heroku(['apps:create', 'demo']);
  await platform.heroku(['config:set', 'GREETING=hello', '-a', 'demo']);
  const push = await platform.push(folder, 'demo');
  expect(push.stderr).toContain('deployed to Heroku');
}, 240_000);
afterAll(() => platform.destroy(), 120_000);

const run = (...args: string[]): Promise<CommandResult> =>
  platform.heroku(['run', '-a', 'demo', ...args], { timeoutMs: 90_000 });

/** As in a user's shell, where input and output may be redirected. */
const shell = (script: string, timeoutMs = 90_000): Promise<CommandResult> =>
  execute('/bin/sh', ['-c', script], { env: platform.clientEnvironment, timeoutMs });

const terminals: Terminal[] = [];
const terminal = (command: string, columns = 133, rows = 44): Terminal => {
  const opened = new Terminal(command, { env: platform.clientEnvironment, columns, rows });
  terminals.push(opened);
  return opened;
};
afterEach(() => {
  for (const opened of terminals.splice(0)) opened.kill();
});

async function log(): Promise<string[]> {
  const { stdout } = await platform.heroku(['logs', '-n', '1500', '-a', 'demo']);
  return stdout.split('\n').map((line) => line.replace(/^\S+ /, ''));
}

const oneOffs = async (): Promise<{ name: string; state: string; type: string }[]> => {
  const { body } = await platform.api('GET', '/apps/demo/dynos');
  return (body as { name: string; state: string; type: string }[]).filter(({ type }) => type === 'run');
};

const untilNoneRuns = (): Promise<boolean> =>
  eventually('no one-off dyno runs', async () => (await oneOffs()).length === 0, 60_000);

/** Lines of the newest one-off dyno, its number left out. */
async function lastRun(): Promise<string[]> {
  await untilNoneRuns();
  const lines = await log();
  const name =
    [...lines]
      .reverse()
      .find((line) => /^heroku\[run\.\d+\]/.test(line))
      ?.match(/run\.\d+/)?.[0] ?? '';
  return lines.filter((line) => line.includes(`[${name}]`)).map((line) => line.replaceAll(name, 'run.N'));
}

describe('heroku run', () => {
  test('shows what a command prints, with the config vars, and logs its life as Heroku does', async () => {
    const { stdout, stderr, exitCode } = await run('echo one $GREETING $DYNO; echo two >&2');
    expect({ exitCode, stdout }).toEqual({
      exitCode: 0,
      stdout: expect.stringMatching(/^one hello run\.\d{4}\ntwo\n$/),
    });
    expect(stderr).toMatch(/Running .*demo.*up, run\.\d{4}/s);
    expect(await lastRun()).toEqual([
      'heroku[run.N]: State changed from starting to up',
      'heroku[run.N]: Awaiting client',
      'heroku[run.N]: Starting process with command `echo one $GREETING run.N; echo two >&2`',
      'heroku[run.N]: Process exited with status 0',
      'heroku[run.N]: State changed from up to complete',
    ]);
    expect(await log()).toContain(
      'app[api]: Starting process with command `echo one $GREETING $DYNO; echo two >&2` by user user@example.com',
    );
  }, 120_000);

  test('passes the exit status on, even of a shell that ended itself', async () => {
    expect(await run('-x', 'bash -c "exit 3"')).toMatchObject({ exitCode: 3, stdout: '' });
    expect(await run('-x', 'exit 4')).toMatchObject({ exitCode: 4, stdout: '' });
    expect(await run('-x', 'echo fine')).toMatchObject({ exitCode: 0, stdout: 'fine\n' });
    expect(await run('-x', '--no-tty', 'echo fine; false')).toMatchObject({ exitCode: 1, stdout: 'fine\n' });
    expect((await lastRun()).at(-1)).toBe('heroku[run.N]: State changed from up to complete');
  }, 180_000);

  test('gives a process type’s command for its name, and takes further words', async () => {
    expect((await run('show')).stdout).toBe('shown: hello\n');
    expect((await run('show', 'and', 'more')).stdout).toBe('shown: hello and more\n');
    expect((await run('-x', 'show')).stdout).toBe('shown: hello\n');
  }, 120_000);

  test('takes variables and a size', async () => {
    const { stdout } = await run(
      '--env',
      'GREETING=hi;SECRET=sesame street',
      '--size',
      'standard-2x',
      'sleep 3; echo "$GREETING $SECRET"',
    );
    expect(stdout).toBe('hi sesame street\n');
    expect((await log()).join('\n')).not.toContain('sesame');
  }, 90_000);

  test('gives input that is piped to a terminal and to a pipe', async () => {
    expect(await shell('echo hi | heroku run cat -a demo')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('hi\n'),
    });
    expect(await shell('printf "a\\nb" | heroku run --no-tty "cat; echo end" -a demo')).toMatchObject({
      exitCode: 0,
      stdout: 'a\nbend\n',
    });
    expect(await shell('heroku run --no-tty "wc -c" -a demo < /dev/null')).toMatchObject({
      exitCode: 0,
      stdout: '0\n',
    });
  }, 120_000);

  test('carries 100 MB both ways, byte for byte', async () => {
    const input = path.join(platform.dir, 'input');
    const output = path.join(platform.dir, 'output');
    // The CLI decodes both ways as UTF-8 and turns CR LF into LF, so that no other bytes pass it whole.
    const file = openSync(input, 'w');
    for (let part = 0; part < 100; part++) {
      const line = `${createHash('sha256').update(String(part)).digest('base64')} ü € 😀 \u0004\u0001 ${part}\n`;
      writeSync(file, line.repeat(Math.floor(MEBIBYTE / Buffer.byteLength(line))));
    }
    closeSync(file);
    const began = Date.now();
    const { exitCode, stderr } = await shell(
      `heroku run --no-tty cat -a demo < ${input} > ${output}`,
      240_000,
    );
    const seconds = (Date.now() - began) / 1000;
    expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(await sha256(output)).toBe(await sha256(input));
    console.info(`100 MB through heroku run --no-tty cat: ${seconds.toFixed(1)} s`);
  }, 300_000);

  test('is told of an app that does not exist or has no code', async () => {
    const unknown = await platform.heroku(['run', 'bash', '-a', 'nothing']);
    expect(unknown).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("Couldn't find that app."),
    });
    await platform.heroku(['apps:create', 'empty']);
    const empty = await platform.heroku(['run', 'bash', '-a', 'empty']);
    expect(empty).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('has no code yet') });
  }, 60_000);
});

describe('heroku run on a terminal', () => {
  test('is a shell with its size, its Ctrl-C and its end', async () => {
    const shell = terminal('heroku run bash -a demo');
    try {
      await shell.shows(/run\.\d+/);
      shell.type('stty size; tput cols; echo "$COLUMNS x $LINES"\r');
      await shell.shows(/44 133\s+133\s+133 x 44/);
      const [dyno] = await oneOffs();
      expect(dyno).toMatchObject({ type: 'run', state: 'up' });
      const ps = await platform.heroku(['ps', '-a', 'demo']);
      expect(ps.stdout).toMatch(/run\.\d{4} \(.*\): up/);
      shell.type('sleep 300\r');
      await shell.shows(/sleep 300/);
      await delay(500);
      shell.type('\u0003');
      await shell.shows(/\^C/);
      shell.type('echo status $?\r');
      await shell.shows(/status 130/);
      shell.type('cat; echo done\r');
      await shell.shows(/echo done[\r\n]/);
      await delay(500);
      shell.type('echoed\r');
      await shell.shows(/echoed\s+echoed/);
      shell.type('\u0004');
      await shell.shows(/done[\r\n]/);
      shell.type('exit\r');
      expect(await shell.ends()).toBe(0);
    } finally {
      shell.kill();
    }
    expect((await lastRun()).slice(-2)).toEqual([
      'heroku[run.N]: Process exited with status 0',
      'heroku[run.N]: State changed from up to complete',
    ]);
  }, 120_000);

  test('has its size from the first moment on', async () => {
    const command = terminal("heroku run 'stty size' -a demo", 97, 31);
    await command.shows(/31 97/);
    expect(await command.ends()).toBe(0);
  }, 60_000);

  test('ends with SIGHUP when its window is closed', async () => {
    const shell = terminal('heroku run bash -a demo');
    await shell.shows(/run\.\d+/);
    shell.type('echo here; sleep 600\r');
    await shell.shows(/here; sleep 600[^]*here[\r\n]/);
    shell.kill();
    const lines = await lastRun();
    expect(lines).toContain('heroku[run.N]: Client connection closed. Sending SIGHUP to all processes');
    expect(lines.slice(-2)).toEqual([
      'heroku[run.N]: Process exited with status 129',
      'heroku[run.N]: State changed from up to crashed',
    ]);
  }, 90_000);

  test('is stopped by ps:stop, which the client sees', async () => {
    // Not an interactive shell: that one ignores SIGTERM, and is killed half a minute later (R12).
    const command = terminal('heroku run cat -a demo');
    try {
      await command.shows(/run\.\d+/);
      command.type('ready\r');
      await command.shows(/ready\s+ready/);
      const [dyno] = await oneOffs();
      await platform.heroku(['ps:restart', '-a', 'demo']);
      expect(await oneOffs()).toEqual([dyno]);
      const stop = await platform.heroku(['ps:stop', dyno?.name ?? '', '-a', 'demo']);
      expect(stop.exitCode).toBe(0);
      expect(await command.ends()).toBe(0);
    } finally {
      command.kill();
    }
    expect((await lastRun()).slice(-3)).toEqual([
      'heroku[run.N]: Stopping all processes with SIGTERM',
      expect.stringMatching(/^heroku\[run\.N\]: Process exited with status \d+$/),
      'heroku[run.N]: State changed from up to complete',
    ]);
  }, 120_000);
});

describe('heroku run:detached', () => {
  test('puts its output into the log', async () => {
    const { stderr, stdout, exitCode } = await platform.heroku([
      'run:detached',
      'echo',
      'from afar',
      '-a',
      'demo',
    ]);
    expect({ exitCode, said: `${stdout}${stderr}` }).toEqual({
      exitCode: 0,
      said: expect.stringMatching(/run\.\d{4}/),
    });
    expect(await lastRun()).toEqual([
      'heroku[run.N]: Starting process with command `echo "from afar"`',
      'heroku[run.N]: State changed from starting to up',
      'app[run.N]: from afar',
      'heroku[run.N]: Process exited with status 0',
      'heroku[run.N]: State changed from up to complete',
    ]);
  }, 60_000);

  test('goes on over a restart of the daemon, and is followed again', async () => {
    await platform.heroku([
      'run:detached',
      'for i in $(seq 1 600); do echo tick $i; sleep 0.2; done',
      '-a',
      'demo',
    ]);
    await eventually('it runs', async () =>
      (await log()).some((line) => /app\[run\.\d+\]: tick 3$/.test(line)),
    );
    const [dyno] = await oneOffs();
    await platform.stopDaemon('SIGKILL');
    platform.startDaemon();
    await platform.untilAnswering();
    expect(await oneOffs()).toEqual([dyno]);
    const seen = (await log()).filter((line) => line.includes(': tick ')).length;
    await eventually(
      'more ticks',
      async () => (await log()).filter((line) => line.includes(': tick ')).length > seen,
    );
    await platform.heroku(['ps:stop', dyno?.name ?? '', '-a', 'demo']);
    expect((await lastRun()).at(-1)).toBe('heroku[run.N]: State changed from up to complete');
  }, 120_000);
});

describe('heroku run:inside', () => {
  const inside = (...args: string[]): Promise<CommandResult> =>
    platform.heroku(['run:inside', 'web.1', ...args, '-a', 'demo'], { timeoutMs: 60_000 });

  test('sees the files, variables and processes of the dyno', async () => {
    await eventually('web.1 is up', async () => {
      const { body } = await platform.api('GET', '/apps/demo/dynos/web.1');
      return (body as { state: string }).state === 'up';
    });
    expect((await inside('echo mark > /tmp/mark; echo $DYNO $GREETING')).stdout).toBe('web.1 hello\n');
    const { stdout } = await inside('-x', 'cat /tmp/mark; pgrep -f server.pl > /dev/null && echo serving');
    expect(stdout).toBe('mark\nserving\n');
    expect(await inside('-x', 'bash -c "exit 5"')).toMatchObject({ exitCode: 5 });
  }, 120_000);

  test('is a shell on a terminal, and ends with its client alone', async () => {
    const shell = terminal('heroku run:inside web.1 bash -a demo');
    await shell.shows(/web\.1/);
    shell.type('stty size; echo here\r');
    await shell.shows(/44 133\s+here/);
    shell.type('sleep 4321\r');
    await shell.shows(/sleep 4321[\r\n]/);
    shell.kill();
    await eventually(
      'what it ran is gone',
      async () => (await inside('pgrep -f "sleep 432[1]" || echo none')).stdout === 'none\n',
    );
    const { body } = await platform.api('GET', '/apps/demo/dynos/web.1');
    expect(body).toMatchObject({ state: 'up' });
  }, 120_000);
});

test('ps:exec says what to use instead', async () => {
  const { stderr, stdout, exitCode } = await platform.heroku(['ps:exec', '-a', 'demo']);
  expect(exitCode).not.toBe(0);
  expect(`${stdout}${stderr}`.replace(/\s+(›\s+)?/g, ' ')).toContain('heroku run:inside web.1 bash -a demo');
}, 30_000);

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
