/**
 * Descriptions compiled to two-word arithmetic: bit tests and split addresses on `lo` and `hi`, the unsigned 32-bit
 * halves of an entry. Nothing here makes a BigInt at run time.
 */
import { TWO_64 } from './address.ts';
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

const TWO_32 = 2 ** 32;
/** A number becomes a BigInt several times faster by way of memory, which cuts it to 32 bits, than by `BigInt()`. */
const box: BigUint64Array = new BigUint64Array(1);
const boxHalves: Uint32Array = new Uint32Array(box.buffer);

/** Joins two halves (of either sign) to an entry. */
export function join(lo: number, hi: number): bigint {
  boxHalves[0] = lo;
  boxHalves[1] = hi;
  return box[0] as bigint;
}

/** A non-negative exact number as a BigInt. */
export function toBig(value: number): bigint {
  if (value >= 2 ** 64) return BigInt(value);
  boxHalves[0] = value;
  boxHalves[1] = value / TWO_32;
  return box[0] as bigint;
}

/**
 * A BigInt as an exact number, if it is a multiple of `unit` from 0 to 2^64; NaN if it is not. Several times faster than
 * `Number()` and BigInt arithmetic: this too goes by way of memory.
 * @param unit a power of two up to 2^32, large enough for its multiples to be exact
 */
export function exactMultiple(value: bigint, unit: number): number {
  if (value < 0n || value >= TWO_64 || unit > TWO_32) return value === TWO_64 ? 2 ** 64 : Number.NaN;
  box[0] = value;
  const lo = boxHalves[0] as number;
  return (lo & (unit - 1)) === 0 ? (boxHalves[1] as number) * TWO_32 + lo : Number.NaN;
}

/**
 * The multiple of `unit` at or below a BigInt from 0 up to 2^64, as an exact number; NaN for others.
 * @param unit a power of two, large enough for its multiples to be exact
 */
export function floorMultiple(value: bigint, unit: number): number {
  if (value < 0n || value >= TWO_64) return Number.NaN;
  if (unit > TWO_32) return Number(value - (value % BigInt(unit)));
  box[0] = value;
  return (boxHalves[1] as number) * TWO_32 + (((boxHalves[0] as number) & -unit) >>> 0);
}

