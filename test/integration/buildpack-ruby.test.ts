import { BUILD_DIR, BuildpackBench, exampleApp, supportScript, type Files } from '../support/buildpack-bench';

let bench: BuildpackBench;
type BuildContainer = Awaited<ReturnType<BuildpackBench['build']>>;

beforeAll(async () => {
  bench = await BuildpackBench.open();
}, 10 * 60_000);

afterEach(() => bench.clear(), 60_000);

// Tests of other things may keep the machine busy.
jest.setTimeout(10 * 60_000);

const SERVER = 'http://127.0.0.1:8000';

function ruby(app: Files): Promise<BuildContainer> {
  return bench.build('ruby', app);
}

interface Lock {
  gems?: Readonly<Record<string, string>>;
  source?: string;
  ruby?: string | null;
  bundler?: string;
  platforms?: readonly string[];
}

/** A Gemfile and what Bundler would have locked for it; gems of `groups` are in that group. */
function gemfiles(
  { gems = {}, source = SERVER, ruby: version = '3.1.2', bundler = '2.3.15', platforms = ['ruby'] }: Lock,
  groups: Readonly<Record<string, string>> = {},
): Files {
  const names = Object.keys(gems).sort();
  const gemfile = [
    `source '${source}'`,
    ...(version === null ? [] : [`ruby '${version}'`]),
    ...names.map((name) => `gem '${name}'${groups[name] === undefined ? '' : `, group: :${groups[name]}`}`),
  ];
  const lock = [
    'GEM',
    `  remote: ${source}/`,
    '  specs:',
    ...names.map((name) => `    ${name} (${gems[name] ?? ''})`),
    '',
    'PLATFORMS',
    ...platforms.map((platform) => `  ${platform}`),
    '',
    'DEPENDENCIES',
    ...names.map((name) => `  ${name}`),
    '',
    ...(version === null ? [] : ['RUBY VERSION', `   ruby ${version}`, '']),
    'BUNDLED WITH',
    `   ${bundler}`,
  ];
  return { Gemfile: `${gemfile.join('\n')}\n`, 'Gemfile.lock': `${lock.join('\n')}\n` };
}

/** A gem server inside the build container, at the address SERVER. */
async function withGems(build: BuildContainer, ...gems: string[]): Promise<void> {
  await build.put('/tmp', { 'gems.rb': await supportScript('gems.rb') });
  for (const arguments_ of [...gems, 'index']) {
    const { exitCode, output } = await build.run(`ruby /tmp/gems.rb /tmp/server ${arguments_}`);
    if (exitCode !== 0) throw new Error(output);
  }
  await build.serve('/tmp/server', 8000);
}

/** Stands in for the gem of that name, whose tasks a Rakefile loads. */
const RAKE = `own rake 13.0.6 "$(cat /tmp/rake.rb)"`;

async function withRake(build: BuildContainer, ...gems: string[]): Promise<void> {
  // The real one, which the image has as a gem of Debian's.
  await build.put('/tmp', {
    'rake.rb': `Gem::Specification.dirs = ['/usr/share/rubygems-integration/all/specifications']
$LOAD_PATH.unshift(Dir['/usr/share/rubygems-integration/all/gems/rake-*/lib'].first)
load File.join($LOAD_PATH.first, 'rake.rb')
def main = Rake.application.run`,
  });
  await withGems(build, RAKE, ...gems);
}

