/**
 * Fast translation for those who do it millions of times: emulators, dump readers, benches.
 *
 * A translator keeps a direct-mapped cache of where entries stand: for a small region of virtual addresses, the entries
 * of one table that map it (not what they hold: entries are read anew each time). Like a TLB it must be told when table
 * pointers change: call `flush` after a change that linked or unlinked tables. Nothing is allocated for an address, and
 * no BigInt is made in a batch.
 *
 * What the common road needs stands in a few arrays of integers, so that it takes little more than a handful of loads;
 * whatever is not common (a table in the way, a split address, a word that only all tests can tell) goes the long way.
 */
import type { PhysAddr } from './address.ts';
import { checkBigints } from './bigints.ts';
import { turned } from './compiled.ts';
import { ArgumentError } from './errors.ts';
import type { NumberRange } from './geometry.ts';
import { type CompiledShape, LEAF, type LevelCodec, TABLE } from './level-codec.ts';
import type { Memory } from './memory.ts';
import { type AddressSpace, type PlainRange, untagged } from './space.ts';
import {
  BY,
  CODE_BITS,
  HIGH_FROM_HI,
  HIGH_FROM_LO,
  LOW_FROM_HI,
  LOW_FROM_LO,
  LOW_MASK,
  NO_LEAF,
  OFFSET_HI,
  OFFSET_LO,
  planTranslator,
  type Reach,
  type RootReach,
} from './translator-plan.ts';

/** What a batch writes for an address that is not mapped. */
export const UNMAPPED: bigint = (1n << 64n) - 1n;
const PAGE = 4096;
const TWO_32 = 2 ** 32;
const ONE_WORD = new Uint32Array(1);

/** Regions that are remembered: a power of two. 4096 last-level tables of 512 entries reach over 8 GiB of 4 KiB pages. */
const SLOTS = 4096;
/**
 * Facts about a slot: the low half of its region's number; the high half (19 bits at most, as a table covers 8 KiB at
 * least), and above it the number of the reach that leads to its entries; the index of the first of their words.
 */
const TAG_LO = 0;
const TAG_HI = 1;
const FIRST_WORD = 2;
const FACT_BITS = 2;
const REACH_SHIFT = 19;

/** Addresses of a batch that are looked at together: more and more, as long as they are of one kind. */
const BLOCK = 256;
const FIRST_BLOCK = 4;

/** Translates quickly through one address space; see the head of this file. */
export class Translator {
  readonly #memory: Memory;
  readonly #roots: readonly RootReach[];
  readonly #reaches: readonly Reach[];
  readonly #regionBits: number;
  readonly #facts: Int32Array = new Int32Array(SLOTS << FACT_BITS);
  readonly #words: Uint32Array[] = Array.from({ length: SLOTS }, () => ONE_WORD);
  readonly #codes: Int32Array;
  readonly #leaves: Int32Array;
  /** For each address of a block of a batch: its slot, and where among the slot's words its entry begins. */
  readonly #spots: Int32Array = new Int32Array(BLOCK * 2);
  readonly #box: BigUint64Array = new BigUint64Array(1);
  readonly #halves: Uint32Array = new Uint32Array(this.#box.buffer);
  /** How the last address was found. */
  #reach = 0;
  #leaf: number = NO_LEAF;

  constructor(space: AddressSpace) {
    const { regionBits, roots, reaches, codes, leaves } = planTranslator(space);
    this.#memory = space.memory;
    this.#regionBits = regionBits;
    this.#roots = roots;
    this.#reaches = reaches;
    this.#codes = codes;
    this.#leaves = leaves;
    this.flush();
  }

  /** Forgets all tables. Needed after a change that linked or unlinked tables, and after edits by other hands. */
  flush(): void {
    this.#facts.fill(-1);
    this.#words.fill(ONE_WORD);
  }

