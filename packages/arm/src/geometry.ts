/**
 * Geometries of 32-bit Arm. Linux sees two-level hardware as pairs: one pgd entry is two first-level words, one page
 * holds two second-level tables and their software copies.
 * Sources: DDI 0406, B3.5.3, B3.6.5; Linux 6.12 arch/arm/include/asm/pgtable-2level.h, pgtable-3level.h.
 */
import type { GeometryDescription } from '@pagefold/core';

/**
 * Short descriptors under a root that covers `2 ** bits` bytes: 32 for TTBR1 or TTBCR.N = 0, 32 - N for TTBR0.
 * @param supersections does the processor have them? Only they hold addresses above 4 GiB. Not supplied: yes.
 */
export function shortGeometry(bits = 32, supersections = true): GeometryDescription {
  return {
    name: bits === 32 ? 'short' : `short-${bits}`,
    title: 'short descriptors',
    levels: [
      { shift: 12, indexBits: 8, hardware: 2, name: 'L2', leafName: 'small page' },
      { shift: 20, indexBits: bits - 20, hardware: 1, name: 'L1', leafName: 'section' },
    ],
    vaBits: bits,
    paBits: supersections ? 40 : 32,
    wordBits: 32,
    upper: 'zero',
    folding: {
      offset: 'same-slot',
      ...(bits === 32 ? { pairs: { upperEntries: 2, pageBytes: 4096, hardwareOffset: 2048 } } : {}),
    },
  };
}

/**
 * Long descriptors for a region of `2 ** bits` bytes (32 - TxSZ). A region of 1 GiB or less starts at level 2.
 */
export function lpaeGeometry(bits = 32, upper: 'zero' | 'one' = 'zero'): GeometryDescription {
  const levels = [
    { shift: 12, indexBits: 9, hardware: 3, name: 'PTE', leafName: 'page' },
    {
      shift: 21,
      indexBits: bits <= 30 ? bits - 21 : 9,
      hardware: 2,
      name: bits <= 30 ? 'PGD' : 'PMD',
      leafName: 'block',
    },
    { shift: 30, indexBits: bits - 30, hardware: 1, name: 'PGD', leafName: 'block' },
  ];
  return {
    name: bits === 32 ? 'lpae' : `lpae-${bits}-${upper}`,
    title: 'long descriptors',
    levels: bits <= 30 ? levels.slice(0, 2) : levels,
    vaBits: bits,
    paBits: 40,
    wordBits: 32,
    upper,
    ...(bits === 25 ? { features: ['tiny-root'] } : {}),
  };
}
