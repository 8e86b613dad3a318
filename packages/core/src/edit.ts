/** Unmapping and changing attributes: what is done to each leaf on the road that both share (`edit-road.ts`). */
import type { TableAllocator } from './allocator.ts';
import { fitsRanges, rangesMask, scatter } from './bits.ts';
import type { Change, ChangeLog } from './change.ts';
import { type Halves, halves, join } from './compiled.ts';
import { type EditStep, edit } from './edit-road.ts';
import { AttributeError } from './errors.ts';
import type { FieldValues } from './format.ts';
import type { CompiledShape } from './level-codec.ts';
import { addressBits, type Paging } from './paging.ts';
import type { AddressSpace, VirtRange } from './space.ts';
import { type Cursor, shapeAt } from './traverse.ts';

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

/**
 * Unmaps a range. Tables stay, even if they become empty: freeing them is a step of its own (`freeTables`).
 * @param range half-open, of whole smallest leaves
 * @param options `holes` not supplied: `skip`
 * @throws ArgumentError for a bad range, PartialLeafError, NotMappedError, MalformedEntryError or OutOfTablesError as
 *   the options say, AttributeError if a leaf at the edge cannot be split, ReadOnlyMemoryError if the tables cannot be
 *   written; nothing is changed then
 */
export function unmap(space: AddressSpace, range: VirtRange, options: EditOptions = {}): Change {
  const { partial = 'split', holes = 'skip' } = options;
  return edit(space, range, { partial, holes }, options.allocator, REMOVAL);
}

const NO_BITS: Halves = { lo: 0, hi: 0 };

const REMOVAL: EditStep = {
  cause: 'removed',
  check() {},
  write(cursor, log) {
    cursor.store(0, 0);
    log.note(cursor.entryVa, cursor.entryVa + cursor.span, 'removed', cursor.level, cursor.span);
    log.entries++;
  },
  row(cursor, most) {
    return cursor.alike(most);
  },
  writeRow(cursor, slots, log) {
    cursor.rewrite(slots, NO_BITS, NO_BITS);
    log.note(cursor.entryVa, cursor.entryVa + slots * cursor.span, 'removed', cursor.level, cursor.span);
    log.entries += slots;
  },
};

/** New attributes: raw bits to set and to clear, or values of named fields; everything else stays. */
export type AttributeChange = { readonly set?: bigint; readonly clear?: bigint } | { readonly fields: FieldValues };

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

/** The bits that a change sets or clears. */
function changedBits(compiled: CompiledShape, change: AttributeChange): bigint {
  if (!('fields' in change)) return (change.set ?? 0n) | (change.clear ?? 0n);
  return compiled.fields
    .filter(({ name }) => Object.hasOwn(change.fields, name))
    .reduce((bits, field) => bits | rangesMask(field.bits), 0n);
}

/**
 * The bits of a leaf outside its address that are changed or have a say in what it is. What lies where smaller leaves have
 * address bits goes when a leaf is changed.
 */
function decisiveBits(paging: Paging, compiled: CompiledShape, change: AttributeChange): bigint {
  const codec = paging.levels.find(({ shapes }) => shapes.includes(compiled));
  const tested = codec === undefined ? -1n : join(codec.tested.lo, codec.tested.hi);
  return (tested | changedBits(compiled, change) | addressBits(compiled)) & ~compiled.address.mask;
}

/** What is known of a shape and a change. */
interface KnownShape {
  /** The bits of its address. */
  readonly mask: Halves;
  /** See {@link decisiveBits}; worked out when there is a row. */
  decisive: Halves | undefined;
  /** What its attributes become. */
  readonly words: Map<bigint, Halves>;
}

/**
 * What attributes become by one change, each worked out once. Neighbours mostly share them: the last answer is looked at
 * first.
 */
class Protection implements EditStep {
  readonly cause = 'changed';
  readonly #change: AttributeChange;
  /** The address bits of the shape that was last asked for. */
  #mask: Halves = { lo: 0, hi: 0 };
  readonly #known = new Map<CompiledShape, KnownShape>();
  #compiled: CompiledShape | undefined;
  #words: Map<bigint, Halves> = new Map();
  #lo = 0;
  #hi = 0;
  #last: Halves | undefined;

  constructor(change: AttributeChange) {
    // Fields given directly instead of under `fields` would otherwise change nothing at all.
    const unknown = Object.keys(change).find((name) => name !== 'fields' && name !== 'set' && name !== 'clear');
    if (unknown !== undefined) {
      throw new AttributeError('attribute-change', 'a change gives fields, or bits to set and clear', {
        given: unknown,
      });
    }
    this.#change = 'fields' in change ? { fields: { ...change.fields } } : { ...change };
  }

