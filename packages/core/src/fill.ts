/** Writing many leaves of one shape at once: the inner loop of every mapping, and the leaves that a paging has for it. */
import { type Halves, halves } from './compiled.ts';
import { type DoubleView, fillNarrow, fillWide } from './fill-words.ts';
import type { LeafSize } from './leaf-plan.ts';
import type { CompiledShape } from './level-codec.ts';
import type { Memory } from './memory.ts';
import type { Attributes, LeafChoice, Paging } from './paging.ts';

/** Writes leaves of one shape with equal bits, whose addresses rise by the entry size. */
export class LeafFiller {
  readonly #entryBytes: 4 | 8 = 8;
  readonly #compiled: CompiledShape;
  readonly #bits: Halves;

  /**
   * @param entryBytes bytes of an entry
   * @param compiled the leaves' shape
   * @param bits entry bits outside the address
   */
  constructor(entryBytes: 4 | 8, compiled: CompiledShape, bits: bigint) {
    this.#entryBytes = entryBytes;
    this.#compiled = compiled;
    this.#bits = halves(bits);
  }

  /**
   * Fills slots in memory, window by window.
   * @param memory physical memory, writable there
   * @param slot physical address of the first slot
   * @param slots how many slots
   * @param pa physical address that the first slot maps, exact
   * @param view for those who fill many tables: one for all of them
   */
  fillAt(memory: Memory, slot: number, slots: number, pa: number, view?: DoubleView): void {
    for (let done = 0; done < slots; ) {
      const at = slot + done * this.#entryBytes;
      const { base, words } = memory.writable(at);
      const count = Math.min(slots - done, (base + words.length * 4 - at) / this.#entryBytes);
      this.fill(words, (at - base) / 4, count, pa + done * this.#compiled.entryBytes, view);
      done += count;
    }
  }

  /**
   * Fills slots of one array.
   * @param words the array that holds the slots
   * @param at index of the first slot's first word
   * @param slots how many slots
   * @param pa physical address that the first slot maps, exact
   * @param view for those who fill many tables: one for all of them
   */
  fill(words: Uint32Array, at: number, slots: number, pa: number, view?: DoubleView): void {
    const { address, entryBytes: span, linear } = this.#compiled;
    const { lo, hi } = this.#bits;
    for (let done = 0; done < slots; ) {
      const own = pa + done * span;
      const left = (Math.floor(own / linear.bytes) + 1) * linear.bytes - own;
      const count = Math.min(slots - done, left / span);
      const first = lo | address.encodeLo(own);
      if (this.#entryBytes === 4) fillNarrow(words, at + done, count, first, linear.step);
      else fillWide(words, at + done * 2, count, first, hi | address.encodeHi(own), linear.step, view);
      done += count;
    }
  }
}

/**
 * Fills slots with leaves of one shape whose addresses rise by the entry size.
 * @param words the array that holds the slots
 * @param at index of the first slot's first word
 * @param slots how many slots
 * @param entryBytes 4 or 8
 * @param compiled the leaf's shape
 * @param bits entry bits outside the address
 * @param pa physical address of the first slot, exact
 */
export function fillLeaves(
  words: Uint32Array,
  at: number,
  slots: number,
  entryBytes: 4 | 8,
  compiled: CompiledShape,
  bits: bigint,
  pa: number,
): void {
  new LeafFiller(entryBytes, compiled, bits).fill(words, at, slots, pa);
}

/** A size of leaf that a paging has. */
export interface SizeOfLeaf extends LeafSize {
  /** Index among all sizes of the paging. */
  readonly index: number;
  readonly paEnd: number;
  readonly level: number;
  readonly compiled: CompiledShape;
  readonly choice: LeafChoice;
  /** What was made of the raw attributes that came last: who maps page by page mostly gives the same. */
  last: { readonly attributes: bigint; readonly filler: LeafFiller } | undefined;
}

/** The leaves of a paging. */
interface PagingSizes {
  /** The largest first. */
  readonly all: readonly SizeOfLeaf[];
  /** Those that were asked for last: mostly the same are asked for again. */
  last:
    | { readonly maxLeafBytes: bigint | undefined; readonly runs: boolean; readonly usable: readonly SizeOfLeaf[] }
    | undefined;
}

const sizesOf = new WeakMap<Paging, PagingSizes>();

function allSizes(paging: Paging): PagingSizes {
  let sizes = sizesOf.get(paging);
  if (sizes === undefined) {
    const all = [...paging.leafChoices]
      .sort((a, b) => Number(b.leafBytes - a.leafBytes))
      .map((choice, index): SizeOfLeaf => {
        const { level } = choice;
        const leafBytes = Number(choice.leafBytes);
        const compiled = paging.codec(level).leaves.find(({ shape }) => shape.name === choice.shape) as CompiledShape;
        // The highest address of a leaf that the entry can hold: all its address bits set.
        const paEnd = compiled.address.decode(-1, -1) + (compiled.sharedAddress ? leafBytes : compiled.entryBytes);
        return { index, leafBytes, paEnd, level, compiled, choice, last: undefined };
      });
    sizes = { all, last: undefined };
    sizesOf.set(paging, sizes);
  }
  return sizes;
}

/** Those of at most so many bytes, with runs or without. */
export function usableSizes(paging: Paging, maxLeafBytes: bigint | undefined, runs: boolean): readonly SizeOfLeaf[] {
  const sizes = allSizes(paging);
  if (maxLeafBytes === undefined && runs) return sizes.all;
  const { last } = sizes;
  if (last !== undefined && last.maxLeafBytes === maxLeafBytes && last.runs === runs) return last.usable;
  const usable = sizes.all.filter(
    ({ choice: { leafBytes, runEntries } }) =>
      (maxLeafBytes === undefined || leafBytes <= maxLeafBytes) && (runs || runEntries === 1),
  );
  sizes.last = { maxLeafBytes, runs, usable };
  return usable;
}

/** What writes leaves of a size with the wanted attributes. */
export function fillerFor(
  paging: Paging,
  size: SizeOfLeaf,
  attributes: Attributes | ((leaf: LeafChoice) => Attributes),
): LeafFiller {
  const given = typeof attributes === 'function' ? attributes(size.choice) : attributes;
  if (size.last !== undefined && given === size.last.attributes) return size.last.filler;
  const bits = paging.leafBits(size.compiled, given);
  const filler = new LeafFiller(paging.format.entryBytes, size.compiled, bits);
  if (typeof given === 'bigint') size.last = { attributes: given, filler };
  return filler;
}
