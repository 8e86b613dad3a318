/**
 * A map of an address space. Regions differ in size by a factor of a million and more, so the map has bands: the whole
 * word to scale, each cluster of regions to scale, and every region enlarged to a height at which it can be read.
 */
import { hex, sizeText } from '@pagefold/core';
import { EmitError } from './errors.ts';
import { type LayoutRow, type LayoutWindow, layoutWindows } from './layout-rows.ts';
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

/** A named part of an address space. */
export interface LayoutRegion {
  readonly name: string;
  readonly start: bigint;
  /** Exclusive; may be 2 to the bits of a word. */
  readonly end: bigint;
  /** What it is for. */
  readonly purpose?: string;
}

/** The regions of an address space. Core's layouts have this form. */
export interface LayoutInput {
  readonly name: string;
  /** One line for people. Not supplied: the name. */
  readonly title?: string;
  /** Bits of the machine's address word. */
  readonly wordBits: number;
  /** In any order; a region may lie inside another. */
  readonly regions: readonly LayoutRegion[];
}

/** Options of {@link layoutSvg}. */
export interface LayoutSvgOptions extends PictureOptions {
  /** Order of addresses from the top down. Not supplied: `falling`, the highest on top. */
  readonly order?: 'rising' | 'falling';
}

const MARGIN = 16;
const STRIP = 36;
const BAND_GAP = 64;
const ROW_SMALLEST = 36;
const ROW_GROWTH = 40;
const GAP_ROW = 22;
const CAPTION = 26;
const TOP = 84;
const INDENT = 14;
const NAME_LIMIT = 300;
const PURPOSE_LIMIT = 440;

/** A row with its place. */
interface Placed {
  readonly row: LayoutRow;
  readonly y: number;
  readonly height: number;
}

/** A window with its place. */
interface PlacedWindow {
  readonly window: LayoutWindow;
  readonly rows: readonly Placed[];
  readonly y: number;
  readonly height: number;
}

/** A size exactly if that is short, else rounded. */
function roughSize(bytes: bigint): string {
  const exact = sizeText(bytes);
  if (exact.length <= 5) return exact;
  const units = ['B', 'K', 'M', 'G', 'T', 'P', 'E'];
  let unit = 0;
  let scaled = bytes * 100n;
  while (scaled >= 102_400n && unit < units.length - 1) {
    scaled /= 1024n;
    unit++;
  }
  return `~${(Number(scaled) / 100).toFixed(scaled >= 10_000n ? 0 : 2)}${units[unit]}`;
}

function logOf(bytes: bigint): number {
  return bytes === 0n ? 0 : bytes.toString(2).length;
}

/** Heights: gaps are low, regions grow with the logarithm of their size. */
function placeWindows(windows: readonly LayoutWindow[], falling: boolean): PlacedWindow[] {
  const logs = windows.flatMap(({ rows }) => rows.flatMap((row) => (row.region ? [logOf(row.end - row.start)] : [])));
  const least = Math.min(...logs);
  const spread = Math.max(1, Math.max(...logs) - least);
  let y = TOP;
  return (falling ? [...windows].reverse() : windows).map((window) => {
    y += CAPTION;
    const top = y;
    const rows = (falling ? [...window.rows].reverse() : window.rows).map((row) => {
      const grown = ROW_SMALLEST + (ROW_GROWTH * (logOf(row.end - row.start) - least)) / spread;
      const placed = { row, y, height: row.region === undefined ? GAP_ROW : Math.round(grown) };
      y += placed.height;
      return placed;
    });
    const height = y - top;
    y += MARGIN;
    return { window, rows, y: top, height };
  });
}

/** Where an address lies on a strip that shows `start` to `end` to scale. */
function scaled(at: bigint, start: bigint, end: bigint, y: number, height: number, falling: boolean): number {
  const part = Number(((at - start) * 1_000_000n) / (end - start)) / 1_000_000;
  return falling ? y + height * (1 - part) : y + height * part;
}

