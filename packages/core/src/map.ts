/**
 * Mapping a range: planned and checked first, then written. Nothing is written unless everything will succeed.
 */
import { type PhysAddr, sizeText, type VirtAddr } from './address.ts';
import type { TableAllocator } from './allocator.ts';
import { allocateAll, type Change, ChangeLog, type TableNeed, type TableRecord, zeroTable } from './change.ts';
import { type Halves, halves, toBig } from './compiled.ts';
import { ArgumentError, MalformedEntryError, OutOfTablesError, OverlapError } from './errors.ts';
import { fillerFor, type LeafFiller, type SizeOfLeaf, usableSizes } from './fill.ts';
import { type LeafRow, planLeaves } from './leaf-plan.ts';
import type { CompiledShape } from './level-codec.ts';
import { writeProbe } from './memory.ts';
import type { Attributes, LeafChoice } from './paging.ts';
import { type AddressSpace, type Stretch, stretches, vaOf } from './space.ts';
import { type Action, AGAIN, type Cursor, DESCEND, SKIP, shapeAt, traverse } from './traverse.ts';

/** A mapping to be made. */
export interface MapRequest {
  /** First virtual address, a multiple of the smallest leaf. */
  readonly va: VirtAddr | bigint;
  /** First physical address, a multiple of the smallest leaf. */
  readonly pa: PhysAddr | bigint;
  /** Bytes to map, a multiple of the smallest leaf. */
  readonly bytes: bigint;
  /** Attributes of the leaves, or a function that gives them for each kind of leaf that is used. */
  readonly attributes: Attributes | ((leaf: LeafChoice) => Attributes);
  /**
   * Attributes of table pointers that are made, or a function of the level that holds them. Not supplied: those that
   * limit nothing below.
   */
  readonly tableAttributes?: Attributes | ((level: number) => Attributes);
  /** Largest leaf to use, in bytes. Not supplied: no limit. */
  readonly maxLeafBytes?: bigint;
  /** May runs (NAPOT, contiguous entries) be used? Not supplied: yes. */
  readonly runs?: boolean;
  /**
   * What if something is mapped there already: `refuse` with an OverlapError, or `keep` it and map only the rest.
   * Not supplied: `refuse`.
   */
  readonly existing?: 'refuse' | 'keep';
  /** Where tables come from. Not supplied: a mapping that needs a table is refused. */
  readonly allocator?: TableAllocator;
}

/** Empty slots, one after the other in memory, that the check of a row has come across. */
interface Spot {
  /** Physical address of the first one. */
  slot: number;
  slots: number;
}

/** A row of leaves on its way into the tables. */
interface Row extends LeafRow<SizeOfLeaf> {
  readonly filler: LeafFiller;
  readonly spot: Spot;
}

interface Part {
  readonly stretch: Stretch;
  readonly rows: readonly Row[];
  readonly needs: readonly TableNeed[];
  readonly detached: readonly TableRecord[];
}

/** What a mapping will be made of. */
export interface MapPlan {
  /** Leaves, in rising order: rows of equal ones. */
  readonly leaves: readonly {
    readonly va: VirtAddr;
    readonly pa: bigint;
    readonly leaf: LeafChoice;
    readonly count: number;
  }[];
  /** Tables that must be allocated, in the order of allocation. */
  readonly tables: readonly { readonly level: number; readonly va: VirtAddr; readonly bytes: number }[];
  /** Bytes of all those tables. */
  readonly tableBytes: bigint;
}

function overlap(what: string, cursor: Cursor): OverlapError {
  return new OverlapError('already-mapped', `${what} stands in the way`, {
    va: cursor.entryVa,
    level: cursor.level,
    slot: cursor.slot,
    entry:
      cursor.root.paging.format.entryBytes === 4
        ? cursor.lo >>> 0
        : (BigInt(cursor.hi >>> 0) << 32n) | BigInt(cursor.lo >>> 0),
  });
}

/** Adds the tables that a hole needs, from the level below it down to the leaves' level, in the order of linking. */
function needTables(
  part: Stretch,
  level: number,
  from: number,
  to: number,
  leafLevel: number,
  needs: TableNeed[],
  covered: number[],
): void {
  if (level < leafLevel) return;
  const { entrySpan, entries } = part.root.paging.codec(level).level;
  const span = entrySpan * entries;
  for (let start = Math.floor(from / span) * span; start < to; start += span) {
    // The rows of one request come in rising order; a table that an earlier row needed is not needed again.
    if (start >= (covered[level] ?? 0)) {
      needs.push({ level, va: start });
      covered[level] = start + span;
    }
    needTables(part, level - 1, Math.max(from, start), Math.min(to, start + span), leafLevel, needs, covered);
  }
}

