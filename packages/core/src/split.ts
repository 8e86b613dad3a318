/**
 * Splitting leaves so that an address becomes a boundary: runs fall apart into single entries, entries into tables of
 * smaller leaves. Planned and checked first (which tables will it take?), then written.
 */
import type { TableAllocator } from './allocator.ts';
import { gather, scatter } from './bits.ts';
import { allocateAll, type Change, ChangeLog, type TableNeed, type TableRecord } from './change.ts';
import { halves, join } from './compiled.ts';
import { AttributeError, OutOfTablesError, PartialLeafError } from './errors.ts';
import { fillLeaves } from './fill.ts';
import type { CompiledShape } from './level-codec.ts';
import type { Paging } from './paging.ts';
import { type AddressSpace, type Root, stretches } from './space.ts';
import { type Cursor, STOP, shapeAt, traverse } from './traverse.ts';

/** The leaf shape of a level that stands alone. */
function aloneAt(paging: Paging, level: number): CompiledShape | undefined {
  return paging.codec(level).leaves.find(({ runEntries }) => runEntries === 1);
}

/**
 * The bits outside the address of a leaf, said with another shape: the same bits if the shapes are the same kind of
 * leaf, otherwise field by field.
 * @throws AttributeError if a field that is set does not exist there
 */
export function convertBits(paging: Paging, from: CompiledShape, to: CompiledShape, word: bigint): bigint {
  if (from.shape === to.shape) return paging.leafBits(to, word & ~from.address.mask & ~addressMask(from, to));
  let bits = 0n;
  for (const field of from.fields) {
    const value = gather(word, field.bits);
    const fixed = field.bits.every(
      ([hi, lo]) => ((from.fixedMask | from.address.mask) >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n),
    );
    const target = to.fields.find(({ name }) => name === field.name);
    if (target !== undefined) bits |= scatter(value, target.bits);
    else if (value !== 0n && !fixed) {
      throw new AttributeError('split-field', `a ${to.shape.name} has no such field`, { field: field.name, value });
    }
  }
  return paging.leafBits(to, bits & ~to.address.mask & ~addressMask(from, to));
}

/** Every bit that may hold an address in either shape: address fields are named fields too. */
function addressMask(from: CompiledShape, to: CompiledShape): bigint {
  const whole = (compiled: CompiledShape): bigint =>
    compiled.shape.kind === 'leaf'
      ? compiled.shape.address.reduce(
          (mask, { entryLo, bits }) => mask | (((1n << BigInt(bits)) - 1n) << BigInt(entryLo)),
          0n,
        )
      : 0n;
  return (whole(from) | whole(to)) & ~to.fixedMask;
}

