/**
 * Physical memory as page-table code sees it: windows of little-endian 32-bit words.
 *
 * A window is a piece of memory without holes; whoever reads many words keeps the window and indexes it. Everything
 * else (files, dumps, banks, a second stage) hides behind the two methods.
 */
import { type PhysAddr, phys } from './address.ts';
import { checkBigints } from './bigints.ts';
import { MemoryError } from './errors.ts';

/** A piece of memory without holes. `words[i]` is the 32-bit word at `base + 4 * i`. */
export interface MemoryWindow {
  /** Physical address of the first word: a multiple of 8, exact as a number. */
  readonly base: number;
  /** The words, in the host's (little-endian) order; their number is even. */
  readonly words: Uint32Array;
}

/** Physical memory. Both methods take byte addresses as exact numbers below 2^56. */
export interface Memory {
  /**
   * The window that holds the word at `address`, or `undefined` where there is no memory. The window stays valid (it
   * shows later writes) until the memory itself is discarded; a read-only memory may hand out a cached copy.
   */
  window(address: number): MemoryWindow | undefined;
  /**
   * The same for writing.
   * @throws MemoryError where there is no memory; ReadOnlyMemoryError where it cannot be written
   */
  writable(address: number): MemoryWindow;
}

/**
 * Checks a word's address and cuts it in two: the multiple of 8 below it, exact as a number, and the index of its first
 * 32-bit word there. A window holds both words of a multiple of 8.
 */
function locate(address: PhysAddr, bytes: number): { readonly at: number; readonly odd: number } {
  if (typeof address !== 'bigint') checkBigints({ address });
  if (bytes !== 4 && bytes !== 8) throw new MemoryError('word-bytes', 'a word has 4 or 8 bytes', { bytes });
  if (address < 0n || address >= 1n << 56n || address % BigInt(bytes) !== 0n) {
    throw new MemoryError('word-address', 'a word address must be aligned and below 2^56', { address, bytes });
  }
  const odd = Number((address >> 2n) & 1n);
  return { at: Number(address - BigInt(4 * odd)), odd };
}

/**
 * Reads one little-endian word.
 * @param address physical address, a multiple of `bytes`
 * @param bytes 4 or 8
 * @throws MemoryError where there is no memory or the address is not aligned
 */
export function readWord(memory: Memory, address: PhysAddr, bytes: 4 | 8 = 8): bigint {
  const { at, odd } = locate(address, bytes);
  const window = memory.window(at);
  if (window === undefined) throw new MemoryError('no-memory', 'no memory there', { address });
  const index = (at - window.base) / 4 + odd;
  const lo = BigInt(window.words[index] as number);
  return bytes === 4 ? lo : lo | (BigInt(window.words[index + 1] as number) << 32n);
}

/**
 * Writes one little-endian word.
 * @param address physical address, a multiple of `bytes`
 * @param value the word; must fit in `bytes`
 * @throws MemoryError where there is no memory, the address is not aligned, or the value is too large
 */
export function writeWord(memory: Memory, address: PhysAddr, value: bigint, bytes: 4 | 8 = 8): void {
  const { at, odd } = locate(address, bytes);
  if (typeof value !== 'bigint') checkBigints({ value });
  if (BigInt.asUintN(bytes * 8, value) !== value) {
    throw new MemoryError('word-value', `a value does not fit in ${bytes} bytes`, { address, value });
  }
  const window = memory.writable(at);
  const index = (at - window.base) / 4 + odd;
  window.words[index] = Number(value & 0xffff_ffffn);
  if (bytes === 8) window.words[index + 1] = Number(value >> 32n);
}

