/**
 * The short scripts that stand for the program on shared hosting. For the compiled one, half as much is uploaded, and it
 * starts under any limit, since Bun reads from its environment how little it may take. For the host's Node, one
 * megabyte is.
 *
 * @module
 */
import { NODE_MODULE, UNPACKED } from "../../app/program_file.ts";
import { FEW_PROCESSES, frugalVariables, onePoolThread, VERY_FEW_PROCESSES } from "../../runtime/frugal.ts";

/** The compressed program beside the script. */
export const PACKED = "runfcgi.gz";

/**
 * The script.
 *
 * @param hash SHA-256 of the program, in hexadecimal digits
 */
export function launcherText(hash: string): string {
  const variables = Object.entries(frugalVariables).map(([name, value]) =>
    name in onePoolThread ? `${name}=$pool` : `${name}=${value}`
  )
    .join(" ");
  return `#!/bin/sh
# Starts the program that is compressed in ${PACKED}. It is unpacked once, and again when another one is uploaded:
# first ${PACKED}, and then this file, both in binary mode.
hash=${hash}
case $0 in */*) dir=\${0%/*} ;; *) dir=. ;; esac
name=${UNPACKED}${hash.slice(0, 12)}
program=$dir/$name

fail() {
  echo "$0: $1" >&2
  exit 1
}

# In a folder of our own where this one cannot be written to.
elsewhere() {
  while read -r what uid more; do [ "$what" != Uid: ] || break; done < /proc/self/status
  folder=\${TMPDIR:-/tmp}/runfcgi-$uid
  mkdir -m 700 "$folder" 2> /dev/null
  [ -d "$folder" ] && [ -O "$folder" ] && [ ! -L "$folder" ] ||
    fail "neither $dir nor $folder can be written to: upload the program as one file, as init single=true makes it"
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
  trap 'rm -rf "$program.new.$$" "$program.lock"' EXIT
  if [ ! -x "$program" ]; then
    gzip -dc < "$dir/${PACKED}" > "$program.new.$$" ||
      fail "$dir/${PACKED} is not there or not whole, or the disk is full: upload it again, in binary mode"
    sum=$(sha256sum < "$program.new.$$" 2> /dev/null) || sum=$hash
    [ "\${sum%% *}" = "$hash" ] || fail "$dir/${PACKED} is not of the same version as this file: upload both again, in binary mode"
    chmod 755 "$program.new.$$" && mv -f "$program.new.$$" "$program" || fail "$program cannot be made"
    for old in "$dir"/${UNPACKED}*; do [ "$old" = "$dir/$name" ] || [ -d "$old" ] || rm -f "$old"; done
  fi
  rmdir "$program.lock"
  trap - EXIT
}

[ -x "$program" ] || [ -w "$dir" ] || elsewhere
[ -x "$program" ] || unpack

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

/** The last line of the module for Node, by which the script knows that all of it has been uploaded. */
export const NODE_MODULE_END = "// The end of runfcgi.";

/** The script that finds the host's Node, whose paths name the version, and starts the program with it. */
export const nodeLauncherText = `#!/bin/sh
# Starts ${NODE_MODULE}, which is beside this file, by Node 24.2 or newer.
# To use a certain one, write its path here, such as /home/me/node/bin/node:
node=

case $0 in */*) dir=\${0%/*} ;; *) dir=. ;; esac
program=$dir/${NODE_MODULE}
# A web server may give neither.
PATH=\${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin
[ -n "$HOME" ] || HOME=$(getent passwd "$(id -u)" 2> /dev/null | cut -d: -f6)

fail() {
  echo "$0: $1" >&2
  exit 1
}

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

# While it grows it is being uploaded.
size=
until [ "$(tail -n 1 "$program" 2> /dev/null | tr -d '\\r')" = "${NODE_MODULE_END}" ]; do
  before=$size
  size=$(wc -c 2> /dev/null < "$program") && [ "$size" != "$before" ] ||
    fail "$program is not there or not whole: upload it again, in binary mode"
  sleep 1
done

export RUNFCGI_FILE="$0" HOME
exec "$node" "$program" "$@"
`;
