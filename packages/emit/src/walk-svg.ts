/**
 * One address on its way through the tables: the address cut into indices, each index into its table, the entry decoded,
 * the next table, at the end the physical address or the fault. Everything is taken from the walk.
 */
import {
  type ExplainedAddress,
  explainAddress,
  hex,
  type Paging,
  sizeText,
  TABLE_NAMES,
  type Walk,
  type WalkStep,
} from '@pagefold/core';
import { arrowHead, box, type PictureOptions, path, picture, points, SMALL_SIZE, text, textWidth } from './svg.ts';
import { entryLines, outcomeLines, type WalkLine } from './walk-lines.ts';

/** Options of {@link walkSvg}. */
export type WalkSvgOptions = PictureOptions;

const MARGIN = 16;
/** Width of a column and the space between two. */
const COLUMN = 206;
const GUTTER = 26;
/** A table stands this far right of its column's edge; the line from the index runs there. */
const INSET = 26;
const FIELD_TOP = 78;
const FIELD = 46;
const TABLE_TOP = 176;
const HEADER = 40;
const ROW = 18;
/** Entries of a table that are drawn. */
const SHOWN = 5;
const LINE = 15;

const LINES_TOP = TABLE_TOP + HEADER + SHOWN * ROW + 14;

/** The first entry of a table that is drawn: the used one stands in the middle, unless the table ends nearby. */
function firstShown(paging: Paging, { level, index }: WalkStep): number {
  const { entries } = paging.codec(level).level;
  return Math.max(0, Math.min(index - Math.floor(SHOWN / 2), entries - SHOWN));
}

/** Height of the row of the used entry; of the first that could be one for a walk without steps. */
function usedRow(paging: Paging, step: WalkStep | undefined): number {
  const row = step === undefined ? 0 : step.index - firstShown(paging, step);
  return TABLE_TOP + HEADER + row * ROW + ROW / 2;
}

function columnX(column: number): number {
  return MARGIN + column * (COLUMN + GUTTER);
}

function accent(level: number): string {
  return `pf-c${level}`;
}

/** Which of the five names a level serves, and which fold into it. */
function namesText(paging: Paging, level: number): string {
  const views = TABLE_NAMES.map((name) => paging.geometry.names[name]).filter((view) => view.level === level);
  const own = views.filter(({ folded }) => !folded).map(({ name }) => name);
  const folded = views.filter((view) => view.folded).map(({ name }) => name);
  return folded.length === 0 ? own.join(', ') : `${own.join(', ')}; ${folded.join(', ')} folded`;
}

/** A part of the address: a box with its bits above it. */
function fieldParts(column: number, cls: string, bits: string, name: string, value: string, below: string): string[] {
  const x = columnX(column);
  const inner = COLUMN - 16;
  return [
    text(x + COLUMN / 2, FIELD_TOP - 9, bits, { small: true, anchor: 'middle', class: 'pf-dim' }),
    box(x, FIELD_TOP, COLUMN, FIELD, cls),
    text(x + COLUMN / 2, FIELD_TOP + 15, name, { anchor: 'middle', class: 'pf-strong', width: inner }),
    text(x + COLUMN / 2, FIELD_TOP + 32, value, { anchor: 'middle', width: inner }),
    below === ''
      ? ''
      : text(x + INSET, FIELD_TOP + FIELD + 14, below, { small: true, class: 'pf-dim', width: COLUMN - INSET }),
  ];
}

/** The line from a part of the address down, then right into what it selects. */
function dropParts(column: number, y: number): string[] {
  const x = columnX(column) + INSET / 2;
  const tip = columnX(column) + INSET;
  return [path(points([x, FIELD_TOP + FIELD], [x, y], [tip - 7, y]), 'pf-line'), arrowHead(tip, y)];
}

