/**
 * The short scripts that stand for the program on shared hosting. For the compiled one, half as much is uploaded, and it
 * starts under any limit, since Bun reads from its environment how little it may take. For the host's Node, a third of
 * a megabyte is.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { PACKED, REFUSED, UNPACKED, UNPACKED_PROGRAM } from "../../app/program_file.ts";
import { FEW_PROCESSES, frugalVariables, onePoolThread, VERY_FEW_PROCESSES } from "../../runtime/frugal.ts";

/** The script for Node in the npm package. */
export const NODE_PROGRAM = "runfcgi-node.fcgi";

/** Bytes of a log that the scripts add nothing to. */
const FULL_LOG = 2 ** 20;
/** Has the number of the process that unpacks the program, and the folder that it does it in. */
const LOCK = ".htrunfcgi.lock";
const WORK = ".htrunfcgi.new.";
/** Seconds to wait for it. */
const LOCK_SECONDS = 60;
/** Processes and threads that it needs at once. */
const NEEDED_TASKS = 6;
/** Seconds for which an upload under way writes nothing: where another program goes on, and where a visitor waits for it. */
const QUIET_SECONDS = 10;
const SHORT_QUIET_SECONDS = 3;
/** Seconds that a visitor waits for the rest of the first upload. */
const UPLOAD_SECONDS = 20;
/** Seconds after which what could not be started is tried again where there is no other program. */
const RETRY_SECONDS = 60;
/** Seconds for what was unpacked to say its version. */
const START_SECONDS = 20;

/** Bytes that such a script never has. */
const MAX_LAUNCHER = 65_536;

/** Base64 digits on a line. */
const LINE_LENGTH = 128;

/**
 * What the scripts have in common: their folder, one of their user's own, and what they say.
 *
 * @param name of what is unpacked
 */
const common = (name: string) =>
  `case $0 in */*) dir=\${0%/*} ;; *) dir=. ;; esac
name=${name}
place=$dir

# A web server may give none, and what starts again in its place has it already.
case $PATH in
  */usr/local/bin:/usr/bin:/bin) ;;
  *) PATH=\${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin ;;
esac

say() {
  echo "$0: $1" >&2
  # Started by a web server, whose own log is not everybody's to see.
  if [ -S /proc/self/fd/0 ]; then
    file=\${0##*/}
    log=$dir/.ht\${file%.*}.log
    full=$(stat -c %s "$log" 2> /dev/null) || full=0
    [ "$full" -ge ${FULL_LOG} ] ||
      (umask 077 && echo "[$(date -u '+%Y-%m-%d %H:%M:%S')] \${file}[$$] $1" >> "$log") 2> /dev/null
  fi
}

fail() {
  say "$1"
  exit 1
}

# Where the folder cannot be written to: one for it in a folder of our own.
elsewhere() {
  while read -r what uid _; do [ "$what" != Uid: ] || break; done < /proc/self/status
  folder=\${TMPDIR:-/tmp}/runfcgi-$uid
  [ -d "$folder" ] || mkdir -m 700 "$folder" 2> /dev/null
  [ -d "$folder" ] && [ -O "$folder" ] && [ ! -L "$folder" ] || return 1
  case $dir in
    /*) place=$folder$dir ;;
    .) place=$folder$PWD ;;
    *) place=$folder$PWD/$dir ;;
  esac
  [ -d "$place" ] || mkdir -p "$place"
}
`;

/** Sets what Bun takes less by, where the host allows little. */
function limits(): string {
  const variables = Object.entries(frugalVariables).map(([name, value]) =>
    name in onePoolThread ? `${name}=$pool` : `${name}=${value}`
  )
    .join(" ");
  return `pool=2 tasks=
few() {
  while read -r one two three four rest; do
    case "$one $two $three" in
      # The last of the two: each byte that is read is a call.
      "Max address space")
        [ "$four" != unlimited ] && [ "$four" -lt 4294967296 ]
        return ;;
      "Max processes "*)
        [ "$three" = unlimited ] || [ "$three" -ge ${FEW_PROCESSES} ] || {
          tasks=$three
          [ "$three" -ge ${VERY_FEW_PROCESSES} ] || pool=1
          return 0
        } ;;
    esac
  done < /proc/self/limits
  return 1
}
if few 2> /dev/null; then
  export ${variables}
fi`;
}

