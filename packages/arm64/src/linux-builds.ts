/**
 * The kernels that Linux lets one build, and what a 52-bit build does on hardware without 52-bit virtual addresses: the
 * number of levels is decided at run time, the constants stay as built.
 * Sources: Linux 6.12 arch/arm64/Kconfig, include/asm/memory.h, pgtable-hwdef.h, pgtable.h, mm/pgd.c.
 */
import { ArgumentError, createPaging, type NameFolding, type Paging, type TableName } from '@pagefold/core';
import { arm64Stage1 } from './format.ts';
import { stage1Geometry, type TopByteIgnored } from './geometry.ts';
import { type Granule, levelShift, PAGE_BITS, startLevel, strideBits } from './granule.ts';

/** A build: granule and virtual address bits. */
export interface LinuxBuild {
  readonly granule: Granule;
  /** CONFIG_ARM64_VA_BITS: bits of one half of the address space. */
  readonly vaBits: number;
  /** CONFIG_ARM64_PA_BITS. Not supplied: 52 where that is the only choice (4K and 16K with 52-bit VA), else 48. */
  readonly paBits?: 48 | 52;
}

/** Every build that the configuration menu offers, physical address bits aside. */
export const LINUX_BUILDS: readonly LinuxBuild[] = [
  { granule: '4K', vaBits: 39 },
  { granule: '4K', vaBits: 48 },
  { granule: '4K', vaBits: 52 },
  { granule: '16K', vaBits: 36 },
  { granule: '16K', vaBits: 47 },
  { granule: '16K', vaBits: 48 },
  { granule: '16K', vaBits: 52 },
  { granule: '64K', vaBits: 42 },
  { granule: '64K', vaBits: 48 },
  { granule: '64K', vaBits: 52 },
];

/** @throws ArgumentError `linux-build` unless the configuration menu offers it */
export function checkBuild({ granule, vaBits, paBits }: LinuxBuild): void {
  const known = LINUX_BUILDS.some((build) => build.granule === granule && build.vaBits === vaBits);
  const wide = granule !== '64K' && paBits !== undefined && (paBits === 52) !== (vaBits === 52);
  if (!known || wide) {
    throw new ArgumentError('linux-build', 'Linux cannot be built like that', {
      granule,
      vaBits: String(vaBits),
      paBits: String(paBits ?? 'any'),
    });
  }
}

/** `CONFIG_ARM64_PA_BITS`. */
export function paBitsOf({ granule, vaBits, paBits }: LinuxBuild): 48 | 52 {
  return paBits ?? (granule !== '64K' && vaBits === 52 ? 52 : 48);
}

/** `CONFIG_ARM64_LPA2`: is it built for 52-bit descriptors, which it then uses if the hardware has them? */
export function isLpa2Build({ granule, vaBits }: LinuxBuild): boolean {
  return granule !== '64K' && vaBits === 52;
}

/** `VA_BITS_MIN`: what the build makes do with. With 16K pages 47, so that one whole level goes. */
export function vaBitsMin({ granule, vaBits }: LinuxBuild): number {
  if (vaBits <= 48) return vaBits;
  return granule === '16K' ? 47 : 48;
}

/** `ARM64_HW_PGTABLE_LEVELS`: levels that so many virtual address bits need. */
export function levelsNeeded(granule: Granule, vaBits: number): number {
  return Math.floor((vaBits - 4) / strideBits(granule));
}

/** `CONFIG_PGTABLE_LEVELS`. */
export function levelsBuilt({ granule, vaBits }: LinuxBuild): number {
  return levelsNeeded(granule, vaBits);
}

/** `PGDIR_SHIFT` and `PTRS_PER_PGD`, as built. */
export function pgdConstants({ granule, vaBits }: LinuxBuild): { readonly shift: number; readonly entries: number } {
  const shift = levelShift(granule, startLevel(granule, vaBits));
  return { shift, entries: 2 ** (vaBits - shift) };
}

/** Names in the order of levels from the pages. */
const BY_LEVEL: readonly TableName[] = ['pte', 'pmd', 'pud', 'p4d', 'pgd'];

/** Does a build run with fewer bits than it was built for? */
function falls(build: LinuxBuild, actualBits: number): boolean {
  checkBuild(build);
  if (actualBits !== build.vaBits && actualBits !== vaBitsMin(build)) {
    throw new ArgumentError('linux-va-bits', 'such a kernel does not run with that many virtual address bits', {
      built: String(build.vaBits),
      actual: String(actualBits),
    });
  }
  return actualBits !== build.vaBits;
}