function tableParts(paging: Paging, step: WalkStep, column: number): string[] {
  const x = columnX(column) + INSET;
  const width = COLUMN - INSET;
  const { entries } = paging.codec(step.level).level;
  const digits = paging.format.entryBytes * 2;
  const hardware = step.hardwareLevel === step.level ? '' : `, hardware ${step.hardwareLevel}`;
  const parts = [
    box(x, TABLE_TOP, width, HEADER, 'pf-box'),
    box(x, TABLE_TOP, width, HEADER, 'pf-head-row'),
    text(x + 8, TABLE_TOP + 13, step.name, { class: 'pf-strong', width: width - 16 }),
    text(x + 8, TABLE_TOP + 29, `at ${hex(step.table)}`, { small: true, class: 'pf-dim', width: width - 16 }),
  ];
  const levelText = `level ${step.level}${hardware}`;
  if (textWidth(step.name) + textWidth(levelText, SMALL_SIZE) + 24 <= width && step.name !== levelText) {
    parts.push(text(x + width - 8, TABLE_TOP + 13, levelText, { small: true, anchor: 'end', class: 'pf-dim' }));
  }
  const first = firstShown(paging, step);
  for (let index = first; index < Math.min(first + SHOWN, entries); index++) {
    const y = TABLE_TOP + HEADER + (index - first) * ROW;
    const used = index === step.index;
    parts.push(box(x, y, width, ROW, used ? accent(step.level) : 'pf-empty'));
    parts.push(text(x + 8, y + ROW / 2, `[${index}]`, { small: true, class: used ? 'pf-strong' : 'pf-dim' }));
    if (!used) continue;
    const entry = step.entry === undefined ? 'no memory' : hex(step.entry, digits);
    parts.push(text(x + width - 8, y + ROW / 2, entry, { small: true, anchor: 'end', class: 'pf-strong' }));
  }
  return parts;
}

/** Lines of text below a table or in the last column. */
function lineParts(lines: readonly WalkLine[], x: number, y: number): string[] {
  return lines.map(({ said, strong, small }, i) =>
    text(x, y + i * LINE + LINE / 2, said, {
      small: small !== false,
      ...(strong === true ? { class: 'pf-strong' } : {}),
    }),
  );
}

/** The line from a used entry to the head of the next table. */
function linkParts(column: number, used: number): string[] {
  const from = columnX(column) + COLUMN;
  const tip = columnX(column + 1) + INSET;
  const y = TABLE_TOP + HEADER / 2;
  const turn = from + GUTTER / 2;
  return [path(points([from, used], [turn, used], [turn, y], [tip - 7, y]), 'pf-line'), arrowHead(tip, y)];
}

/** The bits of the address above those that are translated. */
function upperParts(walk: Walk, paging: Paging, explained: ExplainedAddress): string[] {
  const { vaBits, wordBits, upper, ignored } = paging.geometry;
  if (vaBits === wordBits) return [];
  const value = BigInt.asUintN(wordBits - vaBits, walk.va >> BigInt(vaBits));
  const rule = { sign: 'copies of the top bit', zero: 'must be zero', one: 'must be one' }[upper];
  const tag = ignored === undefined ? '' : `, ${ignored.bits.join(':')} ignored`;
  return fieldParts(
    0,
    explained.canonical || walk.root !== undefined ? 'pf-box' : 'pf-bad',
    `${wordBits - 1}:${vaBits}`,
    'upper bits',
    hex(value),
    `${rule}${tag}`,
  );
}

function addressParts(walk: Walk, paging: Paging, explained: ExplainedAddress): string[] {
  const reached = new Set(walk.steps.map(({ level }) => level));
  const mapped = walk.outcome.mapped;
  const last = explained.indices.length + 1;
  const parts = upperParts(walk, paging, explained);
  explained.indices.forEach(({ level, name, bits, index }, i) => {
    const used = reached.has(level);
    const inOffset = !used && mapped;
    const cls = used ? accent(level) : inOffset ? 'pf-c5' : 'pf-empty';
    const below = used ? namesText(paging, level) : inOffset ? 'part of the offset here' : 'not reached';
    parts.push(...fieldParts(i + 1, cls, bits, name, `${index} (${hex(index)})`, below));
  });
  const low = Math.log2(Number(paging.pageBytes)) - 1;
  const cls = mapped ? 'pf-c5' : 'pf-empty';
  parts.push(
    ...fieldParts(last, cls, `${low}:0`, 'offset', hex(explained.offset), mapped ? 'kept as it is' : 'not used'),
  );
  return parts;
}

/** The root's box and the line to its table. */
function rootParts(walk: Walk): string[] {
  const { root, steps } = walk;
  if (root === undefined) return [];
  const [first] = steps;
  const x = columnX(0);
  const y = TABLE_TOP;
  const width = COLUMN - INSET;
  const tip = columnX(1) + INSET;
  const where = first === undefined ? 'no table is read' : hex(first.table);
  const parts = [
    box(x, y, width, HEADER, 'pf-box'),
    text(x + 8, y + 13, root === 'root' ? 'root' : `root ${root}`, { class: 'pf-strong', width: width - 16 }),
    text(x + 8, y + 29, where, { small: true, class: 'pf-dim', width: width - 16 }),
  ];
  if (first === undefined) return parts;
  const line = points([x + width, y + HEADER / 2], [tip - 7, y + HEADER / 2]);
  return [...parts, path(line, 'pf-line'), arrowHead(tip, y + HEADER / 2)];
}

