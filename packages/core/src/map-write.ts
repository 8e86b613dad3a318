/** Writing a mapping that was checked: nothing here can fail any more. */
import { type ChangeLog, type TableRecord, zeroTable } from './change.ts';
import type { Halves } from './compiled.ts';
import { DoubleView } from './fill-words.ts';
import type { CompiledShape } from './level-codec.ts';
import type { MapRow } from './map-check.ts';
import type { AddressSpace, Stretch } from './space.ts';
import { type Action, AGAIN, type Cursor, SKIP, traverse, type Visitor } from './traverse.ts';

/** What is written: rows in rising order, and what they take. */
export interface CheckedRows {
  readonly stretch: Stretch;
  readonly rows: readonly MapRow[];
  /** The tables that were allocated, in the order of linking. */
  readonly tables: readonly TableRecord[];
  /** Table pointers without their addresses, by the level that holds them. */
  readonly pointers: readonly Halves[];
}

/** Writes rows. Those whose slots the check met all in one place, as it does where tables are there already, go there. */
export function writeRows(space: AddressSpace, checked: CheckedRows, log: ChangeLog): void {
  let writer: RowWriter | undefined;
  for (const row of checked.rows) {
    const { leaves, slot, slots } = row;
    const { va, count, size } = leaves;
    if (slots * size.compiled.entryBytes === count * size.leafBytes) {
      fillRow(space, row, slot, slots, va, log);
      continue;
    }
    writer ??= new RowWriter(space, checked, log);
    writer.write(row);
  }
}

/** Fills slots with the leaves of a row from an address on. */
function fillRow(
  space: AddressSpace,
  row: MapRow,
  slot: number,
  slots: number,
  va: number,
  log: ChangeLog,
  view?: DoubleView,
): void {
  const { va: from, pa, size } = row.leaves;
  const { level, compiled } = size;
  row.filler.fillAt(space.memory, slot, slots, pa + (va - from), view);
  log.note(va, va + slots * compiled.entryBytes, 'installed', level, compiled.entryBytes);
  log.entries += slots;
}

/** Writes rows by way of the tables that lead to them, linking those that are missing. */
class RowWriter implements Visitor {
  readonly #space: AddressSpace;
  readonly #checked: CheckedRows;
  readonly #log: ChangeLog;
  readonly #view = new DoubleView();
  #next = 0;
  #row: MapRow | undefined;

  constructor(space: AddressSpace, checked: CheckedRows, log: ChangeLog) {
    this.#space = space;
    this.#checked = checked;
    this.#log = log;
  }

  write(row: MapRow): void {
    const { va, count, size } = row.leaves;
    const { root } = this.#checked.stretch;
    this.#row = row;
    traverse(this.#space.memory, { root, start: va, end: va + count * size.leafBytes }, this);
  }

  bulk(cursor: Cursor): number {
    const row = this.#row as MapRow;
    if (cursor.level !== row.leaves.size.level) return 0;
    const slots = cursor.slotsLeft;
    this.#fill(row, cursor.slot, slots, cursor.entryVa);
    return slots;
  }

  hole(cursor: Cursor): Action {
    const row = this.#row as MapRow;
    const { address, bytes } = this.#checked.tables[this.#next++] as TableRecord;
    const at = Number(address);
    // A table that this row fills is complete before anything points to it.
    const whole =
      cursor.level === row.leaves.size.level + 1 &&
      cursor.va === cursor.entryVa &&
      cursor.end - cursor.va === cursor.span;
    if (whole) this.#fill(row, at, bytes / this.#checked.stretch.root.paging.format.entryBytes, cursor.entryVa);
    else zeroTable(this.#space, at, bytes);
    const table = cursor.codec.table as CompiledShape;
    const { lo, hi } = this.#checked.pointers[cursor.level] as Halves;
    cursor.store(lo | table.address.encodeLo(at), hi | table.address.encodeHi(at));
    return whole ? SKIP : AGAIN;
  }

  #fill(row: MapRow, slot: number, slots: number, va: number): void {
    fillRow(this.#space, row, slot, slots, va, this.#log, this.#view);
  }
}
