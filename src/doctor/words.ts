/**
 * Texts of findings that both doctors have: this program, and the page in PHP for when it does not start.
 *
 * @module
 */
import { type Finding, note, ok, problem, toHost } from "./finding.ts";

/** What is said: `{name}` stands for a value. */
interface Words {
  text: string;
  fix?: string;
}

const again = "Upload it again, in binary mode, and compare the sizes of the files.";
const damaged = "Upload it again, in binary mode (an FTP program that takes it for text damages it), and compare the sizes.";

/** What a .htaccess with a program needs. */
export const hostSets = "Please set AllowOverride All for the folder of my site, with mod_fcgid and mod_rewrite loaded.";

export const words = {
  noHtaccess: {
    text: '"{path}" is not there',
    fix: "Upload it: some FTP programs do not show files whose names begin with a dot.",
  },
  otherHtaccess: { text: '"{found}" is not called .htaccess, so that it is not followed', fix: "mv {found} {path}" },
  backslashes: {
    text: '"{path}" is not there, and "{found}" is, whose name has a folder in it',
    fix: "A zip made on Windows was unpacked like that. Unpack it on your own computer, and upload the files.",
  },
  openToAll: {
    text: 'every account of this machine can change "{path}" (mode {mode}), and so what the site does',
    fix: "chmod 644 {path}",
  },
  htaccessBelow: {
    text: '"{path}" is not there, and "{found}" is',
    fix: "If all of the site is in that folder (some programs unpack an archive into a folder of its own): move its files one\n" +
      "folder up. If that is the site, open its address instead.",
  },
  nearApp: {
    text: '"{found}" is there, and "{wanted}" is looked for',
    fix: "Rename it. Capitals matter, and some systems hide the end of a name, such as .txt.",
  },
  notUtf8: {
    text: '"{path}" is not saved as UTF-8, so that letters such as ä come out wrong, or it cannot be loaded',
    fix: "Save it as UTF-8: editors ask for the encoding when they save, and call others ANSI or Unicode.",
  },
  noApp: { text: "there is none, and visitors get the welcome page", fix: "Upload it as {wanted}" },
  noLog: {
    text: 'the program may not write into "{path}", so that it has no log there',
    fix:
      "Errors are in the web server's error log. For a log of its own: chmod 755 {path}, or a folder of the account (errlog=…).",
  },
  protectedByPassword: {
    text: "{url} asks for a password before the program is asked: the folder is protected",
    fix:
      "If visitors are not to be asked: remove AuthType and Require from the .htaccess, or the protection in the control panel.",
  },
  wordPress: {
    text: "{url} is answered with {status} by a WordPress",
    fix:
      "If it is in a folder above: put the .htaccess into the folder of this site, whose rules then replace those of WordPress.\n" +
      "If it is in the same folder: move one of the two into a folder of its own, since each leads all URLs to itself.",
  },
  maintenance: {
    text: "{url} is answered with {status} by a maintenance page, and not by the program",
    fix: "Switch it off: in the control panel, or where a .htaccess leads to it. The program is not asked until then.",
  },
  defaultPage: {
    text: "{url} shows the web server's own page, and not the site ({status})",
    fix: "This name does not lead to the folder of the site: the host, or the web server's configuration, decides that by the\n" +
      "name (ServerName, DocumentRoot). An index.html in the folder is not it where the .htaccess is read.",
  },
  byPhp: {
    text: "{url} is answered with {status} by a PHP program ({powered})",
    fix: "Its index.php, or the rewriting of a .htaccess, comes first. Move it elsewhere, or give this site a folder of its own.",
  },
  canStart: { text: '"{path}" can be started on this machine' },
  notExecutable: { text: '"{path}" is not executable (mode {mode})', fix: "chmod 755 {path}" },
  writable: {
    text: `"{path}" can be changed by others (mode {mode}), and Apache's suexec refuses it`,
    fix: "chmod 755 {path}",
  },
  folderWritable: {
    text: 'the folder "{path}" can be changed by others (mode {mode}), and suexec refuses it',
    fix: "chmod 755 {path}",
  },
  oddPath: {
    text: '"{path}" has a blank or one of \\ % # ? in it, and Apache and mod_fcgid start no program of such a path',
    fix: "Rename the folder: letters, digits, - and _ always work.",
  },
  noexec: {
    text: '"{path}" lies on a mount with noexec, where no program can be started',
    fix: `Move it to another folder. ${toHost("Please let programs run in {folder}, which is mounted with noexec.")}`,
  },
  unknownFormat: {
    text: '"{path}" is neither a program of Linux (64 bits) nor a script with #!',
    fix: "Upload the compiled program again, in binary mode.",
  },
  windowsLines: {
    text: 'the first line of "{path}" ends as on Windows, so that its interpreter is not found',
    fix: "Upload it again, in binary mode. In a shell: sed -i 's/\\r$//' {path}",
  },
  noInterpreter: {
    text: '"{path}" is to be run by "{interpreter}", which is not there',
    fix: "Give the path of an interpreter that is: command -v node",
  },
  cut: { text: '"{path}" is shorter than it says', fix: again },
  otherMachine: {
    text: '"{path}" is for {machine}, and this machine is {here}',
    fix: "Take the program for Linux on {here} from the releases, or make it: deno task compile --target linux-{here}",
  },
  otherLibrary: {
    text: '"{path}" needs "{interpreter}", which is not there: it is for another C library',
    fix: "deno task compile --target linux-{target}",
  },
  olderGlibc: {
    text: '"{path}" needs glibc {glibc}, and this machine has {here}',
    fix: "Compile it with Bun, which needs glibc 2.17 only: deno task compile --with bun",
  },
  cannotStart: { text: '"{path}" cannot be started: {how}', fix: `{said}${damaged}` },
  otherOwner: {
    text: `"{path}" is the user's with the number {owner}, and its folder that of {folderOwner}`,
    fix:
      "Where the host uses suexec, both have to be those of the account: upload the program by FTP with the account of the site.",
  },
  noProgram: {
    text: '"{path}" leads visitors to "{target}", which is not there',
    fix: "Upload the program as {target}, in binary mode and with the mode 755.",
  },
  otherName: {
    text: '"{path}" leads visitors to "{target}", which is not there; "{found}" is',
    fix: "Rename it, for the names have to be the same: mv {from} {to}",
  },
  programFolder: {
    text: '"{path}" is a folder, and has to be the program itself',
    fix: "Move what is in it one folder up, under another name for a moment, and remove the folder.",
  },
  authorization: { text: '"{path}" passes the header Authorization on' },
  noAuthorization: {
    text: '"{path}" lets Apache keep the header Authorization to itself',
    fix: "Add to it: {lines}",
  },
  cloudflare: {
    text: "is in front of the site",
    fix:
      "What it caches it may show after a change: purge its cache. Its addresses are those that the program sees, unless the\n" +
      "host passes on the visitor's (mod_remoteip).",
  },
  liteSpeed: {
    text: "serves the site, and not Apache",
    fix:
      "It reads .htaccess as Apache does, but has no mod_fcgid of Apache's. This program was not tried with it: ask the host for\n" +
      "a FastCGI application, or start the program as a server and have a proxy context lead to it.",
  },
  bom: {
    text: '"{path}" begins with a byte order mark, which Apache takes for an invalid command: every page is an error 500',
    fix: "Save it as UTF-8 without a byte order mark (BOM), and upload it again.",
  },
  oldLines: {
    text: '"{path}" has line ends that Apache does not know (CR alone), so that all of it is one line',
    fix: "Upload it again, in binary mode.",
  },
  asWritten: { text: '"{path}" is as init wrote it, {size} bytes' },
  unpackedPackage: {
    text: '"{path}" is not there, and "{found}" is: a browser has unpacked it',
    fix:
      "Download it again so that it stays as it is (a name with .gz), or take what is there for the program itself: rename it\n" +
      "to {program}, with the mode 755.",
  },
  damaged: { text: '"{path}" has the right size, and is damaged', fix: "Upload it again, in binary mode." },
  otherVersion: { text: '"{path}" is whole, {size} bytes, and another one than init wrote' },
  damagedPackage: {
    text: '"{path}" is damaged: it has {size} bytes, and that of init has {wanted}',
    fix: again,
  },
  asText: {
    text: '"{path}" was taken for text on its way (ASCII mode), and its line ends were changed',
    fix: again,
  },
  refused: { text: '"{path}" was tried, and is not used', fix: "{why}" },
  notUnpacked: {
    text: '"{path}" is not unpacked yet, and the program before goes on',
    fix: "It is unpacked for one of the next visitors, when nobody has written to it for some seconds. Look again then.",
  },
  unpackedDamaged: {
    text: '"{path}", which the program has unpacked, is not whole any more',
    fix: "Delete it: it is unpacked again for the next visitor. Files of that name need not be copied with a site.",
  },
  asciiLost: {
    text: '"{path}" has lost {count} bytes on its way: it was taken for text (ASCII mode), and line ends of Windows were changed',
    fix: again,
  },
  asciiMore: {
    text: '"{path}" has got {count} bytes on its way: it was taken for text (ASCII mode), and line ends became those of Windows',
    fix: again,
  },
  notWhole: {
    text: '"{path}" is not whole: {size} of {wanted} bytes are there',
    fix: "Upload it again, in binary mode. If it is cut off again, the disk or the quota is full.\n" +
      "If it is another version: run init again, for a doctor that knows it.",
  },
  otherFile: {
    text: '"{path}" is not the one that init wrote: it has {size} bytes, and not {wanted}',
    fix: "If you have not put another version there: upload it again, in binary mode.",
  },
  apache500: {
    text: "{url} is answered with 500 by Apache, before the program is asked",
    fix:
      "The program is not started, or the host does not allow a line of the .htaccess. Apache's error log has the reason (many\n" +
      "hosts show it in their control panel), and perhaps the log beside the program. Was the program uploaded in binary mode,\n" +
      "and has it the mode 755?",
  },
  apache403: {
    text: "{url} is answered with 403 by Apache: it may not start the program there",
    fix: toHost(hostSets),
  },
  rewrittenBefore: {
    text: "{url} is answered with 404 by {by}: a line of the .htaccess leads elsewhere before the program is asked",
    fix: "It is: {line}\nMove the lines that init wrote to the top of the .htaccess, or remove that one.",
  },
  notLed: {
    text: "{url} is answered with 404 by {by}: it does not lead visitors to the program",
    fix: toHost(hostSets),
  },
  stranger: {
    text: "{url} is answered with {status}, but not by this program",
    fix:
      "Another site or an index page answers, or the folder of this name is another one. Look which folder the host shows under\n" +
      "this name, and whether the .htaccess lies in it. (An older runfcgi does not know the doctor either.)",
  },
  answered: {
    text: "GET / was answered with {status} after {took} ms",
    fix: "The reason is in what it wrote, below, and in its page or its log.",
  },
  noAnswer: {
    text:
      "there was no answer in {seconds} s: the program hangs while it starts, or it does not take its socket from descriptor 0",
    fix: "What it wrote is below. Try the application in a terminal: runfcgi app.ts preview=8000",
  },
  ended: { text: "the program ended {ending} before it had answered", fix: "The reason is in what it wrote, below." },
} satisfies Record<string, Words>;

/** The name of what is said. */
export type Word = keyof typeof words;

/** What is said, with its values. */
export function say(word: Word, values: Readonly<Record<string, string | number>> = {}): { text: string; fix: string } {
  const { text, fix = "" }: Words = words[word];
  const filled = (pattern: string) => pattern.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
  return { text: filled(text), fix: filled(fix) };
}

type Values = Parameters<typeof say>[1];

export function problemOf(check: string, word: Word, values?: Values): Finding {
  const { text, fix } = say(word, values);
  return problem(check, text, fix);
}

export function noteOf(check: string, word: Word, values?: Values): Finding {
  const { text, fix } = say(word, values);
  return note(check, text, fix);
}

export function okOf(check: string, word: Word, values?: Values): Finding {
  return ok(check, say(word, values).text);
}
