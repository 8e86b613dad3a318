/**
 * The fixmap: its static tables, the device tree in it, and the slots through which tables are reached while there is no
 * linear map. Source: Linux 6.12 arch/arm64/mm/fixmap.c, arch/arm64/kernel/setup.c (`setup_machine_fdt`).
 */
import {
  BootError,
  commandOptions,
  type FixmapEvent,
  FixmapPhase,
  latePhase,
  type PhysAddr,
  phys,
  StaticTables,
  type TableAllocator,
  type VirtAddr,
  writeWord,
} from '@pagefold/core';
import { fixmapAddress, fixmapBytes, fixmapSlots } from '../layout/fixmap.ts';
import { linuxAddressBits } from '../linux-addresses.ts';
import { createPgdMapping } from './create-mapping.ts';
import { type Kernel, kernelRoot, symbolPa, tablesPa } from './kernel.ts';
import { addressConfig, NO_TABLES, type PageTree, slotAt, tableBelow } from './page-tree.ts';

/** `MAX_FDT_SIZE`. */
const FDT_BYTES = 1n << 21n;
/** Slots by the level of the tables that are reached through them. */
const TABLE_SLOTS = ['FIX_PTE', 'FIX_PMD', 'FIX_PUD', 'FIX_P4D'] as const;

/** The address of a slot of the fixmap by its name. */
export function fixmapSlot({ options, symbols }: Kernel, name: string): VirtAddr {
  const { granule } = options.build;
  const index = fixmapSlots(granule, { isolation: options.isolation })[name];
  if (index === undefined) throw new BootError('fixmap-slot', 'the fixmap has no such slot', { slot: name });
  return fixmapAddress(granule, symbols.FIXADDR_TOP, index);
}

/** The kernel's own tree, tables at their physical addresses: what the image's symbols are reached by. */
export function swapperTree(kernel: Kernel, allocator: TableAllocator, root = 'swapper_pg_dir'): PageTree {
  return {
    paging: kernel.paging,
    memory: kernel.memory,
    root: kernelRoot(kernel, root),
    addresses: addressConfig(kernel.options.build, kernel.decision.lpa2),
    phase: latePhase(allocator, 0n),
  };
}

/** First address of the fixmap and of what follows it. */
function fixmapRange({ options, symbols }: Kernel): { readonly start: bigint; readonly end: bigint } {
  const end = symbols.FIXADDR_TOP;
  return { start: end - fixmapBytes(options.build.granule, { isolation: options.isolation }), end };
}

/** Walks down to the last table for an address, making what is missing. */
function descend(tree: PageTree, va: bigint): PhysAddr {
  let table = tree.root;
  for (let level = tree.paging.geometry.root.level; level > 0; level--) {
    table = tableBelow(tree, slotAt(tree, table, level, va), level, va, 0n);
  }
  return table;
}

/** `early_fixmap_init`: hooks the static tables in, without attributes. Tables of the image that are there are used. */
export function earlyFixmapInit(kernel: Kernel): void {
  const { start, end } = fixmapRange(kernel);
  const { pageBytes, geometry } = kernel.paging;
  const bss = (symbolPa(kernel, '__bss_start') + pageBytes - 1n) & -pageBytes;
  const span = BigInt(geometry.levels[1]?.entrySpan ?? 0);
  const tables = Number((end - 1n) / span - start / span) + 1;
  const place = (name: string, page: bigint): PhysAddr => tablesPa(kernel, name, phys(bss + page * pageBytes));
  // The smallest geometries have two levels; their root is the table above the pages.
  const upper = geometry.levels.slice(1, -1).filter(({ level }) => level <= 2);
  const pools = upper.map(({ level }) => {
    const name = level === 1 ? 'bm_pmd' : 'bm_pud';
    return { name, level, addresses: [place(name, BigInt(2 - level))] };
  });
  const pte = place('bm_pte', 2n);
  const addresses = Array.from({ length: tables }, (_, i) => pte + BigInt(i) * pageBytes);
  const tree = swapperTree(kernel, new StaticTables([...pools, { name: 'bm_pte', level: 0, addresses }]));
  for (let va = start; va < end; va = (va / span + 1n) * span) descend(tree, va);
}

/** `__set_fixmap`: maps a page in a slot, or with no page clears it. */
export function setFixmap(kernel: Kernel, va: bigint, page: bigint | undefined, prot?: bigint): void {
  const tree = swapperTree(kernel, NO_TABLES);
  const attributes = prot ?? kernel.protections.values.PAGE_KERNEL;
  const entry = page === undefined ? 0n : linuxAddressBits(page, tree.addresses) | attributes;
  writeWord(kernel.memory, slotAt(tree, descend(tree, va), 0, va).address, entry);
}

/** `fixmap_remap_fdt`: maps the device tree, read-only in the end. */
export function mapDeviceTree(kernel: Kernel): void {
  const { description, paging, protections } = kernel;
  const { address, size } = description.dtb;
  if (address % 8n !== 0n || size > FDT_BYTES) {
    throw new BootError('device-tree', 'a device tree is aligned to 8 bytes and has at most 2 MiB', { address, size });
  }
  const offset = address % paging.pageBytes;
  createPgdMapping(swapperTree(kernel, NO_TABLES), {
    pa: address - offset,
    va: fixmapSlot(kernel, 'FIX_FDT'),
    size: offset + size,
    prot: protections.values.PAGE_KERNEL_RO,
    flags: { noCont: true },
  });
}

/** `earlycon=`: the page of a serial port that is described with its address. */
export function mapEarlyConsole(kernel: Kernel): void {
  const option = commandOptions(kernel.description.commandLine, 'earlycon').at(-1) ?? '';
  const [, address] = /^[\w-]+,(?:mmio\w*,)?(0x[0-9a-f]+)/i.exec(option) ?? [];
  if (address === undefined) return;
  const page = BigInt(address) & -kernel.paging.pageBytes;
  setFixmap(kernel, fixmapSlot(kernel, 'FIX_EARLYCON_MEM_BASE'), page, kernel.protections.values.PROT_DEVICE_nGnRE);
}

/** The phase in which tables are reached through slots of the fixmap, one of each level at a time. */
export function fixmapPhase(kernel: Kernel, allocator: TableAllocator): FixmapPhase {
  const levels = kernel.paging.geometry.levels.length;
  const names = TABLE_SLOTS.slice(0, Math.max(levels - 1, 1));
  const slots = Object.fromEntries(names.map((name, level) => [level, fixmapSlot(kernel, name)]));
  // All these slots lie in one table; its entries are written as the kernel writes them.
  const tree = swapperTree(kernel, NO_TABLES);
  const table = descend(tree, slots[0] as bigint);
  const onChange = ({ op, slot, page }: FixmapEvent): void => {
    const own = (slot as bigint) >> 21n === (slots[0] as bigint) >> 21n ? table : descend(tree, slot);
    const entry = op === 'unmap' ? 0n : linuxAddressBits(page, tree.addresses) | kernel.protections.values.PAGE_KERNEL;
    writeWord(kernel.memory, slotAt(tree, own, 0, slot).address, entry);
  };
  return new FixmapPhase({ allocator, slots, pageBytes: kernel.paging.pageBytes, onChange });
}
