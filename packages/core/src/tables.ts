/** Freeing empty tables and merging full ones: the explicit steps that no other operation does on the side. */
import type { PhysAddr } from './address.ts';
import { type Change, ChangeLog } from './change.ts';
import { halves, join } from './compiled.ts';
import { type CompiledShape, LEAF } from './level-codec.ts';
import { type AddressSpace, type Root, stretches, type VirtRange, vaOf } from './space.ts';
import { convertBits } from './split.ts';
import { type Cursor, shapeAt, traverse } from './traverse.ts';

/** Notes the table below an entry as detached. */
function detach(log: ChangeLog, cursor: Cursor): void {
  const below = cursor.root.paging.codec(cursor.level - 1).level;
  log.detached.push({
    level: below.level,
    va: vaOf(cursor.entryVa),
    bytes: below.tableBytes,
    alignBytes: below.alignBytes,
    address: BigInt(shapeAt(cursor).address.decode(cursor.lo, cursor.hi)) as PhysAddr,
  });
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
  const table = shapeAt(cursor).address.decode(cursor.lo, cursor.hi);
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
 * Unlinks tables that hold nothing at all (every word zero) and whose whole span lies in the range. The root stays.
 * @param range half-open
 * @param options `keepLevel`: tables linked from entries of this level (from the leaves) or above stay
 * @returns the unlinked tables as `detached`; they may be reused after the invalidations
 */
export function freeTables(
  space: AddressSpace,
  range: VirtRange,
  options: { readonly keepLevel?: number } = {},
): Change {
  const log = new ChangeLog();
  const keep = options.keepLevel ?? Number.POSITIVE_INFINITY;
  for (const stretch of stretches(space, range, true)) {
    traverse(space.memory, stretch, {
      leave(cursor) {
        const whole = cursor.va === cursor.entryVa && cursor.end === cursor.entryVa + cursor.span;
        if (!whole || cursor.level >= keep || !everyWord(space, cursor, (lo, hi) => (lo | hi) === 0)) return undefined;
        detach(log, cursor);
        cursor.store(0, 0);
        log.note(cursor.entryVa, cursor.entryVa + cursor.span, 'removed', cursor.level - 1, cursor.span, true);
        return undefined;
      },
    });
  }
  return log.finish();
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
  let shape: CompiledShape | undefined;
  let bits = 0n;
  let first = 0;
  const same = everyWord(space, cursor, (lo, hi, index) => {
    const code = below.classify(lo, hi);
    const compiled = below.shapes[code >> 2];
    if ((code & 3) !== LEAF || compiled === undefined) return false;
    const word = join(lo, hi) & ~compiled.address.mask;
    let pa = compiled.address.decode(lo, hi);
    if (compiled.sharedAddress) pa += (index % compiled.runEntries) * below.level.entrySpan;
    if (index === 0) {
      shape = compiled;
      bits = word;
      first = pa;
      return pa % target.leafBytes === 0;
    }
    return compiled === shape && word === bits && pa === first + index * below.level.entrySpan;
  });
  if (!same || shape === undefined) return undefined;
  try {
    const { lo, hi } = halves(convertBits(paging, shape, target, bits));
    return join(lo | target.address.encodeLo(first), hi | target.address.encodeHi(first));
  } catch {
    return undefined; // The larger leaf cannot say the same attributes: the table stays.
  }
}

/**
 * Replaces tables whose leaves continue each other with equal attributes by one larger leaf, from the leaves up, and
 * joins aligned groups into runs. What every address translates to stays the same.
 * @returns the replaced tables as `detached`
 */
export function merge(space: AddressSpace, range: VirtRange, options: MergeOptions = {}): Change {
  const log = new ChangeLog();
  const limit = Number(options.maxLeafBytes ?? 1n << 64n);
  for (const stretch of stretches(space, range, true)) {
    traverse(space.memory, stretch, {
      leave(cursor) {
        const whole = cursor.va === cursor.entryVa && cursor.end === cursor.entryVa + cursor.span;
        const word = whole ? mergedWord(space, cursor, limit) : undefined;
        if (word === undefined) return undefined;
        detach(log, cursor);
        const { lo, hi } = halves(word);
        cursor.store(lo, hi);
        log.entries++;
        log.note(cursor.entryVa, cursor.entryVa + cursor.span, 'changed', cursor.level - 1, cursor.span, true);
        return undefined;
      },
    });
    if (options.runs !== false) joinRuns(space, stretch.root, stretch.start, stretch.end, limit, log);
  }
  return log.finish();
}

/** Turns aligned groups of continuing entries into runs, the largest run first. */
function joinRuns(space: AddressSpace, root: Root, start: number, end: number, limit: number, log: ChangeLog): void {
  traverse(
    space.memory,
    { root, start, end },
    {
      leaf(cursor) {
        for (const run of [...cursor.codec.leaves].reverse()) {
          if (run.runEntries > 1 && run.leafBytes <= limit && joinRun(cursor, run, end, log)) break;
        }
        return undefined;
      },
    },
  );
}

/** Joins the group that begins at the cursor, if it can. Leaves the cursor where it was. */
function joinRun(cursor: Cursor, run: CompiledShape, end: number, log: ChangeLog): boolean {
  const first = cursor.index;
  const alone = shapeAt(cursor);
  const bits = join(cursor.lo, cursor.hi) & ~alone.address.mask;
  const pa = alone.address.decode(cursor.lo, cursor.hi);
  const starts = first % run.runEntries === 0 && pa % run.leafBytes === 0 && cursor.entryVa + run.leafBytes <= end;
  if (alone.runEntries !== 1 || !starts) return false;
  let word: bigint;
  try {
    word = convertBits(cursor.root.paging, alone, run, bits);
  } catch {
    return false;
  }
  let same = true;
  for (let i = 1; i < run.runEntries && same; i++) {
    cursor.index = first + i;
    same =
      cursor.load() &&
      shapeAt(cursor) === alone &&
      (join(cursor.lo, cursor.hi) & ~alone.address.mask) === bits &&
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
