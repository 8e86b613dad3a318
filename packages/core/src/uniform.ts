/**
 * Tables that say the same in every entry: all empty, or all one leaf, directly or through tables that are uniform
 * themselves. Kernels build whole regions of them out of four pages (the early shadow of KASAN maps terabytes to one
 * page), so whoever iterates must see such a region as one thing.
 */

import type { CompiledShape } from './level-codec.ts';
import { EMPTY, LEAF, TABLE } from './level-codec.ts';
import type { Memory } from './memory.ts';
import type { Root } from './space.ts';

/** What every address under a uniform table is mapped by. */
export interface UniformLeaf {
  /** Level, from the leaves, of the leaf. */
  readonly level: number;
  /** Halves of the leaf's entry. */
  readonly lo: number;
  readonly hi: number;
  readonly compiled: CompiledShape;
  /** Physical address of its first slot. */
  readonly slot: number;
  /** Table entries on the way down, from the top. */
  readonly links: readonly { readonly compiled: CompiledShape; readonly lo: number; readonly hi: number }[];
}

/** What a table is: all empty, all one leaf, or not uniform. */
export type Uniformity = 'empty' | UniformLeaf | undefined;

function allWords(words: Uint32Array, from: number, to: number, word: number): boolean {
  const end = to | 0;
  for (let i = from; i < end; i++) if (words[i] !== word) return false;
  return true;
}

/** Are the words from one index to another this pair again and again? Looks at four pairs at a time. */
function allPairs(words: Uint32Array, from: number, to: number, first: number, second: number): boolean {
  // As integers from the start: what comes in could be any number, and would be looked at again for every word.
  const lo = first | 0;
  const hi = second | 0;
  const end = to | 0;
  let i = from | 0;
  for (; i + 8 <= end; i += 8) {
    const a = ((words[i] as number) ^ lo) | ((words[i + 1] as number) ^ hi);
    const b = ((words[i + 2] as number) ^ lo) | ((words[i + 3] as number) ^ hi);
    const c = ((words[i + 4] as number) ^ lo) | ((words[i + 5] as number) ^ hi);
    const d = ((words[i + 6] as number) ^ lo) | ((words[i + 7] as number) ^ hi);
    if ((a | b | c | d) !== 0) return false;
  }
  for (; i < end; i += 2) if ((((words[i] as number) ^ lo) | ((words[i + 1] as number) ^ hi)) !== 0) return false;
  return true;
}

/** Finds uniform tables under one root and remembers what it found; make a new one after tables have changed. */
export class UniformTables {
  readonly #memory: Memory;
  readonly #root: Root;
  readonly #known: readonly Map<number, Uniformity>[];

  constructor(memory: Memory, root: Root) {
    this.#memory = memory;
    this.#root = root;
    this.#known = root.paging.levels.map(() => new Map());
  }

  /**
   * Judges a table.
   * @param address its physical address
   * @param level its level from the leaves
   */
  of(address: number, level: number): Uniformity {
    const known = this.#known[level] as Map<number, Uniformity>;
    if (known.has(address)) return known.get(address);
    const found = this.#judge(address, level);
    known.set(address, found);
    return found;
  }

  #judge(address: number, level: number): Uniformity {
    const codec = this.#root.paging.codec(level);
    const wide = this.#root.paging.format.entryBytes === 8;
    const end = address + codec.level.tableBytes;
    let lo = 0;
    let hi = 0;
    for (let at = address; at < end; ) {
      const window = this.#memory.window(at);
      if (window === undefined) return undefined;
      const { words, base } = window;
      const from = ((at - base) / 4) | 0;
      const limit = Math.min(words.length, (end - base) / 4);
      if (at === address) {
        lo = words[from] as number;
        hi = wide ? (words[from + 1] as number) : 0;
      }
      if (!(wide ? allPairs(words, from, limit, lo, hi) : allWords(words, from, limit, lo))) return undefined;
      at = base + limit * 4;
    }
    const code = codec.classify(lo, hi);
    const compiled = codec.shapes[code >> 2];
    switch (code & 3) {
      case EMPTY:
        return 'empty';
      case LEAF:
        // The entries of a run differ in what they map even where they are equal.
        if (compiled === undefined || compiled.runEntries > 1) return undefined;
        return { level, lo, hi, compiled, slot: address, links: [] };
      case TABLE: {
        if (compiled === undefined) return undefined;
        const below = this.of(compiled.address.decode(lo, hi), level - 1);
        if (below === undefined || below === 'empty') return below;
        return { ...below, links: [{ compiled, lo, hi }, ...below.links] };
      }
      default:
        return undefined;
    }
  }
}
