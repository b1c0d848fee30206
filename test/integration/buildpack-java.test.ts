import { SlugBench, BUILD_DIR, example, type Build, type Files } from '../support/slug-bench';

const bench = new SlugBench();

beforeAll(() => bench.start(), 10 * 60_000);
afterEach(() => bench.clear(), 60_000);

// Maven is slow to begin with, and the first build of a cache makes a runtime.
jest.setTimeout(600_000);

function aPom(more = '', properties = ''): string {
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>com.example</groupId>
  <artifactId>app</artifactId>
  <version>1.0.0</version>
  <properties>
    <maven.compiler.source>17</maven.compiler.source>
    <maven.compiler.target>17</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
    ${properties}
  </properties>
  ${more}
</project>
`;
}

const MAIN = 'public class Main { public static void main(String[] a) { System.out.println("hello"); } }\n';

function anApp(pom: string, files: Files = {}): Files {
  return {
    'pom.xml': pom,
    'src/main/java/Main.java': MAIN,
    'system.properties': 'java.runtime.version=17\n',
    ...files,
  };
}

/** As if a runtime had been made before: that takes long, and most tests have no use for it. */
async function withoutRuntime(build: Build): Promise<void> {
  await build.run(
    'v=$(sed -nE \'s/^JAVA_VERSION="(.*)"/\\1/p\' /usr/lib/jvm/default-java/release); mkdir -p /cache/data/runtime/$v && touch /cache/data/runtime/$v/release',
  );
}

describe('the java buildpack', () => {
  it('claims an app with pom.xml', async () => {
    const build = await bench.build('java', { 'build.gradle': '' });
    expect((await build.detect('java')).exitCode).toBe(1);
    await build.change({ 'pom.xml': '' });
    expect(await build.detect('java')).toEqual({ exitCode: 0, output: 'Java\n' });
    expect(await build.defaultProcessTypes('java')).toBeUndefined();
  });

  it('builds with what is in the image; the dyno answers, ends on SIGTERM, and the second build is quick', async () => {
    const build = await bench.build('java', await example('java-maven'));
    const { exitCode, output } = await build.compile('java');
    expect(output).toMatch(
      /-----> Installing OpenJDK 17\n {7}Using OpenJDK 17\.[^]*-----> Executing Maven\n {7}\$ mvn -DskipTests clean dependency:list install\n[^]*BUILD SUCCESS[^]* ! {5}Maven Central could not be reached/,
    );
    expect(exitCode).toBe(0);
    const dyno = await build.dyno('java $JAVA_OPTS -jar target/java-maven.jar', {
      env: { MEMORY_AVAILABLE: '512' },
    });
    expect(await dyno.get('/')).toMatchObject({ status: 200, body: 'Hello from Java 17 on web.1\n' });
    expect(await dyno.stop()).toBe(143);
    expect(await dyno.log()).toMatch(
      /^Picked up JAVA_TOOL_OPTIONS: -Xmx300m -Xss512k -XX:CICompilerCount=2 -Dfile\.encoding=UTF-8$[^]*^SIGTERM received, closing$/m,
    );

    const second = await build.compile('java');
    expect(second.output).not.toContain('Making the runtime');
    expect(second.exitCode).toBe(0);
  });

  it('gives dynos the container’s authorities, the database in the form of JDBC, and memory options by size', async () => {
    const build = await bench.build('java', anApp(aPom()));
    await build.compile('java');
    const certificates = await build.run(
      `${BUILD_DIR}/.jdk/bin/keytool -list -cacerts -storepass changeit | grep -c trustedCertEntry; grep -c BEGIN /etc/ssl/certs/ca-certificates.crt`,
    );
    const [inJava, inBundle] = certificates.output.trim().split('\n').map(Number);
    expect(inJava).toBeGreaterThan(0);
    expect(inJava).toBe(inBundle);
    const variables = 'env | grep -E "^(JDBC|SPRING|JAVA|HEROKU_POSTGRESQL)" | sort';
    const dyno = await build.dyno(variables, {
      env: {
        MEMORY_AVAILABLE: '1024',
        DATABASE_URL: 'postgres://us%40er:p%2Fw:x@db.example.com:5433/name?sslmode=disable',
        HEROKU_POSTGRESQL_BLUE_URL: 'postgres://blue@host/other',
      },
    });
    expect((await dyno.output()).split('\n')).toEqual([
      'HEROKU_POSTGRESQL_BLUE_JDBC_PASSWORD=',
      'HEROKU_POSTGRESQL_BLUE_JDBC_URL=jdbc:postgresql://host/other?user=blue&password=',
      'HEROKU_POSTGRESQL_BLUE_JDBC_USERNAME=blue',
      'HEROKU_POSTGRESQL_BLUE_URL=postgres://blue@host/other',
      'JAVA_HOME=/app/.jdk',
      'JAVA_OPTS=-Xmx671m -XX:CICompilerCount=2',
      'JAVA_TOOL_OPTIONS=-Xmx671m -XX:CICompilerCount=2 -Dfile.encoding=UTF-8',
      'JDBC_DATABASE_PASSWORD=p/w:x',
      'JDBC_DATABASE_URL=jdbc:postgresql://db.example.com:5433/name?user=us%40er&password=p%2Fw:x&sslmode=disable',
      'JDBC_DATABASE_USERNAME=us@er',
      'SPRING_DATASOURCE_PASSWORD=p/w:x',
      'SPRING_DATASOURCE_URL=jdbc:postgresql://db.example.com:5433/name?user=us%40er&password=p%2Fw:x&sslmode=disable',
      'SPRING_DATASOURCE_USERNAME=us@er',
    ]);
    const own = await build.dyno(variables, {
      env: {
        JAVA_OPTS: '-Xmx100m',
        DATABASE_URL: 'mysql://u:p@h/d',
        SPRING_DATASOURCE_URL: 'jdbc:mine',
      },
    });
    expect((await own.output()).split('\n')).toEqual([
      'JAVA_HOME=/app/.jdk',
      'JAVA_OPTS=-Xmx100m',
      'JAVA_TOOL_OPTIONS=-Dfile.encoding=UTF-8',
      'JDBC_DATABASE_PASSWORD=p',
      'JDBC_DATABASE_URL=jdbc:mysql://h/d?user=u&password=p',
      'JDBC_DATABASE_USERNAME=u',
      'SPRING_DATASOURCE_URL=jdbc:mine',
    ]);
  });

  it('takes goals, options, settings and repositories as the app says, and the image’s Maven for a wrapper without network', async () => {
    const build = await bench.build('java', {
      ...anApp(
        aPom(`<dependencies><dependency><groupId>org.example</groupId><artifactId>lib</artifactId><version>1.0</version></dependency></dependencies>
          <repositories><repository><id>own</id><url>file://\${project.basedir}/repository</url></repository></repositories>`),
      ),
      'repository/org/example/lib/1.0/lib-1.0.pom':
        '<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId><artifactId>lib</artifactId><version>1.0</version></project>',
      mvnw: '#!/bin/sh\necho could not download >&2\nexit 1\n',
    });
    await build.run(
      `cd /tmp && echo x > x && jar cf ${BUILD_DIR}/repository/org/example/lib/1.0/lib-1.0.jar x`,
    );
    await withoutRuntime(build);
    await build.configVars({
      MAVEN_CUSTOM_GOALS: 'package',
      MAVEN_CUSTOM_OPTS: '-DskipTests -Dgreeting=hello',
    });
    const { exitCode, output } = await build.compile('java');
    expect(output).toContain('       could not download\n');
    expect(output).toContain('       $ mvn -DskipTests -Dgreeting=hello package\n');
    expect(output).toContain(
      ' !     The Maven wrapper (mvnw) could not fetch its Maven: used the image’s'.replace('’', "'"),
    );
    expect(exitCode).toBe(0);

    // Settings of the app's own are taken as they are.
    await build.configVars({ MAVEN_SETTINGS_PATH: 'own-settings.xml' });
    expect((await build.compile('java')).output).toContain(
      ' !     The config var MAVEN_SETTINGS_PATH names a file that is not there: own-settings.xml\n',
    );
    await build.change({
      'own-settings.xml':
        '<settings><mirrors><mirror><id>m</id><mirrorOf>*</mirrorOf><url>file:///nowhere</url></mirror></mirrors></settings>',
    });
    const mirrored = await build.compile('java');
    expect(mirrored.output).toMatch(/file:\/\/\/nowhere/);
    expect(mirrored.exitCode).toBe(1);
  });

  it('fetches another JDK', async () => {
    const build = await bench.build(
      'java',
      anApp(aPom(), { 'system.properties': 'java.runtime.version=21.0.1\n' }),
    );
    // A mirror of the list of releases, whose only JDK is the image's under another name.
    await build.run(`
      set -e
      mkdir -p /tmp/mirror/v3/assets/latest/21 /tmp/jdk/jdk-21
      for part in bin lib jmods conf; do ln -s /usr/lib/jvm/default-java/$part /tmp/jdk/jdk-21/$part; done
      echo 'JAVA_VERSION="21.0.5"' > /tmp/jdk/jdk-21/release
      tar -czf /tmp/mirror/jdk.tar.gz -C /tmp/jdk jdk-21
      sum=$(sha256sum /tmp/mirror/jdk.tar.gz | cut -d ' ' -f 1)
      echo '[{"binary": {"package": {"link": "http://127.0.0.1:8123/jdk.tar.gz", "checksum": "'$sum'"}}}]' > /tmp/mirror/v3/assets/latest/21/hotspot
      cd /tmp/mirror; python3 -m http.server 8123 --bind 127.0.0.1 > /dev/null 2>&1 &
      until curl -s -o /dev/null http://127.0.0.1:8123/; do sleep 0.1; done`);
    await build.configVars({ ADOPTIUM_API_URL: 'http://127.0.0.1:8123' });
    const { exitCode, output } = await build.compile('java');
    expect(output).toContain('       Using OpenJDK 21.0.5\n');
    expect(output).toContain(' !     java.runtime.version in system.properties asks for 21.0.1: used 21.0.5');
    expect(exitCode).toBe(0);
    await build.run('pkill -f http.server; sleep 0.5');
    const second = await build.compile('java');
    expect(second.output).toContain(
      ' !     The list of OpenJDK releases could not be fetched: used what is in the cache.\n',
    );
    expect(second.exitCode).toBe(0);
  });

  it('starts what Spring Boot packs', async () => {
    const build = await bench.build('java', {
      'pom.xml': aPom('<parent><groupId>org.springframework.boot</groupId></parent>'),
      'target/app.jar': '',
    });
    expect(await build.defaultProcessTypes('java')).toEqual({
      web: 'java -Dserver.port=$PORT $JAVA_OPTS -jar target/*.jar',
    });
    await build.change({ Procfile: 'web: java -jar x.jar\n' });
    expect(await build.defaultProcessTypes('java')).toBeUndefined();
  });

  it('runs the tests', async () => {
    const build = await bench.build('java', await example('java-maven'));
    const { exitCode, output } = await build.test('java');
    expect(output).toMatch(/-----> Running: mvn test\n[^]*Tests run: 1, Failures: 0, Errors: 0/);
    expect(exitCode).toBe(0);
  });

  it.each([
    [
      'a malformed pom.xml, with the line',
      { 'pom.xml': '<project>\n  <oops>\n</project>\n' },
      /line 2[^]* ! {5}pom\.xml cannot be read/,
    ],
    [
      'a version of Java that is none',
      anApp(aPom(), { 'system.properties': 'java.runtime.version=banana\n' }),
      / ! {5}java\.runtime\.version in system\.properties is not a version that can be understood: banana\n/,
    ],
    [
      'another Java and a network that is down',
      anApp(aPom(), { 'system.properties': 'java.runtime.version = 21\n' }),
      / ! {5}OpenJDK 21 is not in the image and could not be fetched\.\n ! {5}api\.adoptium\.net could not be reached: is the network down\?\n ! {5}OpenJDK 17\.[\d.]+ is there and needs no network/,
    ],
    [
      'a program that does not compile',
      anApp(aPom(), { 'src/main/java/Main.java': 'public class Main { int x = "text"; }\n' }),
      /incompatible types[^]* ! {5}Failed to build the app with Maven\.\n/,
    ],
    [
      'a plugin of a version that is not there, with those that are',
      anApp(
        aPom(
          '<build><plugins><plugin><artifactId>maven-compiler-plugin</artifactId><version>9.9.9</version></plugin></plugins></build>',
        ),
      ),
      / ! {5}repo\.maven\.apache\.org could not be reached[^]* ! {5}maven-compiler-plugin .*3\.10\.1/,
    ],
    [
      'a newer language than the Java that builds',
      anApp(aPom('', '<maven.compiler.release>21</maven.compiler.release>')),
      / ! {5}The app wants to be compiled for a newer Java than 17/,
    ],
  ])('fails for %s', async (_, app: Files, message) => {
    const build = await bench.build('java', app);
    await withoutRuntime(build);
    const { exitCode, output } = await build.compile('java');
    expect(output).toMatch(message);
    expect(exitCode).toBe(1);
  });
});
