/**
 * Layouts of 32-bit Arm kernels: a few build options and the memory in, regions and facts out.
 * Source: Linux 6.12 Documentation/arch/arm/memory.rst and the headers behind it; see `numbers.ts`.
 */
import { type AddressRange, ArgumentError, type Layout, type Region, sortRegions } from '@pagefold/core';
import { type ArmAddresses, armAddresses, FIXED, VM_SPLITS, VMALLOC_BYTES, type VmSplit } from './numbers.ts';

/** What shapes a layout. */
export interface ArmLayoutOptions {
  /** Not supplied: `3G`. */
  readonly vmsplit?: VmSplit;
  /** Long descriptors. Not supplied: no. */
  readonly lpae?: boolean;
  /** Not supplied: no. */
  readonly kasan?: boolean;
  /** Not supplied: no. */
  readonly highmem?: boolean;
  /** Not supplied: no. */
  readonly thumb2?: boolean;
  /** `vmalloc=`. Not supplied: 240 MiB. */
  readonly vmallocBytes?: bigint;
  /** Memory, in rising order. Not supplied: 1 GiB from 2 GiB on. */
  readonly memory?: readonly AddressRange<bigint>[];
  /** `PHYS_OFFSET`. Not supplied: where memory begins, rounded up to 2 MiB. */
  readonly physOffset?: bigint;
  /** `TEXT_OFFSET`. Not supplied: 0x8000. */
  readonly textOffset?: bigint;
}

const USUAL_MEMORY: readonly AddressRange<bigint>[] = [{ start: 0x8000_0000n, end: 0xc000_0000n }];

/** The numbers of a layout. @throws ArgumentError as {@link armLayout} does */
export function armLayoutNumbers(options: ArmLayoutOptions): ArmAddresses {
  const { vmsplit = '3G', memory = USUAL_MEMORY } = options;
  if (!VM_SPLITS.includes(vmsplit)) {
    throw new ArgumentError('layout-split', `the split is one of ${VM_SPLITS.join(', ')}`, { vmsplit });
  }
  let before = 0n;
  for (const { start, end } of memory) {
    if (start < before || end <= start) {
      throw new ArgumentError('layout-memory', 'memory must be ranges in rising order', { start, end });
    }
    before = end;
  }
  const physOffset = options.physOffset ?? ((memory[0]?.start ?? 0n) + 0x1f_ffffn) & -0x20_0000n;
  return armAddresses({
    vmsplit,
    lpae: options.lpae ?? false,
    kasan: options.kasan ?? false,
    highmem: options.highmem ?? false,
    thumb2: options.thumb2 ?? false,
    vmallocBytes: options.vmallocBytes ?? VMALLOC_BYTES,
    memory,
    physOffset,
    textOffset: options.textOffset ?? 0x8000n,
  });
}

function regionsOf(numbers: ArmAddresses): Region[] {
  const { taskSize, shadow, modules, pkmap, pageOffset, highMemory, vmallocStart, fdt } = numbers;
  const page = 0x1000n;
  return [
    { name: 'user', start: 0n, end: taskSize, purpose: 'programs', kind: 'user', formula: 'up to TASK_SIZE' },
    ...(shadow === undefined
      ? []
      : [
          {
            name: 'kasan_shadow',
            start: shadow.start,
            end: shadow.end,
            purpose: 'KASAN shadow memory',
            kind: 'shadow',
            formula: 'KASAN_SHADOW_START to PAGE_OFFSET - 16M',
          },
        ]),
    { name: 'modules', ...modules, purpose: 'modules, near the kernel', kind: 'modules', formula: 'below PAGE_OFFSET' },
    ...(pkmap === undefined
      ? []
      : [
          {
            name: 'pkmap',
            ...pkmap,
            purpose: 'pages of high memory for a while',
            kind: 'fixed',
            formula: 'PAGE_OFFSET - 2M',
          },
        ]),
    {
      name: 'linear',
      start: pageOffset,
      end: highMemory,
      purpose: 'low memory, the kernel in it',
      kind: 'linear',
      formula: 'PAGE_OFFSET to high_memory',
    },
    {
      name: 'vmalloc',
      start: vmallocStart,
      end: FIXED.vmallocEnd,
      purpose: 'vmalloc and ioremap',
      kind: 'vmalloc',
      formula: 'high_memory + 8M, rounded down to 8M',
    },
    {
      name: 'pci_io',
      start: FIXED.pciIo,
      end: FIXED.pciIo + FIXED.pciIoBytes,
      purpose: 'PCI I/O ports',
      kind: 'io',
      within: ['vmalloc'],
    },
    { name: 'fdt', ...fdt, purpose: 'device tree, read-only', kind: 'fixed', formula: 'two sections from VMALLOC_END' },
    {
      name: 'fixmap',
      start: FIXED.fixmapStart,
      end: FIXED.fixmapEnd,
      purpose: 'pages at fixed addresses',
      kind: 'fixed',
    },
    {
      name: 'vectors',
      start: FIXED.vectors,
      end: FIXED.vectors + 2n * page,
      purpose: 'exception vectors and helpers for programs',
      kind: 'fixed',
    },
  ];
}

function factsOf(numbers: ArmAddresses): Record<string, bigint> {
  const { shadow, pkmap, ttbr1, modules, fdt } = numbers;
  return {
    PAGE_OFFSET: numbers.pageOffset,
    PHYS_OFFSET: numbers.physOffset,
    TASK_SIZE: numbers.taskSize,
    TASK_UNMAPPED_BASE: numbers.taskUnmappedBase,
    MODULES_VADDR: modules.start,
    MODULES_END: modules.end,
    ...(pkmap === undefined ? {} : { PKMAP_BASE: pkmap.start }),
    arm_lowmem_limit: numbers.lowmemLimit,
    high_memory: numbers.highMemory,
    VMALLOC_START: numbers.vmallocStart,
    VMALLOC_END: FIXED.vmallocEnd,
    FDT_FIXED_BASE: fdt.start,
    FDT_FIXED_END: fdt.end,
    FIXADDR_START: FIXED.fixmapStart,
    FIXADDR_END: FIXED.fixmapEnd,
    FIXADDR_TOP: FIXED.fixmapEnd - 0x1000n,
    VECTORS_BASE: FIXED.vectors,
    PCI_IO_VIRT_BASE: FIXED.pciIo,
    swapper_pg_dir: numbers.swapper,
    USER_PTRS_PER_PGD: numbers.userRootEntries,
    ...(shadow === undefined
      ? {}
      : { KASAN_SHADOW_OFFSET: shadow.offset, KASAN_SHADOW_START: shadow.start, KASAN_SHADOW_END: shadow.end }),
    ...(ttbr1 === undefined ? {} : { TTBR1_OFFSET: ttbr1.offset, TTBCR_T1SZ: BigInt(ttbr1.t1sz) }),
  };
}

/**
 * A layout of Linux 6.12.
 * @throws ArgumentError `layout-split` or `layout-memory` if an option cannot be
 */
export function armLayout(options: ArmLayoutOptions = {}): Layout {
  const { vmsplit = '3G', lpae = false, kasan = false } = options;
  const numbers = armLayoutNumbers(options);
  return {
    arch: 'arm',
    name: `${lpae ? 'lpae' : 'short'}-${vmsplit}`,
    profile: 'v6.12',
    title: `Linux v6.12 on 32-bit Arm, ${lpae ? 'long' : 'short'} descriptors, ${vmsplit}${kasan ? ' with KASAN' : ''}`,
    wordBits: 32,
    regions: sortRegions(regionsOf(numbers)),
    facts: factsOf(numbers),
  };
}
