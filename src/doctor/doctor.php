<?php
/*
 * Looks for what is wrong with the site beside it. Open it in a browser, give the key, and delete it afterwards.
 * It works for an hour from its first visit. If every page of the folder is an error 500, this one too: rename .htaccess to
 * htaccess.txt for a moment, and open it again.
 */
error_reporting(0);
attempt('ini_set', 'display_errors', '0');
register_shutdown_function('tell_end');
$site = SITE_FACTS;

define('HOUR', 3600);
define('MARK', dirname(__FILE__) . '/.ht' . basename(__FILE__, '.php') . '.since');
define('START_SECONDS', 25);
define('ASK_SECONDS', 10);
define('MAX_SHOWN', 16384);

header('Content-Type: text/html; charset=utf-8');
header('Cache-Control: no-store');
header('X-Robots-Tag: noindex');
header('X-Content-Type-Options: nosniff');
header('X-Frame-Options: DENY');
header('Referrer-Policy: same-origin');
header('Content-Security-Policy: ' . $site['policy']);
answer($site);

/* Calls what hosts like to switch off, which ends a page of PHP 8; false is also what it says when it fails. */
function attempt($name) {
  return function_exists($name) ? @call_user_func_array($name, array_slice(func_get_args(), 1)) : false;
}

/* Why there is no more of the page. */
function tell_end() {
  $error = error_get_last();
  if (!$error || !in_array($error['type'], array(E_ERROR, E_PARSE, E_CORE_ERROR, E_COMPILE_ERROR, E_RECOVERABLE_ERROR))) return;
  echo '<p class="problem">PHP has ended this page: ', h(strtok(str_replace(dirname(__FILE__), '', $error['message']), "\n")), '</p>';
}

function answer($site) {
  $since = first_visit();
  $left = $since + HOUR - time();
  if ($left <= 0 || $left > HOUR) return finish();
  $pass = isset($_COOKIE['runfcgi-doctor']) && is_string($_COOKIE['runfcgi-doctor']) ? $_COOKIE['runfcgi-doctor'] : '';
  $known = hash_equals($site['verifier'], hash('sha256', $pass));
  if ($_SERVER['REQUEST_METHOD'] === 'POST' && posted('key') !== '') return enter($site, $left);
  if (!$known) return show('The doctor', form_for_key(), $site);
  $token = hash_hmac('sha256', 'form', $pass);
  $done = '';
  if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    if (!hash_equals($token, posted('token'))) {
      http_response_code(403);
      return show('Nothing was done', '<p class="problem" role="alert">This form does not come from this page.</p>', $site);
    }
    $done = act(posted('do'), $site);
  }
  show('The doctor', page($site, $token, $done, $left), $site);
}

/* When the page was opened first. A file that was uploaded again has another time, and begins anew. */
function first_visit() {
  $own = filemtime(__FILE__);
  $places = array(MARK, rtrim(sys_get_temp_dir(), '/') . '/runfcgi-' . sha1(__FILE__) . '.since');
  foreach ($places as $place) {
    $said = is_link($place) ? false : @file_get_contents($place, false, null, 0, 64);
    if ($said !== false && preg_match('/^(\d+) (\d+)$/', $said, $found) && (int) $found[2] === $own) return (int) $found[1];
  }
  foreach ($places as $place) {
    attempt('unlink', $place);
    $file = @fopen($place, 'x');
    if (!$file) continue;
    attempt('chmod', $place, 0600);
    fwrite($file, time() . ' ' . $own);
    fclose($file);
    return time();
  }
  return filectime(__FILE__);
}

function finish() {
  global $site;
  http_response_code(410);
  $gone = attempt('unlink', __FILE__);
  if ($gone) attempt('unlink', MARK);
  $text = $gone ? 'It has deleted itself. To use it again, upload it again.'
    : 'Delete this file now: <code>' . h(basename(__FILE__)) . '</code>. To use it again, upload it again.';
  show('The doctor has ended', '<p class="note" role="status">It works for an hour from its first visit, and that is over. ' . $text . '</p>', $site);
}

function enter($site, $left) {
  $key = strtolower(preg_replace('/[\s-]+/', '', posted('key')));
  $pass = hash_hmac('sha256', 'doctor', $key);
  if (!hash_equals($site['verifier'], hash('sha256', $pass))) {
    attempt('sleep', 1);
    http_response_code(403);
    return show('The doctor', '<p class="problem" role="alert">This is not the key.</p>' . form_for_key(), $site);
  }
  $path = preg_replace('/[;,\s]/', '', $_SERVER['SCRIPT_NAME']);
  header('Set-Cookie: runfcgi-doctor=' . $pass . '; Path=' . $path . '; Max-Age=' . $left . '; HttpOnly; SameSite=Strict' .
    (is_https() ? '; Secure' : ''));
  header('Location: ' . $path, true, 303);
}

function is_https() {
  return isset($_SERVER['HTTPS']) && $_SERVER['HTTPS'] !== '' && strtolower($_SERVER['HTTPS']) !== 'off';
}

function posted($name) {
  return isset($_POST[$name]) && is_string($_POST[$name]) ? $_POST[$name] : '';
}

function h($text) {
  // Control characters, those of Unicode that turn text around included, are shown as what they are.
  $text = preg_replace_callback('/[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]/', 'shown', $text);
  return htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE, 'UTF-8');
}

function shown($found) {
  return '\x' . implode('\x', str_split(bin2hex($found[0]), 2));
}

function show($title, $body, $site) {
  echo "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"robots\" content=\"noindex\">\n",
    '<title>', h($title), "</title>\n<style>\n", $site['style'], "</style>\n</head>\n<body>\n<main>\n<h1>", h($title), "</h1>\n",
    $body, "\n</main>\n</body>\n</html>\n";
}

function form_for_key() {
  return '<form method="post" action="' . h($_SERVER['SCRIPT_NAME']) . '">
<label for="key">The key, from the file with the ending .key that <code>init</code> has written</label>
<input id="key" name="key" type="password" autocomplete="current-password" spellcheck="false" required>
<button>Open</button>
</form>' . (is_https() ? '' : '<p class="note">This page came without https: others on the way can read the key.</p>');
}

