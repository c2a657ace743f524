/**
 * Completion of command lines, as scripts for shells.
 *
 * @module
 */
import type { OptionTable } from "./arguments.ts";
import { shellQuoted } from "./shell.ts";

/** A command that is completed. */
export interface Completed {
  name: string;
  summary: string;
  options: OptionTable;
  /** Words that may follow it, such as the names of web servers. */
  words?: readonly string[];
}

/** Scripts by shell, of a program with commands; one without a name has the options of the program itself. */
export const shells: Readonly<Record<string, (program: string, commands: readonly Completed[]) => string>> = { bash, zsh, fish };

/** `name=` for an option with a value, `--name` for a flag. */
function optionWords(options: OptionTable): string[] {
  return Object.entries(options).map(([name, { kind }]) => kind ? `${name}=` : `--${name}`);
}

/** Values of all options that have a list of them. */
function valueLists(commands: readonly Completed[]): Map<string, readonly string[]> {
  const found = commands.flatMap(({ options }) =>
    Object.entries(options).flatMap(([name, { kind }]) => kind?.words ? [[name, kind.words] as const] : [])
  );
  return new Map(found);
}

const named = (commands: readonly Completed[]) => commands.filter(({ name }) => name !== "");

/** The arms of a `case` over the command; the last is that of the program itself. */
function arms(commands: readonly Completed[], arm: (command: Completed) => string): string {
  return [...named(commands), ...commands.filter(({ name }) => name === "")]
    .map((command) => `    ${command.name || "*"}) ${arm(command)} ;;`).join("\n");
}

function bash(program: string, commands: readonly Completed[]): string {
  const values = [...valueLists(commands)].map(([name, words]) => `    ${name}) values='${words.join(" ")}' ;;`).join("\n");
  return `# bash completion for ${program}
_${program}() {
  local line=\${COMP_LINE:0:COMP_POINT} current name values words
  # Not COMP_WORDS, which are split at an equals sign.
  current=\${line##*[[:space:]]}
  if [[ $current == *=* ]]; then
    name=\${current%%=*} current=\${current#*=}
    case \${name#--} in
${values}
    esac
    if [[ $values ]]; then COMPREPLY=($(compgen -W "$values" -- "$current"))
    else compopt -o filenames; COMPREPLY=($(compgen -f -- "$current"))
    fi
    return
  fi
  case \${COMP_WORDS[1]} in
${arms(commands, ({ options, words = [] }) => `words='${[...words, ...optionWords(options)].join(" ")}'`)}
  esac
  if ((COMP_CWORD <= 1)); then words+=" ${named(commands).map(({ name }) => name).join(" ")}"; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if ((\${#COMPREPLY[@]} == 0)); then compopt -o filenames; COMPREPLY=($(compgen -f -- "$current"))
  elif [[ \${COMPREPLY[*]} == *= ]]; then compopt -o nospace
  fi
}
complete -F _${program} ${program}
`;
}

function zsh(program: string, commands: readonly Completed[]): string {
  const described = ({ options }: Completed) =>
    Object.entries(options).map(([name, { kind, help }]) =>
      shellQuoted(`${kind ? name : `--${name}`}:${help.replaceAll(":", "\\:")}`)
    )
      .join(" ");
  const withValue = ({ options }: Completed) => `options=(${described({ options: filtered(options, true) } as Completed)})`;
  const flags = ({ options }: Completed) => `flags=(${described({ options: filtered(options, false) } as Completed)})`;
  const values = [...valueLists(commands)].map(([name, words]) => `    ${name}) compadd -- ${words.join(" ")} ;;`).join("\n");
  return `#compdef ${program}
_${program}() {
  local -a commands options flags words_of
  if compset -P '*='; then
    case \${\${IPREFIX%=}#--} in
${values}
    *) _files ;;
    esac
    return
  fi
  commands=(${named(commands).map(({ name, summary }) => shellQuoted(`${name}:${summary.replaceAll(":", "\\:")}`)).join(" ")})
  case $words[2] in
${arms(commands, (command) => `${withValue(command)}; ${flags(command)}; words_of=(${(command.words ?? []).join(" ")})`)}
  esac
  if ((CURRENT == 2)); then _describe command commands; fi
  if ((\${#words_of})); then compadd -a words_of; fi
  if ((\${#options})); then _describe option options -S =; fi
  if ((\${#flags})); then _describe flag flags; fi
  _files
}
compdef _${program} ${program}
`;
}

function filtered(options: OptionTable, withValue: boolean): OptionTable {
  return Object.fromEntries(Object.entries(options).filter(([, { kind }]) => (kind !== undefined) === withValue));
}

function fish(program: string, commands: readonly Completed[]): string {
  const names = named(commands).map(({ name }) => name).join(" ");
  const first = "test (count (commandline -opc)) -eq 1";
  return [
    `# fish completion for ${program}`,
    ...named(commands).map(({ name, summary }) => `complete -c ${program} -n '${first}' -a ${name} -d ${shellQuoted(summary)}`),
    ...commands.flatMap(({ name, options, words = [] }) => {
      const condition = name === "" ? `not __fish_seen_subcommand_from ${names}` : `__fish_seen_subcommand_from ${name}`;
      const one = (word: string, help: string) =>
        `complete -c ${program} -n '${condition}' -a ${shellQuoted(word)} -d ${shellQuoted(help)}`;
      return [
        ...words.map((word) => one(word, "")),
        ...Object.entries(options).flatMap(([option, { kind, help }]) =>
          (kind?.words ?? [""]).map((value) => one(kind ? `${option}=${value}` : `--${option}`, help))
        ),
      ];
    }),
    "",
  ].join("\n");
}
