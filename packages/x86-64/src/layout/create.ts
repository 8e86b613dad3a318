/**
 * Layouts of Linux as plain data: the regions with their purposes, and the numbers that belong to them.
 * Source: Linux 6.12 Documentation/arch/x86/x86_64/mm.rst; arch/x86/mm/kaslr.c; arch/x86/include/asm/kasan.h.
 */
import { ArgumentError, type Layout, type Region, sortRegions } from '@pagefold/core';
import type { X86Levels } from '../geometry.ts';
import { linuxX86Layout, START_KERNEL_MAP } from '../linux-layout.ts';

/** `CONFIG_KASAN_SHADOW_OFFSET`: the shadow of address 0, for both numbers of levels. */
export const KASAN_SHADOW_OFFSET = 0xdfff_fc00_0000_0000n;

/** What shapes a layout. */
export interface X86LayoutOptions {
  readonly levels: X86Levels;
  /** Built with KASAN, which switches the randomisation of the bases off. Not supplied: no. */
  readonly kasan?: boolean;
  /** `page_offset_base`, as a kernel with randomised bases has it. Not supplied: where it is without. */
  readonly pageOffsetBase?: bigint | undefined;
  /** `vmalloc_base`. */
  readonly vmallocBase?: bigint | undefined;
  /** `vmemmap_base`. */
  readonly vmemmapBase?: bigint | undefined;
}

const PURPOSES = {
  user: ['user', 'programs'],
  guardHole: ['guard_hole', 'left to hypervisors'],
  ldt: ['ldt', 'LDT of each program, under page table isolation'],
  direct: ['direct', 'all physical memory'],
  vmalloc: ['vmalloc', 'vmalloc and ioremap'],
  vmemmap: ['vmemmap', 'struct pages'],
  kasan: ['kasan_shadow', 'shadow of KASAN'],
  cpuEntryArea: ['cpu_entry_area', 'stacks and tables for entering the kernel'],
  espfix: ['espfix', 'stacks for returning to 16-bit programs'],
  efi: ['efi', 'EFI runtime services, in a root of their own'],
  image: ['image', 'the kernel, linear from physical address 0 or phys_base'],
  modules: ['modules', 'modules'],
  fixmap: ['fixmap', 'fixed mappings, the vsyscall page among them'],
} as const;

type Place = keyof typeof PURPOSES;

/** What one entry of a PUD table maps. */
const PUD_BYTES = 1n << 30n;

const KINDS: Partial<Record<Place, string>> = { user: 'user', direct: 'linear', kasan: 'shadow', image: 'kernel' };

/**
 * The bases that a kernel moves, in their order. Each may begin at any whole entry of a PUD table above the one before
 * (`kernel_randomize_memory`); how far it reaches then depends on the memory, the next one being the limit.
 * @throws ArgumentError `layout-base` for bases out of order, or not aligned so
 */
function movedBases(options: X86LayoutOptions): Partial<Record<Place, { start: bigint; end: bigint }>> {
  const { levels, kasan = false } = options;
  const plain = linuxX86Layout(levels);
  const given = { direct: options.pageOffsetBase, vmalloc: options.vmallocBase, vmemmap: options.vmemmapBase } as const;
  const names = ['direct', 'vmalloc', 'vmemmap'] as const;
  if (names.every((name) => given[name] === undefined)) return {};
  if (kasan) throw new ArgumentError('layout-base', 'a kernel with KASAN does not move its bases');
  const starts = names.map((name) => given[name] ?? BigInt(plain[name].start));
  // What lies above all of them does not move.
  const limits = [...starts.slice(1), BigInt(plain.cpuEntryArea.start)];
  names.forEach((name, i) => {
    const start = starts[i] as bigint;
    if (start % PUD_BYTES === 0n && start >= plain.ldt.end && start < 1n << 64n) return;
    throw new ArgumentError('layout-base', `the base of ${name} must be a multiple of 1 GiB in the kernel's half`, {
      start,
    });
  });
  return Object.fromEntries(
    names.map((name, i) => {
      const start = starts[i] as bigint;
      const end = limits[i] as bigint;
      if (start >= end) {
        throw new ArgumentError('layout-base', `the base of ${name} must lie below what follows`, { start, end });
      }
      // The region keeps its size if nothing is in the way.
      const room = start + (plain[name].end - BigInt(plain[name].start));
      return [name, { start, end: room < end ? room : end }];
    }),
  );
}

/**
 * The layout of a kernel.
 * @throws ArgumentError `layout-base` for bases that no kernel has
 */
export function x86Layout(options: X86LayoutOptions): Layout {
  const { levels, kasan = false } = options;
  const plain = linuxX86Layout(levels);
  const moved = movedBases(options);
  const places = (Object.keys(PURPOSES) as Place[]).filter((place) => place !== 'kasan' || kasan);
  const regions = places.map((place): Region => {
    const [name, purpose] = PURPOSES[place];
    const { start, end } = moved[place] ?? plain[place];
    const kind = KINDS[place];
    const growing = place === 'direct' || place === 'vmemmap' ? { growing: true } : {};
    return { name, start: BigInt(start), end, purpose, ...(kind === undefined ? {} : { kind }), ...growing };
  });
  const startOf = (name: string): bigint => regions.find((region) => region.name === name)?.start ?? 0n;
  return {
    arch: 'x86-64',
    name: `${levels}-level${kasan ? ' kasan' : ''}`,
    profile: 'v6.12',
    title: `Linux 6.12, ${levels} levels${kasan ? ', KASAN' : ''}`,
    wordBits: 64,
    regions: sortRegions(regions),
    facts: {
      PAGE_OFFSET: startOf('direct'),
      VMALLOC_START: startOf('vmalloc'),
      VMEMMAP_START: startOf('vmemmap'),
      __START_KERNEL_map: BigInt(START_KERNEL_MAP),
      ...(kasan ? { KASAN_SHADOW_OFFSET } : {}),
    },
  };
}
