/**
 * Mapping a range: planned and checked first, then written. Nothing is written unless everything will succeed.
 */
import { type PhysAddr, sizeText, type VirtAddr } from './address.ts';
import type { TableAllocator } from './allocator.ts';
import { checkBigints } from './bigints.ts';
import { allocateAll, type Change, ChangeLog, type TableRecord } from './change.ts';
import { exactMultiple, type Halves, halves, toBig } from './compiled.ts';
import { ArgumentError, OutOfTablesError } from './errors.ts';
import { fillerFor, type LeafFiller, type SizeOfLeaf, usableSizes } from './fill.ts';
import { type LeafRow, planLeaves } from './leaf-plan.ts';
import { gaps, type MapRow, RowCheck } from './map-check.ts';
import { type CheckedRows, writeRows } from './map-write.ts';
import type { Attributes, LeafChoice, Paging } from './paging.ts';
import { type AddressSpace, pageOf, type Stretch, stretches, vaOf } from './space.ts';
import { EnteredTables } from './table-guard.ts';
import { countTables, type TableHole, tablesOf } from './table-needs.ts';

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

interface Part extends CheckedRows {
  readonly holes: readonly TableHole[];
  readonly detached: readonly TableRecord[];
  pointers: readonly Halves[];
  tables: readonly TableRecord[];
}

const NOTHING: readonly never[] = [];

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

/**
 * The physical address that the start of a stretch is mapped to.
 * @param offset how far the stretch lies above the start of the request
 * @throws AttributeError if the addresses are not aligned or too high
 */
function physicalStart(pa: bigint, offset: number, { root, start, end }: Stretch): number {
  const { paging } = root;
  const first = exactMultiple(pa, pageOf(root)) + offset;
  if (first + (end - start) <= paging.paEnd) return first;
  const exact = pa + toBig(offset);
  paging.checkAddress(exact, paging.pageBytes);
  paging.checkAddress(exact + toBig(end - start) - paging.pageBytes, paging.pageBytes);
  return Number(exact);
}

/** The fillers of one request, one for each size of leaf. */
class Fillers {
  readonly #paging: Paging;
  readonly #attributes: MapRequest['attributes'];
  /** The size that was asked for last, and what the others got. */
  #size: SizeOfLeaf | undefined;
  #filler: LeafFiller | undefined;
  #others: Map<SizeOfLeaf, LeafFiller> | undefined;

  constructor(paging: Paging, { attributes }: MapRequest) {
    this.#paging = paging;
    this.#attributes = attributes;
  }