/** The two ends of a range on a strip, the upper first. */
function extent(
  row: { readonly start: bigint; readonly end: bigint },
  strip: { readonly start: bigint; readonly end: bigint },
  y: number,
  height: number,
  falling: boolean,
): [number, number] {
  const a = scaled(row.start, strip.start, strip.end, y, height, falling);
  const b = scaled(row.end, strip.start, strip.end, y, height, falling);
  return a < b ? [a, b] : [b, a];
}

/** The quadrangle between a piece of one band and its enlargement in the next. */
function zoom(x1: number, [a, b]: readonly [number, number], x2: number, c: number, d: number, cls: string): string {
  return path(`${points([x1, a], [x2, c], [x2, d], [x1, b])}Z`, cls);
}

interface Columns {
  readonly strip: number;
  readonly boxes: number;
  readonly boxWidth: number;
  readonly labels: number;
}

function rowParts(placed: Placed, columns: Columns, digits: number): string[] {
  const { row, y, height } = placed;
  const { region, depth } = row;
  const x = columns.boxes + depth * INDENT;
  const width = columns.boxWidth - depth * INDENT;
  const size = roughSize(row.end - row.start);
  const range = `${hex(row.start, digits)}-${hex(row.end, digits)}`;
  if (region === undefined) {
    return [
      box(x, y, width, height, 'pf-empty', `gap: ${range}, ${sizeText(row.end - row.start)}`),
      path(hatch(x, y, width, height), 'pf-hatch'),
      text(columns.labels, y + height / 2, `gap ${size}`, { small: true, class: 'pf-dim' }),
    ];
  }
  const sizeWidth = textWidth(size, SMALL_SIZE) + 20;
  const middle = y + height / 2;
  const line = region.purpose === undefined ? middle : middle - 8;
  const parts = [
    box(
      x,
      y,
      width,
      height,
      `pf-c${row.color % ACCENT_COUNT}`,
      `${region.name}: ${range}, ${sizeText(row.end - row.start)}`,
    ),
    text(x + 8, middle, region.name, { class: 'pf-strong', width: width - 8 - sizeWidth }),
    text(x + width - 8, middle, size, { small: true, anchor: 'end' }),
    text(columns.labels, line, range),
  ];
  if (region.purpose !== undefined) {
    const style = { small: true, class: 'pf-dim', width: PURPOSE_LIMIT };
    parts.push(text(columns.labels, middle + 8, region.purpose, style));
  }
  return parts;
}

function rangeWidth(digits: number): number {
  return textWidth('0'.repeat(2 * (digits + 2) + 2));
}

function windowParts(placed: PlacedWindow, columns: Columns, digits: number, falling: boolean): string[] {
  const { window, rows, y, height } = placed;
  const range = `${hex(window.start, digits)}-${hex(window.end, digits)}`;
  const parts = [
    text(columns.strip, y - 12, `${range}, ${roughSize(window.end - window.start)}`, { small: true, class: 'pf-dim' }),
    box(columns.strip, y, STRIP, height, 'pf-empty', range),
  ];
  for (const { row, y: top, height: rowHeight } of rows) {
    if (row.region === undefined) continue;
    const cls = `pf-c${row.color % ACCENT_COUNT}`;
    const [a, b] = extent(row, window, y, height, falling);
    parts.push(box(columns.strip, a, STRIP, Math.max(0.5, b - a), cls, row.region.name));
    const x = columns.boxes + row.depth * INDENT;
    parts.push(zoom(columns.strip + STRIP, [a, b], x, top, top + rowHeight, `${cls} pf-zoom`));
  }
  for (const row of rows) parts.push(...rowParts(row, columns, digits));
  return parts;
}

