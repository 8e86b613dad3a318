/** arm64 layouts: build, bits and a few inputs in, regions and facts out. */
import { type AddressRange, ArgumentError, higherOf, type Layout, type Region, sortRegions } from '@pagefold/core';
import type { LinuxBuild } from '../linux-builds.ts';
import { fixmapBytes } from './fixmap.ts';
import { placeLinearMap } from './linear-map.ts';
import { findLayoutProfile, type LayoutProfile } from './profiles.ts';
import type { KasanKind } from './shadow.ts';
import {
  type LayoutBase,
  type LayoutNumbers,
  type LayoutSymbols,
  layoutBase,
  layoutNumbers,
  layoutSymbols,
} from './symbols.ts';

/** What shapes a layout. */
export interface Arm64LayoutOptions {
  readonly build: LinuxBuild;
  /** Virtual address bits in use. Not supplied: as built. */
  readonly actualBits?: number;
  /** A profile, its name, or a release that has it. Not supplied: the newest. */
  readonly profile?: LayoutProfile | string;
  /** Built with KASAN that has a shadow. Not supplied: no. */
  readonly kasan?: KasanKind;
  /** Bytes of `struct page`. Not supplied: 64. */
  readonly structPageBytes?: bigint;
  /** Where the kernel runs, `_text`. Not supplied: `KIMAGE_VADDR`. */
  readonly kernelStart?: bigint;
  /** `_end`. Not supplied: 32 MiB above the start. */
  readonly kernelEnd?: bigint;
  /** Ranges of physical memory. Not supplied: not known, so nothing is said about what of the linear map is used. */
  readonly memory?: readonly AddressRange<bigint>[];
}

const USUAL_KERNEL_BYTES = 32n << 20n;

/** A build in one word: `4K-48`, `64K-52-on-48`. Names of layouts are these. */
export function layoutName({ granule, vaBits }: LinuxBuild, actualBits: number): string {
  return `${granule}-${vaBits}${actualBits === vaBits ? '' : `-on-${actualBits}`}`;
}

function region(
  name: string,
  start: bigint,
  end: bigint,
  purpose: string,
  kind: string,
  formula: string,
  more: Partial<Region> = {},
): Region {
  return { name, start, end, purpose, kind, formula, ...more };
}

/** The regions at the start of the kernel's half, up to modules. */
function codeRegions(symbols: LayoutSymbols): Region[] {
  const { BPF_JIT_REGION_START: bpf, BPF_JIT_REGION_END: bpfEnd, MODULES_VADDR, MODULES_END } = symbols;
  const { KASAN_SHADOW_START: shadow, KASAN_SHADOW_END: shadowEnd } = symbols;
  return [
    ...(shadow === undefined || shadowEnd === undefined
      ? []
      : [
          region('kasan_shadow', shadow, shadowEnd, 'KASAN: shadow of the kernel half', 'shadow', 'KASAN_SHADOW_START'),
        ]),
    ...(bpf === undefined || bpfEnd === undefined
      ? []
      : [region('bpf_jit', bpf, bpfEnd, 'compiled BPF programs', 'modules', 'BPF_JIT_REGION_START + 128M')]),
    region('modules', MODULES_VADDR, MODULES_END, 'modules: within reach of the kernel', 'modules', 'MODULES_VADDR'),
  ];
}

function topRegions({ build }: LayoutBase, symbols: LayoutSymbols, numbers: LayoutNumbers): Region[] {
  const { VMALLOC_START, VMALLOC_END, VMEMMAP_END, PCI_IO_START, PCI_IO_END, FIXADDR_TOP } = symbols;
  const fixmap = FIXADDR_TOP - fixmapBytes(build.granule);
  return [
    region(
      'vmalloc',
      VMALLOC_START,
      VMALLOC_END,
      'the kernel, vmalloc and ioremap',
      'vmalloc',
      'MODULES_END to VMALLOC_END',
    ),
    region(
      'vmemmap',
      numbers.vmemmapUsedStart,
      VMEMMAP_END === 0n ? 1n << 64n : VMEMMAP_END,
      'one struct page for each page of memory',
      'vmemmap',
      'virt_to_page of the start of the linear map, to VMEMMAP_END',
    ),
    region('pci_io', PCI_IO_START, PCI_IO_END, 'PCI I/O ports', 'io', 'PCI_IO_START + 16M'),
    region(
      'fixmap',
      fixmap,
      FIXADDR_TOP,
      'addresses fixed at build time: device tree, early I/O, early tables',
      'fixed',
      'FIXADDR_TOP downwards, with every option built in',
    ),
  ];
}

