/**
 * Bits that descriptors must have zero although hardware does not refuse them: where an address has no bits in this
 * format, or none at this size.
 * Source: Arm Architecture Reference Manual (DDI 0487), "VMSAv8-64 descriptor formats".
 */
import { maskOf } from '@pagefold/core';
import { stage2Mask } from './entry-bits.ts';
import { type Granule, levelShift, PAGE_BITS } from './granule.ts';

/** Which descriptor. */
export interface DescriptorPlace {
  readonly granule: Granule;
  readonly kind: 'table' | 'block' | 'page';
  /** -1 to 3. */
  readonly hardwareLevel: number;
  /** 52-bit descriptors are in use (4K and 16K). Not supplied: no. */
  readonly lpa2?: boolean;
  /** FEAT_LPA (64K): 15:12 hold an address. Not supplied: no. */
  readonly lpa?: boolean;
}

/** Address bits that must be zero in a valid descriptor. */
export function reservedZeroBits(place: DescriptorPlace): bigint {
  const { granule, kind, hardwareLevel, lpa2 = false, lpa = false } = place;
  const low = PAGE_BITS[granule];
  const above = lpa2 && granule !== '64K' ? 0n : maskOf(2, 48);
  const high = granule === '64K' && lpa ? maskOf(4, 12) : 0n;
  const shift = kind === 'block' ? levelShift(granule, hardwareLevel) : low;
  const below = maskOf(shift - 12, 12);
  // Among the bits below a block's size one has a meaning of its own.
  const used = high | (kind === 'block' ? stage2Mask('nT') : 0n);
  return above | (below & ~used);
}