/** The band of the whole word, with what each window is of it. */
function wholeParts(
  windows: readonly PlacedWindow[],
  wordBits: number,
  columns: Columns,
  end: number,
  falling: boolean,
): string[] {
  const top = TOP + CAPTION;
  const height = end - top;
  const whole = { start: 0n, end: 1n << BigInt(wordBits) };
  const parts = [
    text(MARGIN, top - 12, falling ? `2^${wordBits}` : '0', { small: true, class: 'pf-dim' }),
    box(MARGIN, top, STRIP, height, 'pf-empty', `the whole word, 2^${wordBits} bytes`),
    path(hatch(MARGIN, top, STRIP, height), 'pf-hatch'),
    text(MARGIN, end + 12, falling ? '0' : `2^${wordBits}`, { small: true, class: 'pf-dim' }),
  ];
  for (const { window, y, height: own } of windows) {
    const [a, b] = extent(window, whole, top, height, falling);
    parts.push(box(MARGIN, a, STRIP, Math.max(1, b - a), 'pf-box'));
    parts.push(zoom(MARGIN + STRIP, [a, b], columns.strip, y, y + own, 'pf-faint'));
  }
  return parts;
}

function checkRegions({ wordBits, regions }: LayoutInput): void {
  if (!Number.isInteger(wordBits) || wordBits < 1 || wordBits > 64) {
    throw new EmitError('option', 'wordBits must be a whole number from 1 to 64', { wordBits: String(wordBits) });
  }
  for (const { name, start, end } of regions) {
    if (start < 0n || start > end || end > 1n << BigInt(wordBits)) {
      throw new EmitError('layout-region', 'a region needs 0 <= start <= end within the word', { name, start, end });
    }
  }
}

/**
 * Draws a map of an address space: every region with its name, range, size and purpose; gaps are hatched.
 * @throws EmitError `layout-region`, `option`
 */
export function layoutSvg(layout: LayoutInput, options: LayoutSvgOptions = {}): string {
  checkRegions(layout);
  const falling = options.order !== 'rising';
  const { wordBits, regions } = layout;
  const digits = Math.ceil(wordBits / 4);
  const windows = placeWindows(layoutWindows(regions), falling);
  const last = windows[windows.length - 1];
  const end = last === undefined ? TOP + CAPTION : last.y + last.height;
  const only = windows.length === 1 ? windows[0]?.window : undefined;
  const whole = !(only?.start === 0n && only.end === 1n << BigInt(wordBits));
  const strip = MARGIN + (whole ? STRIP + BAND_GAP : 0);
  const names = regions.map(({ name, start, end: to }) => {
    return textWidth(name) + textWidth(roughSize(to - start), SMALL_SIZE) + 40;
  });
  const depth = Math.max(0, ...windows.flatMap(({ rows }) => rows.map(({ row }) => row.depth)));
  const boxWidth = Math.min(NAME_LIMIT, Math.max(140, ...names)) + depth * INDENT;
  const boxes = strip + STRIP + BAND_GAP;
  const columns: Columns = { strip, boxes, boxWidth, labels: boxes + boxWidth + 12 };
  const title = options.title ?? layout.title ?? layout.name;
  const purposes = regions.map(({ purpose }) => Math.min(PURPOSE_LIMIT, textWidth(purpose ?? '', SMALL_SIZE)));
  const labels = Math.max(rangeWidth(digits), ...purposes);
  const width = Math.max(columns.labels + labels, MARGIN + textWidth(title)) + MARGIN;
  const body = [
    text(MARGIN, 24, title, { class: 'pf-strong' }),
    text(MARGIN, 44, `${regions.length} regions; addresses ${falling ? 'fall' : 'rise'} downwards`, {
      small: true,
      class: 'pf-dim',
    }),
    ...(whole ? [text(MARGIN, 68, 'whole word', { small: true }), text(MARGIN, 80, 'to scale', { small: true })] : []),
    text(strip, 68, whole ? 'each part' : 'whole word', { small: true }),
    text(strip, 80, 'to scale', { small: true }),
    text(boxes, 68, 'every region,', { small: true }),
    text(boxes, 80, 'not to scale', { small: true }),
    ...(whole ? wholeParts(windows, wordBits, columns, end, falling) : []),
    ...windows.flatMap((window) => windowParts(window, columns, digits, falling)),
  ];
  const description = regions
    .map(({ name, start, end: to }) => `${name} ${hex(start, digits)}-${hex(to, digits)} ${sizeText(to - start)}`)
    .join('; ');
  return picture({
    kind: 'layout',
    title,
    description,
    width,
    height: end + MARGIN + TEXT_SIZE,
    body,
    ground: options.ground !== false,
  });
}
