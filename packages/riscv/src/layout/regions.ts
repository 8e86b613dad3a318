/**
 * The regions of a kernel's half, from the top of the chain down: each begins where the next one says.
 * Source: Linux 6.12 arch/riscv/include/asm/pgtable.h, asm/page.h, asm/fixmap.h, kernel/module.c, net/bpf_jit_core.c and
 * their older states; the profile says which.
 */
import { higherOf, type Region } from '@pagefold/core';
import { type KasanShadow, kasanShadow } from '../kasan-shadow.ts';
import { KERNEL_LINK_ADDR } from '../kaslr.ts';
import { type RiscvMode, riscvGeometries } from '../modes.ts';
import type { LayoutProfile } from './profiles.ts';

const PAGE = 4096n;
const MIB = 1n << 20n;
const GIB = 1n << 30n;
const pageUp = (address: bigint): bigint => (address + PAGE - 1n) & -PAGE;
const pageDown = (address: bigint): bigint => address & -PAGE;

/** How far code reaches: modules and BPF must lie within this of the kernel. */
export const CODE_REACH: bigint = 2n * GIB;

/** What one entry of the root table covers, `PGDIR_SIZE`. */
export function rootSpan(mode: RiscvMode): bigint {
  return 1n << BigInt(riscvGeometries[mode].levels.at(-1)?.shift ?? 0);
}

/** `BPF_JIT_REGION_SIZE`. */
const BPF_BYTES = 128n * MIB;

/** Where the kernel stands. */
interface KernelSpan {
  /** `_start`. */
  readonly start: bigint;
  /** `_end`. */
  readonly end: bigint;
}

/** The numbers from which regions follow. */
export interface LayoutBase {
  readonly mode: RiscvMode;
  readonly profile: LayoutProfile;
  /** `PAGE_OFFSET`. */
  readonly pageOffset: bigint;
  /** `KERN_VIRT_SIZE`. */
  readonly kernVirtSize: bigint;
  /** `STRUCT_PAGE_MAX_SHIFT`: log2 of the bytes kept for each `struct page`. */
  readonly structPageShift: number;
  /** `KERNEL_LINK_ADDR`. */
  readonly linkAddr: bigint;
  readonly kernel: KernelSpan;
  /** Not supplied: built without KASAN. */
  readonly shadow?: KasanShadow;
}

/** What a caller decides about {@link LayoutBase}. */
interface LayoutInputs {
  readonly structPageBytes: bigint;
  readonly kernelStart?: bigint;
  readonly kernelEnd?: bigint;
  readonly kasan: boolean;
}

/** Bytes of a kernel that nobody described: about what a distribution's takes. */
const USUAL_KERNEL_BYTES = 32n * MIB;

function linkAddrOf(profile: LayoutProfile, mode: RiscvMode, pageOffset: bigint): bigint {
  if (profile.kernelAt === 'vmalloc') return pageOffset - CODE_REACH;
  return profile.kernelAt === 'top' && mode !== 'sv32' ? KERNEL_LINK_ADDR : pageOffset;
}

/** log2, rounded up. */
function orderOf(bytes: bigint): number {
  return (bytes - 1n).toString(2).length - Number(bytes === 1n);
}

/** The numbers of a profile in a mode. */
export function layoutBase(profile: LayoutProfile, mode: RiscvMode, inputs: LayoutInputs): LayoutBase {
  const pageOffset = profile.pageOffset[mode] ?? 0n;
  const top = 1n << BigInt(riscvGeometries[mode].wordBits ?? 64);
  const quarter = 1n << BigInt(riscvGeometries[mode].vaBits - 2);
  const linkAddr = linkAddrOf(profile, mode, pageOffset);
  const start = inputs.kernelStart ?? linkAddr;
  return {
    mode,
    profile,
    pageOffset,
    kernVirtSize: profile.kernVirtSize === 'quarter' ? quarter : top - pageOffset,
    structPageShift: orderOf(inputs.structPageBytes),
    linkAddr,
    kernel: { start, end: inputs.kernelEnd ?? start + USUAL_KERNEL_BYTES },
    ...(inputs.kasan ? { shadow: kasanShadow(mode, profile.shadow) } : {}),
  };
}

/** Fixmap to vmalloc: a chain that hangs from `PAGE_OFFSET`. */
function chain({ mode, profile, pageOffset, kernVirtSize, structPageShift }: LayoutBase): Region[] {
  const { vaBits, wordBits = 64 } = riscvGeometries[mode];
  const vmalloc = pageOffset - kernVirtSize / 2n;
  const vmemmap = vmalloc - (1n << BigInt(vaBits - 12 - 1 + structPageShift));
  const pciIo = vmemmap - 16n * MIB;
  return [
    {
      name: 'fixmap',
      start: pciIo - profile.fixmapBytes[wordBits],
      end: pciIo,
      purpose: 'pages at fixed addresses: early tables, device tree',
      kind: 'fixed',
      formula: 'PCI_IO_START - FIXADDR_SIZE',
    },
    {
      name: 'pci_io',
      start: pciIo,
      end: vmemmap,
      purpose: 'PCI I/O ports',
      kind: 'io',
      formula: 'VMEMMAP_START - 16M',
    },
    {
      name: 'vmemmap',
      start: vmemmap,
      end: vmalloc,
      purpose: 'one struct page for each page of memory',
      kind: 'vmemmap',
      formula: 'VMALLOC_START - 2^(VA_BITS - 12 - 1 + STRUCT_PAGE_MAX_SHIFT)',
    },
    {
      name: 'vmalloc',
      start: vmalloc,
      end: pageOffset,
      purpose: 'vmalloc and ioremap',
      kind: 'vmalloc',
      formula: 'PAGE_OFFSET - KERN_VIRT_SIZE / 2',
    },
  ];
}

