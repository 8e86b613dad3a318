/**
 * The one traversal. Map, unmap, protect, split, merge, populate, dump, check and plain iteration are visitors of it.
 *
 * Addresses are exact numbers (multiples of 4 KiB below 2^64), entries two 32-bit words. One cursor per level serves all
 * traversals of a root that do not overlap in time; visiting an entry allocates nothing.
 */
import type { Halves } from './compiled.ts';
import { MemoryError } from './errors.ts';
import { type CompiledShape, EMPTY, LEAF, type LevelCodec, TABLE } from './level-codec.ts';
import type { Memory, MemoryWindow } from './memory.ts';
import type { Root, Stretch } from './space.ts';
import { endOfBits, endOfCode, endOfZeros, rewriteWords } from './word-rows.ts';

/** What a visitor wants next. */
export const DESCEND = 0;
/** Go on with the next entry without looking below this one. */
export const SKIP = 1;
/** End the traversal. */
export const STOP = 2;
/** The entry was changed: look at it again. */
export const AGAIN = 3;

/** What a visitor's callback answers; nothing means {@link DESCEND} for a table and {@link SKIP} for the rest. */
export type Action = typeof DESCEND | typeof SKIP | typeof STOP | typeof AGAIN;

const NO_WORDS = new Uint32Array(0);

/** Where the traversal stands. One object per level, reused: copy what must outlive the callback. */
export class Cursor {
  readonly root: Root;
  readonly codec: LevelCodec;
  // A field that was undefined once holds pointers to numbers for ever, and one that was a small integer changes what all
  // cursors are made of when an address comes: hence NaN.
  /** Level from the leaves. */
  readonly level: number = 0;
  /** Bytes that one entry covers. */
  readonly span: number = Number.NaN;
  readonly #memory: Memory;
  readonly #entryBytes: number = 0;
  /** 32-bit words of an entry. */
  readonly #step: number = 0;
  readonly #zeroIsEmpty: boolean;
  readonly #entries: number = 0;
  readonly #perSpan: number = Number.NaN;
  readonly #perEntries: number = Number.NaN;
  // The window that was looked at last. What follows from it are small integers: a step to the next entry takes no
  // arithmetic on addresses.
  #base = Number.NaN;
  #limit = Number.NaN;
  #words: Uint32Array = NO_WORDS;
  #length = 0;
  /** Where in the window the table begins; negative if that is before it. */
  #origin = 0;

  /** Physical address of the table. */
  table: number = Number.NaN;
  /** Index of the entry in the table. */
  index = 0;
  /** First virtual address that the entry covers. */
  entryVa: number = Number.NaN;
  /** The piece of the traversed range that lies under this entry, half-open. */
  va: number = Number.NaN;
  end: number = Number.NaN;
  /** End of the traversed range within this table. */
  tableEnd: number = Number.NaN;
  /** The entry's halves, as signed or unsigned 32-bit numbers. */
  lo = 0;
  hi = 0;
  /** The entry's code: kind in the low two bits, shape index above. */
  code = 0;
  /** Physical address of the table below; means something while the entry points to one. */
  below: number = Number.NaN;

  constructor(root: Root, level: number, memory: Memory) {
    this.root = root;
    this.level = level;
    this.codec = root.paging.codec(level);
    this.span = this.codec.level.entrySpan;
    this.#entries = this.codec.level.entries;
    this.#perSpan = 1 / this.span;
    this.#perEntries = 1 / this.#entries;
    this.#memory = memory;
    this.#entryBytes = root.paging.format.entryBytes;
    this.#step = this.#entryBytes / 4;
    this.#zeroIsEmpty = (this.codec.classify(0, 0) & 3) === EMPTY;
  }

