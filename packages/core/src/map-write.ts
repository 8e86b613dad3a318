/** Writing a mapping that was checked: nothing here can fail any more. */
import { type ChangeLog, type TableRecord, zeroTable } from './change.ts';
import type { Halves } from './compiled.ts';
import { DoubleView } from './fill-words.ts';
import type { CompiledShape } from './level-codec.ts';
import type { MapRow } from './map-check.ts';
import type { AddressSpace, Stretch } from './space.ts';
import { type Action, AGAIN, type Cursor, SKIP, traverse, type Visitor } from './traverse.ts';

/** Writes the rows of a stretch, in rising order. */
export class RowWriter implements Visitor {
  readonly #space: AddressSpace;
  readonly #stretch: Stretch;
  readonly #records: readonly TableRecord[];
  readonly #pointers: readonly Halves[];
  readonly #log: ChangeLog;
  readonly #view = new DoubleView();
  #next = 0;
  #row: MapRow | undefined;

  /**
   * @param records the tables that were allocated, in the order of linking
   * @param pointers table pointers without their addresses, by the level that holds them
   */
  constructor(
    space: AddressSpace,
    stretch: Stretch,
    records: readonly TableRecord[],
    pointers: readonly Halves[],
    log: ChangeLog,
  ) {
    this.#space = space;
    this.#stretch = stretch;
    this.#records = records;
    this.#pointers = pointers;
    this.#log = log;
  }

  /** Writes one row. */
  write(row: MapRow): void {
    const { leaves, slot, slots } = row;
    const { va, count, size } = leaves;
    const { root } = this.#stretch;
    const end = va + count * size.leafBytes;
    this.#row = row;
    if (slots * size.compiled.entryBytes === end - va) this.#fill(row, slot, slots, va);
    else traverse(this.#space.memory, { root, start: va, end }, this);
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
    const { address, bytes } = this.#records[this.#next++] as TableRecord;
    const at = Number(address);
    // A table that this row fills is complete before anything points to it.
    const whole =
      cursor.level === row.leaves.size.level + 1 &&
      cursor.va === cursor.entryVa &&
      cursor.end - cursor.va === cursor.span;
    if (whole) this.#fill(row, at, bytes / this.#stretch.root.paging.format.entryBytes, cursor.entryVa);
    else zeroTable(this.#space, at, bytes);
    const table = cursor.codec.table as CompiledShape;
    const { lo, hi } = this.#pointers[cursor.level] as Halves;
    cursor.store(lo | table.address.encodeLo(at), hi | table.address.encodeHi(at));
    return whole ? SKIP : AGAIN;
  }

  /** Fills slots with the leaves of a row from an address on. */
  #fill(row: MapRow, slot: number, slots: number, va: number): void {
    const { va: from, pa, size } = row.leaves;
    const { level, compiled } = size;
    row.filler.fillAt(this.#space.memory, slot, slots, pa + (va - from), this.#view);
    this.#log.note(va, va + slots * compiled.entryBytes, 'installed', level, compiled.entryBytes);
    this.#log.entries += slots;
  }
}