/* What the doctor of the program says, too, in the same words. */
function say($site, $word, $values) {
  $said = $site['words'][$word] + array('fix' => '');
  $names = array();
  foreach ($values as $name => $value) $names['{' . $name . '}'] = (string) $value;
  return array(strtr($said['text'], $names), strtr($said['fix'], $names));
}

function found($site, $state, $check, $word, $values, $offers = array()) {
  list($text, $fix) = say($site, $word, $values);
  return finding($state, $check, $text, $state === 'ok' ? '' : $fix, $offers);
}

function finding($state, $check, $text, $fix = '', $offers = array()) {
  return array('state' => $state, 'check' => $check, 'text' => $text, 'fix' => $fix, 'offers' => $offers);
}

/* Offers: all that the buttons can do. */
function offer_mode($path, $mode) {
  return array('label' => 'Set the mode ' . decoct($mode), 'kind' => 'chmod', 'from' => $path, 'to' => $mode);
}

function offer_name($from, $to) {
  return array('label' => 'Rename ' . basename($from) . ' to ' . basename($to), 'kind' => 'rename', 'from' => $from, 'to' => $to);
}

function offer_id($offer) {
  return sha1($offer['kind'] . "\0" . $offer['from'] . "\0" . $offer['to']);
}

function act($id, $site) {
  foreach (look($site) as $finding) {
    foreach ($finding['offers'] as $offer) {
      if (!hash_equals(offer_id($offer), $id)) continue;
      if ($offer['kind'] === 'chmod') $done = attempt('chmod', $offer['from'], $offer['to']);
      else $done = !file_exists($offer['to']) && attempt('rename', $offer['from'], $offer['to']);
      clearstatcache();
      if ($done) return '<p class="ok" role="status">Done: ' . h($offer['label']) . '</p>';
      return '<p class="problem" role="alert">PHP may not do that here: ' . h($offer['label']) .
        '. Do it with your FTP program.</p>';
    }
  }
  return '<p class="note" role="status">There is nothing to do any more.</p>';
}

function page($site, $token, $done, $left) {
  $findings = look($site);
  list($started, $output) = start_program($site);
  $findings = array_merge($findings, array($started), ask_site($site));
  $items = '';
  foreach (array('problem', 'note', 'not checked', 'ok') as $state) {
    foreach ($findings as $finding) if ($finding['state'] === $state) $items .= item($finding, $token);
  }
  $minutes = max(1, (int) ($left / 60));
  return $done . '<p>It works for ' . $minutes . ($minutes === 1 ? ' minute' : ' minutes') . ' more. Delete <code>' . h(basename(__FILE__)) .
    "</code> when the site runs.</p>\n<ul class=\"findings\">\n" . $items . "</ul>\n" .
    '<h2>What the program wrote</h2><pre class="log" tabindex="0">' . ($output === '' ? '(nothing)' : h($output)) . "</pre>\n" .
    logs($site) . lines($site);
}

function item($finding, $token) {
  $buttons = '';
  foreach ($finding['offers'] as $offer) {
    $buttons .= '<form method="post" action="' . h($_SERVER['SCRIPT_NAME']) . '"><input type="hidden" name="token" value="' . $token .
      '"><button name="do" value="' . offer_id($offer) . '">' . h($offer['label']) . '</button></form>';
  }
  return '<li class="' . str_replace(' ', '-', $finding['state']) . '"><b>' . $finding['state'] . '</b> ' . h($finding['check']) . ': ' .
    h($finding['text']) . ($finding['fix'] === '' ? '' : "\n<pre tabindex=\"0\">" . h($finding['fix']) . '</pre>') . $buttons . "</li>\n";
}

function program_path($site) {
  return $site['program'][0] === '/' ? $site['program'] : dirname(__FILE__) . '/' . $site['program'];
}

function look($site) {
  $program = program_path($site);
  $found = array_merge(look_at_host($site), look_at_rules($site), look_at_program($site, $program));
  foreach ($site['files'] as $name => $facts) {
    $path = dirname($program) . '/' . $name;
    if ($path !== $program) $found = array_merge($found, look_at_packed($site, $program, $path, $facts));
  }
  return array_merge($found, look_at_unpacked($site, $program), look_at_app($site, $program), look_at_log($site, $program));
}

/* The web server, and what it can start. */
function look_at_host($site) {
  $software = isset($_SERVER['SERVER_SOFTWARE']) ? $_SERVER['SERVER_SOFTWARE'] : 'the web server';
  $found = array(finding('ok', 'PHP', PHP_VERSION . ' as ' . PHP_SAPI . ', user ' . user(), ''));
  if (stripos($software, 'litespeed') !== false) $found[] = found($site, 'note', 'LiteSpeed', 'liteSpeed', array());
  $names = array('fcgid', 'cgi', 'cgid', 'rewrite', 'passenger', 'suexec', 'proxy_fcgi', 'lsapi');
  $has = array();
  if (function_exists('apache_get_modules')) {
    foreach ($names as $name) if (in_array('mod_' . $name, apache_get_modules())) $has[] = 'mod_' . $name;
  } else {
    $folders = array('/usr/lib/apache2/modules/', '/usr/lib64/httpd/modules/', '/usr/lib64/apache2/modules/', '/etc/httpd/modules/',
      '/usr/local/apache/modules/', '/usr/local/libexec/apache24/');
    foreach ($names as $name) {
      foreach ($folders as $folder) {
        if (@is_file($folder . 'mod_' . $name . '.so') && !in_array('mod_' . $name, $has)) $has[] = 'mod_' . $name;
      }
    }
  }
  $list = implode(', ', $has);
  if (!$has) $found[] = finding('not checked', 'handlers', 'because the modules of ' . $software . ' cannot be seen from here');
  else if (in_array('mod_fcgid', $has)) $found[] = finding('ok', 'handlers', $software . ' has ' . $list);
  else {
    $found[] = finding('problem', 'handlers', $software . ' has ' . $list . ', and no mod_fcgid',
      'Write to the host\'s support: “Please switch on FastCGI (mod_fcgid) for my site.”' . "\n" .
      (in_array('mod_cgi', $has) || in_array('mod_cgid', $has) ? 'Until then, in the .htaccess: AddHandler cgi-script .fcgi' : ''));
  }
  $free = attempt('disk_free_space', dirname(__FILE__));
  if (is_float($free) && $free < 160 * 1048576) {
    $found[] = finding('problem', 'disk', 'there are ' . round($free / 1048576) . ' MiB left, and the program takes up to 160',
      'Delete what is not needed, or ask the host for more room.');
  }
  return $found;
}