/**
 * The script that starts the compressed program beside it. It knows what it has unpacked by the time of the compressed one,
 * which the shell compares itself: where nothing has changed, no other process is started, since the host may allow none.
 */
export function launcherText(): string {
  return `#!/bin/sh
# Starts the program that is compressed in ${PACKED}, and unpacks it before if it is another one. To have another version,
# upload it as ${PACKED}, in binary mode: until all of it is there and starts, the one before goes on.
${common(UNPACKED_PROGRAM)}
packed=$dir/${PACKED}

# Whether a file has the time of what was uploaded, and so is what became of it.
stands() { [ -e "$1" ] && [ ! "$packed" -nt "$1" ] && [ ! "$packed" -ot "$1" ]; }
current() { [ -x "$place/$name" ] && { [ ! -r "$packed" ] || stands "$place/$name" || stands "$place/${REFUSED}"; }; }

${limits()}

# Seconds since a time (%Y of the contents, %Z of all else) of a file.
age() { now=$(date +%s) && since=$(stat -c "$1" "$2" 2> /dev/null) && age=$((now - since)); }
# Nobody has written to it for some seconds, as far as its time tells; one of the future tells nothing.
quiet() { ! age %Y "$packed" || [ "$age" -lt 0 ] || [ "$age" -ge "$1" ]; }

# Whether the host allows the processes for it. They are counted without another one.
room() {
  [ -n "$tasks" ] || return 0
  used=0
  for task in /proc/[0-9]*/task/*; do [ ! -O "$task" ] || used=$((used + 1)); done
  [ $((tasks - used)) -ge ${NEEDED_TASKS} ]
}

# Only one unpacks it, and the others need no other process to see that.
take() {
  set -C
  { true > "$lock"; } 2> /dev/null && own=yes
  set +C
  if [ -z "$own" ]; then
    pid=
    { read -r pid < "$lock"; } 2> /dev/null
    # Whether who had it has ended. Nothing is in it for a moment, and where the disk is full.
    if [ -n "$pid" ]; then [ ! -d "/proc/$pid" ]; else age %Y "$lock" && [ "$age" -ge ${LOCK_SECONDS} ]; fi || return
    own=yes
  fi
  { echo $$ > "$lock" || true; } 2> /dev/null
}

# Whether a file can be started: a shell would take a program for another machine for a script.
starts() {
  # Where few processes are allowed it is not tried without need.
  [ -z "$tasks" ] || [ -x "$program" ] || return 0
  case $(od -An -tx1 -N4 "$1") in
    " 7f 45 4c 46")
      [ "$(od -An -tx1 -j18 -N2 "$1")" = "$(od -An -tx1 -j18 -N2 /proc/self/exe)" ] ||
        { said="it is for another kind of machine" && return 1; } ;;
    " 23 21 "*) ;;
    *) said="it is no program" && return 1 ;;
  esac
  limit=
  ! command -v timeout > /dev/null || limit="timeout ${START_SECONDS}"
  said=$($limit "$1" version 2>&1 < /dev/null)
  # It could not have another process.
  [ $? -ne 125 ] || again=yes
  case $said in "runfcgi "*) return 0 ;; esac
  said=\${said%%"
"*}
  said=\${said:-it says nothing}
  return 1
}

# Makes the program, or says why not.
make() {
  lack="$packed cannot be unpacked: the disk is full, or the account's quota"
  if [ ! -e "$packed" ]; then
    why="$packed is not there: upload it, in binary mode"
  elif [ ! -r "$packed" ]; then
    why="$packed cannot be read: give it the mode 644"
  elif ! command -v gzip > /dev/null; then
    why="there is no gzip here: upload the program as one file, as init single=true makes it"
  elif ! touch -r "$packed" "$work/time" 2> /dev/null; then
    why=$lack
  else
    # Where a file system keeps less of a time than it gives, or it is uploaded just now.
    stands "$work/time" || touch -r "$work/time" "$packed" 2> /dev/null
    unpack
    return
  fi
  return 1
}

unpack() {
  if gzip -dc < "$packed" > "$work/program" 2> /dev/null; then
    chmod 755 "$work/program"
    starts "$work/program" || { why="what is in $packed cannot be started here: $said" && return 1; }
    if touch -r "$work/time" "$work/program" && mv -f "$work/program" "$place/$name"; then
      rm -f "$refused"
      for old in "$place"/${UNPACKED}* "$place"/${WORK}*; do
        [ "$old" = "$place/$name" ] || [ "$old" = "$work" ] || rm -rf "$old"
      done
      return 0
    fi
    why="$place/$name cannot be made"
  elif gzip -t < "$packed" 2> /dev/null; then
    why=$lack
  else
    why="$packed is not whole: upload it again, in binary mode"
  fi
  return 1
}

# Whether the rest of an upload has come. Where there is no other program, the visitor waits for it.
rest() {
  [ ! -x "$program" ] && ! quiet ${SHORT_QUIET_SECONDS} || return 1
  tries=0
  until quiet ${SHORT_QUIET_SECONDS}; do
    tries=$((tries + 1))
    [ "$tries" -lt ${UPLOAD_SECONDS} ] || return 1
    sleep 1
  done
}

# Is not tried again, until it is another one.
refuse() {
  if [ -z "$again" ] && quiet ${SHORT_QUIET_SECONDS} && stands "$work/time"; then
    { echo "$why" > "$refused" && touch -r "$work/time" "$refused"; } 2> /dev/null
  fi
  [ -x "$program" ] || fail "$why"
  [ -n "$again" ] || say "$why; the program before goes on"
}

update() {
  lock=$place/${LOCK} work=$place/${WORK}$$ refused=$place/${REFUSED} own="" again=""
  trap 'trap - EXIT; [ -z "$own" ] || rm -rf "$work" "$lock"; exit 1' TERM INT HUP
  if [ -x "$program" ]; then
    room || return
    # Whatever goes wrong, even if no other process can be had.
    trap '[ -z "$own" ] || echo 0 > "$lock"; exec "$program" "$@"' EXIT
  elif stands "$refused" && age %Z "$refused" && [ "$age" -lt ${RETRY_SECONDS} ]; then
    read -r why < "$refused"
    fail "$why"
  fi
  tries=0
  until take; do
    [ ! -x "$program" ] || return
    tries=$((tries + 1))
    [ "$tries" -lt ${LOCK_SECONDS} ] || fail "another process does not finish to unpack $packed: delete $lock"
    [ -e "$lock" ] || [ "$tries" -lt 5 ] || fail "$lock cannot be made: the disk is full, or the account's quota"
    sleep 1
    [ ! -x "$place/$name" ] || return
  done
  [ -x "$program" ] || trap 'rm -rf "$work" "$lock"' EXIT
  if ! current && { [ ! -x "$program" ] || quiet ${QUIET_SECONDS}; }; then
    mkdir "$work" 2> /dev/null
    make || { rest && make; } || current || refuse
  fi
  rm -rf "$work" "$lock"
}

export RUNFCGI_FILE="$0"
program=$place/$name
if ! current; then
  [ -w "$dir" ] || elsewhere || [ -x "$program" ] ||
    fail "neither $dir nor $folder can be written to: upload the program as one file, as init single=true makes it"
  [ ! -x "$place/$name" ] || program=$place/$name
  current || update
  [ ! -x "$place/$name" ] || program=$place/$name
fi
exec "$program" "$@"
`;
}

