/**
 * `arm64_memblock_init`: which memory there is, what of it is in use, and where the linear map begins.
 * Source: Linux 6.12 arch/arm64/mm/init.c, mm/memblock.c, drivers/of/fdt.c, drivers/of/of_reserved_mem.c.
 */
import { hex, type Memblock } from '@pagefold/core';
import { physicalBits } from '../identification.ts';
import { placeLinearMap } from '../layout/linear-map.ts';
import { commandOptions, memparse } from './build-options.ts';
import type { BootPiece, ReservedNode } from './description.ts';
import { BootError } from './errors.ts';
import { type Kernel, symbolPa } from './kernel.ts';

/** `SMP_CACHE_BYTES`: alignment of what asks for none. */
const CACHE_BYTES = 64n;
/** Physical addresses end here, whatever a description says. */
const PHYS_TOP = 1n << 56n;

function overlaps(a: BootPiece, b: BootPiece): boolean {
  return a.start < b.end && b.start < a.end;
}

/** `memblock_reserve`; nothing if the range is empty. */
function reserve(memblock: Memblock, start: bigint, end: bigint): void {
  const last = end < PHYS_TOP ? end : PHYS_TOP;
  if (start < last) memblock.reserve({ start, end: last });
}

/** `memblock_start_of_DRAM` and `memblock_end_of_DRAM`. */
export function dramRange({ memblock }: Kernel): BootPiece {
  return { start: memblock.memory[0]?.start ?? 0n, end: memblock.memory.at(-1)?.end ?? 0n };
}

/** Keeps of memory only what lies in some ranges. */
function keepOnly(memblock: Memblock, ranges: readonly BootPiece[]): void {
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

/** The initrd of the command line (`initrd=START,SIZE`), else that of the device tree. */
function initrdOf({ description }: Kernel): BootPiece | undefined {
  const [start, size] = commandOptions(description.commandLine, 'initrd').at(-1)?.split(',') ?? [];
  if (start === undefined || size === undefined) return description.initrd;
  return { start: memparse(start), end: memparse(start) + memparse(size) };
}

/** The initrd is memory, whatever the device tree says, if the linear map reaches it. */
function reserveInitrd(kernel: Kernel, linearSize: bigint): void {
  const { memblock, paging } = kernel;
  const given = initrdOf(kernel);
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
  reserve(memblock, start, end);
  kernel.initrd = given;
}

/** One child of /reserved-memory with a place. */
function reserveNode(kernel: Kernel, { node, noMap }: ReservedNode, place: BootPiece): void {
  const { memblock } = kernel;
  if (place.start >= place.end) return;
  if (!noMap) {
    reserve(memblock, place.start, place.end);
    return;
  }
  // What is in use already must stay mapped; a place that is no memory is not mapped anyway.
  const busy = memblock.memory.some((bank) => overlaps(bank, place));
  if (busy && memblock.reserved.some((used) => overlaps(used, place))) {
    kernel.warnings.push(`${node} is in use already and stays mapped`);
    return;
  }
  memblock.markNomap(place);
}

/** One child of /reserved-memory that leaves the place to the kernel. */
function allocateNode(kernel: Kernel, { node, noMap, size, alignment, within }: ReservedNode): void {
  const { memblock } = kernel;
  const align = alignment === 0n ? CACHE_BYTES : alignment;
  for (const { start, end } of within.length === 0 ? [{ start: 0n, end: PHYS_TOP }] : within) {
    const base = memblock.find(size, align, { min: start, max: end < PHYS_TOP ? end : PHYS_TOP });
    if (base === undefined) continue;
    reserve(memblock, base, base + size);
    if (noMap) memblock.markNomap({ start: base, end: base + size });
    return;
  }
  kernel.warnings.push(`no memory for ${node}`);
}

/** `early_init_fdt_scan_reserved_mem`: nodes with a place, the reservation block, then nodes without a place. */
function scanReservedMemory(kernel: Kernel): void {
  const { description, memblock } = kernel;
  for (const node of description.reservedMemory) if (node.place) reserveNode(kernel, node, node.place);
  for (const { start, end } of description.memreserve) {
    if (start === end) break;
    reserve(memblock, start, end);
  }
  for (const node of description.reservedMemory) if (!node.place) allocateNode(kernel, node);
}

/**
 * `arm64_memblock_init`, and the reservation of the device tree before it.
 * @throws BootError `no-memory` if nothing is left; ArgumentError `layout-memory` if there was none to begin with
 */
export function memblockInit(kernel: Kernel): void {
  const { memblock, description, layout, ids, place } = kernel;
  const { dtb } = description;
  reserve(memblock, dtb.address, dtb.address + dtb.size);
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
  reserve(memblock, symbolPa(kernel, '_text'), imageEnd);
  scanReservedMemory(kernel);
  if (memblock.memory.length === 0) throw new BootError('no-memory', 'there is no memory');
}
