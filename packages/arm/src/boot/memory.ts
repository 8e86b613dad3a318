/**
 * What setup_arch does to the list of memory before the tables are made.
 * Source: Linux 6.12 arch/arm/mm/mmu.c (`adjust_lowmem_bounds`), init.c (`arm_memblock_init`), init/initramfs.c
 * (`reserve_initrd_mem`), kernel/dma/contiguous.c.
 */
import { hex, higherOf, initrdOf, lowerOf, piecesOverlap, reservePiece, scanReservedMemory } from '@pagefold/core';
import { PMD_BYTES } from '../layout/numbers.ts';
import { type ArmDescription, isOn, sizeArgument } from './description.ts';
import type { ArmKernel } from './kernel.ts';

/** Contiguous memory: what the boot arguments or the build ask for. */
function contiguousBytes(description: ArmDescription): bigint {
  const mib = description.config.get('CONFIG_CMA_SIZE_MBYTES');
  return sizeArgument(description, 'cma') ?? (typeof mib === 'number' ? BigInt(mib) << 20n : 0n);
}

/** `cma_declare_contiguous`: in high memory if there is room, else as high as possible in low memory. */
function reserveContiguous({ description, memblock, addresses, contiguous, warnings }: ArmKernel): void {
  const size = contiguousBytes(description);
  if (size === 0n) return;
  const alignment = 1n << 22n;
  const end = memblock.memory.at(-1)?.end ?? 0n;
  const top = lowerOf(end, 1n << 32n);
  const { lowmemLimit } = addresses;
  const bytes = (size + alignment - 1n) & -alignment;
  const high = top > lowmemLimit ? memblock.find(bytes, alignment, { min: lowmemLimit, max: top }) : undefined;
  const found = high ?? memblock.find(bytes, alignment, { max: lowerOf(top, lowmemLimit) });
  if (found === undefined) {
    warnings.push('cma: failed to reserve contiguous memory');
    return;
  }
  const area = { start: found, end: found + bytes };
  memblock.reserve(area);
  contiguous.push(area);
}

/** How far memory is mapped all the time follows from what may be mapped: before reservations, and again after them. */
function adjustLowmem(kernel: ArmKernel): void {
  const { memblock, description } = kernel;
  const first = memblock.mappable[0];
  if (first !== undefined && first.start % PMD_BYTES !== 0n) {
    memblock.markNomap({ start: first.start, end: lowerOf(first.end, (first.start + PMD_BYTES - 1n) & -PMD_BYTES) });
  }
  kernel.addresses = kernel.numbers();
  const { lowmemLimit, memblockLimit } = kernel.addresses;
  const end = memblock.memory.at(-1)?.end ?? 0n;
  if (!isOn(description, 'HIGHMEM', true) && end > lowmemLimit) memblock.remove({ start: lowmemLimit, end });
  memblock.limit = memblockLimit;
}

/** Whole pages of the initrd; given up if they are no memory, or in use. */
function reserveInitrd({ description, memblock, warnings }: ArmKernel): void {
  const initrd = initrdOf(description);
  if (initrd === undefined || initrd.start >= initrd.end) return;
  const pages = { start: initrd.start & ~0xfffn, end: (initrd.end + 0xfffn) & ~0xfffn };
  const where = `${hex(pages.start)}-${hex(pages.end)}`;
  if (!memblock.memory.some(({ start, end }) => start <= pages.start && pages.end <= end)) {
    warnings.push(`the initrd at ${where} is not in memory and is not used`);
  } else if (memblock.reserved.some((used) => piecesOverlap(used, pages))) {
    warnings.push(`the initrd at ${where} lies where something is in use and is not used`);
  } else {
    memblock.reserve(pages);
  }
}

/** What is in use when the kernel starts, and what the device tree and the boot arguments set aside. */
export function reserveMemory(kernel: ArmKernel): void {
  adjustLowmem(kernel);
  const { memblock, description, tables, model } = kernel;
  memblock.reserve({ start: kernel.symbolPa('_text'), end: kernel.symbolPa('_end') });
  const behind = [...kernel.staticNames.keys()].reduce((a, b) => higherOf(a, b), 0n);
  if (behind >= kernel.symbolPa('_end')) memblock.reserve({ start: kernel.symbolPa('_end'), end: behind + 0x2000n });
  reserveInitrd(kernel);
  memblock.reserve({ start: tables.root, end: tables.root + (model === 'short' ? 0x4000n : 0x5000n) });
  if (description.dtb !== undefined) reservePiece(memblock, description.dtb.start, description.dtb.end);
  kernel.contiguous.push(...scanReservedMemory(kernel));
  reserveContiguous(kernel);
  adjustLowmem(kernel);
}
