/**
 * Unmapping and changing attributes: the same road with another last step. Plan, check, split at the edges, write.
 */
import type { TableAllocator } from './allocator.ts';
import { gather, scatter } from './bits.ts';
import { type Change, ChangeLog, type TableRecord } from './change.ts';
import { halves, join } from './compiled.ts';
import { AttributeError, MalformedEntryError, NotMappedError, PartialLeafError } from './errors.ts';
import type { FieldValues } from './format.ts';
import type { CompiledShape } from './level-codec.ts';
import type { Paging } from './paging.ts';
import { type AddressSpace, type Stretch, stretches, type VirtRange } from './space.ts';
import { allocateSplits, plainPointers, splitAt } from './split.ts';
import { type Cursor, shapeAt, traverse, type Visitor } from './traverse.ts';

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

/** The range of a leaf: of its entry, or of the run it belongs to. */
function leafRange(cursor: Cursor): { start: number; end: number } {
  const { runEntries, leafBytes } = shapeAt(cursor);
  const start = cursor.entryVa - (cursor.index % runEntries) * cursor.span;
  return { start, end: start + leafBytes };
}

/** Looks at everything that will be touched. Answers the range widened to whole leaves. */
function inspect(
  space: AddressSpace,
  stretch: Stretch,
  options: Required<Pick<EditOptions, 'partial' | 'holes'>>,
  each: (cursor: Cursor, compiled: CompiledShape) => void,
): Stretch {
  let { start, end } = stretch;
  traverse(space.memory, stretch, {
    leaf(cursor) {
      const leaf = leafRange(cursor);
      if (leaf.start < stretch.start || leaf.end > stretch.end) {
        if (options.partial === 'refuse') {
          throw new PartialLeafError('partial-leaf', 'the range ends inside a leaf', {
            leafStart: leaf.start,
            leafEnd: leaf.end,
            start: stretch.start,
            end: stretch.end,
          });
        }
        if (options.partial === 'whole') {
          start = Math.min(start, leaf.start);
          end = Math.max(end, leaf.end);
        }
      }
      each(cursor, shapeAt(cursor));
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
  return { ...stretch, start, end };
}

/** The common road: inspect all, allocate all, then split and visit. */
function edit(
  space: AddressSpace,
  range: VirtRange,
  options: EditOptions,
  holes: 'skip' | 'refuse',
  each: (cursor: Cursor, compiled: CompiledShape) => void,
  visitor: (stretch: Stretch, log: ChangeLog) => Visitor,
): Change {
  const partial = options.partial ?? 'split';
  const parts = stretches(space, range).map((stretch) =>
    inspect(space, stretch, { partial, holes: options.holes ?? holes }, each),
  );
  const log = new ChangeLog();
  const tables: TableRecord[][] = [];
  try {
    for (const { root, start, end } of parts) {
      tables.push(allocateSplits(space, root, [start, end], options.allocator));
    }
  } catch (error) {
    for (const { address, ...request } of tables.flat().reverse()) options.allocator?.free(address, request);
    throw error;
  }
  parts.forEach((part, i) => {
    const records = tables[i] as TableRecord[];
    splitAt(space, part.root, part.start, records, plainPointers(part.root), log);
    splitAt(space, part.root, part.end, records, plainPointers(part.root), log);
    traverse(space.memory, part, visitor(part, log));
  });
  return log.finish();
}

/**
 * Unmaps a range. Tables stay, even if they become empty: freeing them is a step of its own (`freeTables`).
 * @param range half-open, of whole smallest leaves
 * @param options `holes` not supplied: `skip`
 * @throws ArgumentError for a bad range, PartialLeafError, NotMappedError, MalformedEntryError or OutOfTablesError as
 *   the options say; nothing is changed then
 */
export function unmap(space: AddressSpace, range: VirtRange, options: EditOptions = {}): Change {
  return edit(
    space,
    range,
    options,
    'skip',
    () => {},
    (_, log) => ({
      leaf(cursor) {
        cursor.store(0, 0);
        log.note(cursor.entryVa, cursor.entryVa + cursor.span, 'removed', cursor.level, cursor.span);
        log.entries++;
        return undefined;
      },
    }),
  );
}

/** A leaf's word with new attributes. */
function changed(paging: Paging, compiled: CompiledShape, word: bigint, change: AttributeChange): bigint {
  const { mask } = compiled.address;
  let bits = word & ~mask;
  if ('fields' in change) {
    for (const [name, value] of Object.entries(change.fields)) {
      const field = compiled.fields.find((candidate) => candidate.name === name);
      if (field === undefined) {
        throw new AttributeError('attribute-field', `a ${compiled.shape.name} has no field of that name`, {
          field: name,
        });
      }
      bits = (bits & ~scatter((1n << BigInt(width(field.bits))) - 1n, field.bits)) | scatter(BigInt(value), field.bits);
      if (gather(bits, field.bits) !== BigInt(value))
        throw new AttributeError('attribute-field', 'a field overlaps', { field: name });
    }
  } else {
    const touched = (change.set ?? 0n) | (change.clear ?? 0n);
    if ((touched & mask) !== 0n) {
      throw new AttributeError('attribute-address', 'attribute bits reach into the address', { bits: touched & mask });
    }
    bits = (bits & ~(change.clear ?? 0n)) | (change.set ?? 0n);
  }
  return paging.leafBits(compiled, bits & ~belowLeaf(compiled)) | (word & mask);
}

function width(ranges: readonly (readonly [number, number])[]): number {
  return ranges.reduce((sum, [hi, lo]) => sum + hi - lo + 1, 0);
}

/** Address bits below the leaf's size that are no part of what makes its shape: ignored by hardware, kept zero. */
function belowLeaf(compiled: CompiledShape): bigint {
  if (compiled.shape.kind !== 'leaf') return 0n;
  const whole = compiled.shape.address.reduce(
    (mask, { entryLo, bits }) => mask | (((1n << BigInt(bits)) - 1n) << BigInt(entryLo)),
    0n,
  );
  return whole & ~compiled.address.mask & ~compiled.fixedMask;
}

/**
 * Changes the attributes of what is mapped in a range; addresses and leaf sizes stay (apart from splits at the edges).
 * @param range half-open, of whole smallest leaves
 * @param change fields with new values, or raw bits to set and clear
 * @param options `holes` not supplied: `refuse`
 * @throws AttributeError if the result cannot be expressed, and as {@link unmap}; nothing is changed then
 */
export function protect(
  space: AddressSpace,
  range: VirtRange,
  change: AttributeChange,
  options: EditOptions = {},
): Change {
  const seen = new Map<CompiledShape, Map<bigint, bigint>>();
  const result = (cursor: Cursor, compiled: CompiledShape): bigint => {
    const word = join(cursor.lo, cursor.hi);
    const bits = word & ~compiled.address.mask;
    const known = seen.get(compiled) ?? new Map<bigint, bigint>();
    seen.set(compiled, known);
    let after = known.get(bits);
    if (after === undefined) {
      after = changed(cursor.root.paging, compiled, bits, change);
      known.set(bits, after);
    }
    return after;
  };
  return edit(space, range, options, 'refuse', result, (_, log) => ({
    leaf(cursor) {
      const compiled = shapeAt(cursor);
      const { mask } = compiled.address;
      const { lo, hi } = halves(result(cursor, compiled));
      const keep = halves(mask);
      const newLo = lo | (cursor.lo & keep.lo);
      const newHi = hi | (cursor.hi & keep.hi);
      if (newLo >>> 0 === cursor.lo >>> 0 && newHi >>> 0 === cursor.hi >>> 0) return undefined;
      cursor.store(newLo, newHi);
      log.note(cursor.entryVa, cursor.entryVa + cursor.span, 'changed', cursor.level, cursor.span);
      log.entries++;
      return undefined;
    },
  }));
}
