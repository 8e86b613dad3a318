/**
 * Splitting leaves so that an address becomes a boundary: runs fall apart into single entries, entries into tables of
 * smaller leaves. Planned and checked first (which tables will it take?), then written.
 */
import type { TableAllocator } from './allocator.ts';
import { rangesMask } from './bits.ts';
import { allocateAll, type Change, ChangeLog, type TableNeed, type TableRecord } from './change.ts';
import { halves, join } from './compiled.ts';
import { convertBelow, convertBits } from './convert.ts';
import { AttributeError, OutOfTablesError, PartialLeafError } from './errors.ts';
import { fillLeaves } from './fill.ts';
import { type CompiledShape, LEAF } from './level-codec.ts';
import { writeProbe } from './memory.ts';
import type { Paging } from './paging.ts';
import { type AddressSpace, type Root, type Stretch, stretches, type VirtRange } from './space.ts';
import { type Cursor, STOP, shapeAt, traverse } from './traverse.ts';

/** The leaf shape of a level that stands alone. */
function aloneAt(paging: Paging, level: number): CompiledShape | undefined {
  return paging.codec(level).leaves.find(({ runEntries }) => runEntries === 1);
}

/** The leaf that maps an address: a cursor that stands on it, or nothing. */
function findLeaf(space: AddressSpace, root: Root, va: number): Cursor | undefined {
  let found: Cursor | undefined;
  const page = root.paging.codec(0).level.entrySpan;
  traverse(
    space.memory,
    { root, start: va, end: va + page },
    {
      leaf(cursor) {
        found = cursor;
        return STOP;
      },
    },
  );
  return found;
}

/** The addresses that the leaf under a cursor maps: those of its entry, or of the run it belongs to. */
export function leafRange(cursor: Cursor): { readonly start: number; readonly end: number } {
  const { runEntries, leafBytes } = shapeAt(cursor);
  const start = cursor.entryVa - (cursor.index % runEntries) * cursor.span;
  return { start, end: start + leafBytes };
}

/** One end of a stretch, and a page of the stretch beside it: only a leaf that maps that page can reach across. */
interface Edge {
  readonly at: number;
  readonly beside: number;
}

function edgesOf({ root, start, end }: Stretch): readonly Edge[] {
  return [
    { at: start, beside: start },
    { at: end, beside: end - root.paging.codec(0).level.entrySpan },
  ];
}

/** The leaf that lies across an edge, if there is one. */
function leafAcross(space: AddressSpace, root: Root, { at, beside }: Edge): Cursor | undefined {
  const leaf = findLeaf(space, root, beside);
  if (leaf === undefined) return undefined;
  const { start, end } = leafRange(leaf);
  return at > start && at < end ? leaf : undefined;
}

/** An entry of a run, said as one that stands alone. */
interface AloneEntry {
  readonly index: number;
  /** The bits outside the address. */
  readonly bits: bigint;
  readonly pa: number;
}

function noSmaller(at: number, level: number): PartialLeafError {
  return new PartialLeafError('split-level', 'no smaller leaf exists to split into', { va: at, level });
}

function mustHold(paging: Paging, shape: CompiledShape, first: number, last: number): void {
  for (const address of [first, last]) {
    if (paging.canHold(shape, address)) continue;
    throw new AttributeError('physical-address', `a ${shape.shape.name} cannot hold that address`, { address });
  }
}

/** What hardware wrote into one entry of a run on behalf of all: said by each of them. */
function gathered(run: CompiledShape, words: readonly bigint[]): (word: bigint) => bigint {
  let set = 0n;
  let clear = 0n;
  for (const { bits, acrossRun } of run.fields) {
    const mask = rangesMask(bits);
    if (acrossRun === 'or') set |= words.reduce((all, word) => all | (word & mask), 0n);
    if (acrossRun === 'and') clear |= words.reduce((all, word) => all | (~word & mask), 0n);
  }
  return (word) => (word | set) & ~clear;
}

/** The entries of the run under a cursor. What stands in the group without being of the run maps by itself already. */
function runEntries(paging: Paging, leaf: Cursor, alone: CompiledShape): AloneEntry[] {
  const run = shapeAt(leaf);
  const own = leaf.index;
  const first = own - (own % run.runEntries);
  const found: { readonly index: number; readonly word: bigint; readonly pa: number }[] = [];
  for (let i = 0; i < run.runEntries; i++) {
    leaf.index = first + i;
    if (!leaf.load() || leaf.kind !== LEAF || shapeAt(leaf) !== run) continue;
    const pa = run.address.decode(leaf.lo, leaf.hi) + (run.sharedAddress ? i * leaf.span : 0);
    mustHold(paging, alone, pa, pa);
    found.push({ index: leaf.index, word: join(leaf.lo, leaf.hi), pa });
  }
  leaf.index = own;
  leaf.load();
  const whole = gathered(
    run,
    found.map(({ word }) => word),
  );
  return found.map(({ index, word, pa }) => ({ index, bits: convertBits(paging, run, alone, whole(word)), pa }));
}

