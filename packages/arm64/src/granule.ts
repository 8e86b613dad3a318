/**
 * Granules and levels. Arm counts levels from the root (-1 or 0) to the pages (3); we count from the pages (0).
 * Source: Arm Architecture Reference Manual (DDI 0487), "Translation granules" and "Translation table lookup levels".
 */

/** Translation granules. */
export const GRANULES = ['4K', '16K', '64K'] as const;

/** A translation granule: the size of a page and of a whole table. */
export type Granule = (typeof GRANULES)[number];

/** log2 of the bytes of a page. */
export const PAGE_BITS: Readonly<Record<Granule, number>> = { '4K': 12, '16K': 14, '64K': 16 };

/** Index bits of a whole table: entries of 8 bytes. */
export function strideBits(granule: Granule): number {
  return PAGE_BITS[granule] - 3;
}

/** The hardware's number of a level, and back: they count in opposite directions. */
export function hardwareLevel(level: number): number {
  return 3 - level;
}

/** Lowest address bit that the index of a hardware level covers. */
export function levelShift(granule: Granule, hardware: number): number {
  return PAGE_BITS[granule] + strideBits(granule) * (3 - hardware);
}

/** The hardware level at which a stage-1 walk of so many input bits starts. */
export function startLevel(granule: Granule, inputBits: number): number {
  return 3 - Math.floor((inputBits - 1 - PAGE_BITS[granule]) / strideBits(granule));
}

/** Entries of a contiguous group at a hardware level, or none. */
export function contiguousEntries(granule: Granule, hardware: number): number | undefined {
  if (granule === '4K') return hardware >= 1 ? 16 : undefined;
  if (granule === '16K') return hardware === 3 ? 128 : hardware === 2 ? 32 : undefined;
  return hardware >= 2 ? 32 : undefined;
}
