/**
 * `arm64_memblock_init`: which memory there is, what of it is in use, and where the linear map begins.
 * Source: Linux 6.12 arch/arm64/mm/init.c, mm/memblock.c.
 */
import {
  BootError,
  commandOptions,
  type DescribedPiece,
  hex,
  initrdOf,
  type Memblock,
  memparse,
  reservePiece,
  scanReservedMemory,
} from '@pagefold/core';
import { physicalBits } from '../identification.ts';
import { placeLinearMap } from '../layout/linear-map.ts';
import { type Kernel, symbolPa } from './kernel.ts';

/** Physical addresses end here, whatever a description says. */
const PHYS_TOP = 1n << 56n;

/** `memblock_start_of_DRAM` and `memblock_end_of_DRAM`. */
export function dramRange({ memblock }: Kernel): DescribedPiece {
  return { start: memblock.memory[0]?.start ?? 0n, end: memblock.memory.at(-1)?.end ?? 0n };
}

/** Keeps of memory only what lies in some ranges. */
function keepOnly(memblock: Memblock, ranges: readonly DescribedPiece[]): void {
  let from = 0n;
  for (const { start, end } of [...ranges, { start: PHYS_TOP, end: PHYS_TOP }]) {
    if (from < start) memblock.remove({ start: from, end: start });
    from = end;
  }
}

/** `mem=`: memory up to so many bytes of it, 0 for all; the image stays in any case. */
function limitMemory(kernel: Kernel): void {
  const { memblock } = kernel;
  const limit = commandOptions(kernel.description.commandLine, 'mem').at(-1);
  if (limit === undefined) return;
  kernel.memoryLimit = memparse(limit) & -kernel.paging.pageBytes;
  let rest = kernel.memoryLimit;
  for (const { start, end } of rest === 0n ? [] : [...memblock.memory]) {
    if (rest <= end - start) {
      memblock.remove({ start: start + rest, end: PHYS_TOP });
      break;
    }
    rest -= end - start;
  }
  memblock.add({ start: symbolPa(kernel, '_text'), end: symbolPa(kernel, '_end') });
}

/** The initrd is memory, whatever the device tree says, if the linear map reaches it. */
function reserveInitrd(kernel: Kernel, linearSize: bigint): void {
  const { memblock, paging } = kernel;
  const given = initrdOf(kernel.description);
  if (given === undefined || given.start >= given.end) return;
  const start = given.start & -paging.pageBytes;
  const end = (given.end + paging.pageBytes - 1n) & -paging.pageBytes;
  const first = dramRange(kernel).start;
  if (start < first || end > first + linearSize) {
    kernel.warnings.push(`the initrd at ${hex(start)}-${hex(end)} is outside the linear map and is not used`);
    return;
  }
  memblock.add({ start, end });
  memblock.clearNomap({ start, end });
  reservePiece(memblock, start, end);
  kernel.initrd = given;
}

/**
 * `arm64_memblock_init`, and the reservation of the device tree before it.
 * @throws BootError `no-memory` if nothing is left; ArgumentError `layout-memory` if there was none to begin with
 */
export function memblockInit(kernel: Kernel): void {
  const { memblock, description, layout, ids, place } = kernel;
  const { dtb } = description;
  reservePiece(memblock, dtb.address, dtb.address + dtb.size);
  const imageEnd = symbolPa(kernel, '_end');
  const placed = placeLinearMap(layout, {
    memory: memblock.memory.map(({ start, end }) => ({ start: start as bigint, end })),
    physicalBits: physicalBits(ids),
    imageEnd,
    seed: place.linearSeed,
  });
  keepOnly(memblock, placed.memory);
  kernel.memstart = placed.memstart;
  limitMemory(kernel);
  reserveInitrd(kernel, kernel.symbols.PAGE_END - BigInt.asUintN(64, -(1n << BigInt(kernel.decision.vaBits))));
  reservePiece(memblock, symbolPa(kernel, '_text'), imageEnd);
  scanReservedMemory(kernel);
  if (memblock.memory.length === 0) throw new BootError('no-memory', 'there is no memory');
}
