/** Freeing empty tables and merging full ones: the explicit steps that no other operation does on the side. */
import type { PhysAddr } from './address.ts';
import { type Change, ChangeLog } from './change.ts';
import { type Halves, halves, join } from './compiled.ts';
import { convertAbove, convertBits } from './convert.ts';
import { AttributeError } from './errors.ts';
import { type CompiledShape, LEAF } from './level-codec.ts';
import { writeProbe } from './memory.ts';
import { type AddressSpace, type Stretch, stretches, type VirtRange, vaOf } from './space.ts';
import { type Cursor, shapeAt, traverse } from './traverse.ts';

/** A change under way, and the tables that it has detached: one that is linked from two places counts once. */
interface Progress {
  readonly log: ChangeLog;
  readonly seen: Set<PhysAddr>;
}

/** Notes the table below an entry as detached. */
function detach({ log, seen }: Progress, cursor: Cursor): void {
  const below = cursor.root.paging.codec(cursor.level - 1).level;
  const address = BigInt(cursor.below) as PhysAddr;
  if (seen.has(address)) return;
  seen.add(address);
  log.unlink({
    level: below.level,
    va: vaOf(cursor.entryVa),
    bytes: below.tableBytes,
    alignBytes: below.alignBytes,
    address,
  });
}

/** Proves that every table of some stretches can be written, before anything is. */
function proveWritable(space: AddressSpace, parts: readonly Stretch[], leaves: boolean): void {
  const prove = writeProbe(space.memory);
  const slot = (cursor: Cursor): undefined => {
    prove(cursor.slot);
  };
  for (const part of parts) {
    traverse(space.memory, part, { table: slot, missing: () => undefined, ...(leaves ? { leaf: slot } : {}) });
  }
}

/** Does the traversed range cover all that the entry under a cursor covers? */
function isWhole(cursor: Cursor): boolean {
  return cursor.va === cursor.entryVa && cursor.end === cursor.entryVa + cursor.span;
}

/**
 * Reads all words of the table below an entry.
 * @returns false as soon as `test` says so, or where there is no memory
 */
function everyWord(
  space: AddressSpace,
  cursor: Cursor,
  test: (lo: number, hi: number, index: number) => boolean,
): boolean {
  const { paging } = cursor.root;
  const below = paging.codec(cursor.level - 1).level;
  const table = cursor.below;
  const wide = paging.format.entryBytes === 8;
  for (let index = 0; index < below.entries; ) {
    const at = table + index * paging.format.entryBytes;
    const window = space.memory.window(at);
    if (window === undefined) return false;
    for (let word = (at - window.base) >> 2; word < window.words.length && index < below.entries; index++) {
      if (!test(window.words[word] as number, wide ? (window.words[word + 1] as number) : 0, index)) return false;
      word += wide ? 2 : 1;
    }
  }
  return true;
}

/**
 * Unlinks tables that hold nothing at all (every word zero) and whose whole span lies in the range. The root stays, and
 * so does a table outside memory, for nothing is known of it.
 * @param range half-open
 * @param options `keepLevel`: tables linked from entries of this level (from the leaves) or above stay
 * @returns the unlinked tables as `detached`; they may be reused after the invalidations
 * @throws ArgumentError for a bad range, ReadOnlyMemoryError if a table in the range cannot be written; nothing is
 *   changed then
 */
export function freeTables(
  space: AddressSpace,
  range: VirtRange,
  options: { readonly keepLevel?: number } = {},
): Change {
  const progress: Progress = { log: new ChangeLog(), seen: new Set() };
  const keep = options.keepLevel ?? Number.POSITIVE_INFINITY;
  const parts = stretches(space, range, true);
  proveWritable(space, parts, false);
  for (const part of parts) {
    traverse(space.memory, part, {
      leave(cursor) {
        if (!isWhole(cursor) || cursor.level >= keep) return undefined;
        if (!everyWord(space, cursor, (lo, hi) => (lo | hi) === 0)) return undefined;
        detach(progress, cursor);
        cursor.store(0, 0);
        progress.log.note(cursor.entryVa, cursor.entryVa + cursor.span, 'removed', cursor.level, cursor.span, true);
        return undefined;
      },
      missing: () => undefined,
    });
  }
  progress.log.keepReached(space);
  return progress.log.finish();
}

/** Options of {@link merge}. */
export interface MergeOptions {
  /** Largest leaf to make, in bytes. Not supplied: no limit. */
  readonly maxLeafBytes?: bigint;
  /** Also join aligned groups of entries into runs? Not supplied: yes. */
  readonly runs?: boolean;
}

