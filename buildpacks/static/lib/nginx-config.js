'use strict';
// nginx-config.js APP_DIR: prints the configuration of nginx for the app's static.json. From the environment: PORT,
// STATIC_RUN_DIR (a folder to write to), and whatever static.json names as ${NAME}. Status 1 and a reason on standard error
// if static.json does not make sense; notes on what is left out go there too.
const fs = require('node:fs');
const path = require('node:path');

const appDir = path.resolve(process.argv[2] ?? '.');
const { PORT: port, STATIC_RUN_DIR: runDir } = process.env;

class Unusable extends Error {}

function main() {
  const file = path.join(appDir, 'static.json');
  const config = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : {};
  for (const key of Object.keys(config)) {
    if (key === 'basic_auth' || key === 'basic_auth_list') {
      // To leave it out would show to everybody what is not for everybody.
      throw new Unusable(`${key} in static.json is not supported.`);
    }
    if (!KNOWN.includes(key)) console.error(`${key} in static.json is not known and has no effect.`);
  }
  console.log(configuration(settings(config)));
}

const KNOWN = [
  'root',
  'clean_urls',
  'https_only',
  'canonical_host',
  'routes',
  'redirects',
  'error_page',
  'headers',
  'proxies',
  'logging',
  'encoding',
];

/** static.json, checked. */
function settings(config) {
  const defaultRoot = fs.readFileSync(path.join(__dirname, 'default-root'), 'utf8').trim();
  const root = text(config.root ?? defaultRoot, 'root');
  const rootDir = path.resolve(appDir, root.replace(/^\/+/, ''));
  if (rootDir !== appDir && !rootDir.startsWith(`${appDir}/`)) {
    throw new Unusable(`root in static.json leaves the app's folder: ${root}`);
  }
  if (!fs.existsSync(rootDir) || !fs.statSync(rootDir).isDirectory()) {
    throw new Unusable(`root in static.json is no folder of the app: ${root}`);
  }
  // A file that is not there would make nginx look for it in a circle.
  const page = (value, where) => {
    const target = `/${text(value, where).replace(/^\/+/, '')}`;
    if (!fs.existsSync(path.join(rootDir, target))) {
      throw new Unusable(`${where} in static.json names a file that is not in ${root}: ${value}`);
    }
    return target;
  };
  return {
    root,
    rootDir,
    cleanUrls: flag(config.clean_urls, 'clean_urls'),
    httpsOnly: flag(config.https_only, 'https_only'),
    canonicalHost:
      config.canonical_host === undefined ? '' : interpolate(text(config.canonical_host, 'canonical_host')),
    routes: entries(config.routes, 'routes').map(([pattern, target]) => [
      pattern,
      page(target, `routes["${pattern}"]`),
    ]),
    redirects: entries(config.redirects, 'redirects').map(([pattern, redirect]) => {
      const where = `redirects["${pattern}"]`;
      const { url, status = 301 } = object(redirect, where);
      if (![301, 302, 303, 307, 308].includes(status)) {
        throw new Unusable(`${where}.status in static.json is no status of a redirect: ${status}`);
      }
      return { pattern, url: interpolate(text(url, `${where}.url`)), status };
    }),
    errorPage: config.error_page === undefined ? undefined : page(config.error_page, 'error_page'),
    headers: entries(config.headers, 'headers').flatMap(([pattern, headers]) =>
      entries(headers, `headers["${pattern}"]`).map(([name, value]) => {
        if (!/^[\w-]+$/.test(name)) {
          throw new Unusable(`headers["${pattern}"] in static.json has a header of no valid name: ${name}`);
        }
        return { pattern, name, value: text(value, `headers["${pattern}"]["${name}"]`) };
      }),
    ),
    proxies: entries(config.proxies, 'proxies').map(([prefix, proxy]) => {
      const where = `proxies["${prefix}"].origin`;
      const raw = text(object(proxy, `proxies["${prefix}"]`).origin, where);
      let url = URL.parse(interpolate(raw));
      // A config var may be set later, even after the build: until then nobody answers there.
      const unset = [...raw.matchAll(/\$\{(\w+)\}/g)]
        .map(([, name]) => name)
        .filter((name) => !process.env[name]);
      if (unset.length > 0) {
        console.error(`${where} in static.json needs config vars that are not set: ${unset.join(', ')}.`);
        url = new URL('http://unset.invalid');
      }
      if (url === null || !['http:', 'https:'].includes(url.protocol)) {
        throw new Unusable(`${where} in static.json is no http or https URL.`);
      }
      return { prefix: `/${prefix.replace(/^\/+|\/+$/g, '')}/`.replace('//', '/'), url };
    }),
    accessLog: flag(object(config.logging ?? {}, 'logging').access ?? true, 'logging.access'),
    errorLevel: level(object(config.logging ?? {}, 'logging').error ?? 'error'),
    encoding: encoding(config.encoding ?? 'UTF-8'),
  };
}

