/**
 * The one traversal. Map, unmap, protect, split, merge, populate, dump, check and plain iteration are visitors of it.
 *
 * Addresses are exact numbers (multiples of 4 KiB below 2^64), entries two 32-bit words. One cursor per level serves all
 * traversals of a root that do not overlap in time; visiting an entry allocates nothing.
 */
import { MemoryError } from './errors.ts';
import { type CompiledShape, EMPTY, LEAF, type LevelCodec, TABLE } from './level-codec.ts';
import type { Memory, MemoryWindow } from './memory.ts';
import type { Root, Stretch } from './space.ts';

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
  /** Level from the leaves. */
  readonly level: number;
  /** Bytes that one entry covers. */
  readonly span: number;
  readonly #memory: Memory;
  readonly #entryBytes: number;
  readonly #wide: boolean;
  readonly #zeroIsEmpty: boolean;
  readonly #entries: number;
  readonly #perSpan: number;
  readonly #perEntries: number;
  #base = 0;
  #limit = 0;
  #words: Uint32Array = NO_WORDS;

  /** Physical address of the table. */
  table = 0;
  /** Index of the entry in the table. */
  index = 0;
  /** First virtual address that the entry covers. */
  entryVa = 0;
  /** The piece of the traversed range that lies under this entry, half-open. */
  va = 0;
  end = 0;
  /** End of the traversed range within this table. */
  tableEnd = 0;
  /** The entry's halves, as signed or unsigned 32-bit numbers. */
  lo = 0;
  hi = 0;
  /** The entry's code: kind in the low two bits, shape index above. */
  code = 0;

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
    this.#wide = this.#entryBytes === 8;
    this.#zeroIsEmpty = (this.codec.classify(0, 0) & 3) === EMPTY;
  }

  /** Stands before the first entry of a table that a range, which the table covers, has to do with. */
  enter(table: number, start: number, end: number): void {
    // Spans and numbers of entries are powers of two: to multiply is exact and faster than to divide.
    const first = Math.floor(start * this.#perSpan);
    this.table = table;
    this.tableEnd = end;
    this.index = first - Math.floor(first * this.#perEntries) * this.#entries;
    this.entryVa = first * this.span;
    this.va = start;
  }

  /** Forgets the window that was looked at last: memory may hand out another one by now. */
  forget(): void {
    this.#limit = 0;
    this.#words = NO_WORDS;
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
    const slot = this.table + this.index * this.#entryBytes;
    if ((slot < this.#base || slot >= this.#limit) && !this.#find(slot)) return false;
    const at = ((slot - this.#base) / 4) | 0;
    // Signed numbers are small integers to the engine, unsigned ones from 2^31 on are not.
    this.lo = (this.#words[at] as number) | 0;
    this.hi = this.#wide ? (this.#words[at + 1] as number) | 0 : 0;
    this.code = this.codec.classify(this.lo, this.hi);
    return true;
  }

  /**
   * How many slots from this one on hold zero: as far as the traversed range goes, or the window. Looks at none (and
   * answers 0) where zero is not an empty entry.
   */
  zeros(): number {
    const slot = this.table + this.index * this.#entryBytes;
    if (!this.#zeroIsEmpty || ((slot < this.#base || slot >= this.#limit) && !this.#find(slot))) return 0;
    const words = this.#words;
    const first = ((slot - this.#base) / 4) | 0;
    const step = this.#wide ? 2 : 1;
    const end = Math.min(first + this.slotsLeft * step, words.length) | 0;
    let at = first;
    if (this.#wide) {
      // Four entries at a time, until one of them is none.
      while (at + 8 <= end && eightZeros(words, at)) at += 8;
      while (at < end && ((words[at] as number) | (words[at + 1] as number)) === 0) at += 2;
    } else {
      while (at < end && words[at] === 0) at++;
    }
    return (at - first) / step;
  }

  /**
   * How many slots from this one on hold entries of a shape that begin with a word and rise by a step: as far as the
   * window goes, at most `most`.
   */
  rising(lo: number, hi: number, step: number, most: number, compiled: CompiledShape): number {
    const slot = this.table + this.index * this.#entryBytes;
    if ((slot < this.#base || slot >= this.#limit) && !this.#find(slot)) return 0;
    const { codec } = this;
    const words = this.#words;
    const code = compiled.kind | (compiled.index << 2);
    const perSlot = this.#wide ? 2 : 1;
    const first = ((slot - this.#base) / 4) | 0;
    const end = Math.min(first + most * perSlot, words.length) | 0;
    const high = this.#wide ? hi | 0 : 0;
    let word = lo | 0;
    let at = first;
    for (; at < end; at += perSlot) {
      if (((words[at] as number) | 0) !== word || (this.#wide && ((words[at + 1] as number) | 0) !== high)) break;
      // The address has its say in what an entry is: it may be too high.
      if (codec.classify(word, high) !== code) break;
      word = (word + step) | 0;
    }
    return (at - first) / perSlot;
  }

  /** Writes the entry. */
  store(lo: number, hi: number): void {
    const slot = this.table + this.index * this.#entryBytes;
    this.#take(this.#memory.writable(slot));
    const at = ((slot - this.#base) / 4) | 0;
    this.#words[at] = lo;
    if (this.#wide) this.#words[at + 1] = hi;
  }

  /**
   * The words of the slots from this one on, for writing many at once: sets {@link bulkAt} and gives the array.
   * As many slots as {@link bulkSlots} says lie in it.
   */
  bulk(): Uint32Array {
    const slot = this.slot;
    this.#take(this.#memory.writable(slot));
    this.bulkAt = ((slot - this.#base) / 4) | 0;
    this.bulkSlots = (this.#limit - slot) / this.#entryBytes;
    return this.#words;
  }

  /** Index in the array of {@link bulk} of this slot's first word. */
  bulkAt = 0;
  /** Slots from this one on that the array of {@link bulk} holds. */
  bulkSlots = 0;

  /** Slots from this one on that the traversed range covers (the last one perhaps in part). */
  get slotsLeft(): number {
    return Math.ceil((this.tableEnd - this.entryVa) / this.span);
  }

  #find(slot: number): boolean {
    const window = this.#memory.window(slot);
    if (window === undefined) return false;
    this.#take(window);
    return true;
  }

  #take(window: MemoryWindow): void {
    this.#base = window.base;
    this.#limit = window.base + window.words.length * 4;
    this.#words = window.words;
  }
}

function eightZeros(words: Uint32Array, at: number): boolean {
  const a = (words[at] as number) | (words[at + 1] as number) | (words[at + 2] as number) | (words[at + 3] as number);
  const b =
    (words[at + 4] as number) | (words[at + 5] as number) | (words[at + 6] as number) | (words[at + 7] as number);
  return (a | b) === 0;
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
  const cursors = root.paging.levels.map((_, level) => new Cursor(root, level, memory));
  const made = { memory, cursors, busy: false };
  if (known?.busy !== true) cursorSets.set(root, made);
  return made;
}

/** Visits what the tables say about a stretch. Answers false if a callback stopped it. */
export function traverse(memory: Memory, stretch: Stretch, visitor: Visitor): boolean {
  const { root } = stretch;
  const set = cursorSet(root, memory);
  const { cursors } = set;
  const top = cursors[cursors.length - 1] as Cursor;
  top.enter(root.address, stretch.start, stretch.end);
  // Nobody asks about holes: where there is one there are more, and they are passed over quickly.
  const sweeps = visitor.bulk === undefined && visitor.hole === undefined;
  set.busy = true;
  try {
    return visitTable(cursors, top, visitor, sweeps);
  } finally {
    set.busy = false;
  }
}

/** Visits a table that its cursor has entered. */
function visitTable(cursors: readonly Cursor[], cursor: Cursor, visitor: Visitor, sweeps: boolean): boolean {
  let hole = false;
  while (cursor.va < cursor.tableEnd) {
    cursor.end = Math.min(cursor.entryVa + cursor.span, cursor.tableEnd);
    const took = hole ? cursor.zeros() : sweeps ? 0 : (visitor.bulk?.(cursor) ?? 0);
    hole = false;
    if (took > 0) {
      advance(cursor, took);
      continue;
    }
    if (!cursor.load()) {
      if (visitor.missing === undefined) {
        throw new MemoryError('no-memory', 'a table lies outside memory', { slot: cursor.slot, va: cursor.entryVa });
      }
      return visitor.missing(cursor) !== STOP;
    }
    hole = sweeps && cursor.kind === EMPTY;
    const action = hole ? SKIP : visitEntry(cursors, cursor, visitor, sweeps);
    if (action === STOP) return false;
    if (action !== AGAIN) advance(cursor, 1);
  }
  return true;
}

function advance(cursor: Cursor, slots: number): void {
  cursor.index += slots;
  cursor.entryVa += slots * cursor.span;
  cursor.va = cursor.entryVa;
}

function visitEntry(cursors: readonly Cursor[], cursor: Cursor, visitor: Visitor, sweeps: boolean): Action {
  switch (cursor.kind) {
    case LEAF:
      return visitor.leaf?.(cursor) ?? SKIP;
    case EMPTY:
      return visitor.hole?.(cursor) ?? SKIP;
    case TABLE: {
      const action = visitor.table?.(cursor) ?? DESCEND;
      if (action !== DESCEND) return action;
      const below = cursors[cursor.level - 1] as Cursor;
      below.enter(shapeAt(cursor).address.decode(cursor.lo, cursor.hi), cursor.va, cursor.end);
      if (!visitTable(cursors, below, visitor, sweeps)) return STOP;
      return visitor.leave?.(cursor) ?? SKIP;
    }
    default:
      return visitor.malformed?.(cursor) ?? SKIP;
  }
}