function user() {
  $user = attempt('posix_geteuid');
  return $user === false ? 'unknown' : $user;
}

/* The .htaccess, perhaps under the name that it has for a moment. */
function rules_path($site) {
  foreach (array_merge(array('.htaccess'), array_values($site['otherNames'])) as $name) {
    if (is_file(dirname(__FILE__) . '/' . $name)) return dirname(__FILE__) . '/' . $name;
  }
  foreach ((array) @scandir(dirname(__FILE__)) as $name) {
    if (strtolower($name) === '.htaccess') return dirname(__FILE__) . '/' . $name;
  }
  return null;
}

/* What others could change, although no rule of suexec looks at it. */
function open_to_all($site, $path) {
  $mode = fileperms($path) & 07777;
  if (!($mode & 0002)) return array();
  return array(found($site, 'note', 'rights', 'openToAll', array('path' => $path, 'mode' => decoct($mode)), array(offer_mode($path, 0644))));
}

function look_at_rules($site) {
  $right = dirname(__FILE__) . '/.htaccess';
  $path = rules_path($site);
  if ($path === null) {
    foreach ((array) attempt('glob', dirname(__FILE__) . '/*/.htaccess') as $below) {
      if ($below && preg_match('/^\s*(?:(?:Add|Set)Handler\s+\S*cgi|FcgidWrapper)/im', (string) @file_get_contents($below))) {
        return array(found($site, 'problem', '.htaccess', 'htaccessBelow', array('path' => $right, 'found' => $below)));
      }
    }
    foreach ((array) @scandir(dirname(__FILE__)) as $name) {
      if (substr($name, -10) === '\\.htaccess') {
        return array(found($site, 'problem', '.htaccess', 'backslashes', array('path' => $right, 'found' => $name)));
      }
    }
    return array(found($site, 'problem', '.htaccess', 'noHtaccess', array('path' => $right)));
  }
  $text = @file_get_contents($path);
  if ($text === false) {
    return array(finding('problem', '.htaccess', '"' . $path . '" cannot be read', 'chmod 644 ' . $path, array(offer_mode($path, 0644))));
  }
  $found = array();
  if ($path !== $right) {
    $found[] = found($site, 'problem', '.htaccess', 'otherHtaccess', array('found' => $path, 'path' => $right),
      array(offer_name($path, $right)));
  }
  $mode = fileperms($path) & 07777;
  if (($mode & 0044) === 0) {
    $found[] = finding('problem', '.htaccess', 'the web server may not read "' . $path . '" (mode ' . decoct($mode) . ')',
      'chmod 644 ' . $path, array(offer_mode($path, 0644)));
  }
  if (substr($text, 0, 3) === "\xef\xbb\xbf") $found[] = found($site, 'problem', '.htaccess', 'bom', array('path' => $path));
  if (strpos($text, "\r") !== false) {
    $found[] = preg_match('/\r(?!\n)/', $text) ? found($site, 'problem', '.htaccess', 'oldLines', array('path' => $path))
      : finding('ok', '.htaccess', 'its lines end as on Windows, which Apache reads');
  }
  $missing = array_values(array_diff(rules($site['htaccess']), rules($text)));
  if ($missing) {
    $found[] = finding('problem', '.htaccess', count($missing) . ' of the lines that init wrote are not in "' . $path . '"',
      "They are:\n" . implode("\n", $missing));
  } else $found[] = finding('ok', '.htaccess', '"' . $path . '" has all the lines that init wrote');
  $found = array_merge($found, open_to_all($site, $path));
  if ($path === $right) {
    $found[] = finding('ok', '.htaccess', 'to see whether it is what breaks the site, take it away for a moment', '',
      array(offer_name($right, dirname(__FILE__) . '/htaccess.txt')));
  }
  return $found;
}

/* Lines without comments. */
function rules($text) {
  $lines = array();
  foreach (preg_split('/\r\n|\r|\n/', preg_replace('/^\xef\xbb\xbf/', '', $text)) as $line) {
    $line = trim($line);
    if ($line !== '' && $line[0] !== '#') $lines[] = $line;
  }
  return $lines;
}

/* What a line needs of the host. */
function needs($line) {
  $known = array('/^Options\b/i' => 'AllowOverride Options', '/^AddHandler\s+fcgid/i' => 'mod_fcgid, and AllowOverride FileInfo',
    '/^FcgidWrapper\b/i' => 'mod_fcgid, and AllowOverride FileInfo', '/^CGIPassAuth\b/i' => 'Apache 2.4.13, and AllowOverride AuthConfig',
    '/^Rewrite/i' => 'mod_rewrite, and AllowOverride FileInfo, of Apache 2.4',
    '/^(?:AddHandler|SetHandler|AddType)\b.*php/i' => 'nothing: it is how the host runs PHP');
  $needs = array();
  foreach ($known as $pattern => $what) if (preg_match($pattern, $line)) $needs[] = $what;
  return implode('; ', $needs);
}

