/** Folding leaves to ranges as they come: the inner loop of dumps. */
import type { PhysAddr, VirtAddr } from './address.ts';
import { join, toBig } from './compiled.ts';
import type { Effect } from './effective.ts';
import type { FoldOptions, MappedRange } from './leaves.ts';
import type { CompiledShape } from './level-codec.ts';
import { type Look, type Looks, looksOf } from './looks.ts';
import type { Root } from './space.ts';
import { sameEffects } from './table-effects.ts';
import type { Cursor } from './traverse.ts';

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
export class Folder {
  readonly #root: Root;
  readonly #each: (found: MappedRange) => void;
  readonly #fold: boolean;
  readonly #boundaries: readonly number[];
  readonly #looks: Looks;
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
    this.#looks = looksOf(root.paging);
    this.#each = each;
    this.#fold = fold;
    this.#boundaries = boundaries.map(Number);
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

  /** The first boundary at an address or above it. */
  #boundaryFrom(va: number): number {
    while (this.#next < this.#boundaries.length && (this.#boundaries[this.#next] as number) < va) this.#next++;
    return this.#boundaries[this.#next] ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Adds the entries from a cursor on that are, word by word, what comes next in the open range, and answers how many:
   * {@link add} would have added them one after the other. Mostly those are all but the first of a range.
   */
  follow(cursor: Cursor, effects: readonly Effect[]): number {
    const open = this.#open;
    const { look } = open;
    const { entryVa: va, span } = cursor;
    if (look === undefined || open.end !== va || cursor.va !== va || open.cursorLevel !== cursor.level) return 0;
    const { address, linear } = look.compiled;
    if (!this.#fold || open.repeats || linear.step === 0 || !sameEffects(look.effects, effects)) return 0;
    const pa = open.pa + (va - open.start);
    // Up to here addresses rise by the step, and none is too high to be held.
    const left = (Math.floor(pa / linear.bytes) + 1) * linear.bytes - pa;
    const whole = Math.floor((cursor.tableEnd - va) / span);
    const most = Math.min(whole, left / span, Math.ceil((this.#boundaryFrom(va) - va) / span));
    const lo = look.lo | address.encodeLo(pa);
    const hi = look.hi | address.encodeHi(pa);
    if (address.decode(lo, hi) !== pa) return 0;
    const took = cursor.rising(lo, hi, linear.step, most, look.compiled);
    open.end += took * span;
    open.entries += took;
    return took;
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
    const lo = word.lo & compiled.plain.lo;
    const hi = word.hi & compiled.plain.hi;
    const alike =
      this.#fold &&
      look !== undefined &&
      open.end === piece.va &&
      look.compiled === compiled &&
      look.lo === lo &&
      look.hi === hi &&
      this.#boundaryFrom(piece.va) !== piece.va &&
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
    open.look = this.#looks.of(compiled, word.lo, word.hi, effects);
  }
}