/** Told of a kind of leaf that will stand inside the stretch: its shape, and its entry but for the address. */
export type PieceCheck = (paging: Paging, shape: CompiledShape, lo: number, hi: number) => void;

function tell(check: PieceCheck, paging: Paging, shape: CompiledShape, bits: bigint): void {
  const { lo, hi } = halves(bits);
  check(paging, shape, lo, hi);
}

/** Does a whole entry of this span lie in both the stretch and `from` to `to`? */
function entryWithin({ start, end }: Stretch, from: number, to: number, span: number): boolean {
  return Math.floor(Math.min(end, to) / span) > Math.ceil(Math.max(start, from) / span);
}

/** A table that splitting takes. */
interface SplitNeed extends TableNeed {
  /** Names the place: an entry that several addresses lead to is split once. */
  readonly key: string;
}

/** Tables that making an edge a boundary will take, top down; none if it is one already. Proves that it can be done. */
function splitNeeds(
  space: AddressSpace,
  stretch: Stretch,
  edge: Edge,
  prove: (slot: number) => void,
  check: PieceCheck,
): SplitNeed[] {
  const { root } = stretch;
  const leaf = leafAcross(space, root, edge);
  if (leaf === undefined) return [];
  const { paging } = root;
  const { at } = edge;
  let shape = shapeAt(leaf);
  let bits = join(leaf.lo, leaf.hi) & ~shape.address.mask;
  let pa = shape.address.decode(leaf.lo, leaf.hi);
  prove(leaf.slot);
  if (shape.runEntries > 1) {
    const alone = aloneAt(paging, leaf.level);
    if (alone === undefined) throw noSmaller(at, leaf.level);
    for (const entry of runEntries(paging, leaf, alone)) {
      prove(leaf.table + entry.index * paging.format.entryBytes);
      const va = leaf.entryVa + (entry.index - leaf.index) * leaf.span;
      if (entryWithin(stretch, va, va + leaf.span, leaf.span)) tell(check, paging, alone, entry.bits);
      if (entry.index === leaf.index) ({ bits, pa } = entry);
    }
    shape = alone;
  }
  const needs: SplitNeed[] = [];
  for (let level = leaf.level; at % paging.codec(level).level.entrySpan !== 0; level--) {
    const span = paging.codec(level).level.entrySpan;
    const alone = level === 0 ? undefined : aloneAt(paging, level - 1);
    if (alone === undefined || paging.codec(level).table === undefined) throw noSmaller(at, level - 1);
    bits = convertBelow(paging, shape, alone, level, bits).leaf;
    mustHold(paging, alone, pa, pa + span - alone.entryBytes);
    const va = Math.floor(at / span) * span;
    if (entryWithin(stretch, va, va + span, alone.entryBytes)) tell(check, paging, alone, bits);
    needs.push({ level: level - 1, va, key: `${leaf.slot} ${level} ${va - leaf.entryVa}` });
    pa += Math.floor((at % span) / alone.entryBytes) * alone.entryBytes;
    shape = alone;
  }
  return needs;
}

/**
 * What splitting at the edges of a stretch will take: the tables, each once, in the order of linking.
 * @param seen keys of the tables that other stretches take
 */
function planSplits(space: AddressSpace, stretch: Stretch, check: PieceCheck, seen: Set<string>): SplitNeed[] {
  const prove = writeProbe(space.memory);
  return edgesOf(stretch)
    .flatMap((edge) => splitNeeds(space, stretch, edge, prove, check))
    .filter(({ key }) => {
      if (seen.has(key)) return false;
      seen.add(key);
      return true;
    });
}

/** Rewrites a run as entries that stand alone. The addresses stay, the bits that make it a run go. */
function breakRun(root: Root, leaf: Cursor, log: ChangeLog): void {
  const alone = aloneAt(root.paging, leaf.level) as CompiledShape;
  const { start, end } = leafRange(leaf);
  const own = leaf.index;
  for (const { index, bits, pa } of runEntries(root.paging, leaf, alone)) {
    leaf.index = index;
    const { lo, hi } = halves(bits);
    leaf.store(lo | alone.address.encodeLo(pa), hi | alone.address.encodeHi(pa));
    log.entries++;
  }
  leaf.index = own;
  log.note(start, end, 'changed', leaf.level, leaf.span);
}

