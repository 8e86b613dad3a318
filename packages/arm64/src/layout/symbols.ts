/**
 * Linux's constants of the kernel's half, by formula. All arithmetic is modulo 2^64.
 * Source: Linux 6.12 arch/arm64/include/asm/memory.h, asm/pgtable.h, asm/fixmap.h, mm/init.c; older releases as
 * `profiles.ts` says.
 */
import { ArgumentError } from '@pagefold/core';
import { levelShift, PAGE_BITS, startLevel } from '../granule.ts';
import { type LinuxBuild, linuxPaging, runtimeFoldedName, vaBitsMin } from '../linux-builds.ts';
import { checkProfileBuild, type LayoutProfile, newestProfile } from './profiles.ts';
import { type KasanKind, type KasanShadow, kasanShadow } from './shadow.ts';

const MIB = 1n << 20n;
const GIB = 1n << 30n;
const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);
/** `-2^bits`: where a half of so many bits begins. */
const halfStart = (bits: number): bigint => wrap(-(1n << BigInt(bits)));

/** What decides the constants. */
export interface SymbolOptions {
  readonly build: LinuxBuild;
  /** Virtual address bits in use. Not supplied: as built. */
  readonly actualBits?: number;
  /** Not supplied: the newest. */
  readonly profile?: LayoutProfile;
  /** Not supplied: built without, or with tags in hardware. */
  readonly kasan?: KasanKind;
  /** Bytes of `struct page`. Not supplied: 64. */
  readonly structPageBytes?: bigint;
}

/** The options, complete, and what follows at once. */
export interface LayoutBase {
  readonly build: LinuxBuild;
  readonly actualBits: number;
  readonly profile: LayoutProfile;
  readonly structPageBytes: bigint;
  readonly shadow: KasanShadow | undefined;
  readonly pageBits: bigint;
}

/**
 * Fills in what was left out.
 * @throws ArgumentError `linux-build`, `linux-va-bits` or `layout-profile` for what never was; `layout-struct-page`
 */
export function layoutBase(options: SymbolOptions): LayoutBase {
  const { build, actualBits = build.vaBits, profile = newestProfile, kasan, structPageBytes = 64n } = options;
  checkProfileBuild(profile, build);
  // Refuses bits that the build does not run with.
  runtimeFoldedName(build, actualBits);
  if (structPageBytes < 1n || structPageBytes > 4096n) {
    throw new ArgumentError('layout-struct-page', 'struct page has 1 to 4096 bytes', { structPageBytes });
  }
  return {
    build,
    actualBits,
    profile,
    structPageBytes,
    shadow: kasan === undefined ? undefined : kasanShadow(profile, build, actualBits, kasan),
    pageBits: BigInt(PAGE_BITS[build.granule]),
  };
}

/** log2, rounded up. */
function orderOf(bytes: bigint): bigint {
  return BigInt((bytes - 1n).toString(2).length - Number(bytes === 1n));
}

/** `PUD_SIZE`, of folded puds too. */
function pudSize(build: LinuxBuild): bigint {
  return 1n << BigInt(linuxPaging(build).geometry.names.pud.shift);
}

/** The constants at the top: vmemmap, I/O, fixmap, and where vmalloc has to end. */
interface TopSymbols {
  readonly VMEMMAP_START: bigint;
  readonly VMEMMAP_SIZE: bigint;
  readonly VMALLOC_END: bigint;
  readonly PCI_IO_START: bigint;
  readonly PCI_IO_END: bigint;
  readonly FIXADDR_TOP: bigint;
}

const IO_BYTES = 16n * MIB;

