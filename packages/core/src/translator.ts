/**
 * Fast translation for those who do it millions of times: emulators, dump readers, benches.
 *
 * A translator keeps a direct-mapped cache of last-level tables (where a table is, not what it holds: entries are read
 * anew each time). Like a TLB it must be told when table pointers change: call `flush` after a change that linked or
 * unlinked tables. Nothing is allocated for an address that is found; no BigInt is made in a batch.
 */
import type { PhysAddr } from './address.ts';
import { ArgumentError } from './errors.ts';
import { type CompiledShape, LEAF, type LevelCodec } from './level-codec.ts';
import type { Memory } from './memory.ts';
import { type AddressSpace, type Root, withoutTag } from './space.ts';
import { STOP, shapeAt, traverse } from './traverse.ts';

/** Last-level tables that are remembered: a power of two. 4096 of 512 entries reach over 8 GiB of 4 KiB pages. */
const SLOTS = 4096;
/** What a batch writes for an address that is not mapped. */
export const UNMAPPED: bigint = (1n << 64n) - 1n;
const PAGE = 4096;
const TWO_32 = 2 ** 32;

/** One root's part of a translator. */
class RootTranslator {
  readonly root: Root;
  readonly #memory: Memory;
  readonly #codec: LevelCodec;
  readonly #spanBits: number;
  readonly #pageBits: number;
  readonly #indexMask: number;
  readonly #wordShift: number;
  readonly #offsetMask: number;
  /** Tags: the address bits above a last-level table's span, in two halves; -1 in the high half is "none". */
  readonly #tagLo: Int32Array = new Int32Array(SLOTS);
  readonly #tagHi: Int32Array = new Int32Array(SLOTS);
  readonly #base: Int32Array = new Int32Array(SLOTS);
  readonly #words: Uint32Array[] = Array.from({ length: SLOTS }, () => NO_WORDS);
  /** Ranges in pages of 4 KiB, as pairs. */
  readonly #pages: Float64Array;

