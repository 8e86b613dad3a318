/**
 * Shadow memory arithmetic: one shadow byte for each granule of `2^scale` bytes (Linux 6.12 include/linux/kasan.h).
 *
 * Everything wraps in the machine word: the offset is the shadow of address 0, which is usually not where the shadow
 * area begins.
 */
import { ArgumentError } from './errors.ts';
import type { AddressRange } from './range.ts';

/** Where the shadow lies. */
export interface ShadowConfig {
  /** log2 of the bytes that one shadow byte stands for: 3 with compiler instrumentation, 4 with tags. */
  readonly scale: number;
  /** Shadow of address 0. */
  readonly offset: bigint;
  /** Bits of the machine word. Not supplied: 64. */
  readonly wordBits?: 32 | 64;
}

/** The bytes that share one shadow byte. */
export interface Granule {
  /** First address, a multiple of `bytes`. */
  readonly start: bigint;
  readonly bytes: bigint;
  /** Where in it the address stands that was asked about. */
  readonly index: bigint;
}

/** The arithmetic of one configuration. Made by {@link createShadow}. */
export interface Shadow {
  readonly scale: number;
  readonly offset: bigint;
  readonly wordBits: 32 | 64;
  /** Bytes of a granule, `2^scale`. */
  readonly granuleBytes: bigint;
  /** Exclusive end of the shadow: the shadow of "one past the last address"; wraps to 0 at the top of the word. */
  readonly end: bigint;
  /** The shadow byte of an address. */
  shadowOf(address: bigint): bigint;
  /** The first address of the granule that a shadow byte stands for. Inverse of {@link shadowOf}. */
  addressOf(shadow: bigint): bigint;
  /** The granule of an address. */
  granuleOf(address: bigint): Granule;
  /**
   * Start of the shadow of the top `2^coveredBits` bytes of the address space.
   * @param coveredBits log2 of the bytes that have a shadow
   * @param alignBytes rounded down to a multiple of this power of two. Not supplied: 1.
   */
  startFor(coveredBits: number, alignBytes?: bigint): bigint;
  /** The shadow bytes of a range, granules at its edges included. `end` is 0 if it reaches the top of the word. */
  shadowRange(range: AddressRange<bigint>): { readonly start: bigint; readonly end: bigint };
}

/**
 * Fixes a configuration.
 * @throws ArgumentError `shadow-scale` if the scale is not 1 to 16, `shadow-offset` if the offset does not fit the word
 */
export function createShadow(config: ShadowConfig): Shadow {
  const { scale, offset, wordBits = 64 } = config;
  if (!Number.isInteger(scale) || scale < 1 || scale > 16) {
    throw new ArgumentError('shadow-scale', 'a shadow byte stands for 2 to 65536 bytes', { scale: String(scale) });
  }
  if (BigInt.asUintN(wordBits, offset) !== offset) {
    throw new ArgumentError('shadow-offset', 'the offset does not fit the machine word', { offset, wordBits });
  }
  const wrap = (value: bigint): bigint => BigInt.asUintN(wordBits, value);
  const by = BigInt(scale);
  const granuleBytes = 1n << by;
  const end = wrap((1n << BigInt(wordBits - scale)) + offset);
  const shadowOf = (address: bigint): bigint => wrap((wrap(address) >> by) + offset);
  return {
    scale,
    offset,
    wordBits,
    granuleBytes,
    end,
    shadowOf,
    addressOf: (shadow) => wrap(wrap(shadow - offset) << by),
    granuleOf: (address) => {
      const at = wrap(address);
      return { start: at & -granuleBytes, bytes: granuleBytes, index: at & (granuleBytes - 1n) };
    },
    startFor: (coveredBits, alignBytes = 1n) => {
      if (coveredBits < scale || coveredBits > wordBits || (alignBytes & (alignBytes - 1n)) !== 0n) {
        throw new ArgumentError('shadow-start', 'a shadow covers 2^scale bytes to the whole word', {
          coveredBits,
          alignBytes,
        });
      }
      return wrap(end - (1n << BigInt(coveredBits - scale))) & -alignBytes;
    },
    shadowRange: (range) => ({ start: shadowOf(range.start), end: wrap(shadowOf(range.end - 1n) + 1n) }),
  };
}
