/**
 * Unmapping and changing attributes: the same road with another last step. Plan, check, split at the edges, write.
 */
import type { TableAllocator } from './allocator.ts';
import { fitsRanges, rangesMask, scatter } from './bits.ts';
import { type Change, ChangeLog, type TableRecord } from './change.ts';
import { type Halves, halves, join } from './compiled.ts';
import { AttributeError, MalformedEntryError, NotMappedError, PartialLeafError } from './errors.ts';
import type { FieldValues } from './format.ts';
import type { CompiledShape } from './level-codec.ts';
import { writeProbe } from './memory.ts';
import { addressBits, type Paging } from './paging.ts';
import { type AddressSpace, type Stretch, stretches, type VirtRange } from './space.ts';
import { allocateSplits, leafRange, type PieceCheck, splitEdges } from './split.ts';
import { type Cursor, shapeAt, traverse } from './traverse.ts';

/** How an edit treats the edges of its range and what is not mapped. */
export interface EditOptions {
  /**
   * What if the range ends inside a leaf or a run: `split` it, `refuse` with a PartialLeafError, or take the `whole`
   * leaf. Not supplied: `split`.
   */
  readonly partial?: 'split' | 'refuse' | 'whole';
  /** What if part of the range is not mapped: `skip` it or `refuse` with a NotMappedError. */
  readonly holes?: 'skip' | 'refuse';
  /** Where tables for splitting come from. Not supplied: an edit that has to split an entry is refused. */
  readonly allocator?: TableAllocator;
}

/** New attributes: raw bits to set and to clear, or values of named fields; everything else stays. */
export type AttributeChange = { readonly set?: bigint; readonly clear?: bigint } | { readonly fields: FieldValues };

/** A stretch as it was asked for, and widened to whole leaves. */
interface Part {
  readonly asked: Stretch;
  readonly whole: Stretch;
}

function isWider({ asked, whole }: Part): boolean {
  return whole.start < asked.start || whole.end > asked.end;
}

/** Does the leaf under a cursor map something that was asked for? */
function concerned(cursor: Cursor, asked: Stretch): boolean {
  const { start, end } = leafRange(cursor);
  return start < asked.end && end > asked.start;
}

/** Looks at everything that will be touched, so that nothing can fail once something was written. */
function inspect(
  space: AddressSpace,
  asked: Stretch,
  options: Required<Pick<EditOptions, 'partial' | 'holes'>>,
  check: PieceCheck,
): Part {
  const { paging } = asked.root;
  const prove = writeProbe(space.memory);
  let { start, end } = asked;
  traverse(space.memory, asked, {
    leaf(cursor) {
      const compiled = shapeAt(cursor);
      const leafStart = cursor.entryVa - (cursor.index % compiled.runEntries) * cursor.span;
      const leafEnd = leafStart + compiled.leafBytes;
      const across = leafStart < asked.start || leafEnd > asked.end;
      if (across) {
        if (options.partial === 'refuse') {
          throw new PartialLeafError('partial-leaf', 'the range ends inside a leaf', {
            leafStart,
            leafEnd,
            start: asked.start,
            end: asked.end,
          });
        }
        if (options.partial === 'whole') {
          start = Math.min(start, leafStart);
          end = Math.max(end, leafEnd);
        }
      }
      prove(cursor.slot);
      // A leaf that will be split is not what gets changed: its pieces are, and splitting tells what those are.
      if (!across || options.partial !== 'split') check(paging, compiled, cursor.lo, cursor.hi);
      return undefined;
    },
    hole(cursor) {
      if (options.holes === 'refuse') {
        throw new NotMappedError('not-mapped', 'part of the range is not mapped', {
          va: cursor.va,
          level: cursor.level,
        });
      }
      return undefined;
    },
    malformed(cursor) {
      throw new MalformedEntryError('malformed-entry', 'a malformed entry stands in the range', {
        va: cursor.entryVa,
        level: cursor.level,
        slot: cursor.slot,
      });
    },
  });
  const part = { asked, whole: { ...asked, start, end } };
  if (isWider(part)) {
    traverse(space.memory, part.whole, {
      leaf(cursor) {
        if (!concerned(cursor, asked)) return undefined;
        prove(cursor.slot);
        check(paging, shapeAt(cursor), cursor.lo, cursor.hi);
        return undefined;
      },
    });
  }
  return part;
}

/** The common road: inspect all, allocate all, then split and write. */
function edit(
  space: AddressSpace,
  range: VirtRange,
  options: EditOptions,
  holes: 'skip' | 'refuse',
  check: PieceCheck,
  write: (cursor: Cursor, log: ChangeLog) => void,
): Change {
  const partial = options.partial ?? 'split';
  const parts = stretches(space, range).map((stretch) =>
    inspect(space, stretch, { partial, holes: options.holes ?? holes }, check),
  );
  const tables = allocateSplits(
    space,
    parts.map(({ whole }) => whole),
    options.allocator,
    check,
  );
  const log = new ChangeLog();
  parts.forEach((part, i) => {
    const wider = isWider(part);
    splitEdges(space, part.whole, tables[i] as TableRecord[], log);
    traverse(space.memory, part.whole, {
      leaf(cursor) {
        if (!wider || concerned(cursor, part.asked)) write(cursor, log);
        return undefined;
      },
    });
  });
  return log.finish();
}