/** Puts a table of smaller leaves in the place of a leaf. */
function splitEntry(
  space: AddressSpace,
  root: Root,
  leaf: Cursor,
  records: readonly TableRecord[],
  log: ChangeLog,
): void {
  const { paging } = root;
  const { level } = paging.codec(leaf.level - 1);
  const shape = shapeAt(leaf);
  const alone = aloneAt(paging, level.level) as CompiledShape;
  const record = records.find(
    (candidate) => candidate.level === level.level && Number(candidate.va) === leaf.entryVa,
  ) as TableRecord;
  const bits = convertBelow(paging, shape, alone, leaf.level, join(leaf.lo, leaf.hi));
  const pa = shape.address.decode(leaf.lo, leaf.hi);
  const at = Number(record.address);
  const { entryBytes } = paging.format;
  // The new table is complete before anything points to it.
  for (let done = 0; done < level.entries; ) {
    const window = space.memory.writable(at + done * entryBytes);
    const offset = (at + done * entryBytes - window.base) >> 2;
    const slots = Math.min(level.entries - done, (window.words.length - offset) / (entryBytes / 4));
    fillLeaves(window.words, offset, slots, entryBytes, alone, bits.leaf, pa + done * level.entrySpan);
    done += slots;
  }
  const table = leaf.codec.table as CompiledShape;
  const { lo, hi } = halves(bits.pointer);
  leaf.store(lo | table.address.encodeLo(at), hi | table.address.encodeHi(at));
  log.link(record);
  log.entries += level.entries;
  log.note(leaf.entryVa, leaf.entryVa + leaf.span, 'changed', leaf.level, leaf.span, true);
}

/**
 * Allocates what splitting at the edges of stretches takes, all or none.
 * @param check told what leaves there will be; what it throws ends it, too
 * @returns the tables of each stretch
 * @throws AttributeError or PartialLeafError if a leaf cannot be split, ReadOnlyMemoryError if it cannot be written,
 *   OutOfTablesError if tables are missing; everything is given back then
 */
export function allocateSplits(
  space: AddressSpace,
  parts: readonly Stretch[],
  allocator: TableAllocator | undefined,
  check: PieceCheck = () => {},
): TableRecord[][] {
  const seen = new Set<string>();
  const plans = parts.map((part) => ({ part, needs: planSplits(space, part, check, seen) }));
  const records: TableRecord[][] = [];
  try {
    for (const { part, needs } of plans) {
      if (needs.length === 0) {
        records.push([]);
        continue;
      }
      records.push(
        allocateAll(space, part.root, needs, allocator, () => {
          return new OutOfTablesError('no-allocator', 'splitting a leaf needs tables and no allocator was given', {
            tables: needs.length,
            at: needs[0]?.va ?? 0,
          });
        }),
      );
    }
  } catch (error) {
    for (const { address, ...request } of records.flat().reverse()) allocator?.free(address, request);
    throw error;
  }
  return records;
}

/** Makes both ends of a stretch boundaries between leaves, using the tables that were allocated for it. */
export function splitEdges(
  space: AddressSpace,
  stretch: Stretch,
  records: readonly TableRecord[],
  log: ChangeLog,
): void {
  for (const edge of edgesOf(stretch)) {
    for (;;) {
      const leaf = leafAcross(space, stretch.root, edge);
      if (leaf === undefined) break;
      if (shapeAt(leaf).runEntries > 1) breakRun(stretch.root, leaf, log);
      else splitEntry(space, stretch.root, leaf, records, log);
    }
  }
}

/**
 * Splits leaves so that both ends of a range are boundaries. Attributes and addresses stay as they are: what a smaller
 * leaf has no field for is said by the new table pointer, where that can.
 * @param range half-open, of whole smallest leaves
 * @param allocator where the tables come from
 * @throws ArgumentError for a bad range, PartialLeafError if there are no smaller leaves, AttributeError if they cannot
 *   have the same attributes, ReadOnlyMemoryError if the tables cannot be written, OutOfTablesError if the allocator has
 *   too few tables; nothing is changed then
 */
export function split(space: AddressSpace, range: VirtRange, allocator?: TableAllocator): Change {
  const log = new ChangeLog();
  const parts = stretches(space, range);
  const tables = allocateSplits(space, parts, allocator);
  parts.forEach((part, i) => {
    splitEdges(space, part, tables[i] as TableRecord[], log);
  });
  return log.finish();
}
