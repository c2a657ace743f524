/**
 * The short script that stands for the compiled program on shared hosting: half as much is uploaded, and the program starts
 * under any limit, since Bun reads from its environment how little it may take.
 *
 * @module
 */
import { UNPACKED } from "../../app/program_file.ts";
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
