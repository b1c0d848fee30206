<?php
declare(strict_types=1);

namespace App;

use Example\Greeting\Greeting;

/** Answers by path: [status, text]. */
final class Router
{
    /** @param array<string, string> $query */
    public function answer(string $path, array $query): array
    {
        return match ($path) {
            '/' => [200, Greeting::for($query['name'] ?? '') . ' from PHP ' . PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION
                . ' on ' . (getenv('DYNO') ?: 'no dyno')],
            '/shout' => [200, mb_strtoupper(Greeting::for($query['name'] ?? ''))],
            default => [404, "There is nothing at $path"],
        };
    }
}
