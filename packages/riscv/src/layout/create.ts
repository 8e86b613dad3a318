/** RISC-V layouts: profile, mode and a few inputs in, regions and facts out. */
import { type AddressRange, ArgumentError, higherOf, type Layout, lowerOf, sortRegions } from '@pagefold/core';
import { RISCV_MODES, type RiscvMode, riscvGeometries } from '../modes.ts';
import { userAddresses } from '../user-addresses.ts';
import { createVaPa, type VaPa } from '../va-pa.ts';
import { findLayoutProfile, type LayoutProfile, newestProfile } from './profiles.ts';
import { CODE_REACH, type LayoutBase, layoutBase, layoutRegions, taskSize } from './regions.ts';

/** What shapes a layout. */
export interface RiscvLayoutOptions {
  readonly mode: RiscvMode;
  /** A profile, its name, or a release that has it. Not supplied: the newest. */
  readonly profile?: LayoutProfile | string;
  /** Built with KASAN. Not supplied: no. */
  readonly kasan?: boolean;
  /** Where the kernel runs, `_start`. Not supplied: where it is linked. */
  readonly kernelStart?: bigint;
  /** `_end`. Not supplied: 32 MiB above the start. */
  readonly kernelEnd?: bigint;
  /** Physical address of `_start`. Not supplied: where boot loaders put it, 2 MiB (RV32: 4 MiB) above the start of memory. */
  readonly kernelPhys?: bigint;
  /** Bytes of `struct page`. Not supplied: 64, on RV32 32. */
  readonly structPageBytes?: bigint;
  /** Ranges of physical memory. Not supplied: not known, so nothing is said about what of the linear map is used. */
  readonly memory?: readonly AddressRange<bigint>[];
}

/** `PMD_SIZE`: the image is loaded this far above the start of memory, and kernels from v6.4 on round that down to it. */
const LARGE_LEAF: Readonly<Record<32 | 64, bigint>> = { 32: 1n << 22n, 64: 1n << 21n };
/** `SECTION_SIZE`: the first `struct page` is for the start of the section that memory begins in. */
const SECTION = 1n << 27n;

/** Numbers that follow from where memory and the kernel lie. */
function memoryFacts(base: LayoutBase, options: RiscvLayoutOptions): Record<string, bigint> {
  const { mode, profile, pageOffset, kernVirtSize, kernel } = base;
  const memory = options.memory ?? [];
  const [first] = memory;
  if (first === undefined) return options.kernelPhys === undefined ? {} : { phys_addr: options.kernelPhys };
  const bounds = memory.reduce((a, b) => ({
    start: lowerOf(a.start, b.start),
    end: higherOf(a.end, b.end),
  }));
  const wordBits = riscvGeometries[mode].wordBits ?? 64;
  const leaf = LARGE_LEAF[wordBits];
  const kernelPhys = options.kernelPhys ?? bounds.start + leaf;
  const ramBase = profile.linearBase === 'memory' ? bounds.start & -leaf : bounds.start;
  // RV32 has one offset for everything, and that is the kernel's.
  const mapped = wordBits === 64 && profile.linearBase === 'memory' ? ramBase : kernelPhys;
  const filledTo = pageOffset + bounds.end - mapped;
  const limit = pageOffset + kernVirtSize - (mode === 'sv32' ? 0n : profile.linearCut);
  return {
    phys_ram_base: ramBase,
    phys_ram_end: bounds.end,
    phys_addr: kernelPhys,
    va_pa_offset: BigInt.asUintN(wordBits, pageOffset - mapped),
    va_kernel_pa_offset: BigInt.asUintN(wordBits, kernel.start - kernelPhys),
    high_memory: lowerOf(filledTo, limit),
    linear_filled_to: filledTo,
    ...(profile === newestProfile && mode !== 'sv32' ? { vmemmap_start_pfn: (ramBase & -SECTION) >> 12n } : {}),
  };
}

/** Limits of programs, where they are known (the rules of 6.12). */
function userFacts({ mode, profile }: LayoutBase): Record<string, bigint> {
  if (mode === 'sv32' || profile !== newestProfile) return {};
  const user = userAddresses(mode);
  return {
    default_map_window: user.defaultMapWindow,
    mmap_va_bits: BigInt(user.mmapVaBits),
    mmap_end: user.mmapEnd,
    stack_top: user.stackTop,
    stack_top_max: user.stackTopMax,
    task_unmapped_base: user.taskUnmappedBase,
    mmap_rnd_bits_max: BigInt(user.mmapRndBitsMax),
  };
}