function text(value, where) {
  if (typeof value !== 'string' || value === '' || /[\x00-\x1f\x7f]/.test(value)) {
    throw new Unusable(`${where} in static.json must be a text of one line.`);
  }
  return value;
}

function flag(value, where) {
  if (value !== undefined && typeof value !== 'boolean') {
    throw new Unusable(`${where} in static.json must be true or false.`);
  }
  return value === true;
}

function object(value, where) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new Unusable(`${where} in static.json must be an object.`);
  }
  return value;
}

function entries(value, where) {
  if (value === undefined) return [];
  const list = Object.entries(object(value, where));
  for (const [pattern] of list) text(pattern, `A key of ${where}`);
  return list;
}

function level(value) {
  if (!['debug', 'info', 'notice', 'warn', 'error', 'crit', 'alert', 'emerg'].includes(value)) {
    throw new Unusable('logging.error in static.json is no level of nginx.');
  }
  return value;
}

function encoding(value) {
  if (!/^[\w-]+$/.test(value)) throw new Unusable('encoding in static.json is no name of an encoding.');
  return value;
}

/** `${API_URL}` → the config var, empty where there is none. */
function interpolate(value) {
  return value.replace(/\$\{(\w+)\}/g, (_, name) => process.env[name] ?? '');
}

/** A string in nginx's configuration. It has no way to write a dollar, but for a variable that has one as its value. */
function quote(value) {
  return `"${value.replace(/[\\"]/g, '\\$&').replaceAll('$', '${dollar}')}"`;
}

/** In a pattern `**` stands for anything, `*` for anything within one part of a path. */
function expression(pattern) {
  return `/${pattern.replace(/^\/+/, '')}`
    .split(/(\*\*|\*)/)
    .map((part) => (part === '**' ? '.*' : part === '*' ? '[^/]*' : part.replace(/[^\w/-]/g, '\\$&')))
    .join('');
}

/** A regular expression: dollars stay what they are there. */
function quoteRegex(source, mark = '') {
  return `"${mark}${source.replace(/[\\"]/g, '\\$&')}"`;
}

function configuration(site) {
  const lines = [
    `# root: ${site.root}`,
    'daemon off;',
    'worker_processes 1;',
    `pid ${quote(`${runDir}/nginx.pid`)};`,
    `error_log stderr ${site.errorLevel};`,
    // A dyno is killed 30 s after SIGTERM.
    'worker_shutdown_timeout 20s;',
    'events { worker_connections 1024; }',
    'http {',
    ...['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (kind) => `  ${kind}_temp_path ${quote(`${runDir}/${kind}`)};`,
    ),
    '  include /etc/nginx/mime.types;',
    '  default_type application/octet-stream;',
    `  charset ${site.encoding};`,
    '  sendfile on;',
    '  tcp_nopush on;',
    '  server_tokens off;',
    // The port of the dyno is not the one that browsers see.
    '  absolute_redirect off;',
    // The router keeps connections for longer than most browsers do.
    '  keepalive_timeout 95s;',
    '  gzip on;',
    '  gzip_vary on;',
    '  gzip_proxied any;',
    '  gzip_min_length 256;',
    '  gzip_types text/css text/plain text/xml text/javascript application/javascript application/json',
    '    application/manifest+json application/rss+xml application/xml application/wasm image/svg+xml font/ttf;',
    `  log_format forwarded '$http_x_forwarded_for - - [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"';`,
    site.accessLog ? `  access_log ${quote(`${runDir}/access`)} forwarded;` : '  access_log off;',
    '  geo $dollar { default "$"; }',
    '  map $http_host $port_suffix { default ""; "~(:\\d+)$" $1; }',
    '  map $http_x_forwarded_proto $public_scheme { default http; https https; }',
    ...map(
      '$route',
      '$request_path',
      '"/.none"',
      site.routes.map(([pattern, page]) => [`^${expression(pattern)}$`, page]),
    ),
    ...headerMaps(site.headers),
    '  server {',
    `    listen ${port};`,
    `    listen [::]:${port};`,
    '    server_name localhost;',
    `    root ${quote(site.rootDir)};`,
    '    index index.html index.htm;',
    // Links may not lead to what does not belong to the app.
    '    disable_symlinks if_not_owner from=$document_root;',
    // Later on $uri may be that of another page.
    '    set $request_path $uri;',
    ...canonical(site),
    ...headerNames(site.headers).map(([name, variable]) => `    add_header ${name} ${variable} always;`),
    ...site.redirects.flatMap(({ pattern, url, status }) => [
      `    if ($request_path ~ ${quoteRegex(`^${expression(pattern)}/?$`)}) { return ${status} ${quote(url)}; }`,
    ]),
    ...(site.errorPage === undefined ? [] : [`    error_page 404 ${quote(site.errorPage)};`]),
    // Hidden files are none of the site's, but for those that are meant to be found there (RFC 8615).
    '    location ~ "/\\.(?!well-known(/|$))" { return 404; }',
    ...(site.rootDir === appDir
      ? ['    location ~ "^/(static\\.json|Procfile|app\\.json|bin/boot)$" { return 404; }']
      : []),
    ...site.proxies.flatMap(proxy),
    '    location / {',
    // A folder is shown by its index and needs the slash for links on that page to work.
    '      if (-f $request_filename/index.html) { rewrite ^(.*[^/])$ $1/ permanent; }',
    `      try_files $uri ${site.cleanUrls ? '$uri.html ' : ''}$uri/index.html $route =404;`,
    '    }',
    '  }',
    '}',
  ];
  return lines.join('\n');
}