/** What a full table of equal leaves becomes, if it can: the word of the one leaf that replaces it. */
function mergedWord(space: AddressSpace, cursor: Cursor, limit: number): bigint | undefined {
  const { paging } = cursor.root;
  const target = cursor.codec.leaves.find(({ runEntries }) => runEntries === 1);
  const below = paging.codec(cursor.level - 1);
  if (target === undefined || target.leafBytes > limit) return undefined;
  const table = shapeAt(cursor);
  const pointer = join(cursor.lo, cursor.hi);
  let bits: bigint | undefined;
  let first = 0;
  let seen: CompiledShape | undefined;
  let mask: Halves = { lo: 0, hi: 0 };
  let plainLo = 0;
  let plainHi = 0;
  const same = everyWord(space, cursor, (lo, hi, index) => {
    const code = below.classify(lo, hi);
    const compiled = below.shapes[code >> 2];
    if ((code & 3) !== LEAF || compiled === undefined) return false;
    let pa = compiled.address.decode(lo, hi);
    if (compiled.sharedAddress) pa += (index % compiled.runEntries) * below.level.entrySpan;
    if (index === 0) first = pa;
    if (pa !== first + index * below.level.entrySpan) return false;
    if (compiled === seen && (lo & ~mask.lo) === plainLo && (hi & ~mask.hi) === plainHi) return true;
    // Runs and single entries may stand side by side: what counts is what they become.
    seen = compiled;
    mask = halves(compiled.address.mask);
    plainLo = lo & ~mask.lo;
    plainHi = hi & ~mask.hi;
    const word = convertAbove(paging, compiled, target, table, pointer, join(plainLo, plainHi));
    if (index === 0) bits = word;
    return word !== undefined && word === bits;
  });
  if (!same || bits === undefined || first % target.leafBytes !== 0 || !paging.canHold(target, first)) return undefined;
  const { lo, hi } = halves(bits);
  return join(lo | target.address.encodeLo(first), hi | target.address.encodeHi(first));
}

/**
 * Replaces tables whose leaves continue each other with equal attributes by one larger leaf, from the leaves up, and
 * joins aligned groups into runs. What every address translates to stays the same; what a replaced table's pointer did
 * to its leaves becomes part of the larger leaf.
 * @param range half-open; what it does not wholly cover stays
 * @returns the replaced tables as `detached`
 * @throws ArgumentError for a bad range, ReadOnlyMemoryError if a table in the range cannot be written; nothing is
 *   changed then
 */
export function merge(space: AddressSpace, range: VirtRange, options: MergeOptions = {}): Change {
  const progress: Progress = { log: new ChangeLog(), seen: new Set() };
  const { log } = progress;
  const limit = Number(options.maxLeafBytes ?? 1n << 64n);
  const parts = stretches(space, range, true);
  proveWritable(space, parts, true);
  for (const part of parts) {
    traverse(space.memory, part, {
      leave(cursor) {
        const word = isWhole(cursor) ? mergedWord(space, cursor, limit) : undefined;
        if (word === undefined) return undefined;
        const { entrySpan } = cursor.root.paging.codec(cursor.level - 1).level;
        detach(progress, cursor);
        const { lo, hi } = halves(word);
        cursor.store(lo, hi);
        log.entries++;
        log.note(cursor.entryVa, cursor.entryVa + cursor.span, 'changed', cursor.level - 1, entrySpan, true);
        return undefined;
      },
      missing: () => undefined,
    });
    if (options.runs !== false) joinRuns(space, part, limit, log);
  }
  log.keepReached(space);
  return log.finish();
}

/** Turns aligned groups of continuing entries into runs, the largest run first. */
function joinRuns(space: AddressSpace, part: Stretch, limit: number, log: ChangeLog): void {
  traverse(space.memory, part, {
    leaf(cursor) {
      if (cursor.va !== cursor.entryVa || shapeAt(cursor).runEntries !== 1) return undefined;
      for (const run of [...cursor.codec.leaves].reverse()) {
        if (run.runEntries > 1 && run.leafBytes <= limit && joinRun(cursor, run, part.end, log)) break;
      }
      return undefined;
    },
    missing: () => undefined,
  });
}

/** The word of a run that can take the place of an entry like this one, but for its address. */
function runWord(cursor: Cursor, run: CompiledShape, alone: CompiledShape, bits: bigint): bigint | undefined {
  try {
    return convertBits(cursor.root.paging, alone, run, bits);
  } catch (error) {
    if (error instanceof AttributeError) return undefined;
    throw error;
  }
}

/** Joins the group that begins at the cursor, if it can. Leaves the cursor where it was. */
function joinRun(cursor: Cursor, run: CompiledShape, end: number, log: ChangeLog): boolean {
  const first = cursor.index;
  const alone = shapeAt(cursor);
  const { code } = cursor;
  const mask = halves(alone.address.mask);
  const plainLo = cursor.lo & ~mask.lo;
  const plainHi = cursor.hi & ~mask.hi;
  const pa = alone.address.decode(cursor.lo, cursor.hi);
  const fits = first % run.runEntries === 0 && pa % run.leafBytes === 0 && cursor.entryVa + run.leafBytes <= end;
  if (!fits || !cursor.root.paging.canHold(run, pa)) return false;
  const word = runWord(cursor, run, alone, join(plainLo, plainHi));
  if (word === undefined) return false;
  let same = true;
  for (let i = 1; i < run.runEntries && same; i++) {
    cursor.index = first + i;
    same =
      cursor.load() &&
      cursor.code === code &&
      (cursor.lo & ~mask.lo) === plainLo &&
      (cursor.hi & ~mask.hi) === plainHi &&
      alone.address.decode(cursor.lo, cursor.hi) === pa + i * cursor.span;
  }
  if (same) {
    const { lo, hi } = halves(word);
    for (let i = 0; i < run.runEntries; i++) {
      cursor.index = first + i;
      const own = pa + i * cursor.span;
      cursor.store(lo | run.address.encodeLo(own), hi | run.address.encodeHi(own));
      log.entries++;
    }
    log.note(cursor.entryVa, cursor.entryVa + run.leafBytes, 'changed', cursor.level, cursor.span);
  }
  cursor.index = first;
  cursor.load();
  return same;
}