function topSymbols(
  { build, actualBits, profile, structPageBytes, pageBits }: LayoutBase,
  PAGE_OFFSET: bigint,
): TopSymbols {
  const least = vaBitsMin(build);
  const scale = pageBits - orderOf(structPageBytes);
  const linear = wrap(halfStart(least - 1) - PAGE_OFFSET);
  /** Bytes of vmemmap for the part of the linear map that fewer bits cannot reach. */
  const unused = (wrap(halfStart(actualBits) - PAGE_OFFSET) >> pageBits) * structPageBytes;
  switch (profile.top) {
    case 'below-linear': {
      const size = 1n << (BigInt(build.vaBits) - pageBits - 1n + orderOf(structPageBytes));
      const start = PAGE_OFFSET - size;
      return chain(start, size, start - 2n * MIB, PAGE_OFFSET - pudSize(build) - size - (64n << 10n));
    }
    case 'below-top': {
      const size = linear >> scale;
      const start = wrap(-size - 2n * MIB);
      return chain(start, size, start - 2n * MIB, wrap(-pudSize(build) - size - (64n << 10n)));
    }
    case 'scaled': {
      const start = wrap(-(1n << (BigInt(build.vaBits) - scale)));
      const io = start - 8n * MIB;
      return { ...chain(start, linear >> scale, io, start - 256n * MIB), FIXADDR_TOP: start - 32n * MIB };
    }
    case 'last-gigabyte': {
      const size = (linear >> pageBits) * structPageBytes;
      const end = wrap(-GIB);
      const start = end - size;
      return {
        VMEMMAP_START: start,
        VMEMMAP_SIZE: size,
        // What fewer bits leave unused of vmemmap goes to vmalloc.
        VMALLOC_END: start + (build.vaBits === least ? 0n : unused) - 8n * MIB,
        PCI_IO_START: end + 8n * MIB,
        PCI_IO_END: end + 8n * MIB + IO_BYTES,
        FIXADDR_TOP: wrap(-8n * MIB),
      };
    }
  }
}

/** Older layouts: I/O below vmemmap, the fixmap 2 MiB below that. */
function chain(start: bigint, size: bigint, ioEnd: bigint, vmallocEnd: bigint): TopSymbols {
  return {
    VMEMMAP_START: start,
    VMEMMAP_SIZE: size,
    VMALLOC_END: vmallocEnd,
    PCI_IO_START: ioEnd - IO_BYTES,
    PCI_IO_END: ioEnd,
    FIXADDR_TOP: ioEnd - IO_BYTES - 2n * MIB,
  };
}

/** Constants by Linux's names; those that a release lacks are not there. */
export interface LayoutSymbols extends TopSymbols {
  readonly PAGE_OFFSET: bigint;
  /** End of the linear map. */
  readonly PAGE_END: bigint;
  readonly MODULES_VADDR: bigint;
  readonly MODULES_END: bigint;
  readonly KIMAGE_VADDR: bigint;
  readonly VMALLOC_START: bigint;
  readonly VMEMMAP_END: bigint;
  /** Up to v5.3: where the kernel's half begins. */
  readonly VA_START?: bigint;
  readonly BPF_JIT_REGION_START?: bigint;
  readonly BPF_JIT_REGION_END?: bigint;
  readonly KASAN_SHADOW_OFFSET?: bigint;
  readonly KASAN_SHADOW_SCALE_SHIFT?: bigint;
  readonly KASAN_SHADOW_START?: bigint;
  readonly KASAN_SHADOW_END?: bigint;
}

/** End of the linear map; exclusive, 2^64 where it has the upper half. */
function pageEnd({ build, actualBits, profile, shadow }: LayoutBase): bigint {
  if (profile.linear === 'upper') return 1n << 64n;
  if (profile.shadow === 'above-linear') return halfStart(actualBits - 1);
  return shadow === undefined ? halfStart(vaBitsMin(build) - 1) : shadow.start;
}