function check({
  mode,
  kasan = false,
  kernelStart,
  kernelEnd,
  memory = [],
  structPageBytes,
}: RiscvLayoutOptions): void {
  if (!RISCV_MODES.includes(mode)) {
    throw new ArgumentError('layout-mode', `the mode is one of ${RISCV_MODES.join(', ')}`, { mode: String(mode) });
  }
  if (kasan && mode === 'sv32') throw new ArgumentError('kasan-mode', 'Linux has no KASAN on RV32', { mode });
  if (structPageBytes !== undefined && (structPageBytes < 1n || structPageBytes > 4096n)) {
    throw new ArgumentError('layout-struct-page', 'struct page has 1 to 4096 bytes', { structPageBytes });
  }
  const top = 1n << BigInt(riscvGeometries[mode].wordBits ?? 64);
  for (const [name, value] of Object.entries({ kernelStart, kernelEnd })) {
    if (value !== undefined && (value < 0n || value > top)) {
      throw new ArgumentError('layout-kernel', 'the kernel leaves the machine word', { [name]: value });
    }
  }
  const empty = memory.find(({ start, end }) => start < 0n || end <= start);
  if (empty !== undefined) throw new ArgumentError('layout-memory', 'a memory range is empty', { ...empty });
}

/**
 * A layout.
 * @throws ArgumentError `layout-mode`, `layout-profile`, `kasan-mode`, `layout-kernel`, `layout-memory` or
 *   `layout-struct-page` if an option is none
 */
export function riscvLayout(options: RiscvLayoutOptions): Layout {
  check(options);
  const { mode, kasan = false, kernelStart, kernelEnd, structPageBytes = mode === 'sv32' ? 32n : 64n } = options;
  const given = options.profile ?? newestProfile;
  const profile = typeof given === 'string' ? findLayoutProfile(given, mode) : given;
  if (profile.pageOffset[mode] === undefined) {
    throw new ArgumentError('layout-profile', `${profile.name} has no ${mode}`, { profile: profile.name });
  }
  const base = layoutBase(profile, mode, {
    structPageBytes,
    kasan,
    ...(kernelStart === undefined ? {} : { kernelStart }),
    ...(kernelEnd === undefined ? {} : { kernelEnd }),
  });
  const { kernel } = base;
  if (kernel.end <= kernel.start) {
    throw new ArgumentError('layout-kernel', 'the kernel ends at or below its start', { ...kernel });
  }
  const ceiling = profile.kernelAt === 'vmalloc' ? base.pageOffset : 1n << BigInt(riscvGeometries[mode].wordBits ?? 64);
  if (kernel.start < base.linkAddr || kernel.end > ceiling) {
    throw new ArgumentError('layout-kernel', 'the kernel runs where it is linked or above, in its own region', {
      kernelStart: kernel.start,
      kernelEnd: kernel.end,
      from: base.linkAddr,
      to: ceiling,
    });
  }
  const { linear_filled_to: filledTo, ...memory } = memoryFacts(base, options);
  const regions = layoutRegions(base, filledTo);
  const fixmap = regions.find(({ name }) => name === 'fixmap')?.start ?? 0n;
  return {
    arch: 'riscv',
    name: mode,
    profile: profile.name,
    title: `Linux ${profile.name} on RISC-V ${mode.replace('sv', 'Sv')}${kasan ? ' with KASAN' : ''}`,
    wordBits: riscvGeometries[mode].wordBits ?? 64,
    regions: sortRegions(regions),
    facts: {
      page_offset: base.pageOffset,
      kern_virt_size: base.kernVirtSize,
      task_size: taskSize(mode, fixmap),
      struct_page_max_shift: BigInt(base.structPageShift),
      kernel_link_addr: base.linkAddr,
      virt_addr: kernel.start,
      kernel_end: kernel.end,
      ...(profile.shadow === 'below-modules' && mode !== 'sv32'
        ? { modules_lowest_vaddr: base.linkAddr - CODE_REACH }
        : {}),
      ...(base.shadow === undefined ? {} : { kasan_shadow_offset: base.shadow.shadow.offset }),
      ...memory,
      ...userFacts(base),
    },
  };
}

/**
 * The conversions between virtual and physical addresses of a layout whose memory is known.
 * @throws ArgumentError `layout-memory` if it is not
 */
export function vaPaOfLayout(layout: Layout): VaPa {
  const { page_offset: pageOffset, kern_virt_size: kernVirtSize, virt_addr, kernel_end, phys_addr } = layout.facts;
  const linear = layout.facts.va_pa_offset;
  if (
    pageOffset === undefined ||
    kernVirtSize === undefined ||
    virt_addr === undefined ||
    kernel_end === undefined ||
    phys_addr === undefined ||
    linear === undefined
  ) {
    throw new ArgumentError('layout-memory', 'the layout was made without memory ranges', { layout: layout.title });
  }
  return createVaPa({
    rule: layout.wordBits === 32 ? 'one-offset' : findLayoutProfile(layout.profile).vaToPa,
    pageOffset,
    kernVirtSize,
    physRamBase: BigInt.asUintN(64, pageOffset - linear),
    kernelVirtAddr: virt_addr,
    kernelPhysAddr: phys_addr,
    kernelSize: kernel_end - virt_addr,
  });
}