/** The leaf that maps an address: a cursor that stands on it, or nothing. */
export function findLeaf(space: AddressSpace, root: Root, va: number): Cursor | undefined {
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

/** Tables that making `va` a boundary will take, top down; none if it is one already. Proves that it can be done. */
function splitNeeds(space: AddressSpace, root: Root, va: number): TableNeed[] {
  const leaf = findLeaf(space, root, va);
  if (leaf === undefined) return [];
  const needs: TableNeed[] = [];
  proveAlone(root, leaf);
  let span = leaf.span;
  for (let level = leaf.level - 1; level >= 0 && va % span !== 0; level--) {
    const alone = aloneAt(root.paging, level);
    if (alone === undefined) {
      throw new PartialLeafError('split-level', 'no smaller leaf exists to split into', { va, level });
    }
    convertBits(root.paging, shapeAt(leaf), alone, join(leaf.lo, leaf.hi));
    needs.push({ level, va: Math.floor(va / span) * span });
    span = root.paging.codec(level).level.entrySpan;
  }
  return needs;
}

/** Checks that a run can fall apart. */
function proveAlone(root: Root, leaf: Cursor): void {
  const compiled = shapeAt(leaf);
  if (compiled.runEntries === 1) return;
  const alone = aloneAt(root.paging, leaf.level);
  if (alone !== undefined) convertBits(root.paging, compiled, alone, join(leaf.lo, leaf.hi));
}

/** What splitting at some addresses will take: the tables, each once, in the order of linking. */
export function planSplits(space: AddressSpace, root: Root, boundaries: readonly number[]): TableNeed[] {
  const seen = new Set<string>();
  return boundaries
    .flatMap((va) => splitNeeds(space, root, va))
    .filter(({ level, va }) => {
      const key = `${level}:${va}`;
      if (seen.has(key)) return false;
      seen.add(key);
      return true;
    });
}

/** Rewrites a run as entries that stand alone. The addresses stay, the bits that make it a run go. */
function breakRun(root: Root, leaf: Cursor, log: ChangeLog): void {
  const compiled = shapeAt(leaf);
  const alone = aloneAt(root.paging, leaf.level);
  if (alone === undefined) return;
  const first = leaf.index - (leaf.index % compiled.runEntries);
  const pa = compiled.address.decode(leaf.lo, leaf.hi);
  const start = pa - (pa % compiled.leafBytes);
  const va = leaf.entryVa - (leaf.index - first) * leaf.span;
  for (let i = 0; i < compiled.runEntries; i++) {
    leaf.index = first + i;
    // An entry of the group that is not of the same run maps by itself already.
    if (!leaf.load() || shapeAt(leaf) !== compiled) continue;
    const bits = convertBits(root.paging, compiled, alone, join(leaf.lo, leaf.hi));
    const at = start + i * leaf.span;
    const { lo, hi } = halves(bits);
    leaf.store(lo | alone.address.encodeLo(at), hi | alone.address.encodeHi(at));
    log.entries++;
  }
  log.note(va, va + compiled.leafBytes, 'changed', leaf.level, leaf.span);
}

/** Makes `va` a boundary between leaves, using tables that were allocated for it. */
export function splitAt(
  space: AddressSpace,
  root: Root,
  va: number,
  records: readonly TableRecord[],
  pointer: (level: number) => bigint,
  log: ChangeLog,
): void {
  for (;;) {
    const leaf = findLeaf(space, root, va);
    if (leaf === undefined) return;
    const compiled = shapeAt(leaf);
    const runStart = leaf.entryVa - (leaf.index % compiled.runEntries) * leaf.span;
    if (va === runStart) return;
    if (compiled.runEntries > 1) {
      breakRun(root, leaf, log);
      continue;
    }
    if (va === leaf.entryVa) return;
    const level = leaf.level - 1;
    const below = root.paging.codec(level);
    const alone = aloneAt(root.paging, level) as CompiledShape;
    const record = records.find(
      (candidate) => candidate.level === level && Number(candidate.va) === leaf.entryVa,
    ) as TableRecord;
    const bits = convertBits(root.paging, compiled, alone, join(leaf.lo, leaf.hi));
    const pa = compiled.address.decode(leaf.lo, leaf.hi);
    const at = Number(record.address);
    const entryBytes = root.paging.format.entryBytes;
    // The new table is complete before anything points to it.
    for (let done = 0; done < below.level.entries; ) {
      const window = space.memory.writable(at + done * entryBytes);
      const offset = (at + done * entryBytes - window.base) >> 2;
      const slots = Math.min(below.level.entries - done, (window.words.length - offset) / (entryBytes / 4));
      fillLeaves(window.words, offset, slots, entryBytes, alone, bits, pa + done * below.level.entrySpan);
      done += slots;
    }
    const table = leaf.codec.table as CompiledShape;
    const { lo, hi } = halves(pointer(leaf.level));
    leaf.store(lo | table.address.encodeLo(at), hi | table.address.encodeHi(at));
    log.allocated.push(record);
    log.entries += below.level.entries;
    log.note(leaf.entryVa, leaf.entryVa + leaf.span, 'changed', leaf.level, leaf.span, true);
  }
}

/** Bits of table pointers without further attributes. */
export function plainPointers(root: Root): (level: number) => bigint {
  return (level) => {
    const table = root.paging.codec(level).table;
    return table === undefined ? 0n : root.paging.tableBits(table, 0n);
  };
}

/** Allocates what splitting at some addresses takes. */
export function allocateSplits(
  space: AddressSpace,
  root: Root,
  boundaries: readonly number[],
  allocator: TableAllocator | undefined,
): TableRecord[] {
  const needs = planSplits(space, root, boundaries);
  return allocateAll(space, root, needs, allocator, () => {
    return new OutOfTablesError('no-allocator', 'splitting a leaf needs tables and no allocator was given', {
      tables: needs.length,
      at: boundaries[0] ?? 0,
    });
  });
}

/**
 * Splits leaves so that both ends of a range are boundaries. Attributes and addresses stay as they are.
 * @param range half-open, of whole smallest leaves
 * @param allocator where the tables come from
 * @throws ArgumentError for a bad range, AttributeError if a smaller leaf cannot have the same attributes,
 *   OutOfTablesError if the allocator has too few tables; nothing is changed then
 */
export function split(space: AddressSpace, range: { start: bigint; end: bigint }, allocator?: TableAllocator): Change {
  const log = new ChangeLog();
  const parts = stretches(space, range).map((stretch) => ({
    ...stretch,
    records: allocateSplits(space, stretch.root, [stretch.start, stretch.end], allocator),
  }));
  for (const { root, start, end, records } of parts) {
    splitAt(space, root, start, records, plainPointers(root), log);
    splitAt(space, root, end, records, plainPointers(root), log);
  }
  return log.finish();
}
