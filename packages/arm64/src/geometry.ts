/**
 * Geometries: granule and input size give levels and the root.
 * Sources: Arm Architecture Reference Manual (DDI 0487), "Translation table walk" and "Concatenated translation tables";
 * names and folding as in Linux 6.12 arch/arm64/include/asm/pgtable-hwdef.h and pgtable.h.
 */
import type { GeometryDescription, LevelDescription, NameFolding } from '@pagefold/core';
import { type Granule, hardwareLevel, levelShift, PAGE_BITS, startLevel, strideBits } from './granule.ts';

/** Names of the levels by how many there are: Linux counts them from the pages. */
const NAMES = ['PTE', 'PMD', 'PUD', 'P4D', 'PGD'] as const;

/** Whose top byte is ignored. */
export type TopByteIgnored = boolean | 'data';

/** What a stage-1 geometry is made from. */
export interface Stage1Shape {
  readonly granule: Granule;
  /** 64 - TxSZ. */
  readonly inputBits: number;
  /** Which half of the address space, or `low` for a regime with one range. */
  readonly half: 'low' | 'high';
  /** Effective output address size, bits. Not supplied: 48. */
  readonly outputBits?: number;
  /** Top-byte-ignore; `data`: not of instruction fetches (TBID). Not supplied: no. */
  readonly topByteIgnored?: TopByteIgnored;
  /** Features of the format that the geometry brings with it. */
  readonly features?: readonly string[];
  /** How Linux folds, where it was built for more levels than it found. Not supplied: as compiled for this geometry. */
  readonly folding?: NameFolding;
  /** Smallest alignment of the root in bytes. Not supplied: its own size. */
  readonly rootAlignBytes?: number;
}

function levelsOf(granule: Granule, start: number, inputBits: number, rootAlignBytes = 0): LevelDescription[] {
  const count = 4 - start;
  return Array.from({ length: count }, (_, level): LevelDescription => {
    const hardware = hardwareLevel(level);
    const shift = levelShift(granule, hardware);
    const root = level === count - 1;
    const indexBits = root ? inputBits - shift : strideBits(granule);
    return {
      shift,
      indexBits,
      hardware,
      name: root && count > 1 ? 'PGD' : (NAMES[level] as string),
      leafName: level === 0 ? 'page' : 'block',
      ...(root ? { alignBytes: Math.max(2 ** indexBits * 8, rootAlignBytes) } : {}),
    };
  });
}

/** A stage-1 geometry. */
export function stage1Geometry(shape: Stage1Shape): GeometryDescription {
  const {
    granule,
    inputBits,
    half,
    outputBits = 48,
    topByteIgnored = false,
    features = [],
    folding,
    rootAlignBytes,
  } = shape;
  const start = startLevel(granule, inputBits);
  return {
    name: `${granule}-${inputBits}-${half}`,
    title: `${granule} granule, ${inputBits} bits, ${half === 'low' ? 'lower' : 'upper'} range`,
    levels: levelsOf(granule, start, inputBits, rootAlignBytes),
    vaBits: inputBits,
    paBits: outputBits,
    upper: half === 'low' ? 'zero' : 'one',
    ...(topByteIgnored === false ? {} : { ignored: { bits: [63, 56], dataOnly: topByteIgnored === 'data' } }),
    features,
    ...(folding === undefined ? {} : { folding }),
  };
}

/** What a stage-2 geometry is made from. */
export interface Stage2Shape {
  readonly granule: Granule;
  /** 64 - T0SZ: bits of the intermediate address. */
  readonly inputBits: number;
  /** Hardware level at which the walk starts; the root may be up to 16 concatenated tables. */
  readonly start: number;
  /** Effective output address size, bits. Not supplied: 48. */
  readonly outputBits?: number;
  readonly features?: readonly string[];
}

/** A stage-2 geometry. */
export function stage2Geometry({
  granule,
  inputBits,
  start,
  outputBits = 48,
  features = [],
}: Stage2Shape): GeometryDescription {
  return {
    name: `${granule}-stage2-${inputBits}`,
    title: `${granule} granule, stage 2, ${inputBits} bits from level ${start}`,
    levels: levelsOf(granule, start, inputBits),
    vaBits: inputBits,
    paBits: outputBits,
    upper: 'zero',
    features,
  };
}

/** Does a stage-2 start level fit the input size: at least one bit, at most one table and four bits more? */
export function stage2StartFits(granule: Granule, inputBits: number, start: number): boolean {
  const low = levelShift(granule, start);
  return inputBits >= low + 1 && inputBits <= low + strideBits(granule) + 4;
}

/** Bytes of a page. */
export function pageBytes(granule: Granule): bigint {
  return 1n << BigInt(PAGE_BITS[granule]);
}