/** Checks one row against what is there and notes the tables it needs. */
function checkRow(
  space: AddressSpace,
  stretch: Stretch,
  row: Row,
  needs: TableNeed[],
  covered: number[],
  detached: TableRecord[],
): void {
  const { spot } = row;
  const { level } = row.size;
  const { entryBytes } = stretch.root.paging.format;
  const end = row.va + row.count * row.size.leafBytes;
  const prove = writeProbe(space.memory);
  traverse(
    space.memory,
    { root: stretch.root, start: row.va, end },
    {
      hole(cursor) {
        // Prove now that what will be written can be; nothing is written below a table that gives way to a leaf.
        if (cursor.level >= level) prove(cursor.slot);
        if ((cursor.lo | cursor.hi) !== 0) throw overlap('a non-empty software entry', cursor);
        if (cursor.level > level) {
          needTables(stretch, cursor.level - 1, cursor.va, cursor.end, level, needs, covered);
        } else if (cursor.level === level) {
          if (spot.slots === 0) spot.slot = cursor.slot;
          if (cursor.slot === spot.slot + spot.slots * entryBytes) spot.slots++;
        }
        return undefined;
      },
      leaf(cursor) {
        throw overlap('a leaf', cursor);
      },
      table(cursor) {
        if (cursor.level > level) return DESCEND;
        if (cursor.level === level) prove(cursor.slot);
        const shape = shapeAt(cursor);
        const below = stretch.root.paging.codec(cursor.level - 1).level;
        detached.push({
          level: below.level,
          va: vaOf(cursor.entryVa),
          bytes: below.tableBytes,
          alignBytes: below.alignBytes,
          address: BigInt(shape.address.decode(cursor.lo, cursor.hi)) as PhysAddr,
        });
        return DESCEND; // An empty table left over from earlier is replaced; a leaf below it is an overlap.
      },
      malformed: refuseMalformed,
    },
  );
}

