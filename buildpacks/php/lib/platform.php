<?php
// platform.php COMPOSER_JSON COMPOSER_LOCK --no-dev|--dev: compares the requirements of the app and of its locked packages with
// this PHP. Prints what is used (status 0) or which requirements are not met (status 3).
declare(strict_types=1);

// Composer brings the library that knows its version constraints.
require '/usr/share/php/Composer/autoload.php';

use Composer\Semver\Semver;
use Composer\Semver\VersionParser;

[, $jsonFile, $lockFile] = $argv;
$dev = in_array('--dev', $argv, true);
$read = fn (string $file): array => is_file($file) ? json_decode(file_get_contents($file), true) ?? [] : [];
$app = $read($jsonFile);
$lock = $read($lockFile);

$packages = array_merge($lock['packages'] ?? [], $dev ? $lock['packages-dev'] ?? [] : []);
/** @var array<string, array<string, string>> Who requires what of the platform. */
$requirements = ["The app ($jsonFile)" => $app['require'] ?? []];
if ($dev) {
    $requirements["The app ($jsonFile, require-dev)"] = $app['require-dev'] ?? [];
}
$provided = [];
foreach ($packages as $package) {
    $requirements[$package['name']] = $package['require'] ?? [];
    // Packages may stand in for an extension.
    $provided += ($package['provide'] ?? []) + ($package['replace'] ?? []);
}

$parser = new VersionParser();
$problems = [];
$extensions = [];
foreach ($requirements as $who => $required) {
    if (!is_array($required)) {
        $problems[] = "$who: the requirements are not an object.";
        continue;
    }
    foreach ($required as $name => $constraint) {
        $isPhp = in_array($name, ['php', 'php-64bit'], true);
        if ((!$isPhp && !str_starts_with((string) $name, 'ext-')) || isset($provided[$name])) {
            continue;
        }
        try {
            $parser->parseConstraints((string) $constraint);
        } catch (UnexpectedValueException $error) {
            $problems[] = "$who requires $name $constraint, which is no version constraint: {$error->getMessage()}";
            continue;
        }
        $extension = $isPhp ? null : installedExtension(substr($name, 4));
        if (!$isPhp && $extension === null) {
            $problems[] = "$who requires the extension " . substr($name, 4) . ', which is not available.';
            continue;
        }
        if ($extension !== null) {
            $extensions[substr($name, 4)] = true;
        }
        $version = $isPhp ? PHP_VERSION : phpversion($extension);
        // Some extensions have versions that are none; they fit whatever does not ask for one.
        if (!satisfies($parser, (string) $version, (string) $constraint)) {
            $problems[] = "$who requires $name $constraint, but version $version is installed.";
        }
    }
}

if ($problems !== []) {
    echo implode("\n", $problems), "\n";
    echo 'Available: PHP ', PHP_VERSION, " with these extensions:\n";
    $names = array_map(fn (string $name): string => strtolower(str_replace(' ', '-', $name)), get_loaded_extensions());
    sort($names);
    echo wordwrap(implode(' ', $names), 90), "\n";
    exit(3);
}

echo '- php (', PHP_VERSION, ")\n";
foreach (array_keys($extensions) as $name) {
    echo "- ext-$name\n";
}
echo "- apache (", serverVersion('apache2 -v'), ")\n";
echo "- nginx (", serverVersion('nginx -v'), ")\n";
echo "- composer (", Composer\Composer::getVersion(), ")\n";

function installedExtension(string $name): ?string
{
    foreach (get_loaded_extensions() as $loaded) {
        // `zend-opcache` is how Composer writes `Zend OPcache`.
        if (in_array(strtolower($name), [strtolower($loaded), strtolower(str_replace(' ', '-', $loaded))], true)
            || (strtolower($name) === 'opcache' && $loaded === 'Zend OPcache')) {
            return $loaded;
        }
    }
    return null;
}

function satisfies(VersionParser $parser, string $version, string $constraint): bool
{
    try {
        $parser->normalize($version);
    } catch (UnexpectedValueException) {
        // `8.2.0-dev+deb12` and the like: what comes before any suffix counts.
        $version = preg_match('/^\d+(\.\d+)*/', $version, $match) === 1 ? $match[0] : '0';
    }
    return Semver::satisfies($version, $constraint);
}

function serverVersion(string $command): string
{
    $output = (string) shell_exec("$command 2>&1");
    return preg_match('~/([\d.]+)~', $output, $match) === 1 ? $match[1] : 'unknown';
}