/** Whether a file is such a script that knows by its hash what it is to unpack, as `init` once wrote it. */
export function isOlderLauncher(file: string): boolean {
  if (!existsSync(file) || statSync(file).size > MAX_LAUNCHER) return false;
  const text = readFileSync(file, "latin1");
  return /^# Starts the program that is compressed in /m.test(text) && /^hash=\w{64}\r?$/m.test(text);
}

/** The last line of the script for Node, by which it knows that all of it has been uploaded. */
const NODE_END = "# The end of runfcgi.";

/** Takes the module out of the script. Carriage returns, which FTP programs may add, are no part of base64. */
const takingOut = `const { readFileSync, writeFileSync } = require("fs"), [, from, to, hash] = process.argv;
      const take = () => {
        const [, digits] = readFileSync(from, "latin1").split(/^# In base64:\\r?$/m);
        const module = require("zlib").brotliDecompressSync(Buffer.from(digits.replace(/^#.*/m, ""), "base64"));
        const sum = require("crypto").createHash("sha256").update(module).digest("hex");
        return sum === hash ? module : undefined;
      };
      let module;
      try { module = take(); } catch {}
      try {
        if (module === undefined) throw new Error("it is not whole: upload it again");
        writeFileSync(to, module, { flag: "wx" });
      } catch (error) {
        console.log(error.message);
        process.exit(1);
      }`;

