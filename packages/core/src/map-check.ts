/** Checking a mapping before anything is written: are its slots empty and writable, and which tables will it take? */
import type { PhysAddr } from './address.ts';
import type { TableRecord } from './change.ts';
import { join, toBig } from './compiled.ts';
import { MalformedEntryError, OverlapError } from './errors.ts';
import type { LeafFiller, SizeOfLeaf } from './fill.ts';
import type { LeafRow } from './leaf-plan.ts';
import { SlotProbe } from './memory.ts';
import { type AddressSpace, type Stretch, vaOf } from './space.ts';
import type { EnteredTables } from './table-guard.ts';
import type { TableHole } from './table-needs.ts';
import { type Action, type Cursor, DESCEND, SKIP, traverse, type Visitor } from './traverse.ts';

/** A row of leaves on its way into the tables. */
export interface MapRow {
  readonly leaves: LeafRow<SizeOfLeaf>;
  readonly filler: LeafFiller;
  /** Physical address of the first of the empty slots, one after the other in memory, that the check came across. */
  slot: number;
  slots: number;
}

const NOTHING: readonly never[] = [];

function overlap(what: string, cursor: Cursor): OverlapError {
  return new OverlapError('already-mapped', `${what} stands in the way`, {
    va: cursor.entryVa,
    level: cursor.level,
    slot: cursor.slot,
    entry: cursor.root.paging.format.entryBytes === 4 ? cursor.lo >>> 0 : join(cursor.lo, cursor.hi),
  });
}

/** An entry that is malformed stays as it is, and so does everything else. */
function refuseMalformed(cursor: Cursor): never {
  throw new MalformedEntryError('malformed-entry', 'a malformed entry stands in the way', {
    va: cursor.entryVa,
    level: cursor.level,
    slot: cursor.slot,
  });
}

/** Checks the rows of a stretch, in rising order, against what is there. */
export class RowCheck implements Visitor {
  #holes: TableHole[] | undefined;
  #detached: TableRecord[] | undefined;
  readonly #space: AddressSpace;
  readonly #stretch: Stretch;
  readonly #probe: SlotProbe;
  readonly #entered: EnteredTables;
  #row: MapRow | undefined;
  #level = 0;

  /** @param entered shared by all stretches of one request */
  constructor(space: AddressSpace, stretch: Stretch, entered: EnteredTables) {
    this.#space = space;
    this.#stretch = stretch;
    this.#entered = entered;
    this.#probe = new SlotProbe(space.memory);
  }

  /**
   * Checks one row.
   * @throws OverlapError (`already-mapped`, `shared-table`), MalformedEntryError or MemoryError if it cannot be written
   */
  check(row: MapRow): void {
    const { va, count, size } = row.leaves;
    const { root, start, end } = this.#stretch;
    const to = va + count * size.leafBytes;
    this.#row = row;
    this.#level = size.level;
    traverse(this.#space.memory, va === start && to === end ? this.#stretch : { root, start: va, end: to }, this);
  }

  /** Where tables are missing, in rising order. */
  get holes(): readonly TableHole[] {
    return this.#holes ?? NOTHING;
  }

  /** Empty tables that give way to leaves. */
  get detached(): readonly TableRecord[] {
    return this.#detached ?? NOTHING;
  }

  bulk(cursor: Cursor): number {
    if (cursor.level !== this.#level) return 0;
    const slots = cursor.zeros();
    if (slots > 0) this.#take(cursor, slots);
    return slots;
  }

  hole(cursor: Cursor): Action {
    // Prove now that what will be written can be; nothing is written below a table that gives way to a leaf.
    if (cursor.level > this.#level) this.#probe.prove(cursor.slot);
    else if (cursor.level === this.#level) this.#take(cursor, 1);
    if ((cursor.lo | cursor.hi) !== 0) throw overlap('a non-empty software entry', cursor);
    if (cursor.level > this.#level) {
      this.#holes ??= [];
      this.#holes.push({ level: cursor.level - 1, leafLevel: this.#level, from: cursor.va, to: cursor.end });
    }
    return SKIP;
  }

  leaf(cursor: Cursor): never {
    throw overlap('a leaf', cursor);
  }

  table(cursor: Cursor): Action {
    this.#entered.enter(cursor);
    if (cursor.level > this.#level) return DESCEND;
    if (cursor.level === this.#level) this.#probe.prove(cursor.slot);
    const below = this.#stretch.root.paging.codec(cursor.level - 1).level;
    this.#detached ??= [];
    this.#detached.push({
      level: below.level,
      va: vaOf(cursor.entryVa),
      bytes: below.tableBytes,
      alignBytes: below.alignBytes,
      address: toBig(cursor.below) as PhysAddr,
    });
    return DESCEND; // An empty table left over from earlier is replaced; a leaf below it is an overlap.
  }

  malformed(cursor: Cursor): never {
    refuseMalformed(cursor);
  }

  /** Notes slots that leaves will be written to. */
  #take(cursor: Cursor, slots: number): void {
    const { entryBytes } = this.#stretch.root.paging.format;
    const { slot } = cursor;
    this.#probe.prove(slot, slots * entryBytes);
    const row = this.#row as MapRow;
    if (row.slots === 0) row.slot = slot;
    if (slot === row.slot + row.slots * entryBytes) row.slots += slots;
  }
}

/** The parts of a stretch where nothing stands at all, in rising order: what `keep` leaves to be mapped. */
export function gaps(space: AddressSpace, stretch: Stretch): { start: number; end: number }[] {
  const found: { start: number; end: number }[] = [];
  traverse(space.memory, stretch, {
    hole(cursor) {
      if ((cursor.lo | cursor.hi) !== 0) return undefined;
      const last = found[found.length - 1];
      if (last?.end === cursor.va) last.end = cursor.end;
      else found.push({ start: cursor.va, end: cursor.end });
      return undefined;
    },
    malformed: refuseMalformed,
  });
  return found;
}