function lines($site) {
  $path = rules_path($site);
  $text = $path === null ? false : @file_get_contents($path);
  if ($text === false) return '';
  $own = rules($site['htaccess']);
  /* Neighbours of one kind are one row: the first line, the last, the kind and what is in them. */
  $rows = array();
  $number = 0;
  foreach (preg_split('/\r\n|\r|\n/', preg_replace('/^\xef\xbb\xbf/', '', substr($text, 0, MAX_SHOWN))) as $line) {
    $number++;
    $line = trim($line);
    if ($line === '' || $line[0] === '#') continue;
    $from = in_array($line, $own) ? 'as init wrote it' : 'of somebody else';
    $needs = needs($line);
    $kind = $from . ($needs === '' ? '' : '; needs ' . $needs);
    $last = count($rows) - 1;
    if ($last >= 0 && $rows[$last][2] === $kind) $rows[$last] = array($rows[$last][0], $number, $kind, $rows[$last][3] . '<br>' . h($line));
    else $rows[] = array($number, $number, $kind, h($line));
  }
  $table = '';
  foreach ($rows as $row) {
    $which = $row[0] === $row[1] ? $row[0] : $row[0] . ' to ' . $row[1];
    $table .= '<tr><th scope="row">' . $which . ', ' . $row[2] . '</th><td>' . $row[3] . "</td></tr>\n";
  }
  return "<details>\n<summary>The .htaccess, line by line</summary>\n<p>An error 500 for every page means that the host does not allow one of them: Apache's error log names it.</p>\n" .
    "<table>\n" . $table . "</table>\n</details>\n";
}

function look_at_program($site, $program) {
  $check = 'program file';
  $folder = dirname($program);
  if (is_dir($program)) return array(found($site, 'problem', $check, 'programFolder', array('path' => $program)));
  if (!is_file($program)) {
    $near = array();
    foreach ((array) @scandir($folder) as $name) if (preg_match('/\.f?cgi(?:\.\w+)?$/i', $name)) $near[] = $name;
    $values = array('path' => dirname(__FILE__) . '/.htaccess', 'target' => basename($program));
    if (!$near) return array(found($site, 'problem', $check, 'noProgram', $values));
    $from = $folder . '/' . $near[0];
    $values += array('found' => $near[0], 'from' => $from, 'to' => $program);
    return array(found($site, 'problem', $check, 'otherName', $values, array(offer_name($from, $program))));
  }
  $found = array();
  $mode = fileperms($program) & 07777;
  $folder_mode = fileperms($folder) & 07777;
  $noexec = in_array('noexec', mount_options($program));
  $values = array('path' => $program, 'mode' => decoct($mode), 'folder' => $folder);
  $fix = array(offer_mode($program, 0755));
  if (($mode & 0111) === 0) {
    if (!$noexec) $found[] = found($site, 'problem', $check, 'notExecutable', $values, $fix);
  } else if (($mode & 0055) !== 0055 && ($mode & 0022) === 0) {
    $found[] = finding('note', $check, 'not everybody may execute "' . $program . '" (mode ' . decoct($mode) . '). Without suexec, the web server may not:',
      'chmod 755 ' . $program, $fix);
  }
  if ($mode & 0022) $found[] = found($site, 'problem', $check, 'writable', $values, $fix);
  if ($mode & 06000) {
    $found[] = finding('problem', $check, '"' . $program . '" is setuid or setgid, and suexec refuses it', 'chmod 755 ' . $program, $fix);
  }
  if (($folder_mode & 0022) && !($folder_mode & 01000)) {
    $found[] = found($site, 'problem', $check, 'folderWritable', array('path' => $folder, 'mode' => decoct($folder_mode)),
      array(offer_mode($folder, 0755)));
  }
  if (preg_match('/[\s\\\\%#?]/', $program)) $found[] = found($site, 'problem', $check, 'oddPath', $values);
  if ($noexec) $found[] = found($site, 'problem', $check, 'noexec', $values);
  $owners = array('path' => $program, 'owner' => fileowner($program), 'folderOwner' => fileowner($folder));
  if ($owners['owner'] !== $owners['folderOwner']) $found[] = found($site, 'note', $check, 'otherOwner', $owners);
  else if ($owners['owner'] === 0) {
    $found[] = finding('note', $check, '"' . $program . '" is root\'s, and suexec starts nothing of root', 'Upload it with the account of the site.');
  }
  $name = basename($program);
  if (isset($site['files'][$name])) {
    $compared = compare($site, $program, $site['files'][$name], $check);
    $found[] = $compared;
    if ($compared['state'] === 'problem') return $found;
  }
  return array_merge($found, look_at_format($site, $program, $check));
}

/* Whether a file is as it was before it was uploaded. */
function compare($site, $path, $facts, $check) {
  clearstatcache();
  $size = filesize($path);
  $values = array('path' => $path, 'size' => $size, 'wanted' => $facts['size'], 'count' => abs($size - $facts['size']));
  if ($size === $facts['size']) {
    $same = hash_file('sha256', $path) === $facts['sha256'];
    return $same ? found($site, 'ok', $check, 'asWritten', $values) : found($site, 'problem', $check, 'damaged', $values);
  }
  $lost = $facts['size'] - $size;
  if ($lost > 0 && ($lost === $facts['crlf'] || $lost === $facts['cr'])) return found($site, 'problem', $check, 'asciiLost', $values);
  $more = $size - $facts['size'];
  if ($more > 0 && ($more === $facts['lf'] || $more === $facts['lf'] - $facts['crlf'])) {
    return found($site, 'problem', $check, 'asciiMore', $values);
  }
  if ($lost > 0) return found($site, 'problem', $check, 'notWhole', $values);
  return found($site, 'note', $check, 'otherFile', $values);
}

function look_at_format($site, $path, $check) {
  $head = (string) @file_get_contents($path, false, null, 0, 256);
  if (substr($head, 0, 2) === '#!') {
    $line = strtok($head, "\n");
    if (substr($line, -1) === "\r") return array(found($site, 'problem', $check, 'windowsLines', array('path' => $path)));
    $words = preg_split('/\s+/', trim(substr($line, 2)));
    // Outside of open_basedir nothing is seen.
    if (!attempt('ini_get', 'open_basedir') && !file_exists($words[0])) {
      return array(found($site, 'problem', $check, 'noInterpreter', array('path' => $path, 'interpreter' => $words[0])));
    }
    return array();
  }
  return look_at_elf($site, $path, $head, $check);
}

