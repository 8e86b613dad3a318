/**
 * Iterating what is mapped, and folding neighbours into runs of equal leaves: the basis of every dump, comparison and
 * check.
 */
import type { PhysAddr, VirtAddr } from './address.ts';
import { halves, join, toBig } from './compiled.ts';
import { accumulateEffects, applyEffects, type Effect, numericFields } from './effective.ts';
import type { CommonAttributes, FieldValues } from './format.ts';
import type { CompiledShape } from './level-codec.ts';
import type { Paging } from './paging.ts';
import { type AddressSpace, type Root, stretches, type VirtRange, vaOf } from './space.ts';
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

/** Attribute words of one shape under one set of effects, and what they mean. There are few in any address space. */
interface Look {
  readonly compiled: CompiledShape;
  readonly lo: number;
  readonly hi: number;
  readonly bits: bigint;
  readonly effects: readonly Effect[];
  readonly fields: FieldValues;
  readonly common: CommonAttributes | undefined;
}

function makeLook(paging: Paging, compiled: CompiledShape, lo: number, hi: number, effects: readonly Effect[]): Look {
  const bits = join(lo, hi);
  const fields = applyEffects(numericFields(compiled, bits), effects);
  const common = paging.format.common?.toCommon(fields, paging.features);
  return { compiled, lo, hi, bits, effects, fields, common };
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
  repeats: boolean;
  look: Look | undefined;
}

function finished(root: Root, open: Open): MappedRange | undefined {
  const { look } = open;
  if (look === undefined) return undefined;
  const { paging } = root;
  const { level } = paging.codec(open.cursorLevel);
  return {
    start: toBig(open.start) as VirtAddr,
    end: toBig(open.end),
    pa: toBig(open.pa) as PhysAddr,
    repeats: open.repeats,
    level: level.level,
    hardwareLevel: level.hardware,
    name: level.name,
    shape: look.compiled.shape.name,
    leafBytes: toBig(look.compiled.leafBytes),
    entries: open.entries,
    slot: toBig(open.slot) as PhysAddr,
    entry: join(open.lo, open.hi),
    bits: look.bits,
    effects: look.effects,
    fields: look.fields,
    common: look.common,
    root: root.label,
  };
}

/** Joins leaves to ranges as they come. */
class Folder {
  readonly #root: Root;
  readonly #each: (found: MappedRange) => void;
  readonly #fold: boolean;
  readonly #boundaries: readonly number[];
  readonly #looks = new Map<bigint, readonly Look[]>();
  #next = 0;
  readonly #open: Open = {
    start: 0,
    end: -1,
    pa: 0,
    entries: 0,
    cursorLevel: 0,
    slot: 0,
    lo: 0,
    hi: 0,
    repeats: false,
    look: undefined,
  };

  constructor(root: Root, each: (found: MappedRange) => void, { fold = true, boundaries = [] }: FoldOptions) {
    this.#root = root;
    this.#each = each;
    this.#fold = fold;
    this.#boundaries = boundaries.map(Number);
  }

  /** The look of a leaf: a known one, if there is an equal one. */
  #lookOf(compiled: CompiledShape, lo: number, hi: number, effects: readonly Effect[]): Look {
    const key = join(lo, hi);
    const known = this.#looks.get(key) ?? [];
    let look = known.find((other) => other.compiled === compiled && sameEffects(other.effects, effects));
    if (look === undefined) {
      look = makeLook(this.#root.paging, compiled, lo, hi, effects);
      this.#looks.set(key, [...known, look]);
    }
    return look;
  }

  /** Ends the open range. */
  close(): void {
    const found = finished(this.#root, this.#open);
    this.#open.look = undefined;
    if (found !== undefined) this.#each(found);
  }

  /** Does a boundary lie inside a piece? */
  crosses(va: number, end: number): boolean {
    return this.#boundaries.some((boundary) => boundary > va && boundary < end);
  }

  #isBoundary(va: number): boolean {
    while (this.#next < this.#boundaries.length && (this.#boundaries[this.#next] as number) < va) this.#next++;
    return this.#boundaries[this.#next] === va;
  }

  /**
   * Adds leaf entries of one shape.
   * @param entries how many; of several every one maps `pa`
   */
  add(
    compiled: CompiledShape,
    level: number,
    piece: { readonly va: number; readonly end: number; readonly pa: number; readonly entries: number },
    word: { readonly lo: number; readonly hi: number; readonly slot: number },
    effects: readonly Effect[],
  ): void {
    const open = this.#open;
    const { look } = open;
    const keep = attributeHalves(compiled);
    const lo = word.lo & keep.lo;
    const hi = word.hi & keep.hi;
    const alike =
      this.#fold &&
      look !== undefined &&
      open.end === piece.va &&
      look.compiled === compiled &&
      look.lo === lo &&
      look.hi === hi &&
      !this.#isBoundary(piece.va) &&
      sameEffects(look.effects, effects);
    if (alike) {
      const continues = !open.repeats && piece.entries === 1 && open.pa + (open.end - open.start) === piece.pa;
      const repeats = (open.repeats || open.entries === 1) && compiled.runEntries === 1 && open.pa === piece.pa;
      if (continues || repeats) {
        open.end = piece.end;
        open.entries += piece.entries;
        open.repeats = repeats;
        return;
      }
    }
    this.close();
    open.start = piece.va;
    open.end = piece.end;
    open.pa = piece.pa;
    open.entries = piece.entries;
    open.repeats = piece.entries > 1;
    open.cursorLevel = level;
    open.slot = word.slot;
    open.lo = word.lo;
    open.hi = word.hi;
    open.look = this.#lookOf(compiled, lo, hi, effects);
  }
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
    const stack: (readonly Effect[])[] = [];
    let effects: readonly Effect[] = [];
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
      table(cursor) {
        const compiled = shapeAt(cursor);
        const below = accumulateEffects(compiled, join(cursor.lo, cursor.hi), effects);
        const same = uniform?.of(compiled.address.decode(cursor.lo, cursor.hi), cursor.level - 1);
        if (same === 'empty') return SKIP;
        if (same !== undefined && addUniform(folder, cursor, same, below)) return SKIP;
        stack.push(effects);
        effects = below;
        return undefined;
      },
      leave() {
        effects = stack.pop() ?? [];
        return undefined;
      },
      leaf(cursor) {
        const compiled = shapeAt(cursor);
        let pa = compiled.address.decode(cursor.lo, cursor.hi) + (cursor.va - cursor.entryVa);
        if (compiled.sharedAddress) pa += (cursor.index % compiled.runEntries) * cursor.span;
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
function addUniform(folder: Folder, cursor: Cursor, same: UniformLeaf, above: readonly Effect[]): boolean {
  const span = same.compiled.entryBytes;
  const { va, end } = cursor;
  if (va % span !== 0 || end % span !== 0 || folder.crosses(va, end)) return false;
  let effects = above;
  for (const { compiled, lo, hi } of same.links) effects = accumulateEffects(compiled, join(lo, hi), effects);
  const pa = same.compiled.address.decode(same.lo, same.hi);
  folder.add(same.compiled, same.level, { va, end, pa, entries: (end - va) / span }, same, effects);
  return true;
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
  return (
    a.length === b.length &&
    a.every(({ on, op, value }, i) => {
      const other = b[i];
      return value === other?.value && on === other.on && op === other.op;
    })
  );
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