  constructor(root: Root, memory: Memory) {
    const codec = root.paging.codec(0);
    this.root = root;
    this.#memory = memory;
    this.#codec = codec;
    this.#pageBits = codec.level.shift;
    this.#spanBits = codec.level.shift + codec.level.indexBits;
    this.#indexMask = codec.level.entries - 1;
    this.#wordShift = root.paging.format.entryBytes === 8 ? 1 : 0;
    this.#offsetMask = codec.level.entrySpan - 1;
    this.#pages = Float64Array.from(
      (root.fault === undefined ? root.ranges : []).flatMap(({ start, end }) => [start / PAGE, end / PAGE]),
    );
    this.flush();
  }

  flush(): void {
    this.#tagHi.fill(-1);
    this.#words.fill(NO_WORDS);
  }

  covers(lo: number, hi: number): boolean {
    const page = (hi >>> 0) * 2 ** 20 + (lo >>> 12);
    const pages = this.#pages;
    for (let i = 0; i < pages.length; i += 2) {
      if (page >= (pages[i] as number) && page < (pages[i + 1] as number)) return true;
    }
    return false;
  }

  /** The physical address of the 4 KiB frame, or -1. `lo` and `hi` are the halves of an address that {@link covers} accepts. */
  translate(lo: number, hi: number): number {
    const bits = this.#spanBits;
    const tagLo = (lo >>> bits) | (hi << (32 - bits));
    const tagHi = hi >>> bits;
    const slot = tagLo & (SLOTS - 1);
    if (this.#tagLo[slot] !== tagLo || this.#tagHi[slot] !== tagHi) return this.#walk(lo, hi, slot, tagLo, tagHi);
    const words = this.#words[slot] as Uint32Array;
    const at = (this.#base[slot] as number) + (((lo >>> this.#pageBits) & this.#indexMask) << this.#wordShift);
    const wordLo = words[at] as number;
    const wordHi = this.#wordShift === 1 ? (words[at + 1] as number) : 0;
    const code = this.#codec.classify(wordLo, wordHi);
    if ((code & 3) !== LEAF) return -1;
    const shape = this.#codec.shapes[code >> 2] as CompiledShape;
    const offset = shape.sharedAddress ? lo & (shape.leafBytes - 1) : lo & this.#offsetMask;
    return shape.address.decode(wordLo, wordHi) + (offset & ~(PAGE - 1));
  }

  /** The long way: through all tables; remembers the last-level table if the walk gets there. */
  #walk(lo: number, hi: number, slot: number, tagLo: number, tagHi: number): number {
    const page = (hi >>> 0) * TWO_32 + ((lo & ~(PAGE - 1)) >>> 0);
    const start = page - (page % (this.#offsetMask + 1));
    let result = -1;
    traverse(
      this.#memory,
      { root: this.root, start, end: start + this.#offsetMask + 1 },
      {
        bulk: (cursor) => {
          if (cursor.level !== 0) return 0;
          const window = this.#memory.window(cursor.table);
          const bytes = this.#codec.level.tableBytes;
          if (window !== undefined && cursor.table + bytes <= window.base + window.words.length * 4) {
            this.#tagLo[slot] = tagLo;
            this.#tagHi[slot] = tagHi;
            this.#base[slot] = (cursor.table - window.base) >> 2;
            this.#words[slot] = window.words;
          }
          return 0;
        },
        leaf(cursor) {
          const shape = shapeAt(cursor);
          const span = shape.sharedAddress ? shape.leafBytes : shape.entryBytes;
          result = shape.address.decode(cursor.lo, cursor.hi) + (page % span);
          return STOP;
        },
        missing: () => STOP,
      },
    );
    return result;
  }
}

const NO_WORDS = new Uint32Array(0);

/** Translates quickly through one address space; see the head of this file. */
export class Translator {
  readonly #roots: readonly RootTranslator[];
  readonly #tagged: boolean;
  readonly #box: BigUint64Array = new BigUint64Array(1);
  readonly #halves: Uint32Array = new Uint32Array(this.#box.buffer);

  constructor(space: AddressSpace) {
    this.#roots = space.roots.map((root) => new RootTranslator(root, space.memory));
    this.#tagged = space.roots.some(({ paging }) => paging.geometry.ignoredTopBits > 0);
  }

  /** Forgets all tables. Needed after a change that linked or unlinked tables, and after edits by other hands. */
  flush(): void {
    for (const root of this.#roots) root.flush();
  }

  /**
   * Translates an address given as two halves, without making a BigInt.
   * @param lo bits 31:0 of the virtual address, of either sign
   * @param hi bits 63:32
   * @returns the physical address of the 4 KiB frame, an exact number below 2^56 (add `lo & 0xfff` for the byte; the
   *   sum may not be exact above 2^53), or -1 if the address is not mapped
   */
  find(lo: number, hi: number): number {
    for (const root of this.#roots) if (root.covers(lo, hi)) return root.translate(lo, hi);
    return this.#tagged ? this.#findTagged(lo, hi) : -1;
  }

  /** Addresses with tags in bits that the hardware ignores: rare, so the slow way. */
  #findTagged(lo: number, hi: number): number {
    this.#halves[0] = lo;
    this.#halves[1] = hi;
    const va = this.#box[0] as bigint;
    for (const root of this.#roots) {
      this.#box[0] = withoutTag(root.root, va);
      const plainLo = this.#halves[0] as number;
      const plainHi = this.#halves[1] as number;
      if (root.covers(plainLo, plainHi)) return root.translate(plainLo, plainHi);
    }
    return -1;
  }

  /**
   * Translates one address.
   * @param va any 64-bit address
   * @returns the physical address, or `undefined` if it is not mapped (ask `translate` of the address space why)
   */
  translate(va: bigint): PhysAddr | undefined {
    this.#box[0] = va;
    const lo = this.#halves[0] as number;
    const frame = this.find(lo, this.#halves[1] as number);
    if (frame < 0) return undefined;
    put(this.#halves, 0, frame, lo);
    return this.#box[0] as PhysAddr;
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
    let mapped = 0;
    for (let i = 0; i < from.length; i += 2) {
      const lo = from[i] as number;
      const frame = this.find(lo, from[i + 1] as number);
      if (frame < 0) {
        to[i] = 0xffff_ffff;
        to[i + 1] = 0xffff_ffff;
      } else {
        put(to, i, frame, lo);
        mapped++;
      }
    }
    return mapped;
  }
}

/** Writes the address of a byte as halves: its frame, and the low 12 bits of the virtual address. */
function put(to: Uint32Array, at: number, frame: number, lo: number): void {
  const high = Math.floor(frame / TWO_32);
  to[at] = (frame - high * TWO_32) | (lo & (PAGE - 1));
  to[at + 1] = high;
}
