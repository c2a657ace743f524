/** Markdown as a terminal shows it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { markdownText } from "../../src/options/markdown.ts";
import { shownLength } from "../../src/options/terminal.ts";
import { chapter, chapters } from "../support/manual.ts";

const plain = { width: 40, color: false };
const shown = (text: string, screen = plain) =>
  markdownText(text, screen, (target) => target.endsWith(".md") ? `see ${target}` : undefined);

describe("Markdown in a terminal", () => {
  test("has paragraphs and lists of the screen's width, and code as it is", () => {
    const text = `# Title

One two three four five six seven eight nine
\`ten\`, [eleven](a.md) and [twelve](#below).

- a list of items, one of which is longer than a line
- short

1. first

   \`\`\`sh
   a command  that is longer than a line of the screen
   \`\`\`
`;
    assert.equal(
      shown(text),
      `TITLE
=====

One two three four five six seven eight
nine \`ten\`, eleven (see a.md) and
twelve.

- a list of items, one of which is
  longer than a line
- short

1. first

     a command  that is longer than a line of the screen
`,
    );
  });

  test("has tables with columns that wrap, or lists where they do not fit", () => {
    const text = `| name | what it is for |\n| --- | --- |\n| \`a\\|b\` | one two three four five six seven |\n| c | short |\n`;
    assert.equal(
      shown(text),
      `name   what it is for
-----  ---------------------------------
\`a|b\`  one two three four five six seven
c      short
`,
    );
    assert.equal(
      shown(text, { width: 30, color: false }),
      `name   what it is for
-----  -----------------------
\`a|b\`  one two three four five
       six seven

c      short
`,
    );
    const wide =
      `|  | this | that |\n| --- | --- | --- |\n| a name of the first column | one two three four | five six seven |\n`;
    assert.equal(
      shown(wide),
      `a name of the first column
  this: one two three four
  that: five six seven
`,
    );
  });

  test("has colours that end with each word", () => {
    const text = shown("Some `code of words` and **bold** text.\n", { width: 18, color: true });
    assert.equal(
      text,
      "Some \x1b[36mcode\x1b[0m \x1b[36mof\x1b[0m \x1b[36mwords\x1b[0m\nand \x1b[1mbold\x1b[0m text.\n",
    );
  });

  for (const name of chapters) {
    test(`fits the chapter ${name} into any terminal`, () => {
      const code = new Set(
        [...chapter(name).matchAll(/^( *)```\w*\n([^]*?)^\1```$/gm)].flatMap(([, , block]) =>
          block.split("\n").map((line) => line.trim())
        ),
      );
      for (const width of [40, 72, 100, 160]) {
        const text = markdownText(chapter(name), { width, color: true }, () => undefined);
        for (const line of text.split("\n").filter((line) => shownLength(line) > width)) {
          const bare = stripVTControlCharacters(line).trim();
          assert.ok(code.has(bare) || !bare.replace(/^(?:-|\d+\.) /, "").includes(" "), bare);
        }
      }
    });
  }
});
