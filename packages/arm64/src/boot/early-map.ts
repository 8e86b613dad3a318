/**
 * From the first instruction to start_kernel: the identity map, the kernel's own mapping, the switch to 52-bit
 * descriptors in between. Source: Linux 6.12 arch/arm64/kernel/pi/map_kernel.c, map_range.c, arch/arm64/kernel/head.S.
 */
import { BumpAllocator, earlyPhase, type PhysAddr, phys, type TableAllocator } from '@pagefold/core';
import { LINUX_BITS } from '../entry-bits.ts';
import { linuxProtections } from '../linux-protections.ts';
import { idmapPaging, type Kernel, kernelRoot, symbolPa, symbolVa, tablesPa } from './kernel.ts';
import { mapRange } from './map-range.ts';
import { addressConfig, clearTable, type PageTree } from './page-tree.ts';

/** `MAX_FDT_SIZE`. */
const FDT_BYTES = 1n << 21n;

/** A tree of the early boot: tables come from right behind its root, and are found at their physical addresses. */
function earlyTree(kernel: Kernel, paging: PageTree['paging'], root: PhysAddr, allocator: TableAllocator): PageTree {
  return {
    paging,
    memory: kernel.memory,
    root,
    addresses: addressConfig(kernel.options.build, kernel.lpa2),
    phase: earlyPhase(allocator),
  };
}

/** The pages behind a root, up to a symbol. */
function behind(kernel: Kernel, root: string, end: string): BumpAllocator {
  return new BumpAllocator(phys(symbolPa(kernel, root) + kernel.paging.pageBytes), symbolPa(kernel, end));
}

/** Protections of the early boot: attributes are global until it is known that the kernel moves. */
function earlyProtections(kernel: Kernel): { readonly text: bigint; readonly data: bigint } {
  const config = kernel.lpa2 ? { lpa2: true, nonGlobalKernel: kernel.nonGlobal } : {};
  const { PAGE_KERNEL_ROX, PAGE_KERNEL } = linuxProtections(config).values;
  return { text: PAGE_KERNEL_ROX, data: PAGE_KERNEL };
}

/** `create_init_idmap`: text that must run is executable, the rest of the image is writable. */
function createInitIdmap(kernel: Kernel, root: string, end: string): void {
  const tree = earlyTree(kernel, idmapPaging(kernel), symbolPa(kernel, root), behind(kernel, root, end));
  const { text, data } = earlyProtections(kernel);
  const map = (from: string, to: string, prot: bigint): void => {
    const start = symbolPa(kernel, from);
    mapRange(tree, { start, end: symbolPa(kernel, to), pa: start, prot, mayUseCont: false });
  };
  map('_stext', '__initdata_begin', text);
  map('__initdata_begin', '_end', data);
}

/** The identity map that the MMU is switched on with. */
export function createIdmap(kernel: Kernel): void {
  createInitIdmap(kernel, 'init_idmap_pg_dir', 'init_idmap_pg_end');
}

/** Tables that the image keeps apart, used upwards; their place is only looked up when one is needed. */
export function staticTables(kernel: Kernel, name: string, pages: bigint, otherwise: PhysAddr): TableAllocator {
  let inner: BumpAllocator | undefined;
  const bytes = pages * kernel.paging.pageBytes;
  return {
    allocate(request) {
      const start = inner === undefined ? tablesPa(kernel, name, otherwise) : inner.range.start;
      inner ??= new BumpAllocator(start, start + bytes);
      return inner.allocate(request);
    },
    free: () => undefined,
  };
}

/** `map_fdt`: the device tree and what follows it, up to 2 MiB, but nothing of the image. */
function mapFdt(kernel: Kernel): void {
  const { address } = kernel.description.dtb;
  const image = kernel.description.loadAddress;
  const most = address + FDT_BYTES;
  const end = image > address && image < most ? image : most;
  // Without a symbol: behind the tables of the map itself, among the data of init.
  const tables = staticTables(kernel, 'map_fdt.ptes', 8n, symbolPa(kernel, 'init_idmap_pg_end'));
  const tree = earlyTree(kernel, idmapPaging(kernel), symbolPa(kernel, 'init_idmap_pg_dir'), tables);
  mapRange(tree, { start: address, end, pa: address, prot: earlyProtections(kernel).data, mayUseCont: false });
}

