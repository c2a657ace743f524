<?php
// What is tested of every program, in PHP.
$path = substr(parse_url($_SERVER["REQUEST_URI"], PHP_URL_PATH), strlen($_SERVER["HTTP_X_FORWARDED_PREFIX"] ?? ""));
$mark = fn(string $id) => sys_get_temp_dir() . "/runfcgi-event-" . bin2hex($id);
header("Content-Type: text/html; charset=utf-8");
switch ($path) {
  case "":
  case "/":
    echo "<h1>Hello</h1>";
    break;
  case "/visits":
    $visits = (string) (($_COOKIE["visits"] ?? 0) + 1);
    setcookie("visits", $visits);
    echo $visits;
    break;
  case "/form":
    echo json_encode($_POST);
    break;
  case "/upload":
    ["name" => $name, "tmp_name" => $file, "size" => $size] = $_FILES["file"];
    $last = ord(file_get_contents($file, false, null, $size - 1));
    echo json_encode(["title" => $_POST["title"], "name" => $name, "size" => $size, "last" => $last]);
    break;
  case "/old":
    header("Location: /new?a=1", true, 302);
    break;
  case "/throw":
    throw new Exception("thrown for a test");
  case "/events":
    if (isset($_GET["seen"])) {
      touch($mark($_GET["seen"]));
      echo "seen";
      break;
    }
    header("Content-Type: text/event-stream");
    echo "data: first\n\n";
    flush();
    for ($seen = $mark($_GET["id"]); !file_exists($seen); clearstatcache()) usleep(10000);
    unlink($seen);
    echo "data: second\n\n";
    break;
  default:
    http_response_code(404);
}