function look_at_elf($site, $path, $head, $check) {
  if (substr($head, 0, 6) !== "\x7fELF\x02\x01" || strlen($head) < 20) {
    return array(found($site, 'problem', $check, 'unknownFormat', array('path' => $path)));
  }
  $names = array(3 => 'ia32', 40 => 'arm', 62 => 'x64', 183 => 'arm64', 243 => 'riscv64');
  list(, $number) = unpack('v', substr($head, 18, 2));
  $machine = isset($names[$number]) ? $names[$number] : 'number ' . $number;
  $kernel = (string) attempt('php_uname', 'm');
  $own = array('x86_64' => 'x64', 'amd64' => 'x64', 'aarch64' => 'arm64', 'armv7l' => 'arm', 'i686' => 'ia32');
  $here = isset($own[$kernel]) ? $own[$kernel] : $kernel;
  if ($here !== '' && $machine !== $here) {
    return array(found($site, 'problem', $check, 'otherMachine', array('path' => $path, 'machine' => $machine, 'here' => $here)));
  }
  $needs = $site['needs'];
  if (!$needs || $needs['machine'] !== $machine) return array();
  if ($needs['interpreter'] && !attempt('ini_get', 'open_basedir') && !file_exists($needs['interpreter'])) {
    $target = $machine . (strpos($needs['interpreter'], 'musl') === false ? '-musl' : '');
    return array(found($site, 'problem', $check, 'otherLibrary',
      array('path' => $path, 'interpreter' => $needs['interpreter'], 'target' => $target)));
  }
  $glibc = own_glibc();
  if ($needs['glibc'] && $glibc !== '' && version_compare($needs['glibc'], $glibc, '>')) {
    return array(found($site, 'problem', $check, 'olderGlibc', array('path' => $path, 'glibc' => $needs['glibc'], 'here' => $glibc)));
  }
  return array();
}

function own_glibc() {
  $said = (string) attempt('shell_exec', 'getconf GNU_LIBC_VERSION 2>/dev/null');
  return preg_match('/glibc (\d+\.\d+)/', $said, $found) ? $found[1] : '';
}

/* proc_pid_mountinfo(5) */
function mount_options($path) {
  $path = realpath($path);
  $best = '';
  $options = array();
  foreach ((array) @file('/proc/self/mountinfo') as $line) {
    $fields = explode(' ', $line);
    if (count($fields) < 6) continue;
    $point = preg_replace_callback('/\\\\(\d{3})/', 'unescaped', $fields[4]);
    if (strlen($point) < strlen($best)) continue;
    if ($path === $point || strpos($path, rtrim($point, '/') . '/') === 0) {
      $best = $point;
      $options = explode(',', $fields[5]);
    }
  }
  return $options;
}

function unescaped($found) {
  return chr(octdec($found[1]));
}

/* Where the script may have unpacked the program: beside itself, or else in a folder of the user that it ran as. */
function places($program) {
  $folder = dirname($program);
  $places = array($folder);
  foreach (array_unique(array(attempt('posix_geteuid'), fileowner($program))) as $user) {
    $own = '/tmp/runfcgi-' . $user;
    if (is_int($user) && @is_dir($own) && !is_link($own) && fileowner($own) === $user) $places[] = $own . $folder;
  }
  return $places;
}

/* What the script starts: the compressed program, which it unpacks, or the module for Node. */
function look_at_packed($site, $program, $path, $facts) {
  $check = basename($path);
  if (!is_file($path)) {
    $unpacked = false;
    foreach (places($program) as $place) if (attempt('glob', $place . '/.htrunfcgi-*')) $unpacked = true;
    if ($unpacked) return array(finding('note', $check, '"' . $path . '" is not there, but unpacked already', 'Upload it for another version only.'));
    $name = preg_replace('/\.gz$/', '', $path);
    if (is_file($name)) {
      return array(found($site, 'problem', $check, 'unpackedPackage', array('path' => $path, 'found' => $name, 'program' => basename($program))));
    }
    foreach ((array) @scandir(dirname($path)) as $one) {
      if (strtolower($one) === strtolower($check)) {
        return array(finding('problem', $check, '"' . $one . '" is there, and "' . $check . '" is looked for', 'Rename it. Capitals matter.',
          array(offer_name(dirname($path) . '/' . $one, $path))));
      }
    }
    return array(finding('problem', $check, '"' . $path . '" is not there, and "' . basename($program) . '" starts what is in it',
      'Upload it, in binary mode.'));
  }
  $compared = compare($site, $path, $facts, $check);
  if (substr($path, -3) === '.gz') $compared = look_at_package($site, $program, $path, $facts, $compared);
  $found = array_merge(array($compared), open_to_all($site, $path));
  if (($mode = fileperms($path) & 07777) && !($mode & 0400)) {
    $found[] = finding('problem', $check, '"' . $path . '" cannot be read (mode ' . decoct($mode) . ')', 'chmod 644 ' . $path, array(offer_mode($path, 0644)));
  }
  if ($found[0]['state'] !== 'problem' && substr($path, -3) === '.gz' && function_exists('gzopen')) {
    $file = @gzopen($path, 'rb');
    if ($file) {
      $found = array_merge($found, look_at_elf($site, $path, (string) gzread($file, 256), $check));
      gzclose($file);
    }
  }
  return $found;
}

