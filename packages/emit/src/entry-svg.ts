/**
 * The bits of an entry, highest on the left: which field each belongs to, and, for a given entry, what it holds. All of it
 * comes from the format's description; a scattered field has several places of one colour.
 */
import {
  type BitRange,
  bitsText,
  type CompiledShape,
  type ExplainedField,
  explainEntry,
  explainFields,
  type Field,
  hex,
  type Paging,
  rangesWidth,
} from '@pagefold/core';
import { meaningText } from './describe.ts';
import { checkOption, EmitError } from './errors.ts';
import {
  ACCENT_COUNT,
  box,
  hatch,
  type PictureOptions,
  path,
  picture,
  points,
  SMALL_SIZE,
  TEXT_SIZE,
  text,
  textWidth,
} from './svg.ts';

/** Options of {@link entrySvg}. */
export interface EntrySvgOptions extends PictureOptions {
  /** Bits in one row, 8 to 64. Not supplied: 32. */
  readonly bitsPerRow?: number;
}

const MARGIN = 16;
const BIT = 28;
const TOP = 64;
const NUMBERS = 16;
const VALUES = 18;
const LINE = 18;

/** Consecutive bits of one field (or of none) in one row. */
interface Cell {
  readonly hi: number;
  readonly lo: number;
  /** Index of the field; `undefined` for bits without a name. */
  readonly field: number | undefined;
}

/** Which field each bit belongs to; the first that names it. */
function ownersOf(fields: readonly Field[], bits: number): (number | undefined)[] {
  const owners: (number | undefined)[] = Array.from({ length: bits }, () => undefined);
  fields.forEach((field, index) => {
    for (const [hi, lo] of field.bits) for (let bit = lo; bit <= hi && bit < bits; bit++) owners[bit] ??= index;
  });
  return owners;
}

/** Is there a border of a bit range between a bit and the one above it? */
function startsRange(ranges: readonly BitRange[] | undefined, bit: number): boolean {
  return ranges?.some(([hi]) => hi === bit) ?? false;
}

/** Cuts the word into rows, the highest bits first, and each row into cells. */
function rowsOf(fields: readonly Field[], bits: number, perRow: number): Cell[][] {
  const owners = ownersOf(fields, bits);
  const rows: Cell[][] = [];
  for (let top = bits - 1; top >= 0; top -= perRow) {
    const bottom = Math.max(0, top - perRow + 1);
    const row: Cell[] = [];
    let hi = top;
    for (let bit = top; bit >= bottom; bit--) {
      const field = owners[bit];
      const next = bit - 1;
      const ends = next < bottom || owners[next] !== field || startsRange(fields[field ?? -1]?.bits, next);
      if (!ends) continue;
      row.push({ hi, lo: bit, field });
      hi = next;
    }
    rows.push(row);
  }
  return rows;
}

/** The label of a cell: the field's name, for a scattered one with the part that lies here. */
function cellLabel(field: Field | undefined, { hi, lo }: Cell): string {
  if (field === undefined) return '';
  let below = rangesWidth(field.bits);
  for (const [top, bottom] of field.bits) {
    below -= top - bottom + 1;
    if (lo < bottom || hi > top) continue;
    if (hi === top && lo === bottom && field.bits.length === 1) return field.name;
    const [from, to] = [below + hi - bottom, below + lo - bottom];
    return `${field.name}[${from === to ? from : `${from}:${to}`}]`;
  }
  return field.name;
}

function needsUpright(label: string, { hi, lo }: Cell): boolean {
  return textWidth(label) > (hi - lo + 1) * BIT - 6;
}

/** Height of the cells: a name that does not fit lengthwise stands upright. */
function cellHeight(rows: readonly (readonly Cell[])[], fields: readonly Field[]): number {
  const upright = rows.flat().flatMap((cell) => {
    const label = cellLabel(fields[cell.field ?? -1], cell);
    return needsUpright(label, cell) ? [textWidth(label) + 12] : [];
  });
  return Math.max(32, ...upright);
}

