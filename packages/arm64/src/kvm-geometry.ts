/**
 * Stage-2 geometries: every start level that fits an input size, and the one that KVM takes.
 * Sources: Arm Architecture Reference Manual (DDI 0487), "Concatenated translation tables"; Linux 6.12
 * arch/arm64/include/asm/stage2_pgtable.h, kvm_arm.h, arch/arm64/kvm/hyp/pgtable.c.
 */
import { stage2StartFits } from './geometry.ts';
import { type Granule, levelShift, PAGE_BITS, strideBits } from './granule.ts';
import { levelsNeeded } from './linux-builds.ts';
import { stage2StartLevel } from './regime.ts';

/** A root of stage 2. */
export interface Stage2Start {
  /** Hardware level at which walks start. */
  readonly startLevel: number;
  /** Bits of the index into it. */
  readonly rootIndexBits: number;
  /** Tables that stand side by side as one root: 1 to 16. */
  readonly concatenatedTables: number;
  readonly rootBytes: number;
}

function startAt(granule: Granule, ipaBits: number, startLevel: number): Stage2Start {
  const rootIndexBits = ipaBits - levelShift(granule, startLevel);
  return {
    startLevel,
    rootIndexBits,
    concatenatedTables: 2 ** Math.max(0, rootIndexBits - strideBits(granule)),
    rootBytes: 2 ** rootIndexBits * 8,
  };
}

/**
 * Every start level that the size rule allows, the largest tree first. Limits of small machines are not applied.
 * @param ds 52-bit descriptors (VTCR_EL2.DS): 4K pages may then start at level -1, 16K pages at level 0
 */
export function stage2Starts(granule: Granule, ipaBits: number, ds: boolean): readonly Stage2Start[] {
  const levels = [
    ...(granule === '4K' && ds ? [stage2StartLevel(granule, 0, 1, ds)] : []),
    ...[0, 1, 2, 3].map((sl0) => stage2StartLevel(granule, sl0, 0, ds)),
  ];
  return levels
    .filter((level): level is number => level !== undefined && stage2StartFits(granule, ipaBits, level))
    .sort((a, b) => a - b)
    .map((level) => startAt(granule, ipaBits, level));
}

/** What KVM does for an input size: it concatenates as far as it can. */
export interface KvmStage2 extends Stage2Start {
  readonly levels: number;
  /** VTCR_EL2.SL0; SL2 is never used. */
  readonly sl0: number;
  /** Bytes of the root as allocated: whole pages. */
  readonly allocatedBytes: number;
  /** Pages that the cache must hold before a mapping is made. */
  readonly cachePages: number;
}

/** KVM's stage 2 for an input size (32 to 52 bits). */
export function kvmStage2(granule: Granule, ipaBits: number): KvmStage2 {
  const levels = Math.max(2, levelsNeeded(granule, ipaBits - 4));
  const start = startAt(granule, ipaBits, 4 - levels);
  return {
    ...start,
    levels,
    sl0: (granule === '4K' ? 2 : 3) - start.startLevel,
    allocatedBytes: start.concatenatedTables * 2 ** PAGE_BITS[granule],
    cachePages: levels - 1,
  };
}
