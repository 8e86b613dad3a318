/**
 * How Linux cut the RISC-V address space over time, as data. Each entry holds from one change to the next; the formulas
 * that use it are in `regions.ts`.
 *
 * Sources: arch/riscv/include/asm/pgtable.h, asm/page.h, asm/fixmap.h, asm/kasan.h, mm/init.c of the releases named;
 * "seed002-v5" is the patch "riscv: Move kernel mapping to vmalloc zone", v5, June 2020. The larger fixmap was merged for
 * v6.3-rc7 and came to stable with 5.15.110, 6.1.27 and 6.2.14.
 */
import { ArgumentError } from '@pagefold/core';
import type { ShadowPlacement } from '../kasan-shadow.ts';
import type { RiscvMode } from '../modes.ts';
import type { VaPaRule } from '../va-pa.ts';
import { entryForRelease, parseRelease, type ReleaseRange } from './release.ts';

/** One state of the layout. */
export interface LayoutProfile {
  /** `v5.18-v6.3`. */
  readonly name: string;
  /** What it is and why it differs from the one before. */
  readonly title: string;
  /** Releases that have it. Empty for what no release had. */
  readonly releases: readonly ReleaseRange[];
  /** `PAGE_OFFSET` by mode; modes without one are not supported. */
  readonly pageOffset: Readonly<Partial<Record<RiscvMode, bigint>>>;
  /** `KERN_VIRT_SIZE`: all from `PAGE_OFFSET` to the top, or a quarter of the mode's addresses. */
  readonly kernVirtSize: 'to-top' | 'quarter';
  /** Bytes that the linear map gives up at its end because kernel and modules stand there. RV64 only. */
  readonly linearCut: bigint;
  /** Where the kernel runs: in the linear map, 2 GiB below the end of vmalloc, or in the last 2 GiB. */
  readonly kernelAt: 'linear' | 'vmalloc' | 'top';
  /** Where modules go on RV64: the end of vmalloc, behind BPF, or the 2 GiB that end with the kernel. */
  readonly modules: 'vmalloc-end' | 'after-bpf' | 'before-kernel';
  /** Where BPF code goes: the last 128 MiB of vmalloc, behind the kernel, or the last 128 MiB of the modules. */
  readonly bpf: 'vmalloc-end' | 'after-kernel' | 'modules-end';
  /** Bytes of the fixmap, by machine width. */
  readonly fixmapBytes: Readonly<Record<32 | 64, bigint>>;
  readonly shadow: ShadowPlacement;
  /** What lies at `PAGE_OFFSET` on RV64: the kernel's first byte, or the start of memory. */
  readonly linearBase: 'kernel' | 'memory';
  /** How virtual addresses of the kernel become physical ones. */
  readonly vaToPa: VaPaRule;
}

const MIB = 1n << 20n;
const GIB = 1n << 30n;

const PAGE_OFFSET_32 = 0xc000_0000n;
const SMALL_FIXMAP = { 64: 2n * MIB, 32: 4n * MIB };
/** With room for a device tree of 4 MiB. */
const LARGE_FIXMAP = { 64: 6n * MIB, 32: 8n * MIB };

const v5_9: Omit<LayoutProfile, 'name' | 'title' | 'pageOffset'> = {
  releases: [{ from: '5.9', to: '5.12' }],
  kernVirtSize: 'to-top',
  linearCut: 0n,
  kernelAt: 'linear',
  modules: 'vmalloc-end',
  bpf: 'vmalloc-end',
  fixmapBytes: SMALL_FIXMAP,
  shadow: 'bottom',
  linearBase: 'kernel',
  vaToPa: 'one-offset',
};

const v5_13: LayoutProfile = {
  ...v5_9,
  name: 'v5.13',
  title: 'the kernel moves to the last 2 GiB, modules in front of it',
  releases: [{ from: '5.13', to: '5.13' }],
  pageOffset: { sv39: 0xffff_ffe0_0000_0000n, sv32: PAGE_OFFSET_32 },
  kernelAt: 'top',
  modules: 'before-kernel',
  bpf: 'after-kernel',
  vaToPa: 'below-kernel',
};

const v5_14: LayoutProfile = {
  ...v5_13,
  name: 'v5.14-v5.16',
  title: 'the linear map stops 4 GiB before the top, BPF moves into the modules',
  releases: [{ from: '5.14', to: '5.16' }],
  linearCut: 4n * GIB,
  bpf: 'modules-end',
};

const v5_17: LayoutProfile = {
  ...v5_14,
  name: 'v5.17',
  title: 'Sv48 by probing; the KASAN shadow ends below the modules in every mode',
  releases: [{ from: '5.17', to: '5.17' }],
  pageOffset: { sv39: 0xffff_ffd8_0000_0000n, sv48: 0xffff_af80_0000_0000n, sv32: PAGE_OFFSET_32 },
  kernVirtSize: 'quarter',
  shadow: 'below-modules',
};

