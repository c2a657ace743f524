/**
 * The tables, and which goals are reached.
 *
 * @module
 */
import { median } from "./figures.ts";
import type { Memory } from "./proc.ts";
import type { BenchServer } from "./servers.ts";
import { type BodyName, traffic } from "./traffic.ts";

/** One kind of load: a group of columns. */
export interface Cell {
  title: string;
  keep: boolean;
  body: BodyName;
}

/** The kinds of load in the order of the table. */
export const cells: readonly Cell[] = [
  { title: "kept alive, 12 bytes", keep: true, body: "small" },
  { title: "kept alive, 64 KiB", keep: true, body: "large" },
  { title: "new connection, 12 bytes", keep: false, body: "small" },
  { title: "new connection, 64 KiB", keep: false, body: "large" },
];

/** The kinds of load that a server's protocol has. */
export function cellsOf({ protocol }: BenchServer): readonly Cell[] {
  const { keep } = traffic[protocol];
  return keep === undefined ? cells : cells.filter((cell) => cell.keep === keep);
}

/** Outcome of one measurement. */
export interface Measured {
  /** CPU time of a request. */
  microseconds: number;
  /** Requests per second. */
  perSecond: number;
}

/** What is known about a server. */
export interface Row {
  server: BenchServer;
  /** All rounds of each kind of load. */
  cells: Map<Cell, Measured[]>;
  memory?: Memory;
  /** Why it was not measured. */
  missing?: string;
  /** What went wrong under some kind of load. */
  failures: Map<Cell, string>;
}

/** Width of a group of columns. */
const CELL = 26;

/** The whole report. */
export function table(rows: readonly Row[], conditions: string): string {
  const fastCgi = rows.filter(({ server }) => server.protocol === "fcgi");
  const others = rows.filter(({ server }) => server.protocol !== "fcgi");
  const c = fastCgi.find((row) => row.server.id === "c");
  const go = fastCgi.find((row) => row.server.id === "go");
  const parts: string[][] = [];
  if (fastCgi.length > 0) {
    const measured = fastCgi.filter((row) => row.cells.size > 0);
    parts.push([
      `CPU microseconds of a request, as multiple of C and of Go, and requests per second`,
      `(${conditions})`,
      "",
      [pad("", NAME), ...cells.map((cell) => center(cell.title, CELL)), center("MB of memory", 13)].join(" | ").trimEnd(),
      [pad("", NAME), ...cells.map(() => columns("us", "x C", "x Go", "req/s")), "  RSS private"].join(" | "),
      rule([NAME, ...cells.map(() => CELL), 13]),
      ...measured.map((row) => line(row, c, go)),
      ...gaps(fastCgi),
    ]);
  }
  if (others.length > 0) parts.push(protocolTable(rows, others, conditions));
  parts.push(goals(rows, c, go));
  return `${parts.filter((lines) => lines.length > 0).map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** What was not measured, and why. */
function gaps(rows: readonly Row[]): string[] {
  return rows.flatMap(({ server, missing, failures }) => {
    const { protocol } = server;
    const name = `${pad(server.name, NAME)} | not measured${protocol === "fcgi" ? "" : ` with ${traffic[protocol].title}`}: `;
    const lines = missing ? [name + missing] : [];
    for (const reason of new Set(failures.values())) {
      const titles = cells.filter((cell) => failures.get(cell) === reason).map((cell) => cell.title).join("; ");
      lines.push(`${name}${titles}: ${reason}`);
    }
    return lines;
  });
}

/** Width of a protocol's group of columns. */
const GROUP = 27;

/** The protocols beside each other: a line for each runtime, then the peers. FastCGI's figures are the first table's. */
function protocolTable(rows: readonly Row[], others: readonly Row[], conditions: string): string[] {
  const protocols = Object.keys(traffic).filter((protocol) => rows.some(({ server }) => server.protocol === protocol));
  const groups = [false, true].flatMap((keep) =>
    protocols.filter((protocol) => (traffic[protocol].keep ?? keep) === keep).map((protocol) => {
      const own = rows.filter(({ server }) => server.protocol === protocol);
      const title = `${traffic[protocol].title}, ${keep ? "kept alive" : "new connection"}`;
      // FastCGI has its peers in the first table.
      const peer = protocol === "fcgi" ? undefined : own.find(isPeer);
      return { title, rows: own, peer, cells: cells.filter((cell) => cell.keep === keep) };
    })
  );
  const names = [
    ...new Set([...others.filter((row) => !isPeer(row)), ...others.filter(isPeer)].map(({ server }) => server.name)),
  ];
  const lines = names.flatMap((name) => {
    const parts = groups.map((group) => {
      const row = group.rows.find(({ server }) => server.name === name);
      return group.cells.map((cell) => {
        const us = cost(row, cell);
        return us === undefined ? pair(row ? "-" : "", "") : pair(us.toFixed(1), ratio(us, cost(group.peer, cell)));
      }).join(" ");
    });
    return parts.some((part) => /\d/.test(part)) ? [[pad(name, NAME), ...parts].join(" | ").trimEnd()] : [];
  });
  return [
    `The other protocols beside FastCGI: CPU microseconds of a request, as multiple of the protocol's peer`,
    `(${conditions})`,
    "",
    [pad("", NAME), ...groups.map(({ title }) => center(title, GROUP))].join(" | ").trimEnd(),
    [pad("", NAME), ...groups.map(() => `${center("12 bytes", 13)} ${center("64 KiB", 13)}`)].join(" | ").trimEnd(),
    [pad("", NAME), ...groups.map(({ peer }) => Array(2).fill(pair("us", peer ? "x peer" : "")).join(" "))].join(" | ").trimEnd(),
    rule([NAME, ...groups.map(() => GROUP)]),
    ...lines,
    ...gaps(others),
  ];
}