/** The low and high halves of the last few bits of a BigInt, as signed numbers: those that `mask` has. */
export function maskedHalves(value: bigint, mask: Halves): Halves {
  box[0] = value;
  return { lo: (boxHalves[0] as number) & mask.lo, hi: (boxHalves[1] as number) & mask.hi };
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

/**
 * Pieces of an address that lie equally far, modulo 32, from their place in the entry: turning either half of the entry
 * left by that distance puts its bits where the address wants them, and the masks keep those that belong there.
 */
export class Turn {
  readonly by: number = 0;
  /** Bits of the low half of the address that come from the low and from the high half of the entry. */
  lowFromLo = 0;
  lowFromHi = 0;
  /** The same for the high half of the address. */
  highFromLo = 0;
  highFromHi = 0;

  constructor(by: number) {
    this.by = by;
  }

  /** Adds a piece: entry bits `from`, which move left by `shift` (right if negative). */
  add(from: bigint, shift: number): void {
    const moved = (bits: bigint): Halves => halves(shift < 0 ? bits >> BigInt(-shift) : bits << BigInt(shift));
    const lo = moved(from & 0xffff_ffffn);
    const hi = moved(from & ~0xffff_ffffn);
    this.lowFromLo |= lo.lo;
    this.lowFromHi |= hi.lo;
    this.highFromLo |= lo.hi;
    this.highFromHi |= hi.hi;
  }
}

/** Turns half a word left by 0 to 32 bits: shifting by 32 shifts by 0, which is right here. */
export function turned(half: number, by: number): number {
  return (half << by) | (half >>> (32 - by));
}

/** A physical address inside an entry: one turn and four masks; more only for an address that is split oddly. */
export class CompiledAddress {
  /** Entry bits that hold the address. */
  readonly mask: bigint;
  /** The one turn that makes the address, for those who cannot afford a call; `undefined` if it takes several. */
  readonly turn: Turn | undefined;
  readonly #turns: readonly Turn[];

  /**
   * @param pieces where the address bits lie
   * @param fromBit address bits below this one are not read and not written
   */
  constructor(pieces: readonly AddressPiece[], fromBit: number) {
    const turns: Turn[] = [];
    let mask = 0n;
    for (const { entryLo, addressLo, bits } of pieces) {
      const skip = Math.max(0, fromBit - addressLo);
      if (skip >= bits) continue;
      const from = ((1n << BigInt(bits - skip)) - 1n) << BigInt(entryLo + skip);
      const shift = addressLo - entryLo;
      const known = turns.find(({ by }) => by === (shift & 31));
      const turn = known ?? new Turn(shift & 31);
      turn.add(from, shift);
      if (known === undefined) turns.push(turn);
      mask |= from;
    }
    this.mask = mask;
    this.turn = turns.length > 1 ? undefined : (turns[0] ?? new Turn(0));
    this.#turns = turns;
  }

  /** The address in an entry, in bytes. */
  decode(lo: number, hi: number): number {
    const { turn } = this;
    if (turn === undefined) return (this.#splitHigh(lo, hi) >>> 0) * TWO_32 + (this.#splitLow(lo, hi) >>> 0);
    const { by } = turn;
    const one = turned(lo, by);
    const other = turned(hi, by);
    const high = (one & turn.highFromLo) | (other & turn.highFromHi);
    const low = (one & turn.lowFromLo) | (other & turn.lowFromHi);
    return (high >>> 0) * TWO_32 + (low >>> 0);
  }

  /** Bits 31:0 of the address in an entry, as a signed number. */
  low(lo: number, hi: number): number {
    const { turn } = this;
    if (turn === undefined) return this.#splitLow(lo, hi);
    return (turned(lo, turn.by) & turn.lowFromLo) | (turned(hi, turn.by) & turn.lowFromHi);
  }

  /** Bits 63:32 of the address in an entry, as a signed number. */
  high(lo: number, hi: number): number {
    const { turn } = this;
    if (turn === undefined) return this.#splitHigh(lo, hi);
    return (turned(lo, turn.by) & turn.highFromLo) | (turned(hi, turn.by) & turn.highFromHi);
  }

  #splitLow(lo: number, hi: number): number {
    let low = 0;
    for (const turn of this.#turns) {
      low |= (turned(lo, turn.by) & turn.lowFromLo) | (turned(hi, turn.by) & turn.lowFromHi);
    }
    return low;
  }

  #splitHigh(lo: number, hi: number): number {
    let high = 0;
    for (const turn of this.#turns) {
      high |= (turned(lo, turn.by) & turn.highFromLo) | (turned(hi, turn.by) & turn.highFromHi);
    }
    return high;
  }

  /** The low half of the entry bits for an address in bytes. */
  encodeLo(address: number): number {
    const { turn } = this;
    const low = address | 0;
    const high = Math.floor(address / TWO_32) | 0;
    if (turn !== undefined) {
      return (turned(low & turn.lowFromLo, 32 - turn.by) | turned(high & turn.highFromLo, 32 - turn.by)) >>> 0;
    }
    let word = 0;
    for (const turn of this.#turns) {
      word |= turned(low & turn.lowFromLo, 32 - turn.by) | turned(high & turn.highFromLo, 32 - turn.by);
    }
    return word >>> 0;
  }

  /** The high half of the entry bits for an address in bytes. */
  encodeHi(address: number): number {
    const { turn } = this;
    const low = address | 0;
    const high = Math.floor(address / TWO_32) | 0;
    if (turn !== undefined) {
      return (turned(low & turn.lowFromHi, 32 - turn.by) | turned(high & turn.highFromHi, 32 - turn.by)) >>> 0;
    }
    let word = 0;
    for (const turn of this.#turns) {
      word |= turned(low & turn.lowFromHi, 32 - turn.by) | turned(high & turn.highFromHi, 32 - turn.by);
    }
    return word >>> 0;
  }
}