function map(variable, source, fallback, choices) {
  return [
    `  map ${source} ${variable} {`,
    `    default ${fallback};`,
    ...choices.map(([pattern, value]) => `    ${quoteRegex(pattern, '~')} ${quote(value)};`),
    '  }',
  ];
}

/** Each header with the variable that has its value for the page at hand; nginx leaves out one that is empty. */
function headerNames(headers) {
  const names = [...new Map(headers.map(({ name }) => [name.toLowerCase(), name])).values()];
  return names.map((name, index) => [name, `$header_${index}`]);
}

/** The last pattern that fits wins; it may fit the path that was asked for or the page that is shown for it. */
function headerMaps(headers) {
  return headerNames(headers).flatMap(([name, variable]) =>
    map(
      variable,
      '"$request_path|$uri"',
      '""',
      headers
        .filter((header) => header.name.toLowerCase() === name.toLowerCase())
        .reverse()
        .map(({ pattern, value }) => {
          const path = expression(pattern);
          return [`^(${path}\\|.*|.*\\|${path})$`, value];
        }),
    ),
  );
}

/** Where browsers are sent to: the one host, https. The port stays, as a local router has one. */
function canonical(site) {
  const lines = [];
  if (site.canonicalHost !== '') {
    lines.push(
      `    if ($host != ${quote(site.canonicalHost)}) { return 301 "$public_scheme://${quote(site.canonicalHost).slice(1, -1)}$port_suffix$request_uri"; }`,
    );
  }
  if (site.httpsOnly) {
    if (process.env.STATIC_HTTPS_ONLY === 'true') {
      lines.push('    if ($http_x_forwarded_proto = http) { return 301 "https://$host$request_uri"; }');
    } else {
      console.error(
        'https_only in static.json has no effect here unless the config var STATIC_HTTPS_ONLY is true.',
      );
    }
  }
  return lines;
}

/** `/api/` → everything below it, with what follows, at the origin. */
function proxy({ prefix, url }) {
  const origin = `${url.protocol}//${url.host}`;
  const base = url.pathname.replace(/\/+$/, '');
  return [
    `    location ^~ ${quote(prefix)} {`,
    // In a variable, so that the name is looked up when it is asked for: nginx would not start without an answer.
    `      resolver ${resolvers()} valid=30s ipv6=off;`,
    '      resolver_timeout 5s;',
    `      set $origin ${quote(origin)};`,
    `      rewrite ${quoteRegex(`^${expression(prefix)}(.*)$`)} ${quote(`${base}/`).slice(0, -1)}$1" break;`,
    '      proxy_pass $origin;',
    '      proxy_connect_timeout 10s;',
    '      proxy_http_version 1.1;',
    `      proxy_set_header Host ${quote(url.host)};`,
    '      proxy_set_header Connection "";',
    '      proxy_ssl_server_name on;',
    '    }',
  ];
}

/** Of the container; the loopback where it has none, so that nginx starts all the same. */
function resolvers() {
  const found = fs.existsSync('/etc/resolv.conf')
    ? [...fs.readFileSync('/etc/resolv.conf', 'utf8').matchAll(/^nameserver\s+([\da-fA-F.:]+)\s*$/gm)].map(
        ([, address]) => (address.includes(':') ? `[${address}]` : address),
      )
    : [];
  return found.length > 0 ? found.join(' ') : '127.0.0.1';
}

try {
  main();
} catch (error) {
  if (!(error instanceof Unusable)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
