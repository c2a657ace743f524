/**
 * Options that an application exports, read from its text: so the application need not be evaluated for them, which it
 * perhaps cannot be before they are known.
 *
 * @module
 */

/** A declaration whose value is in braces, without others in them. */
const declaration = /^export\s+const\s+runfcgi\b[^={]*=\s*\{([^{}]*)\}/m;
const token =
  /\s+|\/\/.*|\/\*[^]*?\*\/|(-?\d+(?:\.\d+)?(?![\w$])|[\w$]+|[,:[\]]|"(?:[^"\\\n]|\\["'\\])*"|'(?:[^'\\\n]|\\["'\\])*')/y;

type Scalar = string | number | boolean;

/**
 * What a module exports as `runfcgi`, if that is an object of plain strings, numbers, booleans and lists of them;
 * `undefined` if it has to be evaluated.
 */
export function literalOptions(text: string): Record<string, Scalar | Scalar[]> | undefined {
  const found = declaration.exec(text);
  if (!found || isQuoted(text.slice(0, found.index))) return undefined;
  const tokens = tokensOf(found[1]);
  if (tokens === undefined) return undefined;
  const options: Record<string, Scalar | Scalar[]> = {};
  while (tokens.length > 0) {
    const name = tokens.shift()!;
    const key = /^["']/.test(name) ? scalar(name) : /^[A-Za-z_$]/.test(name) ? name : undefined;
    if (typeof key !== "string" || tokens.shift() !== ":") return undefined;
    const value = tokens[0] === "[" ? list(tokens) : scalar(tokens.shift());
    if (value === undefined) return undefined;
    options[key] = value;
    if (tokens.length > 0 && tokens.shift() !== ",") return undefined;
  }
  return options;
}

/** Whether what follows a text is, or may be, in a comment or a template. */
function isQuoted(before: string): boolean {
  return before.lastIndexOf("/*") > before.lastIndexOf("*/") || before.split("`").length % 2 === 0;
}

function tokensOf(text: string): string[] | undefined {
  const tokens: string[] = [];
  for (token.lastIndex = 0; token.lastIndex < text.length;) {
    const match = token.exec(text);
    if (!match) return undefined;
    if (match[1] !== undefined) tokens.push(match[1]);
  }
  return tokens;
}

function scalar(word: string | undefined): Scalar | undefined {
  if (word === undefined) return undefined;
  if (/^["']/.test(word)) return word.slice(1, -1).replace(/\\(.)/g, "$1");
  if (word === "true" || word === "false") return word === "true";
  return /^-?\d+(?:\.\d+)?$/.test(word) ? Number(word) : undefined;
}

function list(tokens: string[]): Scalar[] | undefined {
  const values: Scalar[] = [];
  tokens.shift();
  while (tokens[0] !== "]") {
    const value = scalar(tokens.shift());
    if (value === undefined) return undefined;
    values.push(value);
    if (tokens[0] === ",") tokens.shift();
    else if (tokens[0] !== "]") return undefined;
  }
  tokens.shift();
  return values;
}