  /**
   * Translates an address given as two halves, without making a BigInt.
   * @param lo bits 31:0 of the virtual address, of either sign
   * @param hi bits 63:32
   * @returns the physical address of the 4 KiB frame, an exact number below 2^56 (add `lo & 0xfff` for the byte; the
   *   sum may not be exact above 2^53), or -1 if the address is not mapped
   */
  find(lo: number, hi: number): number {
    const halves = this.#halves;
    if (!this.#resolve(lo | 0, hi | 0, halves, 0)) return -1;
    return (halves[1] as number) * TWO_32 + (((halves[0] as number) & -PAGE) >>> 0);
  }

  /**
   * Translates one address.
   * @param va a 64-bit address; bits above it are not looked at
   * @returns the physical address, or `undefined` if it is not mapped (ask `translate` of the address space why)
   */
  translate(va: bigint): PhysAddr | undefined {
    if (typeof va !== 'bigint') checkBigints({ va });
    this.#box[0] = va;
    const halves = this.#halves;
    const found = this.#resolve((halves[0] as number) | 0, (halves[1] as number) | 0, halves, 0);
    return found ? (this.#box[0] as PhysAddr) : undefined;
  }

  /**
   * Translates many addresses.
   * @param vas virtual addresses
   * @param pas receives a physical address each, or {@link UNMAPPED}; at least as long as `vas`
   * @returns how many were mapped
   * @throws ArgumentError if `pas` is shorter than `vas`
   */
  translateAll(vas: BigUint64Array, pas: BigUint64Array): number {
    if (pas.length < vas.length) {
      throw new ArgumentError('batch-length', 'the result is shorter than the input', {
        input: vas.length,
        result: pas.length,
      });
    }
    const from = new Uint32Array(vas.buffer, vas.byteOffset, vas.length * 2);
    const to = new Uint32Array(pas.buffer, pas.byteOffset, pas.length * 2);
    let unmapped = 0;
    let block = FIRST_BLOCK;
    for (let first = 0; first < vas.length; ) {
      const most = Math.min(block, vas.length - first);
      const count = this.#locate(from, first, most);
      this.#touch(count);
      const done = this.#decode(from, to, first, count);
      first += done;
      block = Math.min(block * 2, BLOCK);
      if (done === most) continue;
      // What ended the block early goes its own way, and shows the next block how to go.
      const i = first++ * 2;
      if (!this.#resolve((from[i] as number) | 0, (from[i + 1] as number) | 0, to, i)) unmapped++;
      block = FIRST_BLOCK;
    }
    return vas.length - unmapped;
  }

  /**
   * Finds out where the entries of a block of addresses stand, for as long as they are found as the last one was:
   * through the same level of the same root.
   * @returns for how many
   */
  #locate(from: Uint32Array, first: number, most: number): number {
    const { shift, mask, wordShift } = this.#reaches[this.#reach] as Reach;
    const reach = this.#reach << REACH_SHIFT;
    const bits = this.#regionBits;
    const facts = this.#facts;
    const spots = this.#spots;
    let n = 0;
    for (let i = first * 2; n < most; n++, i += 2) {
      const lo = (from[i] as number) | 0;
      const hi = (from[i + 1] as number) | 0;
      const tag = (lo >>> bits) | (hi << (32 - bits));
      const slot = tag & (SLOTS - 1);
      const fact = slot << FACT_BITS;
      if (facts[fact + TAG_LO] !== tag || facts[fact + TAG_HI] !== ((hi >>> bits) | reach)) break;
      spots[n * 2] = slot;
      spots[n * 2 + 1] = (facts[fact + FIRST_WORD] as number) + (((lo >>> shift) & mask) << wordShift);
    }
    return n;
  }

  /**
   * Reads entries of a block and does nothing with them but bring them near: in so short a loop the processor waits for
   * many of them at once, and {@link #decode} then finds them in its cache. A few at the end may be left out.
   */
  #touch(count: number): number {
    const spots = this.#spots;
    const windows = this.#words;
    const end = (count & -4) * 2;
    let sum = 0;
    for (let i = 0; i < end; i += 8) {
      const a = windows[spots[i] as number] as Uint32Array;
      const b = windows[spots[i + 2] as number] as Uint32Array;
      const c = windows[spots[i + 4] as number] as Uint32Array;
      const d = windows[spots[i + 6] as number] as Uint32Array;
      sum ^= (a[spots[i + 1] as number] as number) ^ (b[spots[i + 3] as number] as number);
      sum ^= (c[spots[i + 5] as number] as number) ^ (d[spots[i + 7] as number] as number);
    }
    return sum;
  }

  /**
   * Makes addresses of the entries of a block, for as long as they are leaves of the shape that was found last.
   * @returns of how many
   */
  #decode(from: Uint32Array, to: Uint32Array, first: number, count: number): number {
    const leaf = this.#leaf;
    if (leaf === NO_LEAF) return 0;
    const leaves = this.#leaves;
    const by = leaves[leaf + BY] as number;
    const lowFromLo = leaves[leaf + LOW_FROM_LO] as number;
    const lowFromHi = leaves[leaf + LOW_FROM_HI] as number;
    const highFromLo = leaves[leaf + HIGH_FROM_LO] as number;
    const highFromHi = leaves[leaf + HIGH_FROM_HI] as number;
    const offsetLo = leaves[leaf + OFFSET_LO] as number;
    const offsetHi = leaves[leaf + OFFSET_HI] as number;
    const codes = this.#codes;
    const ownCodes = this.#reach << CODE_BITS;
    const { wordShift } = this.#reaches[this.#reach] as Reach;
    const wide = -wordShift;
    const spots = this.#spots;
    const windows = this.#words;
    // Neighbours mostly have the same low bits: what the codec says of them is kept.
    let low = -1;
    let restLo = 0;
    let restHi = 0;
    let n = 0;
    for (let i = first * 2; n < count; n++, i += 2) {
      const words = windows[spots[n * 2] as number] as Uint32Array;
      const word = spots[n * 2 + 1] as number;
      const lo = words[word] as number;
      const hi = (words[word + wordShift] as number) & wide;
      if ((lo & LOW_MASK) !== low) {
        low = lo & LOW_MASK;
        const code = ownCodes + (low << 2);
        if (codes[code + 2] !== leaf) break;
        restLo = codes[code] as number;
        restHi = codes[code + 1] as number;
      }
      if (((lo & restLo) | (hi & restHi)) !== 0) break;
      const left = turned(lo, by);
      const right = turned(hi, by);
      to[i] = (left & lowFromLo) | (right & lowFromHi) | ((from[i] as number) & offsetLo);
      to[i + 1] = (left & highFromLo) | (right & highFromHi) | ((from[i + 1] as number) & offsetHi);
    }
    return n;
  }