/** The parts of a stretch where nothing stands at all, in rising order: what `keep` leaves to be mapped. */
function gaps(space: AddressSpace, stretch: Stretch): { start: number; end: number }[] {
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

/** An entry that is malformed stays as it is, and so does everything else. */
function refuseMalformed(cursor: Cursor): never {
  throw new MalformedEntryError('malformed-entry', 'a malformed entry stands in the way', {
    va: cursor.entryVa,
    level: cursor.level,
    slot: cursor.slot,
  });
}

function planParts(space: AddressSpace, request: MapRequest): Part[] {
  const { va, pa, bytes } = request;
  if (bytes <= 0n) throw new ArgumentError('map-bytes', 'a mapping needs a positive size', { bytes });
  const parts = stretches(space, { start: va, end: va + bytes });
  return parts.map((stretch) => {
    const { root, start, end } = stretch;
    const { paging } = root;
    const first = BigInt(pa) + toBig(start) - va;
    paging.checkAddress(first, paging.pageBytes);
    paging.checkAddress(first + toBig(end - start) - paging.pageBytes, paging.pageBytes);
    const sizes = usableSizes(paging, request.maxLeafBytes, request.runs ?? true);
    const rows: Row[] = [];
    const fillers: LeafFiller[] = []; // by size
    for (const free of request.existing === 'keep' ? gaps(space, stretch) : [stretch]) {
      const planned = planLeaves(sizes, free.start, Number(first) + (free.start - start), free.end - free.start);
      if (planned === undefined) {
        const limit = sizeText(request.maxLeafBytes ?? 0n);
        throw new ArgumentError('map-size', `no leaf of at most ${limit} fits the range`, { va, pa, bytes });
      }
      for (const { va, pa, size, count } of planned) {
        fillers[size.index] ??= fillerFor(paging, size, request.attributes);
        rows.push({ va, pa, size, count, filler: fillers[size.index] as LeafFiller, spot: { slot: 0, slots: 0 } });
      }
    }
    const needs: TableNeed[] = [];
    const detached: TableRecord[] = [];
    const covered: number[] = []; // by level: up to which address there will be tables
    for (const row of rows) checkRow(space, stretch, row, needs, covered, detached);
    return { stretch, rows, needs, detached };
  });
}

/**
 * What {@link map} would do, without doing it: the leaves and the tables that would be allocated.
 * @throws as {@link map} does for a bad request or an overlap
 */
export function planMap(space: AddressSpace, request: MapRequest): MapPlan {
  const parts = planParts(space, request);
  const tables = parts.flatMap(({ stretch, needs }) =>
    needs.map(({ level, va }) => ({ level, va: vaOf(va), bytes: stretch.root.paging.codec(level).level.tableBytes })),
  );
  return {
    leaves: parts.flatMap(({ rows }) =>
      rows.map(({ va, pa, size, count }) => ({ va: vaOf(va), pa: BigInt(pa), leaf: size.choice, count })),
    ),
    tables,
    tableBytes: tables.reduce((sum, { bytes }) => sum + BigInt(bytes), 0n),
  };
}

/** The table pointers that the needed tables get, without their addresses, by the level that holds them. */
function pointersFor({ stretch, needs }: Part, request: MapRequest): readonly Halves[] {
  const { paging } = stretch.root;
  const given = request.tableAttributes;
  const pointers: Halves[] = [];
  for (const { level: below } of needs) {
    const level = below + 1;
    if (pointers[level] !== undefined) continue;
    const compiled = paging.codec(level).table;
    if (compiled === undefined) throw new ArgumentError('table-level', 'no table pointers at that level', { level });
    pointers[level] = halves(paging.tableBits(compiled, typeof given === 'function' ? given(level) : given));
  }
  return pointers;
}

function writeRow(
  space: AddressSpace,
  { root }: Stretch,
  { va, pa, size, count, filler, spot }: Row,
  frames: { next: number; readonly records: readonly TableRecord[] },
  pointers: readonly Halves[],
  log: ChangeLog,
): void {
  const { level } = size;
  const { entrySpan } = root.paging.codec(level).level;
  const end = va + count * size.leafBytes;
  const installed = (from: number, slots: number): void => {
    log.note(from, from + slots * entrySpan, 'installed', level, entrySpan);
    log.entries += slots;
  };
  if (spot.slots * entrySpan === end - va) {
    filler.fillAt(space.memory, spot.slot, spot.slots, pa);
    installed(va, spot.slots);
    return;
  }
  traverse(
    space.memory,
    { root, start: va, end },
    {
      bulk(cursor) {
        if (cursor.level !== level) return 0;
        const words = cursor.bulk();
        const slots = Math.min(cursor.slotsLeft, cursor.bulkSlots);
        filler.fill(words, cursor.bulkAt, slots, pa + (cursor.entryVa - va));
        installed(cursor.entryVa, slots);
        return slots;
      },
      hole(cursor): Action {
        const { address, bytes } = frames.records[frames.next++] as TableRecord;
        const at = Number(address);
        // A table that this row fills is complete before anything points to it.
        const whole =
          cursor.level === level + 1 && cursor.va === cursor.entryVa && cursor.end - cursor.va === cursor.span;
        if (whole) {
          const slots = bytes / root.paging.format.entryBytes;
          filler.fillAt(space.memory, at, slots, pa + (cursor.entryVa - va));
          installed(cursor.entryVa, slots);
        } else {
          zeroTable(space, at, bytes);
        }
        const table = cursor.codec.table as CompiledShape;
        const { lo, hi } = pointers[cursor.level] as Halves;
        cursor.store(lo | table.address.encodeLo(at), hi | table.address.encodeHi(at));
        return whole ? SKIP : AGAIN;
      },
    },
  );
}

/** Allocates the tables of all parts, or none. */
function allocateParts(
  space: AddressSpace,
  parts: readonly Part[],
  { allocator, va }: MapRequest,
): readonly (readonly TableRecord[])[] {
  const records: TableRecord[][] = [];
  const missing = (tables: number): Error =>
    new OutOfTablesError('no-allocator', 'the mapping needs tables and no allocator was given', { tables, va });
  try {
    for (const { stretch, needs } of parts) {
      records.push(allocateAll(space, stretch.root, needs, allocator, () => missing(needs.length)));
    }
  } catch (error) {
    for (const { address, ...needed } of records.flat().reverse()) allocator?.free(address, needed);
    throw error;
  }
  return records;
}

/**
 * Maps a range, using at each address the largest leaf that alignment, size and format allow. Tables that are missing
 * are allocated, zeroed and linked; an empty table where a leaf goes is replaced and reported as detached.
 *
 * All or nothing: the whole request is checked, and every table allocated, before the first write.
 * @throws ArgumentError for a bad range or size, AttributeError for attributes or addresses that the format cannot
 *   express, OverlapError if something is mapped there, MalformedEntryError if a malformed entry is in the way,
 *   OutOfTablesError without an allocator, MemoryError if tables lie outside memory
 */
export function map(space: AddressSpace, request: MapRequest): Change {
  const parts = planParts(space, request);
  const pointers = parts.map((part) => pointersFor(part, request));
  const log = new ChangeLog();
  const records = allocateParts(space, parts, request);
  parts.forEach((part, i) => {
    const frames = { next: 0, records: records[i] as readonly TableRecord[] };
    for (const record of frames.records) log.allocated.push(record);
    log.detached.push(...part.detached);
    for (const { va, level } of part.detached) {
      const above = part.stretch.root.paging.codec(level + 1).level;
      const below = part.stretch.root.paging.codec(level).level;
      log.note(Number(va), Number(va) + above.entrySpan, 'changed', level, below.entrySpan, true);
    }
    for (const row of part.rows) writeRow(space, part.stretch, row, frames, pointers[i] as readonly Halves[], log);
  });
  return log.finish();
}