describe('an app that brings its gems along', () => {
  it('is built without a network and serves in a dyno', async () => {
    const app = await exampleApp('rack');
    const build = await ruby(app);
    expect(await build.detect()).toEqual({ exitCode: 0, output: 'Ruby\n' });
    const output = await build.compiled();
    expect(output.match(/^-----> .*/gm)).toEqual([
      '-----> Compiling Ruby/Rack',
      '-----> Using Ruby version: ruby-3.1.2',
      expect.stringMatching(/^-----> Installing bundler 2\.\d+\.\d+$/),
      expect.stringMatching(/^-----> Installing dependencies using bundler 2\.\d+\.\d+$/),
    ]);
    expect(output).toContain("Running: BUNDLE_WITHOUT='development:test' BUNDLE_PATH=vendor/bundle");
    expect(output).not.toContain('WARNING');
    expect(await build.release()).toEqual({
      config_vars: { LANG: 'C.UTF-8', RACK_ENV: 'production' },
      default_process_types: {
        rake: 'bundle exec rake',
        console: 'bundle exec irb',
        web: 'bundle exec rackup config.ru -p ${PORT:-5000}',
      },
    });
    expect((await build.run(`grep -rl ${BUILD_DIR} ${BUILD_DIR}`)).output).toBe('');

    const dyno = await build.dyno();
    const web = 'bundle exec rackup config.ru --host 127.0.0.1 -p ${PORT:-5000}';
    expect(await dyno.web(web, '/you')).toMatch(/^Hello from Rack 2\.2[\d.]* to you\n$/);
    // The commands of gems are there without Bundler as well.
    expect(await dyno.run('rackup --version; ruby -e "require %(webrick); puts WEBrick::VERSION"')).toMatch(
      /^Rack 1[^\n]*\n1\.8\.1$/,
    );
    expect(await dyno.run('echo $RACK_ENV $MALLOC_ARENA_MAX $BUNDLE_PATH "[$WEB_CONCURRENCY]"')).toBe(
      'production 2 vendor/bundle []',
    );
    const large = { SENSIBLE_DEFAULTS: 'enabled', MEMORY_AVAILABLE: '1024', RACK_ENV: 'staging' };
    expect(await dyno.run('echo $WEB_CONCURRENCY $RAILS_MAX_THREADS $RACK_ENV', large)).toBe('4 5 staging');
  });

  it('comes from the cache the next time, without gems that are no longer wanted', async () => {
    const app = await exampleApp('rack');
    const build = await ruby(app);
    await build.compiled();
    await build.again(app);
    expect(await build.compiled()).toMatch(/Using rack 2\.2/);

    await build.again(gemfiles({}));
    expect(await build.compiled()).not.toContain('Using rack');
    expect((await build.run(`ls ${BUILD_DIR}/vendor/bundle/ruby/*/gems`)).output.trim()).toBe('');
  });

  it('leaves Ruby and its gems to the buildpacks that come later', async () => {
    const build = await ruby(await exampleApp('rack'));
    await build.compiled();
    const { output } = await build.run(
      'cd /; source /tmp/buildpack/export; command -v rackup; rackup --version',
    );
    expect(output).toMatch(new RegExp(`^${BUILD_DIR}/vendor/bundle/bin/rackup\nRack 1`));
  });
});

describe('gems from a server', () => {
  it('are installed without those of development and test, extensions in C as well', async () => {
    const gems = { greeter: '1.0.0', nativegem: '1.0.0', checker: '1.0.0' };
    const build = await ruby(gemfiles({ gems }, { checker: 'test' }));
    const greeter = `own greeter 1.0.0 'def main = puts("hello from #{__FILE__}")'`;
    await withGems(build, greeter, 'native nativegem 1.0.0 42', `own checker 1.0.0 'X = 1'`);
    const output = await build.compiled();
    expect(output).toContain('Installing nativegem 1.0.0 with native extensions\n');
    expect(output).not.toContain('checker');
    expect((await build.run(`grep -rl ${BUILD_DIR} ${BUILD_DIR}`)).output).toBe('');
    const dyno = await build.dyno();
    expect(await dyno.run('greeter; bundle exec ruby -r nativegem -e "puts answer"')).toBe(
      'hello from /app/vendor/bundle/ruby/3.1.0/gems/greeter-1.0.0/lib/greeter.rb\n42',
    );

    // A config var decides about groups, and so does a test run.
    await build.config({ BUNDLE_WITHOUT: 'nothing', GEM_PATH: '/nowhere' });
    expect(await build.compiled()).toContain('Installing checker 1.0.0\n');
  });

  it('come with the Bundler that the lock file asks for, where it can be fetched', async () => {
    const app = gemfiles({ gems: { greeter: '1.0.0' }, bundler: '2.4.99' });
    const build = await ruby(app);
    await withGems(build, `own greeter 1.0.0 'def main = puts(Bundler::VERSION)'`, 'bundler 2.4.99');
    await build.config({ BUNDLE_MIRROR__ALL: SERVER });
    expect(await build.compiled()).toContain('-----> Installing bundler 2.4.99\n');
    const dyno = await build.dyno();
    expect(await dyno.run('bundle exec greeter; bundle --version')).toMatch(/^2\.4\.99\n.*2\.4\.99$/);

    const offline = await ruby({ ...(await exampleApp('rack')) });
    await offline.run(`sed -i 's/^   2.3.15$/   2.4.99/' ${BUILD_DIR}/Gemfile.lock`);
    const output = await offline.compiled();
    expect(output).toMatch(/-----> Installing bundler 2\.3\.\d+\n/);
    expect(output).toContain('Gemfile.lock was made by Bundler 2.4.99, which could not be fetched:');
    expect(await (await offline.dyno()).run('bundle exec rackup --version')).toContain('Rack 1');
  });
});

