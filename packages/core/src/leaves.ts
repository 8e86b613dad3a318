/**
 * Iterating what is mapped, and folding neighbours into runs of equal leaves: the basis of every dump, comparison and
 * check.
 */
import type { PhysAddr, VirtAddr } from './address.ts';
import { halves, join } from './compiled.ts';
import { accumulateEffects, applyEffects, type Effect, numericFields } from './effective.ts';
import type { CommonAttributes, FieldValues } from './format.ts';
import type { CompiledShape } from './level-codec.ts';
import { type AddressSpace, type Root, stretches, type VirtRange, vaOf } from './space.ts';
import { type Cursor, shapeAt, traverse } from './traverse.ts';

/** Adjacent leaf entries of the same level, shape and attributes whose physical addresses continue each other. */
export interface MappedRange {
  readonly start: VirtAddr;
  /** Exclusive; may be 2^64. */
  readonly end: bigint;
  /** Physical address of `start`. */
  readonly pa: PhysAddr;
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

/** Interned attribute words of one shape under one set of effects. */
interface Look {
  readonly compiled: CompiledShape;
  readonly lo: number;
  readonly hi: number;
  readonly effects: readonly Effect[];
}

/** The open range of a folding traversal. */
interface Open {
  start: number;
  end: number;
  pa: number;
  entries: number;
  cursorLevel: number;
  slot: number;
  lo: number;
  hi: number;
  look: Look | undefined;
}

function finished(root: Root, open: Open): MappedRange | undefined {
  const { look } = open;
  if (look === undefined) return undefined;
  const { paging } = root;
  const { level } = paging.codec(open.cursorLevel);
  const bits = join(look.lo, look.hi);
  const fields = applyEffects(numericFields(look.compiled, bits), look.effects);
  return {
    start: vaOf(open.start),
    end: BigInt(open.end),
    pa: BigInt(open.pa) as PhysAddr,
    level: level.level,
    hardwareLevel: level.hardware,
    name: level.name,
    shape: look.compiled.shape.name,
    leafBytes: BigInt(look.compiled.leafBytes),
    entries: open.entries,
    slot: BigInt(open.slot) as PhysAddr,
    entry: join(open.lo, open.hi),
    bits,
    effects: look.effects,
    fields,
    common: paging.format.common?.toCommon(fields, paging.features),
    root: root.label,
  };
}

/**
 * Calls back for everything that is mapped in a range, in rising order of addresses.
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
    const fold = options.fold ?? true;
    const boundaries = (options.boundaries ?? []).map(Number);
    let nextBoundary = 0;
    const open: Open = { start: 0, end: -1, pa: 0, entries: 0, cursorLevel: 0, slot: 0, lo: 0, hi: 0, look: undefined };
    const stack: (readonly Effect[])[] = [];
    let effects: readonly Effect[] = [];
    const close = (): void => {
      const found = finished(root, open);
      open.look = undefined;
      if (found !== undefined) each(found);
    };
    const odd = (cursor: Cursor, entry: bigint | undefined, reasons: readonly string[]): void => {
      close();
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
      table(cursor) {
        stack.push(effects);
        effects = accumulateEffects(shapeAt(cursor), join(cursor.lo, cursor.hi), effects);
        return undefined;
      },
      leave() {
        effects = stack.pop() ?? [];
        return undefined;
      },
      leaf(cursor) {
        const compiled = shapeAt(cursor);
        const keep = attributeHalves(compiled);
        const lo = cursor.lo & keep.lo;
        const hi = cursor.hi & keep.hi;
        let pa = compiled.address.decode(cursor.lo, cursor.hi);
        if (compiled.sharedAddress) pa += (cursor.index % compiled.runEntries) * cursor.span;
        pa += cursor.va - cursor.entryVa;
        const { look } = open;
        while (nextBoundary < boundaries.length && (boundaries[nextBoundary] as number) < cursor.va) nextBoundary++;
        if (
          fold &&
          look !== undefined &&
          open.end === cursor.va &&
          look.compiled === compiled &&
          look.lo === lo &&
          look.hi === hi &&
          open.pa + (open.end - open.start) === pa &&
          boundaries[nextBoundary] !== cursor.va &&
          sameEffects(look.effects, effects)
        ) {
          open.end = cursor.end;
          open.entries++;
          return undefined;
        }
        close();
        open.start = cursor.va;
        open.end = cursor.end;
        open.pa = pa;
        open.entries = 1;
        open.cursorLevel = cursor.level;
        open.slot = cursor.slot;
        open.lo = cursor.lo;
        open.hi = cursor.hi;
        open.look = { compiled, lo, hi, effects };
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
    close();
  }
}

const attributeCache = new WeakMap<CompiledShape, { readonly lo: number; readonly hi: number }>();

/** The complement of a shape's address mask, in halves. */
function attributeHalves(compiled: CompiledShape): { readonly lo: number; readonly hi: number } {
  let found = attributeCache.get(compiled);
  if (found === undefined) {
    const mask = halves(compiled.address.mask);
    found = { lo: ~mask.lo, hi: ~mask.hi };
    attributeCache.set(compiled, found);
  }
  return found;
}

function sameEffects(a: readonly Effect[], b: readonly Effect[]): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every((effect, i) => effect.value === b[i]?.value);
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

/** Where a table entry points; see {@link eachTable}. */
export interface TableLink {
  /** First virtual address that the table covers. */
  readonly va: VirtAddr;
  /** Level of the table itself. */
  readonly level: number;
  /** Physical address of the table. */
  readonly address: PhysAddr;
  /** Bytes of the table. */
  readonly bytes: number;
  /** Physical address of the entry that points to it; `undefined` for a root. */
  readonly slot: PhysAddr | undefined;
  readonly root: string;
}

/** Calls back for every table that a range uses, roots first, then in rising order, parents before children. */
export function eachTable(space: AddressSpace, range: VirtRange, each: (table: TableLink) => void): void {
  const roots = new Set<Root>();
  for (const stretch of stretches(space, range, true)) {
    const { root } = stretch;
    if (!roots.has(root)) {
      roots.add(root);
      const { level, tableBytes } = root.paging.geometry.root;
      each({
        va: vaOf(root.ranges[0]?.start ?? 0),
        level,
        address: BigInt(root.address) as PhysAddr,
        bytes: tableBytes,
        slot: undefined,
        root: root.label,
      });
    }
    traverse(space.memory, stretch, {
      table(cursor) {
        const below = root.paging.codec(cursor.level - 1).level;
        each({
          va: vaOf(cursor.entryVa),
          level: below.level,
          address: BigInt(shapeAt(cursor).address.decode(cursor.lo, cursor.hi)) as PhysAddr,
          bytes: below.tableBytes,
          slot: BigInt(cursor.slot) as PhysAddr,
          root: root.label,
        });
        return undefined;
      },
      missing: () => undefined,
    });
  }
}