  /**
   * Translates halves of an address into halves at `to[at]`.
   * @returns false if it is not mapped; all bits are set then
   */
  #resolve(lo: number, hi: number, to: Uint32Array, at: number): boolean {
    const bits = this.#regionBits;
    const tag = (lo >>> bits) | (hi << (32 - bits));
    const slot = tag & (SLOTS - 1);
    const facts = this.#facts;
    const fact = slot << FACT_BITS;
    const above = (facts[fact + TAG_HI] as number) ^ (hi >>> bits);
    const reach = above >> REACH_SHIFT;
    if (facts[fact + TAG_LO] !== tag || above !== reach << REACH_SHIFT || reach < 0) return this.#miss(lo, hi, to, at);
    const { codec, shift, mask, wordShift } = this.#reaches[reach] as Reach;
    const words = this.#words[slot] as Uint32Array;
    const word = (facts[fact + FIRST_WORD] as number) + (((lo >>> shift) & mask) << wordShift);
    const entryLo = (words[word] as number) | 0;
    const entryHi = (words[word + wordShift] as number) & -wordShift;
    const codes = this.#codes;
    const code = (reach << CODE_BITS) | ((entryLo & LOW_MASK) << 2);
    const rest = (entryLo & (codes[code] as number)) | (entryHi & (codes[code + 1] as number));
    const leaf = codes[code + 2] as number;
    if (rest !== 0 || leaf === NO_LEAF) {
      const full = codec.classify(entryLo, entryHi);
      // Where an upper level was empty or had a leaf, there may be a table by now.
      return (full & 3) === TABLE ? this.#miss(lo, hi, to, at) : put(to, at, codec, full, entryLo, entryHi, lo, hi);
    }
    this.#reach = reach;
    this.#leaf = leaf;
    const leaves = this.#leaves;
    const by = leaves[leaf + BY] as number;
    const left = turned(entryLo, by);
    const right = turned(entryHi, by);
    to[at] =
      (left & (leaves[leaf + LOW_FROM_LO] as number)) |
      (right & (leaves[leaf + LOW_FROM_HI] as number)) |
      (lo & (leaves[leaf + OFFSET_LO] as number));
    to[at + 1] =
      (left & (leaves[leaf + HIGH_FROM_LO] as number)) |
      (right & (leaves[leaf + HIGH_FROM_HI] as number)) |
      (hi & (leaves[leaf + OFFSET_HI] as number));
    return true;
  }

  /** The long way: finds the root and goes through its tables. */
  #miss(lo: number, hi: number, to: Uint32Array, at: number): boolean {
    for (const way of this.#roots) {
      for (const range of way.root.ranges) {
        const frame = plainFrame(range, lo, hi);
        if (frame < range.start || frame >= range.end) continue;
        return way.root.fault === undefined ? this.#walk(way, range, frame, lo, hi, to, at) : unmapped(to, at);
      }
    }
    return unmapped(to, at);
  }

  #walk(
    { root, firstReach }: RootReach,
    { start, end }: NumberRange,
    frame: number,
    lo: number,
    hi: number,
    to: Uint32Array,
    at: number,
  ): boolean {
    const { levels, format } = root.paging;
    let table = root.address;
    for (let level = levels.length - 1; level >= 0; level--) {
      const codec = levels[level] as LevelCodec;
      const { entries, entrySpan } = codec.level;
      const number = Math.floor(frame / entrySpan);
      const index = number - Math.floor(number / entries) * entries;
      const slot = table + index * format.entryBytes;
      const window = this.#memory.window(slot);
      if (window === undefined) return unmapped(to, at);
      const { words } = window;
      const word = (slot - window.base) / 4;
      const entryLo = words[word] as number;
      const entryHi = format.entryBytes === 8 ? (words[word + 1] as number) : 0;
      const code = codec.classify(entryLo, entryHi);
      if ((code & 3) === TABLE) {
        table = (codec.shapes[code >> 2] as CompiledShape).address.decode(entryLo, entryHi);
        continue;
      }
      // Other roots may translate parts of a region: then it is not remembered.
      const size = 2 ** this.#regionBits;
      const region = Math.floor(frame / size) * size;
      if (region >= start && region + size <= end) this.#remember(lo, hi, firstReach + level, words, word, index);
      return put(to, at, codec, code, entryLo, entryHi, lo, hi);
    }
    return unmapped(to, at);
  }

  /** Remembers where the entries of an address's region stand, if all of them stand in these words. */
  #remember(lo: number, hi: number, reach: number, words: Uint32Array, word: number, index: number): void {
    const { mask, wordShift } = this.#reaches[reach] as Reach;
    const first = word - ((index & mask) << wordShift);
    const last = first + (mask << wordShift);
    if (first < 0 || last >= Math.min(words.length, 2 ** 31)) return;
    const bits = this.#regionBits;
    const tag = (lo >>> bits) | (hi << (32 - bits));
    const slot = tag & (SLOTS - 1);
    const fact = slot << FACT_BITS;
    this.#facts[fact + TAG_LO] = tag;
    this.#facts[fact + TAG_HI] = (hi >>> bits) | (reach << REACH_SHIFT);
    this.#facts[fact + FIRST_WORD] = first;
    this.#words[slot] = words;
  }
}

/**
 * The 4 KiB frame of an address of a range, without its tag (that of a data access). Addresses that have one are rare
 * enough for a BigInt.
 */
function plainFrame({ ignored }: PlainRange, lo: number, hi: number): number {
  const frame = (hi >>> 0) * TWO_32 + ((lo & -PAGE) >>> 0);
  return ignored === undefined ? frame : Number(untagged(ignored, BigInt(frame)));
}

/** Writes the physical address that an entry gives a virtual one, as halves. Answers false if the entry is no leaf. */
function put(
  to: Uint32Array,
  at: number,
  codec: LevelCodec,
  code: number,
  entryLo: number,
  entryHi: number,
  lo: number,
  hi: number,
): boolean {
  if ((code & 3) !== LEAF) return unmapped(to, at);
  const { address, offset } = codec.shapes[code >> 2] as CompiledShape;
  to[at] = address.low(entryLo, entryHi) | (lo & offset.lo);
  to[at + 1] = address.high(entryLo, entryHi) | (hi & offset.hi);
  return true;
}

/** Writes {@link UNMAPPED}. */
function unmapped(to: Uint32Array, at: number): false {
  to[at] = 0xffff_ffff;
  to[at + 1] = 0xffff_ffff;
  return false;
}