describe('Rails', () => {
  // What the buildpack needs of Rails: the gem's name in the lock file, tasks, and a server.
  const gems = { rake: '13.0.6', railties: '7.0.0' };
  const rakefile = `task('assets:precompile') do
  puts "compiling for #{ENV['RAILS_ENV']} with a secret of #{ENV['SECRET_KEY_BASE'].size}"
  mkdir_p 'public/assets', verbose: false
  File.write('public/assets/app.js', '')
end
task('assets:clean') { puts 'cleaning' }
task('jobs:work') { }
task('db:migrate') { puts "migrating for #{ENV['RAILS_ENV']}" }
`;
  const app = { ...gemfiles({ gems }), Rakefile: rakefile };
  const railties = `own railties 7.0.0 'def main = nil'`;

  it('has its assets compiled, a worker, and a secret that stays', async () => {
    const build = await ruby(app);
    await withRake(build, railties);
    const output = await build.compiled();
    expect(output).toMatch(
      /-----> Detecting rake tasks\n-----> Preparing app for Rails asset pipeline\n {7}Running: rake assets:precompile\n {7}compiling for production with a secret of 128\n {7}Asset precompilation completed \(\d+s\)\n {7}Cleaning assets\n {7}Running: rake assets:clean\n {7}cleaning\n/,
    );
    expect(output).toMatch(/###### WARNING:\n\n {7}No Procfile detected, using the default web server\.\n/);
    const release = (await build.release()) as { config_vars: Record<string, string> };
    expect(release).toEqual({
      config_vars: {
        LANG: 'C.UTF-8',
        RACK_ENV: 'production',
        RAILS_ENV: 'production',
        RAILS_LOG_TO_STDOUT: 'enabled',
        RAILS_SERVE_STATIC_FILES: 'enabled',
        SECRET_KEY_BASE: expect.stringMatching(/^[0-9a-f]{128}$/),
      },
      default_process_types: {
        rake: 'bundle exec rake',
        console: 'bin/rails console',
        web: 'bin/rails server -p ${PORT:-5000} -e $RAILS_ENV',
        worker: 'bundle exec rake jobs:work',
      },
    });
    const secret = release.config_vars.SECRET_KEY_BASE!;
    expect(output).not.toContain(secret);
    expect((await build.run(`grep -rl ${secret} ${BUILD_DIR}`)).output).toBe('');
    const dyno = await build.dyno();
    expect(await dyno.run('echo $RAILS_ENV $RAILS_LOG_TO_STDOUT $RAILS_SERVE_STATIC_FILES')).toBe(
      'production enabled enabled',
    );
    await build.again(app);
    await build.compiled();
    expect(await build.release()).toEqual(release);
  });

  it('is left alone when its assets were compiled already', async () => {
    const build = await ruby({ ...app, 'public/assets/.sprockets-manifest-1a2b.json': '{}' });
    await withRake(build, railties);
    const output = await build.compiled();
    expect(output).toContain('       Detected manifest file, assuming assets were compiled locally\n');
    expect(output).not.toContain('compiling');
  });

  it('fails the build when its assets or tasks fail', async () => {
    const build = await ruby({ ...app, Rakefile: `task('assets:precompile') { abort 'the reason' }` });
    await withRake(build, railties);
    const failing = await build.compile();
    expect(failing.output).toMatch(/ {7}the reason\n !\n ! {5}Precompiling assets failed\.\n/);
    expect(failing.exitCode).toBe(1);
    await build.again({ ...app, Rakefile: 'task(:x) {\n' });
    const broken = await build.compile();
    expect(broken.output).toMatch(/syntax error[^]* ! {5}Could not detect rake tasks\n/);
    expect(broken.exitCode).toBe(1);
  });

  it('is compiled for tests with its test group and a database, and tested', async () => {
    const build = await ruby({
      ...gemfiles({ gems: { ...gems, checker: '1.0.0' } }, { checker: 'test' }),
      Rakefile: `${rakefile}task(:test) { puts "ok 1 in #{ENV['RACK_ENV']} #{ENV['TOPIC']}" }\n`,
    });
    await withRake(build, railties, `own checker 1.0.0 'X = 1'`);
    await build.config({ RACK_ENV: 'production', TOPIC: 'everything' });
    const output = await build.compiled('test-compile');
    expect(output).toContain('Installing checker 1.0.0\n');
    expect(output).toContain(
      '-----> Preparing test database\n       Running: rake db:migrate\n       migrating for test\n',
    );
    expect(output).not.toContain('compiling');
    const tested = await build.run(`/tmp/buildpack/bin/test ${BUILD_DIR} /tmp/env`);
    expect(tested).toEqual({
      exitCode: 0,
      output: '-----> Running test: bundle exec rake test\nok 1 in test everything\n',
    });
  });
});

describe('another version of Ruby', () => {
  // The image's own interpreter, which says that it is another version, packed the way Heroku packs.
  const mirror = `mkdir -p /tmp/mirror /tmp/ruby/bin && cd /tmp/ruby
printf '#!/bin/sh\\nexec /usr/bin/ruby -r "$(dirname "$0")/../version.rb" "$@"\\n' > bin/ruby
printf '#!/bin/sh\\nexec "$(dirname "$0")/ruby" /usr/bin/bundle "$@"\\n' > bin/bundle
chmod 755 bin/*
echo 'Object.send(:remove_const, :RUBY_VERSION); RUBY_VERSION = "3.3.6"' > version.rb
tar -czf /tmp/mirror/ruby-3.3.6.tgz . && cp /tmp/mirror/ruby-3.3.6.tgz /tmp/mirror/ruby-3.3.7.tgz`;

  it('is fetched, looked at, put into the slug, and cached', async () => {
    const app = gemfiles({ ruby: '3.3.6' });
    const build = await ruby(app);
    await build.run(mirror);
    await build.serve('/tmp/mirror', 8001);
    await build.config({ RUBY_BINARIES_URL: 'http://127.0.0.1:8001' });
    expect(await build.compiled()).toContain('-----> Using Ruby version: ruby-3.3.6\n');
    const dyno = await build.dyno();
    expect(await dyno.run('command -v ruby; bundle exec ruby -e "puts RUBY_VERSION"')).toBe(
      '/app/vendor/ruby-3.3.6/bin/ruby\n3.3.6',
    );
    await build.run('rm /tmp/mirror/ruby-3.3.6.tgz');
    await build.again(app);
    expect(await build.compiled()).toContain('-----> Using Ruby version: ruby-3.3.6\n');

    await build.again(gemfiles({ ruby: '3.3.7' }));
    const wrong = await build.compile();
    expect(wrong.output).toMatch(
      /What was fetched is Ruby 3\.3\.6\.\n[^]* ! {5}Ruby 3\.3\.7 could not be fetched/,
    );
    expect(wrong.exitCode).toBe(1);
  });

  it('says where it would have come from when there is no network', async () => {
    const build = await ruby(gemfiles({ ruby: '3.3.6' }));
    const { exitCode, output } = await build.compile();
    expect(output).toMatch(
      / ! {5}Ruby 3\.3\.6 could not be fetched from heroku-buildpack-ruby\S*: [^]* ! {5}Ruby 3\.1\.2 is installed/,
    );
    expect(exitCode).toBe(1);
    await build.again({
      ...gemfiles({ ruby: null }),
      Gemfile: "source 'https://rubygems.org'\nruby '~> 3.2'\n",
    });
    expect((await build.compile()).output).toMatch(
      / ! {5}The Gemfile asks for Ruby ~> 3\.2, and Gemfile\.lock does not say which one that is\.\n/,
    );
    // Another patch of the one that is installed will do if the Gemfile allows it.
    const lock = String(gemfiles({ ruby: '3.1.6' })['Gemfile.lock']);
    await build.again({ Gemfile: `source '${SERVER}'\nruby '~> 3.1.0'\n`, 'Gemfile.lock': lock });
    expect(await build.compiled()).toContain('Ruby 3.1.6 could not be fetched from');
  });
});

describe('bad input', () => {
  it('is no Ruby app without a Gemfile', async () => {
    const build = await ruby({ 'app.rb': '' });
    expect(await build.detect()).toEqual({ exitCode: 1, output: '' });
  });

  it.each([
    [
      'no Gemfile.lock',
      { Gemfile: "source 'https://rubygems.org'\n" },
      / ! {5}Gemfile\.lock required\. Please check it in\.\n/,
    ],
    [
      'a Gemfile that is no Ruby',
      { ...gemfiles({}), Gemfile: "gem 'x\n" },
      / ! {5}There was an error parsing your Gemfile:\n[^]*syntax error|unterminated string/,
    ],
    [
      'a Gemfile.lock with a conflict',
      { ...gemfiles({}), 'Gemfile.lock': 'GEM\n<<<<<<< HEAD\n=======\n>>>>>>> x\n' },
      / ! {5}There was an error parsing your Gemfile\.lock:\n[^]*merge conflicts/,
    ],
    [
      'a Gemfile.lock that is something else',
      { ...gemfiles({}), 'Gemfile.lock': '{}\n' },
      / ! {5}There was an error parsing your Gemfile\.lock:\n/,
    ],
    [
      'a Gemfile and a Gemfile.lock that do not fit',
      { ...gemfiles({}), Gemfile: `source '${SERVER}'\nruby '3.1.2'\ngem 'rack'\n` },
      / ! {5}Failed to install gems via Bundler\.\n ! {5}Gemfile and Gemfile\.lock do not fit together:\n/,
    ],
    [
      'a server that cannot be reached',
      gemfiles({ gems: { greeter: '1.0.0' }, source: 'https://gems.invalid' }),
      / ! {5}Failed to install gems via Bundler\.\n ! {5}gems\.invalid could not be reached: is the network down\?\n/,
    ],
    [
      'the platform of another machine',
      gemfiles({ gems: { greeter: '1.0.0' }, platforms: ['arm64-darwin-23'] }),
      / ! {5}Gemfile\.lock was made on another kind of machine[^]*bundle lock --add-platform \w+-linux/,
    ],
  ] as [string, Files, RegExp][])('is refused in words: %s', async (_, app, message) => {
    const build = await ruby(app);
    const { exitCode, output } = await build.compile();
    expect(output).toMatch(message);
    expect(exitCode).toBe(1);
  });

  it('shows why an extension does not compile', async () => {
    const build = await ruby(gemfiles({ gems: { broken: '1.0.0' } }));
    await withGems(build, `native broken 1.0.0 'the reason'`);
    const { exitCode, output } = await build.compile();
    expect(output).toMatch(/error:[^]* ! {5}A gem has a part in C that could not be compiled/);
    expect(exitCode).toBe(1);
  });

  it('does not believe what another machine left in vendor/bundle and .bundle/config', async () => {
    const app = await exampleApp('rack');
    const build = await ruby({
      ...app,
      'vendor/bundle/ruby/2.0.0/gems/x/y': '',
      '.bundle/config': '---\nBUNDLE_PATH: "/home/me/gems"\nBUNDLE_WITHOUT: "x"\nBUNDLE_JOBS: "2"\n',
    });
    const output = await build.compiled();
    expect(output).toContain('###### WARNING:\n\n       Removing `vendor/bundle`.\n');
    expect(output).toContain('       You have the `.bundle/config` file checked into your repository\n');
    expect(await (await build.dyno()).run('bundle exec rackup --version')).toContain('Rack 1');
  });

  it('warns of a version of Ruby that nobody chose', async () => {
    const build = await ruby(gemfiles({ ruby: null }));
    expect(await build.compiled()).toMatch(
      /###### WARNING:\n\n {7}You have not declared a Ruby version in your Gemfile\.\n/,
    );
  });
});