/**
 * Unmaps a range. Tables stay, even if they become empty: freeing them is a step of its own (`freeTables`).
 * @param range half-open, of whole smallest leaves
 * @param options `holes` not supplied: `skip`
 * @throws ArgumentError for a bad range, PartialLeafError, NotMappedError, MalformedEntryError or OutOfTablesError as
 *   the options say, AttributeError if a leaf at the edge cannot be split, ReadOnlyMemoryError if the tables cannot be
 *   written; nothing is changed then
 */
export function unmap(space: AddressSpace, range: VirtRange, options: EditOptions = {}): Change {
  return edit(
    space,
    range,
    options,
    'skip',
    () => {},
    (cursor, log) => {
      cursor.store(0, 0);
      log.note(cursor.entryVa, cursor.entryVa + cursor.span, 'removed', cursor.level, cursor.span);
      log.entries++;
    },
  );
}

/** A leaf's attribute bits with named fields set anew. */
function withFields(compiled: CompiledShape, before: bigint, values: FieldValues): bigint {
  let bits = before;
  for (const [name, value] of Object.entries(values)) {
    const field = compiled.fields.find((candidate) => candidate.name === name);
    const what = { field: name, value };
    if (field === undefined) {
      throw new AttributeError('attribute-field', `a ${compiled.shape.name} has no field of that name`, what);
    }
    const mask = rangesMask(field.bits);
    if ((mask & addressBits(compiled)) !== 0n) {
      throw new AttributeError('attribute-address', 'a field is part of the address', what);
    }
    if (!fitsRanges(value, field.bits)) {
      throw new AttributeError('attribute-width', `a value does not fit a field of a ${compiled.shape.name}`, what);
    }
    bits = (bits & ~mask) | scatter(BigInt(value), field.bits);
  }
  return bits;
}

/** A leaf's word, without its address, with new attributes. */
function changed(paging: Paging, compiled: CompiledShape, word: bigint, change: AttributeChange): bigint {
  const address = addressBits(compiled);
  let bits = word & ~address;
  if ('fields' in change) {
    bits = withFields(compiled, bits, change.fields);
  } else {
    const { set = 0n, clear = 0n } = change;
    if (((set | clear) & address) !== 0n) {
      throw new AttributeError('attribute-address', 'attribute bits reach into the address', {
        bits: (set | clear) & address,
      });
    }
    bits = (bits & ~clear) | set;
  }
  const moved = (bits ^ compiled.fixedValue) & compiled.fixedMask & ~address;
  if (moved !== 0n) {
    throw new AttributeError('attribute-fixed', `these bits make the entry a ${compiled.shape.name} and must stay`, {
      bits: moved,
    });
  }
  return paging.leafBits(compiled, bits);
}

/** What attributes become, each worked out once. Neighbours mostly share them: the last answer is looked at first. */
class Outcomes {
  /** The address bits of the shape that was last asked for. */
  mask: Halves = { lo: 0, hi: 0 };
  readonly #change: AttributeChange;
  readonly #known = new Map<CompiledShape, { readonly mask: Halves; readonly words: Map<bigint, Halves> }>();
  #compiled: CompiledShape | undefined;
  #words: Map<bigint, Halves> = new Map();
  #lo = 0;
  #hi = 0;
  #last: Halves | undefined;

  constructor(change: AttributeChange) {
    this.#change = change;
  }

  /** The entry, but for its address, with the new attributes. */
  of(paging: Paging, compiled: CompiledShape, lo: number, hi: number): Halves {
    if (compiled !== this.#compiled) this.#turnTo(compiled);
    const plainLo = lo & ~this.mask.lo;
    const plainHi = hi & ~this.mask.hi;
    if (this.#last !== undefined && plainLo === this.#lo && plainHi === this.#hi) return this.#last;
    const word = join(plainLo, plainHi);
    let found = this.#words.get(word);
    if (found === undefined) {
      found = halves(changed(paging, compiled, word, this.#change));
      this.#words.set(word, found);
    }
    this.#lo = plainLo;
    this.#hi = plainHi;
    this.#last = found;
    return found;
  }

  #turnTo(compiled: CompiledShape): void {
    const known = this.#known.get(compiled) ?? { mask: halves(compiled.address.mask), words: new Map() };
    this.#known.set(compiled, known);
    this.#compiled = compiled;
    this.mask = known.mask;
    this.#words = known.words;
    this.#last = undefined;
  }
}

/**
 * Changes the attributes of what is mapped in a range; addresses and leaf sizes stay (apart from splits at the edges).
 * @param range half-open, of whole smallest leaves
 * @param change fields with new values, or raw bits to set and clear (`set` wins)
 * @param options `holes` not supplied: `refuse`
 * @throws AttributeError if the result cannot be expressed or would be another kind of entry, and as {@link unmap};
 *   nothing is changed then
 */
export function protect(
  space: AddressSpace,
  range: VirtRange,
  change: AttributeChange,
  options: EditOptions = {},
): Change {
  const after = new Outcomes(change);
  return edit(
    space,
    range,
    options,
    'refuse',
    (paging, compiled, lo, hi) => after.of(paging, compiled, lo, hi),
    (cursor, log) => {
      const compiled = shapeAt(cursor);
      const { lo, hi } = after.of(cursor.root.paging, compiled, cursor.lo, cursor.hi);
      const { mask } = after;
      const newLo = lo | (cursor.lo & mask.lo);
      const newHi = hi | (cursor.hi & mask.hi);
      if (newLo >>> 0 === cursor.lo >>> 0 && newHi >>> 0 === cursor.hi >>> 0) return;
      cursor.store(newLo, newHi);
      log.note(cursor.entryVa, cursor.entryVa + cursor.span, 'changed', cursor.level, cursor.span);
      log.entries++;
    },
  );
}