/* Another one than init wrote may be another version; and the script may have refused it, or not have had it yet. */
function look_at_package($site, $program, $path, $facts, $compared) {
  $check = basename($path);
  $values = array('path' => $path, 'size' => filesize($path), 'wanted' => $facts['size']);
  if ($compared['state'] !== 'ok') {
    $whole = is_whole_package($path);
    if ($whole === false && taken_for_text($path)) return found($site, 'problem', $check, 'asText', $values);
    if ($whole === false && $compared['state'] !== 'problem') return found($site, 'problem', $check, 'damagedPackage', $values);
    if (!$whole) return $compared;
    $compared = found($site, 'ok', $check, 'otherVersion', $values);
  }
  $time = filemtime($path);
  $before = false;
  foreach (places($program) as $place) {
    $unpacked = $place . '/.htrunfcgi-program';
    if (!is_file($unpacked)) continue;
    if (filemtime($unpacked) === $time) return $compared;
    $before = true;
  }
  foreach (places($program) as $place) {
    $mark = $place . '/.htrunfcgi.bad';
    if (!is_file($mark) || filemtime($mark) !== $time) continue;
    $values['why'] = trim((string) @file_get_contents($mark, false, null, 0, MAX_SHOWN));
    return found($site, 'problem', $check, 'refused', $values);
  }
  return $before ? found($site, 'note', $check, 'notUnpacked', $values) : $compared;
}

/* Checksum and size of what is in a compressed file, RFC 1952, 2.3.1; null where they cannot be had. */
function package_sums($path) {
  $file = @fopen($path, 'rb');
  if (!$file) return null;
  $head = fread($file, 2);
  fseek($file, -8, SEEK_END);
  $sums = @unpack('Vcrc/Vsize', fread($file, 8));
  fclose($file);
  return $head === "\x1f\x8b" && $sums ? array(sprintf('%08x', $sums['crc']), sprintf('%08x', $sums['size'])) : array('', '');
}

function is_whole_package($path) {
  $sums = package_sums($path);
  if (!$sums || !function_exists('gzopen') || !in_array('crc32b', hash_algos())) return null;
  if ($sums[0] === '' || !($file = @gzopen($path, 'rb'))) return false;
  $hash = hash_init('crc32b');
  $size = 0;
  while (!gzeof($file)) {
    $piece = (string) @gzread($file, 1 << 18);
    if ($piece === '') break;
    hash_update($hash, $piece);
    $size += strlen($piece);
  }
  gzclose($file);
  return array(hash_final($hash), sprintf('%08x', $size & 0xffffffff)) === $sums;
}

/* Whether each line feed has a carriage return before it, or none, which is no chance in so many bytes. */
function taken_for_text($path) {
  $file = @fopen($path, 'rb');
  list($lf, $crlf, $size, $last) = array(0, 0, 0, '');
  while ($file && !feof($file)) {
    $piece = (string) fread($file, 1 << 18);
    if ($piece === '') break;
    $size += strlen($piece);
    $lf += substr_count($piece, "\n");
    $crlf += substr_count($last . $piece, "\r\n");
    $last = substr($piece, -1);
  }
  // What became "\n" leaves the "\r\n" of a "\r\r\n".
  return $lf > 1000 && ($crlf === $lf || $crlf < $lf / 2048 && $size > 1 << 22);
}

/* What the script has unpacked, which it knows by its hash, or as what is in the compressed one of the same time. */
function look_at_unpacked($site, $program) {
  $text = (string) @file_get_contents($program, false, null, 0, 4096);
  if (!preg_match('/^name=([\w.-]+)/m', $text, $name)) return array();
  $package = dirname($program) . '/runfcgi.gz';
  $found = array();
  foreach (places($program) as $place) {
    $path = $place . '/' . $name[1];
    // One that is not executable is unpacked again.
    if (!is_file($path) || !(fileperms($path) & 0100)) continue;
    if (preg_match('/^hash=(\w{64})\r?$/m', $text, $hash)) $whole = hash_file('sha256', $path) === $hash[1];
    else if (!is_file($package) || filemtime($package) !== filemtime($path) || !($sums = package_sums($package)) || $sums[0] === '') continue;
    else $whole = array(hash_file('crc32b', $path), sprintf('%08x', filesize($path) & 0xffffffff)) === $sums;
    if (!$whole) $found[] = found($site, 'problem', 'program file', 'unpackedDamaged', array('path' => $path));
  }
  return $found;
}

function look_at_log($site, $program) {
  $log = own_log($program);
  if (is_writable(file_exists($log) ? $log : dirname($log))) return array();
  return array(found($site, 'note', 'log', 'noLog', array('path' => dirname($program))));
}

function own_log($program) {
  return dirname($program) . '/.ht' . preg_replace('/\.\w+$/', '', basename($program)) . '.log';
}

function look_at_app($site, $program) {
  $base = preg_replace('/\.\w+$/', '', $program);
  $names = array();
  foreach (array($base, dirname($program) . '/app') as $stem) foreach (array('.ts', '.tsx', '.js', '.mjs') as $end) $names[] = $stem . $end;
  foreach ($names as $name) {
    if (!is_file($name)) continue;
    $text = (string) @file_get_contents($name);
    $bom = substr($text, 0, 3) === "\xef\xbb\xbf" ? ' (with a byte order mark, which does no harm)' : '';
    $found = array(finding('ok', 'application', '"' . $name . '" is there' . $bom));
    if (!preg_match('//u', $text) || strpos($text, "\0") !== false) $found[] = found($site, 'note', 'application', 'notUtf8', array('path' => $name));
    return array_merge($found, open_to_all($site, $name));
  }
  foreach ((array) @scandir(dirname($program)) as $file) {
    if (preg_match('/^' . preg_quote(basename($base), '/') . '\.[cm]?([jt]sx?)(?:\.txt)?$/i', $file, $ending)) {
      $to = $base . '.' . str_replace('jsx', 'tsx', strtolower($ending[1]));
      return array(found($site, 'problem', 'application', 'nearApp', array('found' => $file, 'wanted' => basename($to)),
        array(offer_name(dirname($program) . '/' . $file, $to))));
    }
  }
  return array(finding('note', 'application', 'there is none, unless it is inside the program', 'Upload it as ' . basename($base) . '.ts'));
}

