/**
 * Swap entries: words with V clear that say where a page went. The layouts are registers in core's sense.
 * Source: Linux 6.12 arch/riscv/include/asm/pgtable.h ("Encode and decode a swap entry"), and the same of v5.10, v5.17
 * and v6.1.
 */
import { ArgumentError, decodeRegister, encodeRegister, type RegisterFormat, unnamedBits } from '@pagefold/core';
import type { Xlen } from './entry-bits.ts';
import { type LinuxVersion, sinceVersion } from './linux-config.ts';

/** Where a page went. */
export interface SwapEntry {
  /** Swap area (or kind of special entry), 5 bits. */
  readonly type: number;
  /** Page in it: 52 bits in v6.12 RV64, 20 on RV32; more in older releases. */
  readonly offset: bigint;
  /** Does the page belong to one process alone? Releases before v6.12 cannot say. Not supplied: false. */
  readonly exclusive?: boolean;
}

/** Bits of the type. */
const TYPE_BITS = 5;

/** Lowest bit of the type, and of the marker where there is one. The offset begins above the type. */
function positions(version: LinuxVersion): { readonly type: number; readonly exclusive?: number } {
  // Bit 0 is V, bits 3:1 would make a leaf, bit 5 marks PROT_NONE; the marker takes the place of A.
  if (sinceVersion(version, 'v6.12')) return { type: 7, exclusive: 6 };
  return { type: sinceVersion(version, 'v6.1') ? 6 : 2 };
}

/** The layout of swap entries. Bits that it does not name are zero. */
export function swapFormat(xlen: Xlen, version: LinuxVersion = 'v6.12'): RegisterFormat {
  const { type, exclusive } = positions(version);
  return {
    name: 'swap',
    bits: xlen,
    title: `swap entry of Linux ${version}, RV${xlen}`,
    fields: [
      { name: 'offset', bits: [[xlen - 1, type + TYPE_BITS]], meaning: 'page in the swap area' },
      { name: 'type', bits: [[type + TYPE_BITS - 1, type]], meaning: 'swap area' },
      ...(exclusive === undefined
        ? []
        : [{ name: 'exclusive', bits: [[exclusive, exclusive]] as const, meaning: 'belongs to one process alone' }]),
    ],
  };
}

/**
 * Builds a swap entry.
 * @throws ArgumentError `swap-entry` if type or offset do not fit, or the release knows no exclusive pages
 */
export function encodeSwapEntry(entry: SwapEntry, xlen: Xlen = 64, version: LinuxVersion = 'v6.12'): bigint {
  const { type, offset, exclusive = false } = entry;
  const format = swapFormat(xlen, version);
  const [[top, low] = [0, 0]] = format.fields[0]?.bits ?? [];
  const knows = format.fields.some(({ name }) => name === 'exclusive');
  const typeFits = Number.isInteger(type) && type >= 0 && type < 2 ** TYPE_BITS;
  if (!typeFits || offset < 0n || offset >> BigInt(top - low + 1) !== 0n || (exclusive && !knows)) {
    throw new ArgumentError('swap-entry', `no ${format.title} can say this`, {
      type: String(type),
      offset,
      exclusive: String(exclusive),
    });
  }
  return encodeRegister(format, { type, offset, ...(exclusive && { exclusive: 1 }) });
}

/**
 * Reads a swap entry.
 * @returns what it says; `undefined` for 0 (nothing there) and for words with bits set that are zero in every swap entry
 * @throws ArgumentError `register-width` if the word is wider than an entry
 */
export function decodeSwapEntry(
  word: bigint,
  xlen: Xlen = 64,
  version: LinuxVersion = 'v6.12',
): Required<SwapEntry> | undefined {
  const format = swapFormat(xlen, version);
  const { type = 0n, offset = 0n, exclusive = 0n } = decodeRegister(format, word);
  if (word === 0n || unnamedBits(format, word) !== 0n) return undefined;
  return { type: Number(type), offset, exclusive: exclusive === 1n };
}
