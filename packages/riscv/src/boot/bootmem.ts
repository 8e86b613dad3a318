/**
 * `setup_bootmem`: which memory there is, what of it is in use, and where the linear map begins.
 * Source: Linux 6.12 arch/riscv/mm/init.c, mm/memblock.c, init/initramfs.c, kernel/dma/contiguous.c.
 */
import {
  commandOptions,
  type DescribedPiece,
  hex,
  initrdOf,
  Memblock,
  memparse,
  piecesOverlap,
  reservePiece,
  scanReservedMemory,
} from '@pagefold/core';
import type { BootDescription } from './description.ts';
import { bugOn } from './errors.ts';
import type { Kernel } from './kernel.ts';

const PAGE = 4096n;
const GIB_4 = 1n << 32n;
/** Physical addresses end here, whatever a description says. */
const PHYS_TOP = 1n << 56n;

function alignDown(value: bigint, unit: bigint): bigint {
  return value - (value % unit);
}

function alignUp(value: bigint, unit: bigint): bigint {
  return alignDown(value + unit - 1n, unit);
}

/**
 * `early_init_dt_add_memory_arch`: the banks of a device tree, cut to whole pages and to what the kernel can address.
 * @param lowest what lies below is not memory for this kernel: on RV32 all that lies below the kernel itself
 */
export function memblockOf(description: BootDescription, lowest: bigint): Memblock {
  const top = description.xlen === 32 ? GIB_4 : PHYS_TOP;
  const memblock = new Memblock();
  for (const bank of description.ram) {
    const start = alignUp(bank.start > lowest ? bank.start : lowest, PAGE);
    const end = alignDown(bank.end < top ? bank.end : top, PAGE);
    if (start < end) memblock.add({ start, end });
  }
  return memblock;
}

/** `memblock_end_of_DRAM`. */
function endOfDram(memblock: Memblock): bigint {
  return memblock.memory.at(-1)?.end ?? 0n;
}

/** `memblock_enforce_memory_limit`: keeps the lowest `limit` bytes of memory and forgets all that lies above. */
function enforceMemoryLimit(memblock: Memblock, limit: bigint): void {
  if (limit === 0n) return;
  let rest = limit;
  for (const { start, end } of memblock.memory) {
    if (rest <= end - start) {
      const from = start + rest;
      if (from < PHYS_TOP) {
        memblock.remove({ start: from, end: PHYS_TOP });
        memblock.physFree({ start: from, end: PHYS_TOP });
      }
      return;
    }
    rest -= end - start;
  }
}

/** `memblock_cap_memory_range`: forgets all memory outside a range. */
function capMemoryRange(memblock: Memblock, start: bigint, end: bigint): void {
  if (start > 0n) {
    memblock.remove({ start: 0n, end: start });
    memblock.physFree({ start: 0n, end: start });
  }
  if (end < PHYS_TOP) {
    memblock.remove({ start: end, end: PHYS_TOP });
    memblock.physFree({ start: end, end: PHYS_TOP });
  }
}

/** `reserve_initrd_mem`: whole pages; given up if they are no memory, or in use. */
function reserveInitrd(kernel: Kernel): void {
  const { memblock, description, kernelMap } = kernel;
  const given = initrdOf(description);
  if (given === undefined || given.start >= given.end) return;
  const pages: DescribedPiece = { start: alignDown(given.start, PAGE), end: alignUp(given.end, PAGE) };
  const where = `${hex(pages.start)}-${hex(pages.end)}`;
  if (!memblock.memory.some(({ start, end }) => start <= pages.start && pages.end <= end)) {
    kernel.warnings.push(`the initrd at ${where} is not in memory and is not used`);
    return;
  }
  if (memblock.reserved.some((used) => piecesOverlap(used, pages))) {
    kernel.warnings.push(`the initrd at ${where} lies where something is in use and is not used`);
    return;
  }
  reservePiece(memblock, pages.start, pages.end);
  kernel.initrd = { start: kernelMap.va(given.start), end: kernelMap.va(given.end) };
}

/** `dma_contiguous_reserve`: one area below the limit of 32-bit DMA. */
function reserveContiguous(kernel: Kernel, limit: bigint): void {
  const { memblock, options, addresses } = kernel;
  if (options.cmaBytes === 0n) return;
  const align = addresses.pmdSize;
  const base = memblock.find(alignUp(options.cmaBytes, align), align, { max: limit });
  if (base === undefined) kernel.warnings.push('no memory for contiguous allocations');
  else reservePiece(memblock, base, base + alignUp(options.cmaBytes, align));
}

/** Virtual addresses at or above this read as error numbers. */
function errorPointers(kernel: Kernel): bigint {
  return kernel.kernelMap.physical((1n << 32n) - PAGE).pa;
}

/**
 * `setup_bootmem`.
 * @throws BootError `no-memory` if the limits leave none
 */
export function setupBootmem(kernel: Kernel): void {
  const { memblock, kernelMap, addresses, options, description } = kernel;
  const rv64 = addresses.xlen === 64;
  for (const limit of commandOptions(description.commandLine, 'mem')) {
    const asked = alignDown(memparse(limit), PAGE);
    if (asked < kernel.memoryLimit) kernel.memoryLimit = asked;
  }
  enforceMemoryLimit(memblock, kernel.memoryLimit);

  // The kernel. Its linear alias is read-only, so nothing else may come to lie in the last large page of it.
  const first = kernel.symbolPa(options.xip === undefined ? '_start' : '_sdata');
  const last = kernel.symbolPa('_end');
  const end = rv64 && options.strictKernelRwx ? alignUp(last, addresses.pmdSize) : last;
  reservePiece(memblock, first, end);

  // The linear map begins at a large page, so that it can use them.
  bugOn(memblock.memory.length === 0, 'no-memory', 'there is no memory');
  if (options.xip === undefined) kernel.physRamBase = alignDown(memblock.memory[0]?.start ?? 0n, addresses.pmdSize);
  if (rv64) {
    kernelMap.vaPaOffset = addresses.pageOffset - kernel.physRamBase;
    capMemoryRange(memblock, kernel.physRamBase, kernel.physRamBase + addresses.kernVirtSize);
  } else {
    reservePiece(memblock, errorPointers(kernel), GIB_4);
  }
  kernel.maxPfn = endOfDram(memblock) / PAGE;
  const dma32Limit = alignDown(endOfDram(memblock), PAGE) < GIB_4 ? alignDown(endOfDram(memblock), PAGE) : GIB_4;

  reserveInitrd(kernel);
  scanReservedMemory(kernel);
  reservePiece(memblock, description.dtb.address, description.dtb.address + description.dtb.size);
  reserveContiguous(kernel, dma32Limit);
}