  /**
   * Stands before the first entry of a table that a range, which the table covers, has to do with.
   * @param above the cursor of the level above: tables that belong together often stand in one window
   */
  enter(table: number, start: number, end: number, above?: Cursor): void {
    // Spans and numbers of entries are powers of two: to multiply is exact and faster than to divide.
    const first = Math.floor(start * this.#perSpan);
    const index = (first - Math.floor(first * this.#perEntries) * this.#entries) | 0;
    const slot = table + index * this.#entryBytes;
    this.table = table;
    this.tableEnd = end;
    this.index = index;
    this.entryVa = first * this.span;
    this.va = start;
    if (slot >= this.#base && slot < this.#limit) {
      this.#origin = ((table - this.#base) / 4) | 0;
    } else if (above !== undefined && slot >= above.#base && slot < above.#limit) {
      this.#words = above.#words;
      this.#base = above.#base;
      this.#limit = above.#limit;
      this.#length = above.#length;
      this.#origin = ((table - this.#base) / 4) | 0;
    } else {
      this.#length = 0;
    }
  }

  /** Goes a few slots on in the table. */
  advance(slots: number): void {
    this.index = (this.index + slots) | 0;
    this.entryVa += slots * this.span;
    this.va = this.entryVa;
  }

  /** Forgets the window that was looked at last: memory may hand out another one by now. */
  forget(): void {
    this.#limit = 0;
    this.#length = 0;
  }

  /** Physical address of the slot. */
  get slot(): number {
    return this.table + this.index * this.#entryBytes;
  }

  /** Kind of the entry: the low two bits of its code. */
  get kind(): number {
    return this.code & 3;
  }

  /** Reads the entry; false where there is no memory. */
  load(): boolean {
    let at = (this.#origin + this.index * this.#step) | 0;
    if (at < 0 || at >= this.#length) {
      at = this.#find();
      if (at < 0) return false;
    }
    // Signed numbers are small integers to the engine, unsigned ones from 2^31 on are not.
    this.lo = (this.#words[at] as number) | 0;
    this.hi = this.#step === 2 ? (this.#words[at + 1] as number) | 0 : 0;
    this.code = this.codec.classify(this.lo, this.hi);
    return true;
  }

  /**
   * How many slots from this one on hold zero: as far as the traversed range goes, or the window. Looks at none (and
   * answers 0) where zero is not an empty entry.
   */
  zeros(): number {
    const first = this.#zeroIsEmpty ? this.#at() : -1;
    if (first < 0) return 0;
    const end = Math.min(first + this.slotsLeft * this.#step, this.#length);
    return (endOfZeros(this.#words, first, end, this.#step) - first) / this.#step;
  }

  /**
   * How many slots from this one on hold entries of a shape that begin with a word and rise by a step: as far as the
   * window goes, at most `most`.
   */
  rising(lo: number, hi: number, step: number, most: number, compiled: CompiledShape): number {
    const first = this.#at();
    if (first < 0) return 0;
    const { codec } = this;
    const words = this.#words;
    const code = compiled.kind | (compiled.index << 2);
    const perSlot = this.#step;
    const wide = perSlot === 2;
    const end = Math.min(first + most * perSlot, this.#length) | 0;
    const high = wide ? hi | 0 : 0;
    let word = lo | 0;
    let at = first;
    for (; at < end; at += perSlot) {
      if (((words[at] as number) | 0) !== word || (wide && ((words[at + 1] as number) | 0) !== high)) break;
      // The address has its say in what an entry is: it may be too high.
      if (codec.classify(word, high) !== code) break;
      word = (word + step) | 0;
    }
    return (at - first) / perSlot;
  }

  /** How many slots from this one on have the code of the entry read last: as far as the window goes, at most `most`. */
  alike(most: number): number {
    const first = this.#at();
    if (first < 0) return 0;
    const step = this.#step;
    const words = this.#words;
    const end = Math.min(first + most * step, this.#length);
    const telling = this.codec.telling(this.lo, this.hi);
    // Mostly they agree in few bits that tell; what else has the code takes a closer look.
    const known = telling === undefined ? first : endOfBits(words, first, end, step, telling, this);
    return (endOfCode(words, known, end, step, this.codec, this.code) - first) / step;
  }

  /** The same for slots that also agree with the entry read last in the bits of a mask. */
  agreeing(mask: Halves, most: number): number {
    const first = this.#at();
    if (first < 0 || most < 1) return 0;
    const words = this.#words;
    if ((((words[first] as number) ^ this.lo) & mask.lo) !== 0) return 0;
    const telling = this.codec.telling(this.lo, this.hi);
    if (telling === undefined) return 0;
    const end = Math.min(first + most * this.#step, this.#length);
    const bits = { lo: mask.lo | telling.lo, hi: mask.hi | telling.hi };
    return (endOfBits(words, first, end, this.#step, bits, this) - first) / this.#step;
  }

  /** Writes the entry. */
  store(lo: number, hi: number): void {
    this.#take(this.#memory.writable(this.slot));
    const at = this.#origin + this.index * this.#step;
    this.#words[at] = lo;
    if (this.#step === 2) this.#words[at + 1] = hi;
  }

  /** Changes as many entries from this one on: of each the bits of a mask stay, the others become those given. */
  rewrite(slots: number, keep: Halves, bits: Halves): void {
    const step = this.#step;
    const { slot } = this;
    for (let done = 0; done < slots; ) {
      const at = slot + done * this.#entryBytes;
      const { base, words } = this.#memory.writable(at);
      const first = (at - base) / 4;
      const end = Math.min(first + (slots - done) * step, words.length);
      rewriteWords(words, first, end, step, keep, bits);
      done += (end - first) / step;
    }
  }

  /** Slots from this one on that the traversed range covers (the last one perhaps in part). */
  get slotsLeft(): number {
    return Math.ceil((this.tableEnd - this.entryVa) * this.#perSpan);
  }

  /** Index in the window of the slot's first word; negative where there is no memory. */
  #at(): number {
    const at = (this.#origin + this.index * this.#step) | 0;
    return at >= 0 && at < this.#length ? at : this.#find();
  }

  #find(): number {
    const window = this.#memory.window(this.slot);
    if (window === undefined) return -1;
    this.#take(window);
    return this.#origin + this.index * this.#step;
  }

  #take({ base, words }: MemoryWindow): void {
    this.#base = base;
    this.#limit = base + words.length * 4;
    this.#words = words;
    this.#length = words.length;
    this.#origin = ((this.table - base) / 4) | 0;
  }
}

/** The shape of the entry that a cursor stands on; meaningful for tables and leaves. */
export function shapeAt(cursor: Cursor): CompiledShape {
  return cursor.codec.shapes[cursor.code >> 2] as CompiledShape;
}

/** What is done on the way. Every callback may be left out. */
export interface Visitor {
  /**
   * Before an entry is read: may deal with this and following slots of the table in one go and answers how many it
   * took (0: none, go on entry by entry).
   */
  bulk?(cursor: Cursor): number;
  /** An entry that maps memory. */
  leaf?(cursor: Cursor): Action | undefined;
  /** An entry that is empty. */
  hole?(cursor: Cursor): Action | undefined;
  /** An entry that points to a table, before the descent. */
  table?(cursor: Cursor): Action | undefined;
  /** The same entry after everything below was visited. */
  leave?(cursor: Cursor): Action | undefined;
  /** An entry that the hardware refuses. Left out: skipped. */
  malformed?(cursor: Cursor): Action | undefined;
  /** A slot where there is no memory. Left out: a MemoryError. The rest of the table is not tried. */
  missing?(cursor: Cursor): Action | undefined;
}

/** The cursors of a root by level, made once. */
interface CursorSet {
  readonly memory: Memory;
  readonly cursors: readonly Cursor[];
  /** Is a traversal using them? One that starts meanwhile (from a callback) gets its own. */
  busy: boolean;
}

const cursorSets = new WeakMap<Root, CursorSet>();

function cursorSet(root: Root, memory: Memory): CursorSet {
  const known = cursorSets.get(root);
  if (known !== undefined && !known.busy && known.memory === memory) {
    const { cursors } = known;
    for (let level = 0; level < cursors.length; level++) (cursors[level] as Cursor).forget();
    return known;
  }
  const made = makeCursorSet(root, memory);
  if (known?.busy !== true) cursorSets.set(root, made);
  return made;
}

function makeCursorSet(root: Root, memory: Memory): CursorSet {
  return { memory, cursors: root.paging.levels.map((_, level) => new Cursor(root, level, memory)), busy: false };
}

/**
 * Visits what the tables say about a stretch. Answers false if a callback stopped it.
 * @param level not supplied: that of the root. Else that of a table which all of the stretch lies in, for those who met it
 *   before and know that nothing above it has changed: they need not come from the root again
 * @param table physical address of that table
 */
export function traverse(memory: Memory, stretch: Stretch, visitor: Visitor, level?: number, table?: number): boolean {
  const { root } = stretch;
  const set = cursorSet(root, memory);
  const { cursors } = set;
  const top = cursors[level ?? cursors.length - 1] as Cursor;
  top.enter(table ?? root.address, stretch.start, stretch.end);
  set.busy = true;
  try {
    return visitTables(cursors, top, visitor);
  } finally {
    set.busy = false;
  }
}

/**
 * Visits a table that its cursor has entered, and those below. One loop goes down and up again: what a level of recursion
 * would keep stands in the cursors.
 */
function visitTables(cursors: readonly Cursor[], top: Cursor, visitor: Visitor): boolean {
  // There are many kinds of visitors, and to ask each time which callbacks this one has would cost more than the entry.
  const { bulk, table, leave } = visitor;
  // Nobody asks about holes: where there is one there are more, and they are passed over quickly.
  const sweeps = bulk === undefined && visitor.hole === undefined;
  let cursor = top;
  let inHole = false;
  for (;;) {
    let action: Action;
    if (cursor.va < cursor.tableEnd) {
      cursor.end = Math.min(cursor.entryVa + cursor.span, cursor.tableEnd);
      const took = inHole ? cursor.zeros() : bulk === undefined ? 0 : bulk.call(visitor, cursor);
      inHole = false;
      if (took > 0) {
        cursor.advance(took);
        continue;
      }
      if (!cursor.load()) {
        if (visitMissing(cursor, visitor) === STOP) return false;
        cursor.va = cursor.tableEnd;
        continue;
      }
      if (cursor.kind === TABLE) {
        cursor.below = shapeAt(cursor).address.decode(cursor.lo, cursor.hi);
        action = table === undefined ? DESCEND : (table.call(visitor, cursor) ?? DESCEND);
        if (action === DESCEND) {
          const below = cursors[cursor.level - 1] as Cursor;
          below.enter(cursor.below, cursor.va, cursor.end, cursor);
          cursor = below;
          continue;
        }
      } else {
        inHole = sweeps && cursor.kind === EMPTY;
        action = inHole ? SKIP : visitEntry(cursor, visitor);
      }
    } else {
      if (cursor === top) return true;
      cursor = cursors[cursor.level + 1] as Cursor;
      action = leave === undefined ? SKIP : (leave.call(visitor, cursor) ?? SKIP);
    }
    if (action === STOP) return false;
    if (action !== AGAIN) cursor.advance(1);
  }
}

/** Visits an entry without a table below it. */
function visitEntry(cursor: Cursor, visitor: Visitor): Action {
  switch (cursor.kind) {
    case LEAF:
      return visitor.leaf?.(cursor) ?? SKIP;
    case EMPTY:
      return visitor.hole?.(cursor) ?? SKIP;
    default:
      return visitor.malformed?.(cursor) ?? SKIP;
  }
}

function visitMissing(cursor: Cursor, visitor: Visitor): Action {
  if (visitor.missing !== undefined) return visitor.missing(cursor) ?? SKIP;
  throw new MemoryError('no-memory', 'a table lies outside memory', { slot: cursor.slot, va: cursor.entryVa });
}