/** The line to the outcome: from the last entry, from the root, or from the address that no root translates. */
function outcomeLine(walk: Walk, paging: Paging, x: number, y: number): string {
  const steps = walk.steps.length;
  if (steps > 0) return points([columnX(steps) + COLUMN, y], [x - 7, y]);
  const { vaBits, wordBits } = paging.geometry;
  const start = columnX(walk.root === undefined && vaBits === wordBits ? 1 : 0) + INSET / 2;
  const top = walk.root === undefined ? FIELD_TOP + FIELD : TABLE_TOP + HEADER;
  return points([start, top], [start, y], [x - 7, y]);
}

/** The outcome's box in the last column, and the line that leads to it. */
function outcomeParts(walk: Walk, paging: Paging, column: number, lines: readonly WalkLine[]): string[] {
  const x = columnX(column) + INSET;
  const y = usedRow(paging, walk.steps[walk.steps.length - 1]);
  const top = y - ROW / 2 - 8;
  const { mapped } = walk.outcome;
  return [
    box(x, top, COLUMN - INSET, lines.length * LINE + 14, mapped ? 'pf-c5' : 'pf-bad'),
    ...lineParts(lines, x + 8, top + 7),
    ...(mapped ? dropParts(column, y) : []),
    path(outcomeLine(walk, paging, x, y), 'pf-line'),
    arrowHead(x, y),
  ];
}

function describe(walk: Walk): string {
  const steps = walk.steps.map(({ name, table, index, entry, decoded }) => {
    const found = entry === undefined ? 'no memory' : `${hex(entry)} (${decoded?.kind ?? 'unknown'})`;
    return `${name} at ${hex(table)}, index ${index}: ${found}`;
  });
  const { outcome } = walk;
  const end = outcome.mapped
    ? `physical address ${hex(outcome.pa)}, ${sizeText(outcome.leafBytes)} ${outcome.shape}`
    : `fault ${outcome.type}: ${outcome.reasons.join(', ')}`;
  return [...steps, end].join('; ');
}

/**
 * Draws a walk.
 * @param walk what core's `walk` returned
 * @param paging the paging of the root that it used (for an address that no root translates: of the first root)
 */
export function walkSvg(walk: Walk, paging: Paging, options: WalkSvgOptions = {}): string {
  const explained = explainAddress(paging, walk.va);
  const last = explained.indices.length + 1;
  const inner = COLUMN - INSET - 16;
  const outcome = outcomeLines(walk, paging, inner);
  const texts = walk.steps.map((step) => entryLines(paging, step, COLUMN - INSET));
  const longest = Math.max(0, ...texts.map((lines) => lines.length));
  const va = hex(walk.va, paging.geometry.wordBits / 4);
  const title = options.title ?? `${va} in ${walk.root ?? 'no root'}, ${paging.geometry.title}`;
  const end = usedRow(paging, walk.steps[walk.steps.length - 1]);
  const body = [
    text(MARGIN, 24, title, { class: 'pf-strong' }),
    text(MARGIN, 44, walk.outcome.mapped ? `${va} is ${hex(walk.outcome.pa)}` : `${va} faults`, {
      small: true,
      class: 'pf-dim',
    }),
    ...addressParts(walk, paging, explained),
    ...rootParts(walk),
  ];
  walk.steps.forEach((step, i) => {
    const used = usedRow(paging, step);
    body.push(...dropParts(i + 1, used), ...tableParts(paging, step, i + 1));
    body.push(...lineParts(texts[i] ?? [], columnX(i + 1) + INSET, LINES_TOP));
    if (i + 1 < walk.steps.length) body.push(...linkParts(i + 1, used));
  });
  body.push(...outcomeParts(walk, paging, last, outcome));
  return picture({
    kind: 'walk',
    title,
    description: describe(walk),
    width: Math.max(columnX(last) + COLUMN, MARGIN + textWidth(title)) + MARGIN,
    height: Math.max(LINES_TOP + longest * LINE, end + outcome.length * LINE) + MARGIN,
    body,
    ground: options.ground !== false,
  });
}
