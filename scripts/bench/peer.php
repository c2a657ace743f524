<?php
// The benchmark's script for php-fpm.
header('Content-Type: text/plain');
echo str_contains($_SERVER['REQUEST_URI'], '/large') ? str_repeat('x', 64 * 1024) : "hello world\n";