function isPeer({ server }: Row): boolean {
  return !server.name.startsWith("runfcgi");
}

function pair(us: string, toPeer: string): string {
  return `${us.padStart(6)} ${toPeer.padStart(6)}`;
}

function rule(widths: number[]): string {
  return widths.map((width) => "-".repeat(width)).join("-|-");
}

const NAME = 28;

function line(row: Row, c: Row | undefined, go: Row | undefined): string {
  const parts = cells.map((cell) => {
    const us = cost(row, cell);
    if (us === undefined) return columns("-", "", "", "");
    return columns(us.toFixed(1), ratio(us, cost(c, cell)), ratio(us, cost(go, cell)), rate(row, cell).toFixed(0));
  });
  const { resident = 0, private: own = 0 } = row.memory ?? {};
  const memory = [resident, own].map((bytes) => (bytes / 1e6).toFixed(0).padStart(6)).join(" ");
  return [pad(row.server.name, NAME), ...parts, memory].join(" | ");
}

function columns(us: string, toC: string, toGo: string, perSecond: string): string {
  return [us.padStart(6), toC.padStart(5), toGo.padStart(5), perSecond.padStart(7)].join(" ");
}

/** CPU time of a request: the median of the rounds. */
function cost(row: Row | undefined, cell: Cell): number | undefined {
  const rounds = row?.cells.get(cell);
  return rounds && median(rounds.map((round) => round.microseconds));
}

function rate(row: Row, cell: Cell): number {
  return median(row.cells.get(cell)!.map((round) => round.perSecond));
}

function ratio(value: number, reference: number | undefined): string {
  return reference ? (value / reference).toFixed(2) : "";
}

/** What the project wants to reach: against C where it is fastest, against Go everywhere. */
function goals(rows: readonly Row[], c: Row | undefined, go: Row | undefined): string[] {
  const lines: string[] = [];
  const check = (row: Row, reference: Row, limit: number, compared: readonly Cell[], text: string) => {
    const results = compared.flatMap((cell) => {
      const own = cost(row, cell);
      const other = cost(reference, cell);
      return own && other ? [{ cell, ratio: own / other }] : [];
    });
    if (results.length === 0) return;
    const missed = results.filter((result) => result.ratio > limit);
    const verdict = missed.length === 0 ? "reached" : "missed ";
    const details = missed.map(({ cell, ratio }) => `${ratio.toFixed(2)} with ${cell.title}`).join(", ");
    lines.push(`  ${verdict}  ${pad(row.server.name, NAME)} ${text}${details && `: ${details}`}`);
  };
  const find = (id: string) => rows.find(({ server }) => server.id === id);
  for (const row of rows.filter((row) => !isPeer(row))) {
    const { id, protocol } = row.server;
    const large = cells.filter(({ body }) => body === "large");
    const fetchApp = find(id.replace(/^(?:http|listener)-/, ""));
    if (protocol === "http" && id !== "http-node" && fetchApp) {
      check(row, fetchApp, 1.25, cells, "over HTTP at most 1.25 x FastCGI");
    }
    const nodeHttp = find("node-http");
    if (id === "http-node" && nodeHttp) check(row, nodeHttp, 1.25, cells, "over HTTP at most 1.25 x node:http");
    const nodeFetch = find("node-fetch");
    if (id === "http-node" && nodeFetch) check(row, nodeFetch, 1, cells, "below node:http with a fetch handler");
    const uwsgi = find(`${protocol}-uwsgi`);
    if (uwsgi && /-(?:bun|binary)$/.test(id)) check(row, uwsgi, 2, large, `over ${traffic[protocol].title} at most 2 x uWSGI`);
    if (protocol !== "fcgi") continue;
    if (id.startsWith("listener-")) {
      if (fetchApp) check(row, fetchApp, 2, cells, "at most 2 x a fetch application");
      continue;
    }
    if (c && /^(bun|binary)$/.test(id)) {
      check(row, c, 1.6, large, "at most 1.6 x C");
      check(row, c, 3, cells.filter((cell) => cell.keep), "at most 3 x C, kept alive");
      check(row, c, 2, cells.filter((cell) => !cell.keep), "at most 2 x C, a new connection each");
    }
    if (go) check(row, go, 1, cells, "below Go");
  }
  return lines.length > 0 ? ["Goals", ...lines] : [];
}

function pad(text: string, width: number): string {
  return text.padEnd(width);
}

function center(text: string, width: number): string {
  return text.padStart((width + text.length) >> 1).padEnd(width);
}
