/**
 * How Linux puts physical addresses into entries and takes them out. It masks less than the hardware does: bits 49:48 of
 * an entry are reserved with 64K pages, but Linux leaves address bits there, and reads them.
 * Source: Linux 6.12 arch/arm64/include/asm/pgtable.h (`__pte_to_phys`, `__phys_to_pte_val`), pgtable-hwdef.h.
 */
import { maskOf } from '@pagefold/core';
import { leafMask } from './entry-bits.ts';
import { type Granule, PAGE_BITS } from './granule.ts';

/** How a kernel was built, and what it runs with. */
export interface AddressConfig {
  readonly granule: Granule;
  /** CONFIG_ARM64_PA_BITS. Not supplied: 48. */
  readonly paBits?: 48 | 52;
  /** 52-bit descriptors are in use (TCR.DS); 4K and 16K only. Not supplied: no. */
  readonly lpa2?: boolean;
}

const SHARED = leafMask('sh');

/** Entry bits that hold the upper address bits, and how far up those belong. */
function high(granule: Granule): { readonly mask: bigint; readonly shift: bigint } {
  return granule === '64K' ? { mask: maskOf(4, 12), shift: 36n } : { mask: SHARED, shift: 42n };
}

/** Entry bits of an address. With 64K pages also bits 49:48, as Linux leaves them. */
export function linuxAddressBits(address: bigint, { granule, paBits = 48 }: AddressConfig): bigint {
  if (paBits === 48) return address;
  const { mask, shift } = high(granule);
  return (address | (address >> shift)) & (maskOf(50 - PAGE_BITS[granule], PAGE_BITS[granule]) | mask);
}

/** The address in an entry, as Linux reads it. */
export function linuxAddress(entry: bigint, { granule, paBits = 48, lpa2 = false }: AddressConfig): bigint {
  const low = maskOf(50 - PAGE_BITS[granule], PAGE_BITS[granule]);
  if (paBits === 48) return entry & low;
  const { mask, shift } = high(granule);
  // Without LPA2 a kernel built for it finds shareability where the upper address bits would be.
  const word = granule === '64K' || lpa2 ? entry : entry & ~SHARED;
  return (word & low) | ((word & mask) << shift);
}