  /** Is this the change? It was copied: whose it is may alter it. */
  makes(change: AttributeChange): boolean {
    const own = this.#change;
    if ('fields' in own) return 'fields' in change && sameFields(own.fields, change.fields);
    return !('fields' in change) && own.set === change.set && own.clear === change.clear;
  }

  check(paging: Paging, compiled: CompiledShape, lo: number, hi: number): void {
    this.#outcome(paging, compiled, lo, hi);
  }

  write(cursor: Cursor, log: ChangeLog): void {
    const { lo, hi } = this.#outcome(cursor.root.paging, shapeAt(cursor), cursor.lo, cursor.hi);
    const newLo = lo | (cursor.lo & this.#mask.lo);
    const newHi = hi | (cursor.hi & this.#mask.hi);
    if (newLo === (cursor.lo | 0) && newHi === (cursor.hi | 0)) return;
    cursor.store(newLo, newHi);
    log.note(cursor.entryVa, cursor.entryVa + cursor.span, 'changed', cursor.level, cursor.span);
    log.entries++;
  }

  row(cursor: Cursor, most: number): number {
    const { lo, hi } = this.#outcome(cursor.root.paging, shapeAt(cursor), cursor.lo, cursor.hi);
    // Where attributes and address share bits, entries that agree need not change alike.
    if (((lo & this.#mask.lo) | (hi & this.#mask.hi)) !== 0) return 0;
    return cursor.agreeing(this.#decisive(cursor), most);
  }

  writeRow(cursor: Cursor, slots: number, log: ChangeLog): void {
    const { lo, hi } = this.#outcome(cursor.root.paging, shapeAt(cursor), cursor.lo, cursor.hi);
    const decisive = this.#decisive(cursor);
    if ((((lo ^ cursor.lo) & decisive.lo) | ((hi ^ cursor.hi) & decisive.hi)) === 0) return;
    const keep = { lo: ~decisive.lo, hi: ~decisive.hi };
    cursor.rewrite(slots, keep, { lo: lo & decisive.lo, hi: hi & decisive.hi });
    log.note(cursor.entryVa, cursor.entryVa + slots * cursor.span, 'changed', cursor.level, cursor.span);
    log.entries += slots;
  }

  /** Where leaves agree in these bits with the one under a cursor, they are changed alike. */
  #decisive(cursor: Cursor): Halves {
    const compiled = shapeAt(cursor);
    const known = this.#known.get(compiled) as KnownShape;
    known.decisive ??= halves(decisiveBits(cursor.root.paging, compiled, this.#change));
    return known.decisive;
  }

  /** The entry, but for its address, with the new attributes. */
  #outcome(paging: Paging, compiled: CompiledShape, lo: number, hi: number): Halves {
    if (compiled !== this.#compiled) this.#turnTo(compiled);
    const plainLo = lo & ~this.#mask.lo;
    const plainHi = hi & ~this.#mask.hi;
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
    const known = this.#known.get(compiled) ?? {
      mask: halves(compiled.address.mask),
      decisive: undefined,
      words: new Map<bigint, Halves>(),
    };
    this.#known.set(compiled, known);
    this.#compiled = compiled;
    this.#mask = known.mask;
    this.#words = known.words;
    this.#last = undefined;
  }
}

function sameFields(a: FieldValues, b: FieldValues): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && a[name] === b[name]);
}

/** The change that was made last in a space: who protects page by page mostly makes the same again. */
const lastOf = new WeakMap<AddressSpace, Protection>();

function protectionFor(space: AddressSpace, change: AttributeChange): Protection {
  const last = lastOf.get(space);
  if (last?.makes(change)) return last;
  const made = new Protection(change);
  lastOf.set(space, made);
  return made;
}

/**
 * Changes the attributes of what is mapped in a range; addresses and leaf sizes stay (apart from splits at the edges).
 * @param range half-open, of whole smallest leaves
 * @param change fields with new values, or raw bits to set and clear (`set` wins)
 * @param options `holes` not supplied: `refuse`
 * @throws AttributeError `attribute-change` if the change has other members; others if the result cannot be expressed or
 *   would be another kind of entry, and as `unmap`; nothing is
 *   changed then
 */
export function protect(
  space: AddressSpace,
  range: VirtRange,
  change: AttributeChange,
  options: EditOptions = {},
): Change {
  const { partial = 'split', holes = 'refuse' } = options;
  return edit(space, range, { partial, holes }, options.allocator, protectionFor(space, change));
}
