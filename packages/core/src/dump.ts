/**
 * Dumps: everything that is mapped as folded lines in the manner of Linux's ptdump, with address markers between them.
 * The columns come from the format's own fields.
 */
import { hex, sizeText } from './address.ts';
import { rangesWidth } from './bits.ts';
import type { Field, FieldValues } from './format.ts';
import { eachMapped, type MappedRange, type OddEntry } from './leaves.ts';
import type { Paging } from './paging.ts';
import type { AddressSpace, VirtRange } from './space.ts';

/** A name for an address; printed before the first line at or above it. */
export interface Marker {
  readonly at: bigint;
  readonly name: string;
}

/** A line of a dump. */
export type DumpLine =
  | { readonly type: 'marker'; readonly marker: Marker }
  | { readonly type: 'range'; readonly range: MappedRange }
  | { readonly type: 'odd'; readonly odd: OddEntry };

/** Options of {@link dump}. */
export interface DumpOptions {
  /** Names of addresses, in any order. Not supplied: none. */
  readonly markers?: readonly Marker[];
  /** Fold neighbours? Not supplied: yes. */
  readonly fold?: boolean;
}

/**
 * Dumps what a range maps.
 * @param range half-open; parts that no root translates are passed over
 * @param each told of every line, in rising order under each root
 */
export function dump(
  space: AddressSpace,
  range: VirtRange,
  each: (line: DumpLine) => void,
  options: DumpOptions = {},
): void {
  const markers = [...(options.markers ?? [])].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  let next = 0;
  const mark = (va: bigint): void => {
    for (let marker = markers[next]; marker !== undefined && marker.at <= va; marker = markers[++next]) {
      each({ type: 'marker', marker });
    }
  };
  eachMapped(
    space,
    range,
    (found) => {
      mark(found.start);
      each({ type: 'range', range: found });
    },
    {
      fold: options.fold ?? true,
      boundaries: markers.map(({ at }) => at),
      odd(odd) {
        mark(odd.va);
        each({ type: 'odd', odd });
      },
    },
  );
}

/** One column: as wide for every value of the field, a dot for zero. */
function columnText(field: Field, value: number): string {
  const name = field.name.toUpperCase();
  const bits = rangesWidth(field.bits);
  if (bits === 1) return (value === 0 ? '.' : name).padEnd(name.length);
  const words = Object.values(field.values ?? {}).map((word) => word.length);
  const width = name.length + 2 + Math.max(String(2 ** bits - 1).length, ...words);
  return (value === 0 ? '.' : `${name}(${field.values?.[value] ?? value})`).padEnd(width);
}

/**
 * A leaf's attributes as text: one column for each attribute field of the format, a dot where it is clear; fields of
 * several bits by the name of their value.
 */
export function attributesText(paging: Paging, shape: string, level: number, values: FieldValues): string {
  const compiled = paging.codec(level).shapes.find((candidate) => candidate.shape.name === shape);
  const columns: string[] = [];
  for (const name of paging.format.attributes) {
    const field = compiled?.fields.find((candidate) => candidate.name === name);
    const value = values[name];
    // What holds an address has no value here, and a column of its own already.
    if (field !== undefined && value !== undefined) columns.push(columnText(field, value));
  }
  return columns.join(' ');
}

/** A line of a dump as text. `(repeated)` says that every leaf of the range maps the same address. */
export function lineText(line: DumpLine, paging: Paging): string {
  if (line.type === 'marker') return `---[ ${line.marker.name} ]---`;
  const digits = paging.geometry.wordBits / 4;
  if (line.type === 'odd') {
    const { va, slot, entry, reasons } = line.odd;
    const what = entry === undefined ? 'no memory' : `entry ${hex(entry, paging.format.entryBytes * 2)}`;
    return `${hex(va, digits)}: ${what} at ${hex(slot)}: ${reasons.join(', ')}`;
  }
  const { start, end, pa, name, fields, shape, level, leafBytes, repeats } = line.range;
  const size = sizeText(end - start).padStart(9);
  const kind = sizeText(leafBytes);
  const attributes = attributesText(paging, shape, level, fields);
  return `${hex(start, digits)}-${hex(end, digits)}    ${hex(pa, digits)} ${size} ${name.padEnd(3)} ${kind.padStart(4)} ${attributes}${repeats ? ' (repeated)' : ''}`;
}