const v5_18: LayoutProfile = {
  ...v5_17,
  name: 'v5.18-v6.3',
  title: 'Sv57 is added',
  releases: [{ from: '5.18', to: '6.2' }],
  pageOffset: { ...v5_17.pageOffset, sv57: 0xff60_0000_0000_0000n },
  vaToPa: 'linear-range',
};

const v6_4: LayoutProfile = {
  ...v5_18,
  name: 'v6.4-v6.10',
  title: 'the fixmap holds the device tree, the linear map begins at the start of memory, KASLR (v6.7)',
  releases: [{ from: '6.4', to: '6.10' }],
  fixmapBytes: LARGE_FIXMAP,
  linearBase: 'memory',
};

/** All states, oldest first. */
export const layoutProfiles: readonly LayoutProfile[] = [
  {
    ...v5_9,
    name: 'v5.9-v5.12 MAXPHYSMEM_128GB',
    title: 'the kernel runs in the linear map, at PAGE_OFFSET',
    pageOffset: { sv39: 0xffff_ffe0_0000_0000n },
  },
  {
    ...v5_9,
    name: 'v5.9-v5.12 MAXPHYSMEM_2GB',
    title: 'the same for code that reaches only the last 2 GiB',
    pageOffset: { sv39: 0xffff_ffff_8000_0000n },
  },
  {
    ...v5_9,
    name: 'v5.9-v5.12 MAXPHYSMEM_1GB',
    title: 'the same on RV32',
    pageOffset: { sv32: PAGE_OFFSET_32 },
  },
  {
    ...v5_9,
    name: 'seed002-v5',
    title: 'proposal of June 2020: the kernel runs in the vmalloc zone',
    releases: [],
    pageOffset: { sv39: 0xffff_ffe0_0000_0000n, sv32: PAGE_OFFSET_32 },
    kernelAt: 'vmalloc',
    modules: 'after-bpf',
    bpf: 'after-kernel',
    vaToPa: 'from-page-offset',
  },
  v5_13,
  v5_14,
  {
    ...v5_14,
    name: 'v5.15.y',
    title: 'v5.15 from 5.15.110 on: the larger fixmap, carried back',
    releases: [{ from: '5.15', to: '5.15', patch: 110 }],
    fixmapBytes: LARGE_FIXMAP,
  },
  v5_17,
  v5_18,
  {
    ...v5_18,
    name: 'v6.1.y-v6.3',
    title: 'v6.3, and from 6.1.27 and 6.2.14 on: the fixmap holds the device tree',
    releases: [
      { from: '6.1', to: '6.1', patch: 27 },
      { from: '6.2', to: '6.2', patch: 14 },
      { from: '6.3', to: '6.3' },
    ],
    fixmapBytes: LARGE_FIXMAP,
  },
  v6_4,
  {
    ...v6_4,
    name: 'v6.11+',
    title: 'the linear map of Sv39 moves down and is whole again',
    releases: [{ from: '6.11' }],
    pageOffset: { ...v6_4.pageOffset, sv39: 0xffff_ffd6_0000_0000n },
    linearCut: 0n,
  },
];

/** The newest state. */
export const newestProfile: LayoutProfile = layoutProfiles[layoutProfiles.length - 1] as LayoutProfile;

/**
 * A profile by its name or by a release that has it: `seed002-v5`, `5.10`, `v6.1`, `6.1.y`, `6.12.107`. A series alone is
 * its first release, so `6.1` and `6.1.y` are two answers. Where builds for several modes of a release differ, the mode
 * decides; without one it is the first that fits, which is the one for 64 bits with most memory.
 * @throws ArgumentError `layout-profile` if there is none, or none for that mode
 */
export function findLayoutProfile(text: string, mode?: RiscvMode): LayoutProfile {
  const wanted = text.trim().toLowerCase();
  const named = layoutProfiles.find(({ name }) => name.toLowerCase() === wanted);
  const fitting = layoutProfiles.filter(({ pageOffset }) => mode === undefined || pageOffset[mode] !== undefined);
  if (named !== undefined) {
    if (fitting.includes(named)) return named;
    const modes = Object.keys(named.pageOffset).join(', ');
    throw new ArgumentError('layout-profile', `${named.name} has no ${mode}, only ${modes}`, { profile: text });
  }
  const release = parseRelease(text);
  const found = release === undefined ? undefined : entryForRelease(fitting, release);
  if (found !== undefined) return found;
  const names = layoutProfiles.map(({ name }) => name).join(', ');
  const forMode = mode === undefined ? '' : ` with ${mode}`;
  throw new ArgumentError(
    'layout-profile',
    `no layout${forMode} is known for that; known are releases from 5.9 on, and ${names}`,
    {
      profile: text,
    },
  );
}