/** A place, and what it lies in. */
type Place = Pick<Region, 'start' | 'end' | 'within' | 'formula'>;

/** Where modules go. RV32 code reaches everything, so there they use all of vmalloc. */
function modulesPlace({ mode, profile, pageOffset, kernVirtSize, kernel }: LayoutBase): Place {
  const vmalloc = { start: pageOffset - kernVirtSize / 2n, end: pageOffset };
  const lowest = pageUp(kernel.end) - CODE_REACH;
  if (mode === 'sv32') return { ...vmalloc, within: ['vmalloc'], formula: 'all of vmalloc' };
  switch (profile.modules) {
    case 'vmalloc-end':
      return {
        start: higherOf(lowest, vmalloc.start),
        end: vmalloc.end,
        within: ['vmalloc'],
        formula: 'max(PAGE_ALIGN(_end) - 2G, VMALLOC_START) to VMALLOC_END',
      };
    case 'after-bpf':
      return {
        start: pageUp(kernel.end) + BPF_BYTES,
        end: pageDown(kernel.start) + CODE_REACH,
        within: ['vmalloc'],
        formula: 'BPF_JIT_REGION_END to _start + 2G',
      };
    case 'before-kernel':
      return { start: lowest, end: pageUp(kernel.start), formula: 'PAGE_ALIGN(_end) - 2G to PAGE_ALIGN(_start)' };
  }
}

/** Where compiled BPF programs go. */
function bpfPlace({ mode, profile, pageOffset, kernel }: LayoutBase, modules: Place): Place {
  const upTo = (end: bigint): Place => ({ start: end - BPF_BYTES, end });
  switch (mode === 'sv32' && profile.kernelAt !== 'vmalloc' ? 'vmalloc-end' : profile.bpf) {
    case 'vmalloc-end':
      return { ...upTo(pageOffset), within: ['modules', 'vmalloc'], formula: 'the last 128M of vmalloc' };
    case 'after-kernel':
      return {
        ...upTo(pageUp(kernel.end) + BPF_BYTES),
        within: [profile.kernelAt === 'vmalloc' ? 'vmalloc' : 'kernel'],
        formula: '128M from PAGE_ALIGN(_end)',
      };
    case 'modules-end':
      return { ...upTo(modules.end), within: ['modules'], formula: 'the last 128M of the modules' };
  }
}

/** Regions for code besides the kernel. */
function codeRegions(base: LayoutBase): Region[] {
  const modules = modulesPlace(base);
  return [
    { name: 'modules', ...modules, purpose: 'modules: within reach of the kernel', kind: 'modules' },
    { name: 'bpf_jit', ...bpfPlace(base, modules), purpose: 'compiled BPF programs', kind: 'modules' },
  ];
}

function kernelRegion({ mode, profile, kernel }: LayoutBase): Region {
  const common = { name: 'kernel', start: kernel.start, purpose: 'the kernel itself', kind: 'kernel' };
  if (profile.kernelAt === 'vmalloc') {
    return { ...common, end: kernel.end, within: ['vmalloc'], formula: 'VMALLOC_END - 2G' };
  }
  if (profile.kernelAt === 'linear' || mode === 'sv32') {
    return { ...common, end: kernel.end, within: ['linear'], formula: 'PAGE_OFFSET' };
  }
  // Nothing else comes above it, so all up to the top is its own.
  const formula = 'the last 2G, plus the KASLR offset';
  return { ...common, end: 1n << 64n, growing: true, usedTo: kernel.end, formula };
}

/** The end of the user half: half of what the root covers on RV64, the fixmap's start on RV32 (`TASK_SIZE`). */
export function taskSize(mode: RiscvMode, fixmapStart: bigint): bigint {
  return mode === 'sv32' ? fixmapStart : 1n << BigInt(riscvGeometries[mode].vaBits - 1);
}

/**
 * All regions, in the order in which they are derived.
 * @param filledTo how far the linear map is filled. Not supplied: not known.
 */
export function layoutRegions(base: LayoutBase, filledTo?: bigint): Region[] {
  const { mode, profile, pageOffset, kernVirtSize, shadow } = base;
  const regions = chain(base);
  const cut = mode === 'sv32' ? 0n : profile.linearCut;
  const user: Region = {
    name: 'user',
    start: 0n,
    end: taskSize(mode, regions[0]?.start ?? 0n),
    purpose: 'programs',
    kind: 'user',
    formula: mode === 'sv32' ? '0 to FIXADDR_START' : '0 to PGDIR_SIZE * 256',
  };
  const linear: Region = {
    name: 'linear',
    start: pageOffset,
    end: pageOffset + kernVirtSize - cut,
    purpose: 'all of memory, at a fixed offset',
    kind: 'linear',
    growing: true,
    ...(filledTo === undefined ? {} : { usedTo: filledTo }),
    formula: `PAGE_OFFSET to PAGE_OFFSET + KERN_VIRT_SIZE${cut === 0n ? '' : ' - 4G'}`,
  };
  const kasan: readonly Region[] =
    shadow === undefined
      ? []
      : [
          {
            name: 'kasan_shadow',
            start: shadow.start,
            end: shadow.end,
            purpose: 'KASAN: one byte for each 8 bytes of the kernel half',
            kind: 'shadow',
            formula:
              shadow.placement === 'bottom'
                ? 'the bottom of the kernel half, 2^(VA_BITS - 1 - 3)'
                : 'KERNEL_LINK_ADDR - 2G - 2^(VA_BITS - 1 - 3), rounded down to PGDIR_SIZE',
          },
        ];
  return [user, ...kasan, ...regions, ...codeRegions(base), linear, kernelRegion(base)];
}