interface Drawing {
  readonly fields: readonly Field[];
  readonly addressMask: bigint;
  readonly entry: bigint | undefined;
  readonly height: number;
}

function cellParts(cell: Cell, x: number, y: number, { fields, addressMask, entry, height }: Drawing): string[] {
  const { hi, lo, field } = cell;
  const width = (hi - lo + 1) * BIT;
  const owner = fields[field ?? -1];
  const label = cellLabel(owner, cell);
  const cls = field === undefined ? 'pf-empty' : `pf-c${field % ACCENT_COUNT}`;
  const parts: string[] = [];
  if (hi === lo) parts.push(text(x + width / 2, y - 9, `${hi}`, { small: true, anchor: 'middle', class: 'pf-dim' }));
  else {
    parts.push(text(x + 3, y - 9, `${hi}`, { small: true, class: 'pf-dim' }));
    parts.push(text(x + width - 3, y - 9, `${lo}`, { small: true, anchor: 'end', class: 'pf-dim' }));
  }
  parts.push(box(x, y, width, height, cls, owner === undefined ? 'no field' : `${owner.name}: ${owner.meaning}`));
  if (owner === undefined) parts.push(path(hatch(x, y, width, height), 'pf-hatch'));
  const upright = needsUpright(label, cell);
  if (label !== '') {
    parts.push(text(x + width / 2, y + height / 2, label, { anchor: 'middle', class: 'pf-strong', upright }));
  }
  for (let bit = hi; bit >= lo; bit--) {
    const left = x + (hi - bit) * BIT;
    if (((addressMask >> BigInt(bit)) & 1n) === 1n) parts.push(box(left, y + height - 3, BIT, 3, 'pf-head'));
    if (entry === undefined) continue;
    const set = ((entry >> BigInt(bit)) & 1n) === 1n;
    const cls = set ? 'pf-strong' : 'pf-dim';
    parts.push(text(left + BIT / 2, y + height + VALUES / 2 + 1, set ? '1' : '0', { anchor: 'middle', class: cls }));
    if (bit !== hi) parts.push(path(points([left, y + height - 5], [left, y + height]), 'pf-line'));
  }
  return parts;
}

/** One line of the list below the bits. */
function listLine(field: Field, explained: ExplainedField | undefined): readonly string[] {
  const names = Object.entries(field.values ?? {}).map(([value, name]) => `${value} ${name}`);
  const notes = [
    field.meaning,
    field.software === true ? 'ignored by hardware' : '',
    explained ? '' : names.join(', '),
  ];
  const single = rangesWidth(field.bits) === 1;
  const value = explained && `= ${explained.text ?? (single ? explained.value : hex(explained.value))}`;
  return [bitsText(field), field.name, value ?? '', notes.filter(Boolean).join('; '), field.section ?? ''];
}

/** The list: columns as wide as their longest text. */
function listParts(lines: readonly (readonly string[])[], y: number): { parts: string[]; width: number } {
  const parts: string[] = [];
  let x = MARGIN + 24;
  for (let column = 0; column < 5; column++) {
    const widest = Math.max(0, ...lines.map((line) => textWidth(line[column] ?? '', TEXT_SIZE)));
    if (widest === 0) continue;
    lines.forEach((line, i) => {
      const cls = column === 1 ? 'pf-strong' : column === 4 ? 'pf-dim' : '';
      const content = line[column] ?? '';
      if (content !== '') parts.push(text(x, y + i * LINE, content, cls === '' ? {} : { class: cls }));
    });
    x += widest + 16;
  }
  return { parts, width: x };
}

/** The shape that is meant: by name, or the one that an entry has. */
function shapeOf(paging: Paging, level: number, what: string | bigint): CompiledShape | undefined {
  const { shapes } = paging.codec(level);
  const name = typeof what === 'string' ? what : paging.decode(level, what).shape;
  const compiled = shapes.find(({ shape }) => shape.name === name);
  if (compiled === undefined && typeof what === 'string') {
    throw new EmitError('shape', 'this level has no shape of that name', {
      level,
      shape: what,
      known: shapes.map(({ shape }) => shape.name).join(' '),
    });
  }
  return compiled;
}