/* Starts the program as mod_fcgid does: with a listening socket as its standard input, and nearly no environment. */
function start_program($site) {
  $check = 'start';
  $program = program_path($site);
  if (!is_file($program)) return array(finding('not checked', $check, 'because the program is not there'), '');
  foreach (array('proc_open', 'proc_get_status', 'proc_terminate', 'stream_socket_server', 'stream_socket_client') as $name) {
    if (!function_exists($name)) return array(finding('not checked', $check, 'because this host does not let PHP start programs (' . $name . ')'), '');
  }
  if (!is_executable($program)) return array(finding('not checked', $check, 'because the program is not executable'), '');
  $listener = @stream_socket_server('tcp://127.0.0.1:0', $number, $error);
  if (!$listener) return array(finding('not checked', $check, 'because PHP may not listen here: ' . $error), '');
  $mask = attempt('umask', 077);
  $command = 'exec ' . "'" . str_replace("'", "'\\''", $program) . "'";
  $began = microtime(true);
  $process = @proc_open($command, array($listener, array('pipe', 'w'), array('pipe', 'w')), $pipes, dirname($program),
    array('PATH' => '/usr/local/bin:/usr/bin:/bin'));
  if ($mask !== false) attempt('umask', $mask);
  if (!is_resource($process)) return array(finding('not checked', $check, 'because PHP may not start programs here'), '');
  foreach ($pipes as $pipe) stream_set_blocking($pipe, false);
  $output = $answer = $said = '';
  $ending = null;
  $client = @stream_socket_client('tcp://' . stream_socket_get_name($listener, false), $number, $error, 2);
  if ($client) {
    fwrite($client, fcgi_request());
    stream_set_blocking($client, false);
  }
  $deadline = $began + START_SECONDS;
  $complete = false;
  while (!$complete && $ending === null && microtime(true) < $deadline) {
    $read = array_filter(array($client, $pipes[1], $pipes[2]), 'is_open');
    $write = null;
    $except = null;
    if (!$read || !@stream_select($read, $write, $except, 0, 100000)) $read = array();
    foreach ($read as $stream) {
      $piece = (string) fread($stream, 8192);
      if ($stream === $client) $answer .= $piece;
      else if (strlen($output) < MAX_SHOWN) $output .= $piece;
    }
    list($complete, $status, $said) = fcgi_answer($answer);
    if (!$complete) $ending = ending($process);
  }
  $took = round((microtime(true) - $began) * 1000);
  if ($ending === null) stop($process);
  foreach (array($pipes[1], $pipes[2]) as $pipe) $output .= substr((string) stream_get_contents($pipe), 0, MAX_SHOWN);
  foreach ($pipes as $pipe) fclose($pipe);
  proc_close($process);
  $output = $said . ($said === '' || substr($said, -1) === "\n" ? '' : "\n") . $output;
  if ($complete) return array(found($site, $status < 500 ? 'ok' : 'problem', $check, 'answered', array('status' => $status, 'took' => $took)), $output);
  if ($ending !== null) return array(found($site, 'problem', $check, 'ended', array('ending' => $ending)), $output);
  return array(found($site, 'problem', $check, 'noAnswer', array('seconds' => START_SECONDS)), $output);
}

function is_open($stream) {
  return is_resource($stream) && !feof($stream);
}

/* How a process ended, null while it runs. */
function ending($process) {
  $state = proc_get_status($process);
  if ($state['running']) return null;
  return $state['signaled'] ? 'by the signal ' . $state['termsig'] : 'with the status ' . $state['exitcode'];
}

function stop($process) {
  proc_terminate($process, 15);
  for ($i = 0; $i < 150; $i++) {
    if (ending($process) !== null) return;
    usleep(20000);
  }
  proc_terminate($process, 9);
}

/* FastCGI 1.0: BEGIN_REQUEST, PARAMS and STDIN. */
function fcgi_request() {
  $params = array('GATEWAY_INTERFACE' => 'CGI/1.1', 'REQUEST_METHOD' => 'GET', 'REQUEST_URI' => '/', 'SCRIPT_NAME' => '', 'PATH_INFO' => '/',
    'QUERY_STRING' => '', 'SERVER_PROTOCOL' => 'HTTP/1.1', 'SERVER_NAME' => 'localhost', 'SERVER_PORT' => '80', 'HTTP_HOST' => 'localhost',
    'REMOTE_ADDR' => '127.0.0.1', 'HTTP_USER_AGENT' => 'runfcgi doctor');
  $text = '';
  foreach ($params as $name => $value) $text .= chr(strlen($name)) . chr(strlen($value)) . $name . $value;
  return fcgi_record(1, pack('nC', 1, 0) . "\0\0\0\0\0") . fcgi_record(4, $text) . fcgi_record(4, '') . fcgi_record(5, '');
}

function fcgi_record($type, $content) {
  return pack('CCnnCC', 1, $type, 1, strlen($content), 0, 0) . $content;
}

/* Whether it is complete, its status, and what came on STDERR. */
function fcgi_answer($bytes) {
  $out = '';
  $said = '';
  $at = 0;
  $complete = false;
  while (strlen($bytes) >= $at + 8) {
    $head = unpack('Cversion/Ctype/nid/nlength/Cpadding', substr($bytes, $at, 7));
    if (strlen($bytes) < $at + 8 + $head['length']) break;
    $content = (string) substr($bytes, $at + 8, $head['length']);
    if ($head['type'] === 6) $out .= $content;
    if ($head['type'] === 7) $said .= $content;
    if ($head['type'] === 3) $complete = true;
    $at += 8 + $head['length'] + $head['padding'];
  }
  return array($complete, preg_match('/^Status: *(\d{3})/im', substr($out, 0, (int) strpos($out, "\r\n\r\n")), $found) ? (int) $found[1] : 200, $said);
}

