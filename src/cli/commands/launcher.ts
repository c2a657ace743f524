/**
 * The short scripts that stand for the program on shared hosting. For the compiled one, half as much is uploaded, and it
 * starts under any limit, since Bun reads from its environment how little it may take. For the host's Node, a third of
 * a megabyte is.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { UNPACKED } from "../../app/program_file.ts";
import { FEW_PROCESSES, frugalVariables, onePoolThread, VERY_FEW_PROCESSES } from "../../runtime/frugal.ts";

/** The compressed program beside the script. */
export const PACKED = "runfcgi.gz";
/** Inode, size and time of a compressed program that is known to be damaged. */
const BAD = ".htrunfcgi.bad";
/** The script for Node in the npm package. */
export const NODE_PROGRAM = "runfcgi-node.fcgi";

/** Bytes of a log that the scripts add nothing to. */
const FULL_LOG = 2 ** 20;

/** Base64 digits on a line. */
const LINE_LENGTH = 128;

/**
 * What the scripts have in common: the program is unpacked once, by its user, and under a name that says what is in it.
 *
 * @param program what is unpacked
 * @param ending of the program's name
 * @param unwritable what to do where nothing can be written
 * @param make commands that make `$new`, or fail with what to say
 */
function unpacking(program: Uint8Array, ending: string, unwritable: string, make: string): string {
  const hash = createHash("sha256").update(program).digest("hex");
  return `hash=${hash}
case $0 in */*) dir=\${0%/*} ;; *) dir=. ;; esac
name=${UNPACKED}${hash.slice(0, 12)}${ending}
program=$dir/$name

fail() {
  echo "$0: $1" >&2
  # Started by a web server, whose own log is not everybody's to see.
  if [ -S /proc/self/fd/0 ]; then
    file=\${0##*/}
    log=$dir/.ht\${file%.*}.log
    full=$(stat -c %s "$log" 2> /dev/null) || full=0
    [ "$full" -ge ${FULL_LOG} ] ||
      (umask 077 && echo "[$(date -u '+%Y-%m-%d %H:%M:%S')] \${file}[$$] $1" >> "$log") 2> /dev/null
  fi
  exit 1
}

# In a folder of our own where this one cannot be written to.
elsewhere() {
  while read -r what uid _; do [ "$what" != Uid: ] || break; done < /proc/self/status
  folder=\${TMPDIR:-/tmp}/runfcgi-$uid
  mkdir -m 700 "$folder" 2> /dev/null
  [ -d "$folder" ] && [ -O "$folder" ] && [ ! -L "$folder" ] ||
    fail "neither $dir nor $folder can be written to: ${unwritable}"
  program=$folder/$name
}

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
${make}
    chmod 755 "$new" && mv -f "$new" "$program" || fail "$program cannot be made"
    for old in "$dir"/${UNPACKED}*; do [ "$old" = "$dir/$name" ] || [ -d "$old" ] || rm -f "$old"; done
  fi
  rmdir "$program.lock"
  trap - EXIT
}
`;
}

/** Unpacks the program where it is not there yet. Where it is, the shell starts no other process: the host may allow none. */
const unpacked = `[ -x "$program" ] || [ -w "$dir" ] || elsewhere
[ -x "$program" ] || unpack
`;

/** The script that starts the compressed program beside it, which is this one. */
export function launcherText(program: Uint8Array): string {
  const variables = Object.entries(frugalVariables).map(([name, value]) =>
    name in onePoolThread ? `${name}=$pool` : `${name}=${value}`
  )
    .join(" ");
  const make = `    packed=$dir/${PACKED} bad=\${program%/*}/${BAD}
    # Visitors of a site whose upload went wrong do not unpack it each time.
    id=$(stat -c '%i %s %z' "$packed" 2> /dev/null) && read -r known 2> /dev/null < "$bad" && [ "$id" = "$known" ] &&
      fail "$packed is not whole, or not of the same version as this file: upload both again, in binary mode"
    gzip -dc < "$packed" > "$new" || {
      gzip -t < "$packed" 2> /dev/null || [ -z "$id" ] || echo "$id" > "$bad"
      fail "$packed is not there or not whole, or the disk is full: upload it again, in binary mode"
    }
    sum=$(sha256sum < "$new" 2> /dev/null) || sum=$hash
    [ "\${sum%% *}" = "$hash" ] || {
      [ -z "$id" ] || echo "$id" > "$bad"
      fail "$packed is not of the same version as this file: upload both again, in binary mode"
    }
    rm -f "$bad"`;
  return `#!/bin/sh
# Starts the program that is compressed in ${PACKED}. It is unpacked once, and again when another one is uploaded:
# first ${PACKED}, and then this file, both in binary mode.
${unpacking(program, "", "upload the program as one file, as init single=true makes it", make)}
${unpacked}
pool=2
few() {
  while read -r one two three four rest; do
    case "$one $two $three" in
      "Max address space") [ "$four" = unlimited ] || [ "$four" -ge 4294967296 ] || return 0 ;;
      "Max processes "*)
        [ "$three" = unlimited ] || [ "$three" -ge ${FEW_PROCESSES} ] || {
          [ "$three" -ge ${VERY_FEW_PROCESSES} ] || pool=1
          return 0
        } ;;
    esac
  done < /proc/self/limits
  return 1
}
if few 2> /dev/null; then
  export ${variables}
fi
export RUNFCGI_FILE="$0"
exec "$program" "$@"
`;
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
  const make = `    # While it grows it is being uploaded.
    size=
    until [ "$(tail -n 1 "$0" | tr -d '\\r')" = "${NODE_END}" ]; do
      before=$size
      size=$(wc -c < "$0") && [ "$size" != "$before" ] || fail "it is not whole: upload it again"
      sleep 1
    done
    why=$("$node" -e '${takingOut}' "$0" "$new" "$hash") || fail "\${why:-$node cannot unpack it}"`;
  return `#!/bin/sh
# All of runfcgi, for a host that has Node 24.2 or newer, which unpacks it once. Another version is another such file.
# To use a certain Node, write its path here, such as /home/me/node/bin/node:
node=

# A web server may give neither.
PATH=\${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin
[ -n "$HOME" ] || HOME=$(getent passwd "$(id -u)" 2> /dev/null | cut -d: -f6)

${unpacking(module, ".mjs", "make one of them writable for the user that the program runs as", make)}
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

${unpacked}
export RUNFCGI_FILE="$0" HOME
exec "$node" "$program" "$@"

# In base64:
${packed.replaceAll(new RegExp(`.{1,${LINE_LENGTH}}`, "g"), "$&\n")}${NODE_END}
`;
}
