/** The coarse sieve of the search for roots: which pieces of memory could be a root table, judged by their own entries. */
import { EMPTY, LEAF, type LevelCodec, MALFORMED, TABLE } from './level-codec.ts';
import type { Memory, MemoryWindow } from './memory.ts';
import type { Paging } from './paging.ts';
import type { SearchedMemory, SearchPiece } from './searched-memory.ts';

const NO_WINDOW: MemoryWindow = { base: 0, words: new Uint32Array(0) };

/** Looks through memory for pieces that could be a root table of one paging. */
export class RootSieve {
  readonly #memory: Memory;
  readonly #codec: LevelCodec;
  readonly #wide: boolean;
  readonly #zeroIsEmpty: boolean;
  /** Where a table that spans two windows is put together. */
  readonly #joined: Uint32Array;
  #words: Uint32Array = NO_WINDOW.words;
  #at = 0;
  #window = NO_WINDOW;
  readonly #searched: SearchedMemory;

  constructor(memory: Memory, { geometry, format, levels }: Paging, searched: SearchedMemory) {
    this.#memory = memory;
    this.#searched = searched;
    this.#codec = levels[geometry.root.level] as LevelCodec;
    this.#wide = format.entryBytes === 8;
    this.#zeroIsEmpty = (this.#codec.classify(0, 0) & 3) === EMPTY;
    this.#joined = new Uint32Array(geometry.root.tableBytes / 4);
  }

  /**
   * Physical addresses of what could be a root table.
   * @param start where they lie, half-open
   * @param limit where the table must end
   */
  *addresses({ start, end, limit }: SearchPiece): Generator<number> {
    const { alignBytes, tableBytes } = this.#codec.level;
    const last = Math.min(end - 1, limit - tableBytes);
    for (let at = Math.ceil(start / alignBytes) * alignBytes; at <= last; at += alignBytes) {
      if (this.#load(at) && this.#passes()) yield at;
    }
  }

  /** Brings the words of a table before {@link #passes}; false where some are missing. */
  #load(address: number): boolean {
    const { length } = this.#joined;
    const at = (address - this.#window.base) / 4;
    if (at >= 0 && at + length <= this.#window.words.length) {
      this.#words = this.#window.words;
      this.#at = at;
      return true;
    }
    const window = this.#memory.window(address);
    if (window === undefined) return false;
    this.#window = window;
    this.#words = window.words;
    this.#at = (address - window.base) / 4;
    if (this.#at + length <= window.words.length) return true;
    for (let done = 0; done < length; ) {
      const next = this.#memory.window(address + done * 4);
      if (next === undefined) return false;
      const from = (address - next.base) / 4 + done;
      const part = next.words.subarray(from, from + length - done);
      this.#joined.set(part, done);
      done += part.length;
    }
    this.#words = this.#joined;
    this.#at = 0;
    return true;
  }

  /** Is something mapped, nothing malformed, and every table in memory? */
  #passes(): boolean {
    const words = this.#words;
    const codec = this.#codec;
    const step = this.#wide ? 2 : 1;
    const end = this.#at + this.#joined.length;
    let any = false;
    for (let at = this.#at; at < end; at += step) {
      const lo = (words[at] as number) | 0;
      const hi = this.#wide ? (words[at + 1] as number) | 0 : 0;
      // Most memory is zero.
      if ((lo | hi) === 0 && this.#zeroIsEmpty) continue;
      const code = codec.classify(lo, hi);
      switch (code & 3) {
        case MALFORMED:
          return false;
        case TABLE: {
          const compiled = codec.shapes[code >> 2];
          if (compiled === undefined || !this.#exists(compiled.address.decode(lo, hi))) return false;
          any = true;
          break;
        }
        case LEAF:
          any = true;
          break;
        default:
      }
    }
    return any;
  }

  /** Is there memory? Not asked of the memory itself where the answer is known: it would have to read it. */
  #exists(address: number): boolean {
    return this.#searched.touches(address, address + 1) || this.#memory.window(address) !== undefined;
  }
}