  of(size: SizeOfLeaf): LeafFiller {
    if (size === this.#size) return this.#filler as LeafFiller;
    if (this.#size !== undefined) {
      this.#others ??= new Map();
      this.#others.set(this.#size, this.#filler as LeafFiller);
    }
    this.#filler = this.#others?.get(size) ?? fillerFor(this.#paging, size, this.#attributes);
    this.#size = size;
    return this.#filler;
  }
}

function mapRow(leaves: LeafRow<SizeOfLeaf>, fillers: Fillers): MapRow {
  return { leaves, filler: fillers.of(leaves.size), slot: 0, slots: 0 };
}

/** Plans the rows of leaves for a piece of a stretch that starts at `va` and goes to `pa`. */
function planRows(request: MapRequest, fillers: Fillers, piece: Stretch, pa: number): MapRow[] {
  const { paging } = piece.root;
  const sizes = usableSizes(paging, request.maxLeafBytes, request.runs ?? true);
  const planned = planLeaves(sizes, piece.start, pa, piece.end - piece.start);
  if (planned === undefined) {
    const { va, pa, bytes, maxLeafBytes } = request;
    const limit = sizeText(maxLeafBytes ?? 0n);
    throw new ArgumentError('map-size', `no leaf of at most ${limit} fits the range`, { va, pa, bytes });
  }
  if (planned.length === 1) return [mapRow(planned[0] as LeafRow<SizeOfLeaf>, fillers)];
  return mapRows(planned, fillers);
}

// Functions that make closures pay for them on every call, also where the closure is not needed: they stand alone here.

function mapRows(planned: readonly LeafRow<SizeOfLeaf>[], fillers: Fillers): MapRow[] {
  return planned.map((row) => mapRow(row, fillers));
}

/** Plans the rows of leaves for what is not mapped yet of a stretch. */
function planGaps(space: AddressSpace, request: MapRequest, fillers: Fillers, stretch: Stretch, pa: number): MapRow[] {
  const { root, start } = stretch;
  return gaps(space, stretch).flatMap((gap) => planRows(request, fillers, { root, ...gap }, pa + (gap.start - start)));
}

function planPart(
  space: AddressSpace,
  request: MapRequest,
  stretch: Stretch,
  offset: number,
  entered: EnteredTables,
): Part {
  const { root } = stretch;
  const first = physicalStart(request.pa, offset, stretch);
  const fillers = new Fillers(root.paging, request);
  const rows =
    request.existing === 'keep'
      ? planGaps(space, request, fillers, stretch, first)
      : planRows(request, fillers, stretch, first);
  const checked = new RowCheck(space, stretch, entered);
  for (const row of rows) checked.check(row);
  return { stretch, rows, holes: checked.holes, detached: checked.detached, pointers: NOTHING, tables: NOTHING };
}

function planParts(space: AddressSpace, request: MapRequest): Part[] {
  const { va, bytes, existing = 'refuse' } = request;
  if (existing !== 'refuse' && existing !== 'keep') {
    throw new ArgumentError('map-existing', 'what is mapped already is refused or kept', { existing });
  }
  if (typeof va !== 'bigint' || typeof request.pa !== 'bigint' || typeof bytes !== 'bigint') {
    checkBigints({ va, pa: request.pa, bytes });
  }
  if (bytes <= 0n) throw new ArgumentError('map-bytes', 'a mapping needs a positive size', { bytes });
  const found = stretches(space, { start: va, end: va + bytes });
  const first = found[0] as Stretch;
  const entered = new EnteredTables(space);
  const parts = [planPart(space, request, first, 0, entered)];
  for (let i = 1; i < found.length; i++) {
    const stretch = found[i] as Stretch;
    parts.push(planPart(space, request, stretch, stretch.start - first.start, entered));
  }
  return parts;
}

/**
 * What {@link map} would do, without doing it: the leaves and the tables that would be allocated.
 * @throws as {@link map} does for a bad request or an overlap
 */
export function planMap(space: AddressSpace, request: MapRequest): MapPlan {
  const parts = planParts(space, request);
  const tables = parts.flatMap(({ stretch, holes }) => {
    const { paging } = stretch.root;
    return Array.from(tablesOf(paging, holes), ({ level, va }) => {
      return { level, va: vaOf(va), bytes: paging.codec(level).level.tableBytes };
    });
  });
  return {
    leaves: parts.flatMap(({ rows }) =>
      rows.map(({ leaves: { va, pa, size, count } }) => ({ va: vaOf(va), pa: BigInt(pa), leaf: size.choice, count })),
    ),
    tables,
    tableBytes: tables.reduce((sum, { bytes }) => sum + BigInt(bytes), 0n),
  };
}

/** See {@link CheckedRows.pointers}. */
function pointersFor({ stretch, holes }: Part, request: MapRequest): readonly Halves[] {
  if (holes.length === 0) return NOTHING;
  const { paging } = stretch.root;
  const given = request.tableAttributes;
  const pointers: Halves[] = [];
  for (const { level: top, leafLevel } of holes) {
    for (let level = top + 1; level > leafLevel; level--) {
      if (pointers[level] !== undefined) continue;
      const compiled = paging.codec(level).table;
      if (compiled === undefined) throw new ArgumentError('table-level', 'no table pointers at that level', { level });
      pointers[level] = halves(paging.tableBits(compiled, typeof given === 'function' ? given(level) : given));
    }
  }
  return pointers;
}

/** Allocates the tables of all parts, or none. */
function allocateParts(space: AddressSpace, parts: readonly Part[], request: MapRequest): void {
  try {
    for (const part of parts) if (part.holes.length > 0) part.tables = allocatePart(space, part, request);
  } catch (error) {
    const tables = parts.flatMap((part) => part.tables);
    for (const { address, ...needed } of tables.reverse()) request.allocator?.free(address, needed);
    throw error;
  }
}

function allocatePart(space: AddressSpace, { stretch, holes }: Part, { allocator, va }: MapRequest): TableRecord[] {
  const { paging } = stretch.root;
  return allocateAll(space, stretch.root, tablesOf(paging, holes), allocator, () => {
    const what = 'the mapping needs tables and no allocator was given';
    return new OutOfTablesError('no-allocator', what, { tables: countTables(paging, holes), va });
  });
}

function writePart(space: AddressSpace, part: Part, log: ChangeLog): void {
  for (const table of part.tables) log.link(table);
  for (const table of part.detached) noteDetached(log, part.stretch.root.paging, table);
  writeRows(space, part, log);
}

/** Notes an empty table that a leaf replaces. */
function noteDetached(log: ChangeLog, paging: Paging, table: TableRecord): void {
  const { level } = table;
  const from = Number(table.va);
  const { entrySpan } = paging.codec(level).level;
  log.unlink(table);
  log.note(from, from + paging.codec(level + 1).level.entrySpan, 'changed', level, entrySpan, true);
}

/**
 * Maps a range, using at each address the largest leaf that alignment, size and format allow. Tables that are missing
 * are allocated, zeroed and linked; an empty table where a leaf goes is replaced and reported as detached.
 *
 * All or nothing: the whole request is checked, and every table allocated, before the first write.
 * @throws ArgumentError for a bad range or size, AttributeError for attributes or addresses that the format cannot
 *   express, OverlapError if something is mapped there or a table on the way is linked twice in the range, MalformedEntryError if a malformed entry is in the way,
 *   OutOfTablesError without an allocator, MemoryError if tables lie outside memory
 */
export function map(space: AddressSpace, request: MapRequest): Change {
  const parts = planParts(space, request);
  for (const part of parts) part.pointers = pointersFor(part, request);
  allocateParts(space, parts, request);
  const log = new ChangeLog();
  for (const part of parts) writePart(space, part, log);
  log.keepReached(space);
  return log.finish();
}
