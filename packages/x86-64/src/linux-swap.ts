/**
 * Swap entries: words with P clear that say where a page went. The page number is stored inverted, as those of PROT_NONE
 * pages are: high physical bits are set, so that speculation past the missing P finds no memory (L1TF).
 * Source: Linux 6.12 arch/x86/include/asm/pgtable_64.h ("Encode and de-code a swap entry"), pgtable_types.h
 * (`_PAGE_SWP_*`).
 */
import { ArgumentError } from '@pagefold/core';
import { linuxX86Bits } from './linux-bits.ts';

/** Where a page went. */
export interface SwapEntry {
  /** Swap area (or kind of special entry), 5 bits. */
  readonly type: number;
  /** Page in it, 50 bits. */
  readonly offset: bigint;
  /** The page belongs to one process alone. Not supplied: false. */
  readonly exclusive?: boolean;
  /** It was written since somebody began to track that. Not supplied: false. */
  readonly softDirty?: boolean;
  /** Writing it is for userfaultfd. Not supplied: false. */
  readonly uffdWriteProtected?: boolean;
}

const TYPE_SHIFT = 59n;
const TYPES = 2 ** 5;
/** The offset lies between the type and the PROT_NONE bit. */
const OFFSET_SHIFT = 9n;
const OFFSET_MASK = (1n << (TYPE_SHIFT - OFFSET_SHIFT)) - 1n;

const FLAGS = {
  exclusive: linuxX86Bits('SWP_EXCLUSIVE'),
  softDirty: linuxX86Bits('SWP_SOFT_DIRTY'),
  uffdWriteProtected: linuxX86Bits('SWP_UFFD_WP'),
} as const;

/** Any of these makes an entry present to Linux: no swap entry has them. */
const PRESENT = linuxX86Bits('PRESENT PSE PROTNONE');

/**
 * Builds a swap entry.
 * @throws ArgumentError `swap-entry` if type or offset do not fit, or the entry would be 0, which says that there is none
 */
export function encodeSwapEntry(entry: SwapEntry): bigint {
  const { type, offset } = entry;
  if (!Number.isInteger(type) || type < 0 || type >= TYPES || offset < 0n || offset > OFFSET_MASK) {
    throw new ArgumentError('swap-entry', 'a swap entry has 5 bits of type and 50 of offset', {
      type: String(type),
      offset,
    });
  }
  const flags = (Object.keys(FLAGS) as (keyof typeof FLAGS)[]).filter((name) => entry[name] === true);
  const word = (BigInt(type) << TYPE_SHIFT) | ((offset ^ OFFSET_MASK) << OFFSET_SHIFT);
  const result = flags.reduce((bits, name) => bits | FLAGS[name], word);
  if (result === 0n)
    throw new ArgumentError('swap-entry', 'type 0 has no such offset: the entry would be 0', { offset });
  return result;
}

/**
 * Reads a swap entry.
 * @returns what it says; `undefined` for an entry that is none (`pte_none`) and for one that is present to Linux
 * @throws ArgumentError `swap-entry` if the word is wider than an entry
 */
export function decodeSwapEntry(word: bigint): Required<SwapEntry> | undefined {
  if (BigInt.asUintN(64, word) !== word) throw new ArgumentError('swap-entry', 'an entry has 64 bits', { word });
  if ((word & ~linuxX86Bits('DIRTY ACCESSED')) === 0n || (word & PRESENT) !== 0n) return undefined;
  const has = (flag: bigint): boolean => (word & flag) !== 0n;
  return {
    type: Number(word >> TYPE_SHIFT),
    offset: ((word >> OFFSET_SHIFT) & OFFSET_MASK) ^ OFFSET_MASK,
    exclusive: has(FLAGS.exclusive),
    softDirty: has(FLAGS.softDirty),
    uffdWriteProtected: has(FLAGS.uffdWriteProtected),
  };
}
