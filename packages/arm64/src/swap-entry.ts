/**
 * Swap entries: words with bit 0 clear that say where a page went. The layout is a register in core's sense.
 * Source: Linux 6.12 arch/arm64/include/asm/pgtable.h ("Encode and decode a swap entry").
 */
import { ArgumentError, decodeRegister, encodeRegister, type RegisterFormat, unnamedBits } from '@pagefold/core';

/** Where a page went. */
export interface SwapEntry {
  /** Swap area (or kind of special entry), 5 bits. */
  readonly type: number;
  /** Page in it, 50 bits. */
  readonly offset: bigint;
  /** Does the page belong to one process alone? Not supplied: false. */
  readonly exclusive?: boolean;
  /** Is it write-protected for userfaultfd? Not supplied: false. */
  readonly uffdWp?: boolean;
}

/** The layout. Bits that it does not name are zero: 1:0 make it invalid, 11 would make it present. */
export const swapFormat: RegisterFormat = {
  name: 'swap',
  bits: 64,
  title: 'swap entry of Linux v6.12',
  fields: [
    { name: 'offset', bits: [[61, 12]], meaning: 'page in the swap area' },
    { name: 'type', bits: [[10, 6]], meaning: 'swap area' },
    { name: 'uffdWp', bits: [[3, 3]], meaning: 'write-protected for userfaultfd' },
    { name: 'exclusive', bits: [[2, 2]], meaning: 'belongs to one process alone' },
  ],
};

/**
 * Builds a swap entry.
 * @throws ArgumentError `swap-entry` if type or offset do not fit
 */
export function encodeSwapEntry({ type, offset, exclusive = false, uffdWp = false }: SwapEntry): bigint {
  if (!Number.isInteger(type) || type < 0 || type > 31 || offset < 0n || offset >> 50n !== 0n) {
    throw new ArgumentError('swap-entry', 'a swap entry has 5 bits of type and 50 bits of offset', {
      type: String(type),
      offset,
    });
  }
  return encodeRegister(swapFormat, { type, offset, exclusive: Number(exclusive), uffdWp: Number(uffdWp) });
}

/**
 * Reads a swap entry.
 * @returns what it says; `undefined` for 0 (nothing there) and for words with bits set that are zero in every swap entry
 */
export function decodeSwapEntry(word: bigint): Required<SwapEntry> | undefined {
  const { type = 0n, offset = 0n, exclusive = 0n, uffdWp = 0n } = decodeRegister(swapFormat, word);
  if (word === 0n || unnamedBits(swapFormat, word) !== 0n) return undefined;
  return { type: Number(type), offset, exclusive: exclusive === 1n, uffdWp: uffdWp === 1n };
}
