/**
 * The tables of an address space as a tree: each table a strip of its entries, alike neighbours folded into one row, a
 * line from each row to the table below it. Leaves are coloured by what may be done with them.
 */
import { type AddressSpace, hex } from '@pagefold/core';
import { checkOption } from './errors.ts';
import {
  arrowHead,
  box,
  hatch,
  numberText,
  type PictureOptions,
  path,
  picture,
  SMALL_SIZE,
  text,
  textWidth,
} from './svg.ts';
import {
  type Permissions,
  permissionText,
  type TableTree,
  type TreeRow,
  type TreeTable,
  tableTree,
} from './tables-tree.ts';

/** Options of {@link tablesSvg}. */
export interface TablesSvgOptions extends PictureOptions {
  /** Most tables to draw, 1 to 2000; upper levels come first. Not supplied: 40. */
  readonly maxTables?: number;
  /** Most rows of a table to draw, 2 to 4096. Not supplied: 16. */
  readonly maxRows?: number;
}

const MARGIN = 16;
const ROW = 16;
const HEADER = 38;
const TABLE_GAP = 18;
const GUTTER = 72;
const TOP = 64;
const SWATCH = 12;

/** A table with its place. */
interface Placed {
  readonly table: TreeTable;
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

/** Colour of a leaf, by what may be done with it. */
const LOOKS: readonly { readonly letters: string; readonly cls: string; readonly meaning: string }[] = [
  { letters: 'r--', cls: 'pf-c0', meaning: 'read' },
  { letters: 'rw-', cls: 'pf-c1', meaning: 'read, write' },
  { letters: 'r-x', cls: 'pf-c2', meaning: 'read, execute' },
  { letters: 'rwx', cls: 'pf-c7', meaning: 'read, write, execute' },
  { letters: '--x', cls: 'pf-c3', meaning: 'execute' },
  { letters: '-wx', cls: 'pf-c6', meaning: 'write, execute' },
  { letters: '-w-', cls: 'pf-c4', meaning: 'write' },
  { letters: '---', cls: 'pf-c5', meaning: 'no access' },
];

function lookOf(permissions: Permissions | undefined): (typeof LOOKS)[number] | undefined {
  if (permissions === undefined) return undefined;
  const letters = permissionText({ ...permissions, user: false });
  return LOOKS.find((look) => look.letters === letters);
}

function rowClass({ kind, permissions }: TreeRow): string {
  if (kind === 'leaf') return lookOf(permissions)?.cls ?? 'pf-c4';
  return { table: 'pf-table', malformed: 'pf-bad', empty: 'pf-empty' }[kind];
}

function rowLabel({ first, last, text: said }: TreeRow): string {
  return `[${first === last ? first : `${first}-${last}`}] ${said}`;
}

function headerLines({ label, address, from, inMemory }: TreeTable): [string, string] {
  return [
    label,
    `${from === undefined ? 'root ' : ''}at ${hex(address)}${from === undefined ? '' : `, from ${from}`}${inMemory ? '' : ', outside memory'}`,
  ];
}

/** How much of everything is drawn. */
function summaryOf({ total, drawn }: TableTree, placed: ReadonlyMap<TreeTable, Placed>): string {
  if (drawn >= total) return `${total} tables`;
  const cut = [...placed.keys()].some(({ rows, more }) => {
    return more > 0 || rows.some(({ kind, child }) => kind === 'table' && child === undefined);
  });
  return `${drawn} of ${total} tables drawn, … ${total - drawn} more ${cut ? 'are alike or beyond the limits' : 'look like these'}`;
}

function rowCount({ rows, more }: TreeTable): number {
  return rows.length + (more > 0 ? 1 : 0);
}

function tableHeight(table: TreeTable): number {
  return HEADER + rowCount(table) * ROW;
}

function moreText({ more }: TreeTable): string {
  return `… ${more} more`;
}

function tableWidth(table: TreeTable): number {
  const lines = table.rows.map((row) => textWidth(rowLabel(row), SMALL_SIZE));
  const [label, where] = headerLines(table);
  return Math.max(textWidth(label), textWidth(where, SMALL_SIZE), ...lines) + 16;
}

/** Every drawn table once, parents before children, with its distance from the root. */
function inOrder(tree: TableTree): Map<TreeTable, number> {
  const depths = new Map<TreeTable, number>();
  const visit = (table: TreeTable, depth: number): void => {
    if (depths.has(table)) return;
    depths.set(table, depth);
    for (const { child } of table.rows) if (child !== undefined) visit(child, depth + 1);
  };
  for (const root of tree.roots) visit(root, 0);
  return depths;
}

/** Places tables in a column for each level, none above the row that leads to it. */
function place(tree: TableTree): Map<TreeTable, Placed> {
  const depths = inOrder(tree);
  const widths: number[] = [];
  for (const [table, depth] of depths) widths[depth] = Math.max(widths[depth] ?? 0, tableWidth(table));
  const lefts = widths.map((_, depth) => {
    return widths.slice(0, depth).reduce((x, width) => x + width + GUTTER, MARGIN);
  });
  const next: number[] = [];
  const placed = new Map<TreeTable, Placed>();
  const visit = (table: TreeTable, wanted: number): void => {
    if (placed.has(table)) return;
    const depth = depths.get(table) ?? 0;
    const y = Math.max(next[depth] ?? TOP, wanted);
    next[depth] = y + tableHeight(table) + TABLE_GAP;
    placed.set(table, { table, x: lefts[depth] ?? MARGIN, y, width: widths[depth] ?? 0 });
    table.rows.forEach(({ child }, i) => {
      if (child !== undefined) visit(child, y + HEADER + i * ROW - HEADER / 2);
    });
  };
  for (const root of tree.roots) visit(root, TOP);
  return placed;
}

function rowParts(row: TreeRow, x: number, y: number, width: number): string[] {
  const parts = [box(x, y, width, ROW, rowClass(row))];
  const said = textWidth(rowLabel(row), SMALL_SIZE) + 16;
  if (row.kind === 'empty') parts.push(path(hatch(x + said, y, width - said, ROW), 'pf-hatch'));
  const undrawn = row.kind === 'table' && row.child === undefined;
  const style = { small: true, ...(row.kind === 'empty' || undrawn ? { class: 'pf-dim' } : {}) };
  parts.push(text(x + 8, y + ROW / 2, rowLabel(row), style));
  if (undrawn) parts.push(text(x + width + 6, y + ROW / 2, '…', { small: true, class: 'pf-dim' }));
  return parts;
}

function tableParts({ table, x, y, width }: Placed): string[] {
  const [label, where] = headerLines(table);
  const parts = [
    box(x, y, width, tableHeight(table), 'pf-box'),
    box(x, y, width, HEADER, 'pf-head-row'),
    text(x + 8, y + 12, label, { class: 'pf-strong' }),
    text(x + 8, y + 27, where, { small: true, class: 'pf-dim' }),
  ];
  table.rows.forEach((row, i) => {
    parts.push(...rowParts(row, x, y + HEADER + i * ROW, width));
  });
  if (table.more > 0) {
    const line = y + HEADER + table.rows.length * ROW + ROW / 2;
    parts.push(text(x + 8, line, moreText(table), { small: true, class: 'pf-dim' }));
  }
  return parts;
}

/** A line from a row to the head of the table below it. */
function linkParts(from: Placed, index: number, to: Placed): string[] {
  const x1 = from.x + from.width;
  const y1 = from.y + HEADER + index * ROW + ROW / 2;
  const x2 = to.x;
  const y2 = to.y + HEADER / 2;
  const bend = (x2 - x1) / 2;
  const [a, b, c, d, e] = [x1, y1, x1 + bend, x2 - 7 - bend, y2].map(numberText);
  return [path(`M${a} ${b}C${c} ${b} ${d} ${e} ${numberText(x2 - 7)} ${e}`, 'pf-line'), arrowHead(x2, y2)];
}

function legendParts(placed: ReadonlyMap<TreeTable, Placed>, y: number): { parts: string[]; width: number } {
  const rows = [...placed.keys()].flatMap((table) => table.rows);
  const seen = new Set(rows.filter(({ kind }) => kind === 'leaf').map(rowClass));
  const entries: [string, string][] = LOOKS.filter(({ cls, letters }) => {
    return seen.has(cls) && rows.some(({ permissions }) => lookOf(permissions)?.letters === letters);
  }).map(({ cls, letters, meaning }) => [cls, `${letters} ${meaning}`]);
  const plain = rows.some(({ kind, permissions }) => kind === 'leaf' && permissions === undefined);
  if (plain) entries.push(['pf-c4', 'leaf']);
  if (rows.some(({ kind }) => kind === 'table')) entries.push(['pf-table', 'table pointer']);
  if (rows.some(({ kind }) => kind === 'empty')) entries.push(['pf-empty', 'empty']);
  if (rows.some(({ kind }) => kind === 'malformed')) entries.push(['pf-bad', 'malformed']);
  let x = MARGIN;
  const parts: string[] = [];
  for (const [cls, meaning] of entries) {
    parts.push(box(x, y - SWATCH / 2, SWATCH, SWATCH, cls));
    parts.push(text(x + SWATCH + 6, y, meaning, { small: true }));
    x += SWATCH + 6 + textWidth(meaning, SMALL_SIZE) + 20;
  }
  return { parts, width: x };
}

/**
 * Draws the tables of an address space. Neighbours that look alike (but for addresses) are one row, tables that look
 * alike are drawn once, and what goes beyond the limits is counted.
 * @throws EmitError `option`
 */
export function tablesSvg(space: AddressSpace, options: TablesSvgOptions = {}): string {
  const tree = tableTree(space, {
    maxTables: checkOption('maxTables', options.maxTables ?? 40, 1, 2000),
    maxRows: checkOption('maxRows', options.maxRows ?? 16, 2, 4096),
  });
  const placed = place(tree);
  const all = [...placed.values()];
  const labels = space.roots.map(({ label, paging }) => `${label} (${paging.geometry.title})`).join(', ');
  const title = options.title ?? `Page tables of ${labels}`;
  const bottom = all.reduce((y, { table, y: top }) => Math.max(y, top + tableHeight(table)), TOP);
  const summary = summaryOf(tree, placed);
  const legend = legendParts(placed, bottom + 28);
  const right = all.reduce((x, { x: left, width }) => Math.max(x, left + width), 0);
  const width = Math.max(right + 24, legend.width, textWidth(title) + MARGIN, textWidth(summary) + MARGIN) + MARGIN;
  const body = [
    text(MARGIN, 24, title, { class: 'pf-strong' }),
    text(MARGIN, 44, summary, { small: true, class: 'pf-dim' }),
    ...all.flatMap((from) =>
      from.table.rows.flatMap(({ child }, i) => {
        const to = child === undefined ? undefined : placed.get(child);
        return to === undefined ? [] : linkParts(from, i, to);
      }),
    ),
    ...all.flatMap(tableParts),
    ...legend.parts,
  ];
  const description = `${summary}. ${tree.roots
    .map(({ label, rows }) => `${label}: ${rows.map(rowLabel).join('; ')}`)
    .join('. ')}`;
  return picture({
    kind: 'tables',
    title,
    description,
    width,
    height: bottom + 52,
    body,
    ground: options.ground !== false,
  });
}