/** The constants of a layout. */
export function layoutSymbols(base: LayoutBase): LayoutSymbols {
  const { build, profile, shadow } = base;
  const upper = profile.linear === 'upper';
  const PAGE_OFFSET = halfStart(upper ? build.vaBits - 1 : build.vaBits);
  // Everything but the linear map begins after the shadow, or where it would end.
  const first = shadow?.end ?? (upper ? halfStart(build.vaBits) : halfStart(vaBitsMin(build) - 1));
  const MODULES_VADDR = first + profile.bpfBytes;
  const MODULES_END = MODULES_VADDR + profile.moduleBytes;
  const top = topSymbols(base, PAGE_OFFSET);
  return {
    PAGE_OFFSET,
    PAGE_END: pageEnd(base),
    MODULES_VADDR,
    MODULES_END,
    KIMAGE_VADDR: MODULES_END,
    VMALLOC_START: MODULES_END,
    ...top,
    VMEMMAP_END: wrap(top.VMEMMAP_START + top.VMEMMAP_SIZE),
    ...(upper ? { VA_START: halfStart(build.vaBits) } : {}),
    ...(profile.bpfBytes === 0n ? {} : { BPF_JIT_REGION_START: first, BPF_JIT_REGION_END: MODULES_VADDR }),
    ...(shadow === undefined
      ? {}
      : {
          KASAN_SHADOW_OFFSET: shadow.shadow.offset,
          KASAN_SHADOW_SCALE_SHIFT: BigInt(shadow.shadow.scale),
          KASAN_SHADOW_START: shadow.start,
          KASAN_SHADOW_END: shadow.end,
        }),
  };
}

/** Numbers that follow from the constants and from how many bits there really are. */
export interface LayoutNumbers {
  /** First address of the linear map that exists. */
  readonly linearStart: bigint;
  readonly linearSize: bigint;
  /** Where vmemmap begins to be used. */
  readonly vmemmapUsedStart: bigint;
  /** What one entry of the root covers. */
  readonly rootSpan: bigint;
  /** What the start of memory is rounded down to. */
  readonly memstartAlign: bigint;
}

/** `ARM64_MEMSTART_ALIGN`: what one table or contiguous group maps best, but at least a section of memory. */
export function memstartAlign({ build: { granule }, profile }: Pick<LayoutBase, 'build' | 'profile'>): bigint {
  const shift = granule === '64K' ? levelShift(granule, 2) : granule === '4K' ? levelShift(granule, 1) : 30;
  return 1n << BigInt(Math.max(shift, profile.sectionBits[granule === '64K' ? 'large' : 'small']));
}

/** The numbers of a layout. */
export function layoutNumbers(base: LayoutBase, symbols: LayoutSymbols): LayoutNumbers {
  const { build, actualBits, structPageBytes, pageBits, profile } = base;
  const linearStart = profile.linear === 'upper' ? symbols.PAGE_OFFSET : halfStart(actualBits);
  const unused = ((linearStart - symbols.PAGE_OFFSET) >> pageBits) * structPageBytes;
  return {
    linearStart,
    linearSize: symbols.PAGE_END - linearStart,
    vmemmapUsedStart: symbols.VMEMMAP_START + unused,
    rootSpan: 1n << BigInt(levelShift(build.granule, startLevel(build.granule, actualBits))),
    memstartAlign: memstartAlign(base),
  };
}

/** `virt_to_page`: the address of the `struct page` of an address in the linear map. */
export function pageStructOf(base: LayoutBase, symbols: LayoutSymbols, va: bigint): bigint {
  const index = wrap(va - symbols.PAGE_OFFSET) >> base.pageBits;
  return wrap(symbols.VMEMMAP_START + index * base.structPageBytes);
}

/** `page_to_virt`: the address in the linear map of a `struct page`; inverse of {@link pageStructOf}. */
export function pageOfStruct(base: LayoutBase, symbols: LayoutSymbols, page: bigint): bigint {
  const index = wrap(page - symbols.VMEMMAP_START) / base.structPageBytes;
  return wrap(symbols.PAGE_OFFSET + (index << base.pageBits));
}