function linearRegion(base: LayoutBase, symbols: LayoutSymbols, numbers: LayoutNumbers, filledTo?: bigint): Region {
  const formula = base.profile.linear === 'upper' ? 'PAGE_OFFSET to the top' : '-2^VA_BITS in use, to PAGE_END';
  return region(
    'linear',
    numbers.linearStart,
    symbols.PAGE_END,
    'all of memory, at a fixed offset',
    'linear',
    formula,
    {
      growing: true,
      ...(filledTo === undefined ? {} : { usedTo: filledTo }),
    },
  );
}

/** Where memory went, under Linux's names; nothing if it is not known. */
function memoryFacts(
  base: LayoutBase,
  symbols: LayoutSymbols,
  memory: Arm64LayoutOptions['memory'],
): Record<string, bigint> {
  if (memory === undefined || memory.length === 0) return {};
  const map = placeLinearMap(base, { memory });
  const end = map.memory.reduce((most, range) => higherOf(most, range.end), 0n);
  return {
    memstart_addr: BigInt.asUintN(64, map.memstart),
    high_memory: BigInt.asUintN(64, end - map.memstart) | symbols.PAGE_OFFSET,
  };
}

/**
 * A layout.
 * @throws ArgumentError `linux-build`, `linux-va-bits`, `layout-profile`, `layout-struct-page`, `layout-memory` or
 *   `layout-kernel` if an option is none
 */
export function arm64Layout(options: Arm64LayoutOptions): Layout {
  const { build, kasan, memory, actualBits, structPageBytes } = options;
  const profile = typeof options.profile === 'string' ? findLayoutProfile(options.profile) : options.profile;
  const base = layoutBase({
    build,
    ...(profile === undefined ? {} : { profile }),
    ...(kasan === undefined ? {} : { kasan }),
    ...(actualBits === undefined ? {} : { actualBits }),
    ...(structPageBytes === undefined ? {} : { structPageBytes }),
  });
  const symbols = layoutSymbols(base);
  const numbers = layoutNumbers(base, symbols);
  const kernelStart = options.kernelStart ?? symbols.KIMAGE_VADDR;
  const kernelEnd = options.kernelEnd ?? kernelStart + USUAL_KERNEL_BYTES;
  if (kernelEnd <= kernelStart || kernelStart < symbols.KIMAGE_VADDR || kernelEnd > symbols.VMALLOC_END) {
    throw new ArgumentError('layout-kernel', 'the kernel runs between KIMAGE_VADDR and VMALLOC_END', {
      start: kernelStart,
      end: kernelEnd,
    });
  }
  const facts = memoryFacts(base, symbols, memory);
  const name = layoutName(build, base.actualBits);
  const shadowed = kasan === undefined ? '' : kasan === 'generic' ? ' with KASAN' : ' with KASAN by software tags';
  const { PAGE_END, ...rest } = symbols;
  return {
    arch: 'arm64',
    name,
    profile: base.profile.name,
    title: `Linux ${base.profile.name} on arm64 ${name}${shadowed}`,
    wordBits: 64,
    regions: sortRegions([
      region('user', 0n, 1n << BigInt(base.actualBits), 'programs', 'user', '0 to 2^VA_BITS in use'),
      linearRegion(base, symbols, numbers, facts.high_memory),
      ...codeRegions(symbols),
      ...topRegions(base, symbols, numbers),
      region('kernel', kernelStart, kernelEnd, 'the kernel itself', 'kernel', 'KIMAGE_VADDR, plus the KASLR offset', {
        within: ['vmalloc'],
      }),
    ]),
    facts: {
      va_bits: BigInt(build.vaBits),
      vabits_actual: BigInt(base.actualBits),
      struct_page_size: base.structPageBytes,
      ...rest,
      PAGE_END: BigInt.asUintN(64, PAGE_END),
      linear_size: numbers.linearSize,
      root_span: numbers.rootSpan,
      memstart_align: numbers.memstartAlign,
      ...facts,
    },
  };
}