/**
 * The script that has all of the program in it, for the host's Node, which it finds: their paths name the version.
 *
 * @param module what is in it
 * @param packed the same, compressed by Brotli, in base64
 */
export function nodeLauncherText(module: Uint8Array, packed: string): string {
  const hash = createHash("sha256").update(module).digest("hex");
  return `#!/bin/sh
# All of runfcgi, for a host that has Node 24.2 or newer, which unpacks it once. Another version is another such file.
# To use a certain Node, write its path here, such as /home/me/node/bin/node:
node=

hash=${hash}
${common(`${UNPACKED}${hash.slice(0, 12)}.mjs`)}
# Once, by who comes first, and under a name that says what is in it.
unpack() {
  tries=0
  until mkdir "$program.lock" 2> /dev/null; do
    [ ! -x "$program" ] || return 0
    tries=$((tries + 1))
    # Who held it has ended.
    [ "$tries" -lt 30 ] || { rmdir "$program.lock"; tries=0; }
    sleep 1
  done
  new=$program.new.$$
  trap 'rm -rf "$new" "$program.lock"' EXIT
  if [ ! -x "$program" ]; then
    # While it grows it is being uploaded.
    size=
    until [ "$(tail -n 1 "$0" | tr -d '\\r')" = "${NODE_END}" ]; do
      before=$size
      size=$(wc -c < "$0") && [ "$size" != "$before" ] || fail "it is not whole: upload it again"
      sleep 1
    done
    why=$("$node" -e '${takingOut}' "$0" "$new" "$hash") || fail "\${why:-$node cannot unpack it}"
    chmod 755 "$new" && mv -f "$new" "$program" || fail "$program cannot be made"
    for old in "$dir"/${UNPACKED}*; do [ "$old" = "$dir/$name" ] || [ -d "$old" ] || rm -f "$old"; done
  fi
  rmdir "$program.lock"
  trap - EXIT
}

# A web server may give none.
[ -n "$HOME" ] || HOME=$(getent passwd "$(id -u)" 2> /dev/null | cut -d: -f6)

older=
fits() {
  [ -x "$1" ] && version=$("$1" --version 2> /dev/null) || return 1
  major=\${version#v} minor=\${version#*.}
  major=\${major%%.*} minor=\${minor%%.*}
  { [ "$major" -gt 24 ] || { [ "$major" -eq 24 ] && [ "$minor" -ge 2 ]; }; } 2> /dev/null && return
  older="$older\${older:+;} $1 is $version"
  return 1
}

# The path itself; then cPanel, CloudLinux, Plesk, the applications of CloudLinux, and nvm.
find_node() {
  node=$(command -v node) && fits "$node" && return
  for v in '2[4-9]' '[3-9][0-9]'; do
    for node in /opt/cpanel/ea-nodejs$v/bin/node /opt/alt/alt-nodejs$v/root/usr/bin/node /opt/plesk/node/$v/bin/node \\
      "$HOME"/nodevenv/*/$v/bin/node "$HOME"/nodevenv/*/*/$v/bin/node "$HOME"/.nvm/versions/node/v$v.*/bin/node; do
      fits "$node" && return
    done
  done
  return 1
}

if [ -z "$node" ]; then
  find_node || fail "there is no Node 24.2 or newer on the PATH, in /opt/cpanel, /opt/alt, /opt/plesk/node, \
~/nodevenv or ~/.nvm\${older:+ (\${older# })}: have the host's panel install Node 24, write the path of one into this file, \
or use the program that needs none (init without node=true)"
else
  fits "$node" || fail "node=$node in this file is no Node 24.2 or newer"
fi

program=$dir/$name
[ -x "$program" ] || [ -w "$dir" ] || elsewhere ||
  fail "neither $dir nor $folder can be written to: make one of them writable for the user that the program runs as"
program=$place/$name
[ -x "$program" ] || unpack
export RUNFCGI_FILE="$0" HOME
exec "$node" "$program" "$@"

# In base64:
${packed.replaceAll(new RegExp(`.{1,${LINE_LENGTH}}`, "g"), "$&\n")}${NODE_END}
`;
}
