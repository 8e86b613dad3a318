/**
 * Iterating what is mapped, and folding neighbours into runs of equal leaves: the basis of every dump, comparison and
 * check.
 */
import type { PhysAddr, VirtAddr } from './address.ts';
import { join } from './compiled.ts';
import type { Effect } from './effective.ts';
import type { CommonAttributes, FieldValues } from './format.ts';
import { leafAddressAt } from './leaf-address.ts';
import { Folder } from './leaf-folder.ts';
import { looksOf } from './looks.ts';
import { type AddressSpace, stretches, type VirtRange, vaOf } from './space.ts';
import { NO_EFFECTS, type TableEffects } from './table-effects.ts';
import { type Cursor, SKIP, shapeAt, traverse } from './traverse.ts';
import { type UniformLeaf, UniformTables } from './uniform.ts';

/** Adjacent leaf entries of the same level, shape and attributes whose physical addresses continue each other. */
export interface MappedRange {
  readonly start: VirtAddr;
  /** Exclusive; may be 2^64. */
  readonly end: bigint;
  /** Physical address of `start`. */
  readonly pa: PhysAddr;
  /**
   * Every leaf of the range maps `pa`, instead of continuing the one before: a shared page, as the shadow of memory that
   * nobody watches.
   */
  readonly repeats: boolean;
  /** Level, from the leaves. */
  readonly level: number;
  /** The hardware's number of the level. */
  readonly hardwareLevel: number;
  /** The level's name: `PMD`. */
  readonly name: string;
  /** Name of the leaves' shape. */
  readonly shape: string;
  /** Bytes of one translation: of an entry, or of the run it belongs to. */
  readonly leafBytes: bigint;
  /** Leaf entries in the range. */
  readonly entries: number;
  /** Physical address of the first entry. */
  readonly slot: PhysAddr;
  /** The first entry as it stands in memory. */
  readonly entry: bigint;
  /** Entry bits outside the address. */
  readonly bits: bigint;
  /** What the tables above do to the leaves. */
  readonly effects: readonly Effect[];
  /** Fields of the leaves after those effects. */
  readonly fields: FieldValues;
  /** The same in the common vocabulary, if the format speaks it. */
  readonly common: CommonAttributes | undefined;
  /** Label of the root. */
  readonly root: string;
}

/** Something in the tables that maps nothing and is not just empty. */
export interface OddEntry {
  readonly va: VirtAddr;
  readonly level: number;
  readonly hardwareLevel: number;
  /** Physical address of the entry. */
  readonly slot: PhysAddr;
  /** The entry; `undefined` where there is no memory (nothing is known of the rest of that table). */
  readonly entry: bigint | undefined;
  /** Why: the reasons of a malformed entry, or `no_memory`. */
  readonly reasons: readonly string[];
  readonly root: string;
}

/** How ranges are folded. */
export interface FoldOptions {
  /** Fold neighbours at all? Not supplied: yes. Without, every leaf entry is a range of its own. */
  readonly fold?: boolean;
  /** Addresses at which a range always ends, in rising order. Not supplied: none. */
  readonly boundaries?: readonly bigint[];
  /** Told of malformed entries and of tables outside memory. Not supplied: they are passed over in silence. */
  readonly odd?: (entry: OddEntry) => void;
}

/**
 * Calls back for everything that is mapped in a range, in rising order of addresses. Where whole tables say the same in
 * every entry they are taken as one, so terabytes of shadow that share four tables cost no more than four tables.
 * @param range half-open; parts that no root translates are passed over
 * @param each told of every range of equal leaves
 * @throws ArgumentError for an empty or unaligned range
 */
export function eachMapped(
  space: AddressSpace,
  range: VirtRange,
  each: (found: MappedRange) => void,
  options: FoldOptions = {},
): void {
  for (const stretch of stretches(space, range, true)) {
    const { root } = stretch;
    const folder = new Folder(root, each, options);
    const uniform = options.fold === false ? undefined : new UniformTables(space.memory, root);
    const { tables } = looksOf(root.paging);
    const stack: (readonly Effect[])[] = [];
    let effects = NO_EFFECTS;
    const odd = (cursor: Cursor, entry: bigint | undefined, reasons: readonly string[]): void => {
      folder.close();
      options.odd?.({
        va: vaOf(cursor.va),
        level: cursor.level,
        hardwareLevel: cursor.codec.level.hardware,
        slot: BigInt(cursor.slot) as PhysAddr,
        entry,
        reasons,
        root: root.label,
      });
    };
    traverse(space.memory, stretch, {
      bulk(cursor) {
        return folder.follow(cursor, effects) || cursor.zeros();
      },
      table(cursor) {
        const compiled = shapeAt(cursor);
        const below = tables.below(compiled, cursor.lo, cursor.hi, effects);
        const same = uniform?.of(cursor.below, cursor.level - 1);
        if (same === 'empty') return SKIP;
        if (same !== undefined && addUniform(folder, tables, cursor, same, below)) return SKIP;
        stack.push(effects);
        effects = below;
        return undefined;
      },
      leave() {
        effects = stack.pop() ?? NO_EFFECTS;
        return undefined;
      },
      leaf(cursor) {
        const compiled = shapeAt(cursor);
        const pa = leafAddressAt(cursor, compiled);
        const { va, end, level } = cursor;
        folder.add(compiled, level, { va, end, pa, entries: 1 }, cursor, effects);
        return undefined;
      },
      malformed(cursor) {
        odd(cursor, join(cursor.lo, cursor.hi), cursor.codec.reasons(cursor.lo, cursor.hi));
        return undefined;
      },
      missing(cursor) {
        odd(cursor, undefined, ['no_memory']);
        return undefined;
      },
    });
    folder.close();
  }
}

/** Adds what a uniform table maps. False if the piece cuts a leaf or crosses a boundary: then entry by entry. */
function addUniform(
  folder: Folder,
  tables: TableEffects,
  cursor: Cursor,
  same: UniformLeaf,
  above: readonly Effect[],
): boolean {
  const span = same.compiled.entryBytes;
  const { va, end } = cursor;
  if (va % span !== 0 || end % span !== 0 || folder.crosses(va, end)) return false;
  let effects = above;
  for (const { compiled, lo, hi } of same.links) effects = tables.below(compiled, lo, hi, effects);
  const pa = same.compiled.address.decode(same.lo, same.hi);
  folder.add(same.compiled, same.level, { va, end, pa, entries: (end - va) / span }, same, effects);
  return true;
}

/** Everything that is mapped in a range, folded; see {@link eachMapped}. */
export function mappedRanges(space: AddressSpace, range: VirtRange, options: FoldOptions = {}): MappedRange[] {
  const found: MappedRange[] = [];
  eachMapped(space, range, (item) => found.push(item), options);
  return found;
}

/** Every leaf entry in a range, one by one; see {@link eachMapped}. */
export function leaves(space: AddressSpace, range: VirtRange, options: Omit<FoldOptions, 'fold'> = {}): MappedRange[] {
  return mappedRanges(space, range, { ...options, fold: false });
}
