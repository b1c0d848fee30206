<?php
// The front controller: .htaccess sends everything here that is no file.
declare(strict_types=1);

require __DIR__ . '/../vendor/autoload.php';

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
[$status, $text] = (new App\Router())->answer(is_string($path) ? $path : '/', $_GET);

http_response_code($status);
header('Content-Type: text/plain; charset=utf-8');
echo $text, "\n";
error_log("$status $path");
