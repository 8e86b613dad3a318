/**
 * Mapping a range: planned and checked first, then written. Nothing is written unless everything will succeed.
 */
import { hex, type PhysAddr, sizeText, type VirtAddr } from './address.ts';
import type { TableAllocator } from './allocator.ts';
import { allocateAll, type Change, ChangeLog, type TableNeed, type TableRecord, zeroTable } from './change.ts';
import { type Halves, halves } from './compiled.ts';
import { ArgumentError, MalformedEntryError, OutOfTablesError, OverlapError } from './errors.ts';
import { fillLeaves } from './fill.ts';
import { type LeafRow, planLeaves } from './leaf-plan.ts';
import type { CompiledShape } from './level-codec.ts';
import type { Attributes, LeafChoice } from './paging.ts';
import { type AddressSpace, type Stretch, stretches, vaOf } from './space.ts';
import { type Action, AGAIN, type Cursor, DESCEND, shapeAt, traverse } from './traverse.ts';

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

interface SizeOfLeaf {
  readonly leafBytes: number;
  readonly paEnd: number;
  readonly level: number;
  readonly compiled: CompiledShape;
  readonly choice: LeafChoice;
}

interface Part {
  readonly stretch: Stretch;
  readonly rows: readonly LeafRow<SizeOfLeaf>[];
  readonly bits: ReadonlyMap<CompiledShape, bigint>;
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

function usableSizes(stretch: Stretch, request: MapRequest): SizeOfLeaf[] {
  const { paging } = stretch.root;
  const limit = request.maxLeafBytes ?? 1n << 64n;
  return paging.leafChoices
    .filter((choice) => choice.leafBytes <= limit && (request.runs !== false || choice.runEntries === 1))
    .map((choice) => {
      const leafBytes = Number(choice.leafBytes);
      const compiled = paging
        .codec(choice.level)
        .leaves.find(({ shape }) => shape.name === choice.shape) as CompiledShape;
      // The highest address of a leaf that the entry can hold: all its address bits set.
      const paEnd = compiled.address.decode(-1, -1) + (compiled.sharedAddress ? leafBytes : compiled.entryBytes);
      return { leafBytes, paEnd, level: choice.level, compiled, choice };
    });
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
  covered: Float64Array,
): void {
  if (level < leafLevel) return;
  const levels = part.root.paging.geometry.levels;
  const span =
    (levels[level] as (typeof levels)[number]).entrySpan * (levels[level] as (typeof levels)[number]).entries;
  for (let start = Math.floor(from / span) * span; start < to; start += span) {
    // The rows of one request come in rising order; a table that an earlier row needed is not needed again.
    if (start >= (covered[level] as number)) {
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
  row: LeafRow<SizeOfLeaf>,
  needs: TableNeed[],
  covered: Float64Array,
  detached: TableRecord[],
): void {
  const { level } = row.size;
  const end = row.va + row.count * row.size.leafBytes;
  let proven = { base: 0, end: 0 };
  traverse(
    space.memory,
    { root: stretch.root, start: row.va, end },
    {
      hole(cursor) {
        // Every slot that will be written is in a hole: prove now that it can be.
        if (cursor.slot < proven.base || cursor.slot >= proven.end) {
          const { base, words } = space.memory.writable(cursor.slot);
          proven = { base, end: base + words.length * 4 };
        }
        if ((cursor.lo | cursor.hi) !== 0) throw overlap('a non-empty software entry', cursor);
        if (cursor.level > level) {
          needTables(stretch, cursor.level - 1, cursor.va, cursor.end, level, needs, covered);
        }
        return undefined;
      },
      leaf(cursor) {
        throw overlap('a leaf', cursor);
      },
      table(cursor) {
        if (cursor.level > level) return DESCEND;
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
    const { paging } = stretch.root;
    const first = BigInt(pa) + BigInt(stretch.start) - va;
    const length = stretch.end - stretch.start;
    paging.checkAddress(first, paging.pageBytes);
    paging.checkAddress(first + BigInt(length) - paging.pageBytes, paging.pageBytes);
    const sizes = usableSizes(stretch, request);
    const free = request.existing === 'keep' ? gaps(space, stretch) : [stretch];
    const rows = free.flatMap(({ start, end }) => {
      const planned = planLeaves(sizes, start, Number(first) + (start - stretch.start), end - start);
      if (planned !== undefined) return planned;
      throw new ArgumentError('map-size', `no leaf of at most ${sizeText(request.maxLeafBytes ?? 0n)} fits the range`, {
        va,
        pa,
        bytes,
      });
    });
    const bits = new Map<CompiledShape, bigint>();
    for (const { size } of rows) {
      if (bits.has(size.compiled)) continue;
      const given = typeof request.attributes === 'function' ? request.attributes(size.choice) : request.attributes;
      bits.set(size.compiled, paging.leafBits(size.compiled, given));
    }
    const needs: TableNeed[] = [];
    const detached: TableRecord[] = [];
    const covered = new Float64Array(paging.levels.length).fill(-1);
    for (const row of rows) checkRow(space, stretch, row, needs, covered, detached);
    return { stretch, rows, bits, needs, detached };
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

/** Bits of the table pointers that a stretch gets, by the level that holds them; each level is asked for once. */
function tablePointers(stretch: Stretch, request: MapRequest): (level: number) => Halves {
  const { paging } = stretch.root;
  const given = request.tableAttributes;
  const known = new Map<number, Halves>();
  return (level) => {
    let found = known.get(level);
    if (found === undefined) {
      const compiled = paging.codec(level).table;
      if (compiled === undefined) throw new ArgumentError('table-level', 'no table pointers at that level', { level });
      found = halves(paging.tableBits(compiled, typeof given === 'function' ? given(level) : given));
      known.set(level, found);
    }
    return found;
  };
}

function writeRow(
  space: AddressSpace,
  { stretch, bits }: Part,
  row: LeafRow<SizeOfLeaf>,
  frames: { next: number; readonly records: readonly TableRecord[] },
  pointer: (level: number) => Halves,
  log: ChangeLog,
): void {
  const { compiled, level } = row.size;
  const word = bits.get(compiled) as bigint;
  const end = row.va + row.count * row.size.leafBytes;
  traverse(
    space.memory,
    { root: stretch.root, start: row.va, end },
    {
      bulk(cursor) {
        if (cursor.level !== level) return 0;
        const words = cursor.bulk();
        const slots = Math.min(cursor.slotsLeft, cursor.bulkSlots);
        const pa = row.pa + (cursor.entryVa - row.va);
        fillLeaves(words, cursor.bulkAt, slots, stretch.root.paging.format.entryBytes, compiled, word, pa);
        log.note(cursor.entryVa, cursor.entryVa + slots * cursor.span, 'installed', level, cursor.span);
        log.entries += slots;
        return slots;
      },
      hole(cursor): Action | undefined {
        const record = frames.records[frames.next++] as TableRecord;
        const at = Number(record.address);
        zeroTable(space, at, record.bytes);
        const table = cursor.codec.table as CompiledShape;
        const { lo, hi } = pointer(cursor.level);
        cursor.store(lo | table.address.encodeLo(at), hi | table.address.encodeHi(at));
        return AGAIN;
      },
    },
  );
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
  const pointers = parts.map(({ stretch, needs }) => {
    const pointer = tablePointers(stretch, request);
    for (const level of new Set(needs.map((need) => need.level + 1))) pointer(level);
    return pointer;
  });
  const log = new ChangeLog();
  const records: TableRecord[][] = [];
  try {
    for (const { stretch, needs } of parts) {
      records.push(
        allocateAll(space, stretch.root, needs, request.allocator, () => {
          return new OutOfTablesError('no-allocator', 'the mapping needs tables and no allocator was given', {
            tables: needs.length,
            va: hex(request.va),
          });
        }),
      );
    }
  } catch (error) {
    for (const { address, ...needed } of records.flat().reverse()) request.allocator?.free(address, needed);
    throw error;
  }
  parts.forEach((part, i) => {
    const frames = { next: 0, records: records[i] as TableRecord[] };
    log.allocated.push(...frames.records);
    log.detached.push(...part.detached);
    for (const { va, level } of part.detached) {
      const above = part.stretch.root.paging.codec(level + 1).level;
      const below = part.stretch.root.paging.codec(level).level;
      log.note(Number(va), Number(va) + above.entrySpan, 'changed', level, below.entrySpan, true);
    }
    for (const row of part.rows) writeRow(space, part, row, frames, pointers[i] as (level: number) => Halves, log);
  });
  return log.finish();
}