function checkEntry(paging: Paging, what: string | bigint): bigint | undefined {
  if (typeof what === 'string') return undefined;
  const bits = paging.format.entryBytes * 8;
  if (BigInt.asUintN(bits, what) !== what) {
    throw new EmitError('option', `an entry of ${paging.format.name} has ${bits} bits`, { entry: what });
  }
  return what;
}

function addressNote(compiled: CompiledShape | undefined): string {
  const kind = compiled?.shape.kind;
  if (kind !== 'leaf' && kind !== 'table') return '';
  return `thick lower edge: bits of the ${kind === 'table' ? "next table's" : 'physical'} address`;
}

/**
 * Draws the bits of an entry.
 * @param level level, from the leaves, at which it stands
 * @param what name of a shape (`leaf`, `table`) for its fields alone, or an entry for its fields and their values
 * @throws EmitError `shape` for an unknown shape, `option`; FormatError for an unknown level
 */
export function entrySvg(paging: Paging, level: number, what: string | bigint, options: EntrySvgOptions = {}): string {
  const perRow = checkOption('bitsPerRow', options.bitsPerRow ?? 32, 8, 64);
  const entry = checkEntry(paging, what);
  const compiled = shapeOf(paging, level, what);
  const fields = compiled?.fields ?? [];
  const bits = paging.format.entryBytes * 8;
  const rows = rowsOf(fields, bits, perRow);
  const height = cellHeight(rows, fields);
  const drawing: Drawing = { fields, addressMask: compiled?.address.mask ?? 0n, entry, height };
  const pitch = NUMBERS + height + (entry === undefined ? 0 : VALUES) + 12;
  const body: string[] = [];
  rows.forEach((row, i) => {
    for (const cell of row) {
      const left = MARGIN + (row[0]?.hi ?? 0) * BIT - cell.hi * BIT;
      body.push(...cellParts(cell, left, TOP + i * pitch + NUMBERS, drawing));
    }
  });
  const listTop = TOP + rows.length * pitch + 12;
  const explained = entry === undefined ? [] : explainFields(fields, entry);
  const list = listParts(
    fields.map((field, i) => listLine(field, explained[i])),
    listTop,
  );
  fields.forEach((_, i) => {
    body.push(box(MARGIN, listTop + i * LINE - 6, 12, 12, `pf-c${i % ACCENT_COUNT}`));
  });
  const { name } = paging.codec(level).level;
  const shape = compiled?.shape.name ?? 'no shape';
  const subject = entry === undefined ? shape : hex(entry, bits / 4);
  const title = options.title ?? `${paging.format.title}: ${subject} at ${name}, ${paging.geometry.name}`;
  const note = addressNote(compiled);
  const said = entry === undefined ? shape : `${meaningText(paging, level, entry)}${reasonsText(paging, level, entry)}`;
  const under = [said, note].filter(Boolean).join('; ');
  const bitsWidth = MARGIN * 2 + Math.min(perRow, bits) * BIT;
  const texts = Math.max(list.width, textWidth(title) + 2 * MARGIN, textWidth(under, SMALL_SIZE) + 2 * MARGIN);
  return picture({
    kind: 'entry',
    title,
    description: `${said}. ${fields.map((field, i) => listLine(field, explained[i]).filter(Boolean).join(' ')).join('; ')}`,
    width: Math.max(bitsWidth, texts),
    height: listTop + fields.length * LINE + MARGIN - 6,
    body: [
      text(MARGIN, 24, title, { class: 'pf-strong' }),
      text(MARGIN, 44, under, { small: true, class: 'pf-dim' }),
      ...body,
      ...list.parts,
    ],
    ground: options.ground !== false,
  });
}

function reasonsText(paging: Paging, level: number, entry: bigint): string {
  const { kind, reasons } = explainEntry(paging, level, entry);
  if (kind !== 'malformed') return '';
  return `: ${reasons.map(({ meaning }) => meaning).join('; ')}`;
}