/**
 * The name that is folded at run time: its tables are the root, reached through a pgd whose constants stay as built.
 * With 64K pages none is: the root keeps its 1024 entries, and the hardware is shown the last 64 of them.
 */
export function runtimeFoldedName(build: LinuxBuild, actualBits: number): TableName | undefined {
  if (!falls(build, actualBits)) return undefined;
  const levels = levelsNeeded(build.granule, actualBits);
  return levels < levelsBuilt(build) ? BY_LEVEL[levels - 1] : undefined;
}

/**
 * How a build's names fold with so many bits.
 * @throws ArgumentError `linux-build`, `linux-va-bits`
 */
export function linuxFolding(build: LinuxBuild, actualBits: number): NameFolding {
  if (!falls(build, actualBits)) return { offset: 'same-slot' };
  const folded = runtimeFoldedName(build, actualBits);
  const pgd = pgdConstants(build);
  if (folded === undefined) return { offset: 'same-slot', built: { pgd } };
  const { granule } = build;
  const shift = levelShift(granule, startLevel(granule, actualBits));
  return { offset: 're-index', built: { pgd, [folded]: { shift, entries: 2 ** strideBits(granule) } } };
}

/**
 * `TTBR1_BADDR_4852_OFFSET`: what is added to the kernel's root when it goes into TTBR1, so that the hardware sees only
 * the entries that 48 bits reach. Zero except for 64K builds of 52 bits on smaller hardware; never for TTBR0.
 */
export function rootOffset(build: LinuxBuild, actualBits: number): number {
  if (!falls(build, actualBits) || build.granule !== '64K') return 0;
  const { shift, entries } = pgdConstants(build);
  return (entries - 2 ** (actualBits - shift)) * 8;
}

/** How a root table is allocated (`pgd_alloc`): a page, or an object of a cache of its own with the root's size. */
export function rootAllocation(
  build: LinuxBuild,
  actualBits: number = build.vaBits,
): { readonly bytes: number; readonly cache: boolean } {
  const page = 2 ** PAGE_BITS[build.granule];
  const bytes = pgdConstants(build).entries * 8;
  // A root that is used as a table of the next level must be as large as one.
  if (bytes === page || runtimeFoldedName(build, actualBits) !== undefined) return { bytes: page, cache: false };
  return { bytes, cache: true };
}

/** What else shapes the paging of a kernel. */
export interface LinuxPagingOptions {
  /** Bits in use. Not supplied: as built. */
  readonly actualBits?: number;
  /** Which half. Not supplied: the kernel's. */
  readonly half?: 'low' | 'high';
  /** TCR.TBIn; `data` with TBIDn. Not supplied: no. */
  readonly topByteIgnored?: TopByteIgnored;
  /** TCR.HA. Not supplied: yes, as entries that were not accessed yet are entries for Linux. */
  readonly accessFlagByHardware?: boolean;
  /** TCR.HD. Not supplied: no. */
  readonly dirtyByHardware?: boolean;
}

/**
 * The paging of a kernel, with names that fold as its do.
 * @throws ArgumentError `linux-build`, `linux-va-bits`
 */
export function linuxPaging(build: LinuxBuild, options: LinuxPagingOptions = {}): Paging {
  const { granule } = build;
  const { actualBits = build.vaBits, half = 'high', topByteIgnored = false } = options;
  const { accessFlagByHardware = true, dirtyByHardware = false } = options;
  const folding = linuxFolding(build, actualBits);
  const lpa2 = isLpa2Build(build) && actualBits === 52;
  const pa52 = granule === '64K' && paBitsOf(build) === 52;
  const geometry = stage1Geometry({
    granule,
    inputBits: actualBits,
    half,
    outputBits: lpa2 || pa52 ? 52 : 48,
    topByteIgnored,
    folding,
    rootAlignBytes: lpa2 || pa52 ? 64 : 0,
    features: [
      ...(lpa2 ? ['lpa2'] : []),
      ...(pa52 ? ['pa52'] : []),
      ...(accessFlagByHardware ? ['ha'] : []),
      ...(dirtyByHardware ? ['hd'] : []),
    ],
  });
  return createPaging(arm64Stage1[granule], geometry);
}