/* Asks the site as a visitor does: only the program knows the answer to one path, and another program may have the first page. */
function ask_site($site) {
  $check = 'web server';
  $host = isset($_SERVER['HTTP_HOST']) ? $_SERVER['HTTP_HOST'] : '';
  if (!preg_match('/^(?:[\w.-]+|\[[\da-f:]+\])(?::\d+)?$/i', $host)) return array(finding('not checked', $check, 'because the host is not known'));
  $nonce = md5(uniqid('', true) . mt_rand());
  $path = preg_replace('/[^\/]*$/', '', $_SERVER['SCRIPT_NAME']);
  $shown = (is_https() ? 'https' : 'http') . '://' . $host . $path;
  list($text, $error) = ask($host, $path . 'runfcgi-doctor/' . $nonce);
  if ($text === null) return array(finding('not checked', $check, 'because the host does not let PHP ask ' . $shown . ($error === '' ? '' : ': ' . $error)));
  $own = strpos($text, 'runfcgi ' . hash('sha256', 'runfcgi ' . $nonce)) !== false;
  if (!$own && !preg_match('/^HTTP\/[\d.]+ (\d{3})/', $text)) return array(finding('not checked', $check, 'because ' . $shown . ' does not answer PHP'));
  $found = array($own ? finding('ok', $check, $shown . ' is answered by the program') : stranger($site, $check, $shown, $text));
  if (isset($_SERVER['HTTP_CF_RAY']) || preg_match('/^CF-RAY:/im', $text)) $found[] = found($site, 'note', 'Cloudflare', 'cloudflare', array());
  if ($own) {
    list($first) = ask($host, $path);
    if (preg_match('/^HTTP\/[\d.]+ ([123]\d\d).*?^X-Powered-By: *(\S*PHP\S*)/ims', head((string) $first), $said)) {
      $found[] = found($site, 'note', $check, 'byPhp', array('url' => $shown, 'status' => $said[1], 'powered' => $said[2]));
    }
  }
  return $found;
}

/* Who has answered in the place of the program. */
function stranger($site, $check, $shown, $text) {
  $status = substr($text, strpos($text, ' ') + 1, 3);
  $words = array('401' => 'protectedByPassword', '500' => 'apache500', '403' => 'apache403', '404' => 'notLed');
  $word = isset($words[$status]) ? $words[$status] : 'stranger';
  foreach ($site['signs'] as $other => $sign) {
    $speaks = $other !== 'maintenance' || $status === '503' ? $sign : '<title>[^<]*(?:' . $sign . ')';
    if (preg_match('~' . $speaks . '~i', $text)) $word = $other;
  }
  if ($status === '503' && preg_match('/^Retry-After:/im', head($text))) $word = 'maintenance';
  $line = $word === 'notLed' ? rewriting_before() : '';
  if ($line !== '') $word = 'rewrittenBefore';
  $by = preg_match('/The requested URL.*was not found on this server/s', $text) ? 'Apache' : 'somebody else';
  return found($site, 'problem', $check, $word, array('url' => $shown, 'status' => $status, 'by' => $by, 'line' => $line));
}

/* A line of the .htaccess that leads elsewhere before those of the program, and not by a redirect. */
function rewriting_before() {
  $before = '';
  foreach (rules((string) @file_get_contents(dirname(__FILE__) . '/.htaccess')) as $line) {
    if (preg_match('/^RewriteRule\s+"?\^[\w-]+\\\\\.fcgi\b/', $line)) return $before;
    $leads = '/^RewriteRule\s+(?:"[^"]*"|\S+)\s+(?!-(?:\s|$)|"?https?:|.*[[,]R(?:=\w+)?[,\]])/i';
    if ($before === '' && preg_match($leads, $line)) $before = $line;
  }
  return '';
}

function head($text) {
  return substr($text, 0, (int) strpos($text . "\r\n\r\n", "\r\n\r\n"));
}

/* An answer as it comes, or null and why there is none. */
function ask($host, $path) {
  if (!function_exists('stream_socket_client')) return array(null, '');
  $port = preg_match('/:\d+$/', $host) ? '' : (is_https() ? ':443' : ':80');
  $context = stream_context_create(array('ssl' => array('verify_peer' => false, 'verify_peer_name' => false)));
  $stream = @stream_socket_client((is_https() ? 'ssl://' : 'tcp://') . $host . $port, $number, $error, 5, STREAM_CLIENT_CONNECT, $context);
  if (!$stream) return array(null, (string) $error);
  stream_set_timeout($stream, ASK_SECONDS);
  $authorization = isset($_SERVER['PHP_AUTH_USER'], $_SERVER['PHP_AUTH_PW'])
    ? 'Authorization: Basic ' . base64_encode($_SERVER['PHP_AUTH_USER'] . ':' . $_SERVER['PHP_AUTH_PW']) . "\r\n" : '';
  fwrite($stream, 'GET ' . str_replace(' ', '%20', $path) . " HTTP/1.1\r\nHost: " . $host . "\r\n" . $authorization . "Connection: close\r\n\r\n");
  $text = (string) stream_get_contents($stream, 65536);
  fclose($stream);
  return array($text, '');
}

function logs($site) {
  $program = program_path($site);
  $own = own_log($program);
  $places = array_merge(array($own, dirname(__FILE__) . '/error_log', attempt('ini_get', 'error_log')),
    (array) attempt('glob', dirname(dirname(__FILE__)) . '/logs/*err*'), (array) attempt('glob', dirname(dirname(__FILE__)) . '/log/*err*'));
  $text = '';
  $seen = array();
  foreach ($places as $place) {
    if (!$place || in_array($place, $seen) || !@is_file($place) || !is_readable($place) || count($seen) >= 5) continue;
    $seen[] = $place;
    $size = filesize($place);
    $tail = (string) @file_get_contents($place, false, null, max(0, $size - MAX_SHOWN));
    $text .= '<h2>' . h($place) . "</h2>\n<pre class=\"log\" tabindex=\"0\">" . ($tail === '' ? '(empty)' : h($tail)) . "</pre>\n";
  }
  return $text === '' ? "<h2>Logs</h2>\n<p>There is no " . h($own) . ", and no other log that PHP may read.</p>\n" : $text;
}
