/**
 * Descriptions compiled to two-word arithmetic: bit tests and split addresses on `lo` and `hi`, the unsigned 32-bit
 * halves of an entry. Nothing here makes a BigInt at run time.
 */
import type { AddressPiece, BitTest } from './format.ts';

/** Low and high halves of a constant, as signed 32-bit numbers ready for bit operations. */
export interface Halves {
  readonly lo: number;
  readonly hi: number;
}

/** Splits a 64-bit constant. */
export function halves(word: bigint): Halves {
  return { lo: Number(BigInt.asIntN(32, word)), hi: Number(BigInt.asIntN(32, word >> 32n)) };
}

/** Joins two halves (of either sign) to an entry. */
export function join(lo: number, hi: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

/** A conjunction of bit tests. */
export class CompiledTests {
  readonly #equalMask: Halves;
  readonly #equalValue: Halves;
  readonly #differs: readonly { readonly mask: Halves; readonly value: Halves }[];
  /** All bits that any test looks at. */
  readonly mask: bigint;
  /** Tests of the same bits contradict each other: nothing can match. */
  readonly impossible: boolean;
  readonly #tests: readonly BitTest[];

  constructor(tests: readonly BitTest[]) {
    this.#tests = tests;
    let mask = 0n;
    let value = 0n;
    let all = 0n;
    let impossible = false;
    const differs: { mask: Halves; value: Halves }[] = [];
    for (const test of tests) {
      all |= test.mask;
      if ('equals' in test) {
        impossible ||= ((test.equals ^ value) & mask & test.mask) !== 0n || (test.equals & ~test.mask) !== 0n;
        mask |= test.mask;
        value |= test.equals;
      } else {
        differs.push({ mask: halves(test.mask), value: halves(test.differs) });
      }
    }
    this.mask = all;
    this.impossible = impossible;
    this.#equalMask = halves(mask);
    this.#equalValue = halves(value);
    this.#differs = differs;
  }

  /**
   * Bits outside `known` that suffice to settle the tests for words that hold `value` in the bits of `known`: while
   * they are all zero, {@link hold} answers as it does for `value` alone. None if `value` settles them already.
   */
  residual(known: bigint, value: bigint): bigint {
    let all = 0n;
    let witness = 0n;
    for (const test of this.#tests) {
      const rest = test.mask & ~known;
      all |= rest;
      if ('equals' in test) {
        if (((value ^ test.equals) & test.mask & known) !== 0n) return 0n;
        // A bit that must be one refutes the test as long as it is zero: it alone need be looked at.
        const ones = test.equals & rest;
        if (ones !== 0n) witness = 1n << BigInt(ones.toString(2).length - 1);
      } else if (rest === 0n && (value & test.mask) === test.differs) {
        return 0n;
      }
    }
    return witness === 0n ? all : witness;
  }

  /** Do all tests hold? */
  hold(lo: number, hi: number): boolean {
    if (this.impossible) return false;
    const mask = this.#equalMask;
    const value = this.#equalValue;
    if ((((lo & mask.lo) ^ value.lo) | ((hi & mask.hi) ^ value.hi)) !== 0) return false;
    for (const test of this.#differs) {
      if ((((lo & test.mask.lo) ^ test.value.lo) | ((hi & test.mask.hi) ^ test.value.hi)) === 0) return false;
    }
    return true;
  }
}

interface Term {
  readonly mask: number;
  readonly scale: number;
  readonly inverse: number;
}

const NO_TERM: Term = { mask: 0, scale: 0, inverse: 0 };

/**
 * A physical address inside an entry. Each piece is at most one masked part of either half times a power of two, so an
 * address is a short sum that is exact in a double.
 */
export class CompiledAddress {
  /** Entry bits that hold the address. */
  readonly mask: bigint;
  readonly #lo: Term;
  readonly #hi: Term;
  readonly #more: readonly (Term & { readonly high: boolean })[];

  /**
   * @param pieces where the address bits lie
   * @param fromBit address bits below this one are not read and not written
   */
  constructor(pieces: readonly AddressPiece[], fromBit: number) {
    const low: Term[] = [];
    const high: Term[] = [];
    let mask = 0n;
    for (const piece of pieces) {
      const skip = Math.max(0, fromBit - piece.addressLo);
      if (skip >= piece.bits) continue;
      const first = piece.entryLo + skip;
      const end = piece.entryLo + piece.bits;
      const shift = piece.addressLo - piece.entryLo;
      mask |= ((1n << BigInt(end - first)) - 1n) << BigInt(first);
      if (first < 32) low.push(term(first, Math.min(end, 32), 2 ** shift));
      if (end > 32) high.push(term(Math.max(first, 32) - 32, end - 32, 2 ** (shift + 32)));
    }
    this.mask = mask;
    this.#lo = low[0] ?? NO_TERM;
    this.#hi = high[0] ?? NO_TERM;
    this.#more = [
      ...low.slice(1).map((part) => ({ ...part, high: false })),
      ...high.slice(1).map((part) => ({ ...part, high: true })),
    ];
  }

  /** The address in an entry, in bytes. */
  decode(lo: number, hi: number): number {
    let address = ((lo & this.#lo.mask) >>> 0) * this.#lo.scale + ((hi & this.#hi.mask) >>> 0) * this.#hi.scale;
    if (this.#more.length !== 0) address += this.#rest(lo, hi);
    return address;
  }

  #rest(lo: number, hi: number): number {
    let address = 0;
    for (const part of this.#more) address += (((part.high ? hi : lo) & part.mask) >>> 0) * part.scale;
    return address;
  }

  /** The low half of the entry bits for an address in bytes. */
  encodeLo(address: number): number {
    let word = (address * this.#lo.inverse) & this.#lo.mask;
    for (const part of this.#more) if (!part.high) word |= (address * part.inverse) & part.mask;
    return word >>> 0;
  }

  /** The high half of the entry bits for an address in bytes. */
  encodeHi(address: number): number {
    let word = (address * this.#hi.inverse) & this.#hi.mask;
    for (const part of this.#more) if (part.high) word |= (address * part.inverse) & part.mask;
    return word >>> 0;
  }
}

/** The bits `first` to `end` of one half, scaled. */
function term(first: number, end: number, scale: number): Term {
  const mask = Number(BigInt.asIntN(32, ((1n << BigInt(end - first)) - 1n) << BigInt(first)));
  return { mask, scale, inverse: 1 / scale };
}