function clear(kernel: Kernel, from: string, to: string): void {
  const start = symbolPa(kernel, from);
  clearTable(kernel.memory, start, Number(symbolPa(kernel, to) - start));
}

/**
 * `remap_idmap_for_lpa2`: bits 9:8 of descriptors change their meaning with TCR.DS, so the switch goes over a second map
 * that has zeroes there, and the first is then made again. The device tree is not in it any more.
 */
function remapIdmapForLpa2(kernel: Kernel): void {
  kernel.lpa2 = true;
  createInitIdmap(kernel, 'init_pg_dir', 'init_pg_end');
  clear(kernel, 'init_idmap_pg_dir', 'init_idmap_pg_end');
  createIdmap(kernel);
  clear(kernel, 'init_pg_dir', 'init_pg_end');
}

/** Does the processor have branch target identification (ID_AA64PFR1_EL1.BT)? */
function hasBti({ description, options }: Kernel): boolean {
  return options.bti && ((description.idRegisters.get('ID_AA64PFR1_EL1') ?? 0n) & 0xfn) !== 0n;
}

/** What the text gets in the end: executable and read-only, unless debuggers shall write to it. */
export function textProtection(kernel: Kernel): bigint {
  const { PAGE_KERNEL_EXEC, PAGE_KERNEL_ROX } = kernel.protections.values;
  const text = kernel.options.writableText ? PAGE_KERNEL_EXEC : PAGE_KERNEL_ROX;
  return hasBti(kernel) ? text | LINUX_BITS.GP : text;
}

/** `map_kernel`: every segment with its protection; the text twice if it is written to in between. */
function mapKernel(kernel: Kernel): void {
  const tables = behind(kernel, 'init_pg_dir', 'init_pg_end');
  const tree = earlyTree(kernel, kernel.paging, kernelRoot(kernel, 'init_pg_dir'), tables);
  const segment = (from: string, to: string, prot: bigint, mayUseCont: boolean): void => {
    const start = symbolVa(kernel, from);
    mapRange(tree, { start, end: symbolVa(kernel, to), pa: symbolPa(kernel, from), prot, mayUseCont });
  };
  const data = kernel.protections.values.PAGE_KERNEL;
  const text = textProtection(kernel);
  const twice = kernel.options.relocatable;
  const first = twice ? data : text;
  segment('_text', '_stext', data, false);
  segment('_stext', '_etext', first, !twice);
  segment('__start_rodata', '__inittext_begin', data, false);
  segment('__inittext_begin', '__inittext_end', first, false);
  segment('__initdata_begin', '__initdata_end', data, false);
  segment('_data', '_end', data, true);
  if (twice) {
    // Groups must not come into being while their entries are in use: away with them, then again.
    segment('_stext', '_etext', 0n, false);
    segment('_stext', '_etext', text, true);
    segment('__inittext_begin', '__inittext_end', text, false);
  }
  copyRoot(kernel, 'init_pg_dir', symbolPa(kernel, 'swapper_pg_dir'));
}

/** Copies the page of a root. */
export function copyRoot(kernel: Kernel, from: string, target: PhysAddr): void {
  const { memory, paging } = kernel;
  const source = symbolPa(kernel, from);
  for (let at = 0; at < Number(paging.pageBytes); at += 4) {
    const read = memory.window(Number(source) + at);
    const write = memory.writable(Number(target) + at);
    const word = read?.words[(Number(source) + at - read.base) / 4] ?? 0;
    write.words[(Number(target) + at - write.base) / 4] = word;
  }
}

/** `early_map_kernel`: from the MMU just switched on to the kernel at its own address, on `swapper_pg_dir`. */
export function earlyMapKernel(kernel: Kernel): void {
  mapFdt(kernel);
  if (kernel.decision.lpa2) remapIdmapForLpa2(kernel);
  mapKernel(kernel);
}