/** A check that slots can be written, before anything is. Neighbouring slots are asked for once per window. */
export class SlotProbe {
  readonly #memory: Memory;
  #base = Number.NaN;
  #limit = Number.NaN;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  /**
   * @param address physical address of the first slot
   * @param bytes bytes of all slots. Not supplied: one word.
   * @throws what `writable` throws
   */
  prove(address: number, bytes = 4): void {
    const end = address + bytes;
    for (let at = address; at < end; at = this.#limit) {
      if (at >= this.#base && at < this.#limit) continue;
      const { base, words } = this.#memory.writable(at);
      this.#base = base;
      this.#limit = base + words.length * 4;
    }
  }
}

/** The check of {@link SlotProbe} for single slots, as a function. */
export function writeProbe(memory: Memory): (address: number) => void {
  const probe = new SlotProbe(memory);
  return (address) => probe.prove(address);
}

/** One bank of RAM, half-open. */
export interface Bank {
  readonly start: PhysAddr | bigint;
  readonly end: PhysAddr | bigint;
}

/** Bytes of one window of {@link SparseMemory}: small enough to stay near 1.0 host bytes a byte of tables. */
const WINDOW_BYTES = 0x1_0000;

/** How many windows {@link SparseMemory} finds at once: a power of two. */
const RECENT = 8;

interface SparseBank {
  readonly start: number;
  readonly end: number;
  readonly windows: Map<number, MemoryWindow>;
}

/**
 * Sparse RAM: banks with holes between them, backed by typed arrays that come into being, zeroed, when first touched.
 * Outside the banks there is no memory at all.
 */
export class SparseMemory implements Memory {
  /** The banks, sorted, half-open. */
  readonly banks: readonly { readonly start: PhysAddr; readonly end: PhysAddr }[];
  readonly #banks: readonly SparseBank[];
  #hostBytes = 0;
  /** Windows that were asked for lately, by their place: a root and the tables that are worked on seldom share one. */
  readonly #recent: (MemoryWindow | undefined)[] = new Array(RECENT).fill(undefined);

  /**
   * @param banks RAM banks; multiples of 8, below 2^56, not overlapping. Without it, all of 0 to 2^56.
   * @throws MemoryError if a bank is empty, unaligned, too high, or overlaps another
   */
  constructor(banks: readonly Bank[] = [{ start: 0n, end: 1n << 56n }]) {
    const sorted = [...banks].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
    let previous = 0n;
    for (const { start, end } of sorted) {
      checkBigints({ start, end });
      if (start < 0n || start >= end || end > 1n << 56n || start % 8n !== 0n || end % 8n !== 0n) {
        throw new MemoryError('bank-range', 'a bank needs 0 <= start < end <= 2^56 in multiples of 8', { start, end });
      }
      if (start < previous) throw new MemoryError('bank-overlap', 'two banks overlap', { start, previous });
      previous = end;
    }
    this.banks = sorted.map(({ start, end }) => ({ start: phys(start), end: phys(end) }));
    this.#banks = sorted.map(({ start, end }) => ({ start: Number(start), end: Number(end), windows: new Map() }));
  }

  /** Bytes of host memory that back the RAM touched so far. */
  get hostBytes(): number {
    return this.#hostBytes;
  }

  window(address: number): MemoryWindow | undefined {
    const place = (address / WINDOW_BYTES) & (RECENT - 1);
    const recent = this.#recent[place];
    if (recent !== undefined && address >= recent.base && address < recent.base + recent.words.length * 4)
      return recent;
    for (const bank of this.#banks) {
      if (address < bank.start || address >= bank.end) continue;
      const key = Math.floor((address - bank.start) / WINDOW_BYTES);
      const window = bank.windows.get(key) ?? this.#touch(bank, key);
      this.#recent[place] = window;
      return window;
    }
    return undefined;
  }

  writable(address: number): MemoryWindow {
    const window = this.window(address);
    if (window === undefined) throw new MemoryError('no-memory', 'no memory there', { address });
    return window;
  }

  #touch(bank: SparseBank, key: number): MemoryWindow {
    const base = bank.start + key * WINDOW_BYTES;
    const window = { base, words: new Uint32Array((Math.min(base + WINDOW_BYTES, bank.end) - base) / 4) };
    bank.windows.set(key, window);
    this.#hostBytes += window.words.byteLength;
    return window;
  }
}
