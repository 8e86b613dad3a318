/**
 * `paging_init`: the linear map, and the identity map that the running kernel switches tables with.
 * Source: Linux 6.12 arch/arm64/mm/mmu.c (`map_mem`, `create_idmap`), arch/arm64/mm/pageattr.c (`can_set_direct_map`).
 */
import { earlyPhase, phys, RecordingAllocator } from '@pagefold/core';
import { pgprotTagged } from '../linux-protections.ts';
import { createPgdMapping, type MappingFlags } from './create-mapping.ts';
import { staticTables } from './early-map.ts';
import { fixmapPhase, swapperTree } from './fixmap.ts';
import { idmapPaging, type Kernel, linearVa, symbolPa } from './kernel.ts';
import { mapRange } from './map-range.ts';
import { addressConfig, type PageTree } from './page-tree.ts';

/** `can_set_direct_map`: single pages of the linear map change later, so it is made of pages. */
export function singlePages({ options }: Kernel): boolean {
  return options.rodata === 'full' || options.debugPagealloc || (options.kfence && options.kfencePoolBytes === 0n);
}

/** `__map_memblock`. */
function mapMemory(kernel: Kernel, tree: PageTree, range: Range, prot: bigint, flags: MappingFlags): void {
  const { start, end } = range;
  createPgdMapping(tree, { pa: start, va: linearVa(kernel, start), size: end - start, prot, flags });
}

interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

/**
 * `map_mem`: all memory, except that text and read-only data are mapped on their own, so that they can become read-only,
 * and KFENCE's pool in pages. New tables come from memblock and are reached through the fixmap.
 */
export function mapMem(kernel: Kernel, allocations: RecordingAllocator): void {
  const { memblock, options, protections } = kernel;
  const tree: PageTree = { ...swapperTree(kernel, allocations), phase: fixmapPhase(kernel, allocations) };
  const normal = protections.values.PAGE_KERNEL;
  const tagged = pgprotTagged(normal);
  const pages = singlePages(kernel);
  const flags = { noExec: true, ...(pages ? { noBlock: true, noCont: true } : {}) };
  const pool = options.kfencePoolBytes;
  let kfence: Range | undefined;
  if (pool !== 0n) {
    const start = memblock.physAlloc(pool, kernel.paging.pageBytes);
    kfence = { start, end: start + pool };
    kernel.kfencePool = start;
    memblock.markNomap(kfence);
  }
  const image = { start: symbolPa(kernel, '_text'), end: symbolPa(kernel, '__init_begin') };
  memblock.markNomap(image);
  for (const range of [...memblock.mappable]) mapMemory(kernel, tree, range, tagged, flags);
  mapMemory(kernel, tree, image, normal, { noCont: true });
  memblock.clearNomap(image);
  if (kfence === undefined) return;
  mapMemory(kernel, tree, kfence, tagged, { noBlock: true, noCont: true });
  memblock.clearNomap(kfence);
}

/** Tables of an identity map below its root. */
function pagesBelowRoot(kernel: Kernel): bigint {
  return BigInt(idmapPaging(kernel).geometry.levels.length - 1);
}

/**
 * `create_idmap`: the code that switches tables, and the flag that processors wait for while the kernel's entries become
 * non-global. The tables are the image's own.
 */
export function createRunningIdmap(kernel: Kernel): void {
  const { options, memory, paging, protections } = kernel;
  const { PAGE_KERNEL_ROX, PAGE_KERNEL } = protections.values;
  const pages = pagesBelowRoot(kernel);
  // Without symbols: the first pages of read-only data, where the tables are that few symbol lists name.
  const other = symbolPa(kernel, '__start_rodata');
  const map = (name: string, at: bigint, start: bigint, end: bigint, prot: bigint): void => {
    const phase = earlyPhase(staticTables(kernel, name, pages, phys(other + at * pages * paging.pageBytes)));
    const addresses = addressConfig(options.build, kernel.lpa2);
    const tree = { paging: idmapPaging(kernel), memory, root: symbolPa(kernel, 'idmap_pg_dir'), addresses, phase };
    mapRange(tree, { start, end, pa: start, prot, mayUseCont: false });
  };
  const text = symbolPa(kernel, '__idmap_text_start');
  map('idmap_ptes', 0n, text, symbolPa(kernel, '__idmap_text_end'), PAGE_KERNEL_ROX);
  if (!options.isolation || kernel.nonGlobal || !kernel.description.symbols.has('__idmap_kpti_flag')) return;
  const flag = symbolPa(kernel, '__idmap_kpti_flag');
  map('kpti_ptes', 1n, flag, flag + 4n, PAGE_KERNEL);
}

/** `paging_init`. */
export function pagingInit(kernel: Kernel): void {
  mapMem(kernel, new RecordingAllocator(kernel.memblock));
  createRunningIdmap(kernel);
}
