/**
 * How Linux cut the arm64 kernel's half over time, as data. Each entry holds from one change to the next; the formulas
 * that use it are in `symbols.ts`.
 *
 * Sources: arch/arm64/include/asm/memory.h, asm/pgtable.h, asm/fixmap.h of the releases named; the changes are "arm64: mm:
 * Flip kernel VA space" (v5.4), "arm64: mm: extend linear region for 52-bit VA configurations" and "tidy up top of kernel
 * VA space" (v5.11), "arm64/bpf: Remove 128MB limit for BPF JIT programs" (v5.16), "arm64: module: rework module VA range
 * selection" (v6.5), "arm64: mm: Move PCI I/O emulation region above the vmemmap region" and its relatives (v6.9).
 */
import { ArgumentError } from '@pagefold/core';
import { checkBuild, type LinuxBuild } from '../linux-builds.ts';

const MIB = 1n << 20n;
const GIB = 1n << 30n;

/** One state of the layout. */
export interface LayoutProfile {
  /** `v5.4-v5.10`. */
  readonly name: string;
  /** What it is and why it differs from the one before. */
  readonly title: string;
  /** First and last series: major * 1000 + minor. */
  readonly from: number;
  readonly to: number;
  /** Which half of the kernel's half the linear map has. */
  readonly linear: 'upper' | 'lower';
  /**
   * Where the shadow ends: 2^(VA_BITS - scale) above the start of the half, the same above the smallest PAGE_END, or at
   * the smallest PAGE_END, so that it cuts into the linear map.
   */
  readonly shadow: 'bottom' | 'above-linear' | 'into-linear';
  /** How the pieces at the top hang together; see `symbols.ts`. */
  readonly top: 'below-linear' | 'below-top' | 'scaled' | 'last-gigabyte';
  /** Bytes of a region of its own for BPF programs. */
  readonly bpfBytes: bigint;
  readonly moduleBytes: bigint;
  /** log2 of a section of memory: the linear map begins at a multiple of at least that. By whether pages have 64K. */
  readonly sectionBits: { readonly small: number; readonly large: number };
  /** 52-bit builds that exist. */
  readonly wide: 'none' | '64K' | 'all';
}

const SECTION_1G = { small: 30, large: 30 } as const;

const v4_6: LayoutProfile = {
  name: 'v4.6-v4.20',
  title: 'the linear map has the upper half, everything else lies below it',
  from: 4006,
  to: 4020,
  linear: 'upper',
  shadow: 'bottom',
  top: 'below-linear',
  bpfBytes: 0n,
  moduleBytes: 128n * MIB,
  sectionBits: SECTION_1G,
  wide: 'none',
};

const v5_4: LayoutProfile = {
  ...v4_6,
  name: 'v5.4-v5.10',
  title: 'the linear map moves to the lower half, so that one kernel serves 48 and 52 bits',
  from: 5004,
  to: 5010,
  linear: 'lower',
  shadow: 'above-linear',
  top: 'below-top',
  bpfBytes: 128n * MIB,
  wide: '64K',
};

const v5_11: LayoutProfile = {
  ...v5_4,
  name: 'v5.11-v5.15',
  title: 'vmemmap becomes an image of the linear map; the shadow cuts into the linear map',
  from: 5011,
  to: 5015,
  shadow: 'into-linear',
  top: 'scaled',
  sectionBits: { small: 27, large: 29 },
};

const v6_5: LayoutProfile = {
  ...v5_11,
  name: 'v6.5-v6.8',
  title: '2 GiB for modules',
  from: 6005,
  to: 6008,
  bpfBytes: 0n,
  moduleBytes: 2n * GIB,
};

/** All states, oldest first. */
export const layoutProfiles: readonly LayoutProfile[] = [
  v4_6,
  { ...v4_6, name: 'v5.0-v5.3', title: 'a region for BPF programs', from: 5000, to: 5003, bpfBytes: 128n * MIB },
  v5_4,
  v5_11,
  { ...v6_5, name: 'v5.16-v6.4', title: 'BPF programs go to vmalloc', from: 5016, to: 6004, moduleBytes: 128n * MIB },
  v6_5,
  {
    ...v6_5,
    name: 'v6.9+',
    title: 'vmemmap ends 1 GiB below the top, I/O and fixmap above it; 52 bits with every granule',
    from: 6009,
    to: 9_999_999,
    top: 'last-gigabyte',
    wide: 'all',
  },
];

/** The newest state. */
export const newestProfile: LayoutProfile = layoutProfiles[layoutProfiles.length - 1] as LayoutProfile;

/**
 * A profile by its name, or by a release that has it: `v6.9+`, `5.10`, `v6.1`, `6.12.107`.
 * @throws ArgumentError `layout-profile` if there is none
 */
export function findLayoutProfile(text: string): LayoutProfile {
  const wanted = text.trim().toLowerCase();
  const named = layoutProfiles.find(({ name }) => name === wanted);
  if (named !== undefined) return named;
  const [, major, minor] = /^v?(\d+)\.(\d+)(?:[.\-+~]|$)/.exec(wanted) ?? [];
  const series = Number(major) * 1000 + Number(minor);
  const found = layoutProfiles.find(({ from, to }) => series >= from && series <= to);
  if (found !== undefined) return found;
  const names = layoutProfiles.map(({ name }) => name).join(', ');
  throw new ArgumentError('layout-profile', `no layout is known for that; known are releases from 4.6 on: ${names}`, {
    profile: text,
  });
}

/** @throws ArgumentError `linux-build` for a build that never was, `layout-profile` for one that the profile lacks */
export function checkProfileBuild(profile: LayoutProfile, build: LinuxBuild): void {
  checkBuild(build);
  if (build.vaBits !== 52 || profile.wide === 'all' || (profile.wide === '64K' && build.granule === '64K')) return;
  throw new ArgumentError('layout-profile', 'such kernels had no 52-bit virtual addresses with that granule', {
    profile: profile.name,
    granule: build.granule,
  });
}
