/**
 * What a device tree sets aside, taken out of early memory in the kernel's order.
 * Source: Linux 6.12 drivers/of/fdt.c, drivers/of/of_reserved_mem.c, mm/memblock.c.
 */
import type { DescribedPiece, MachineDescription, ReservedNode } from './description-reader.ts';
import type { Memblock } from './memblock.ts';

/** `SMP_CACHE_BYTES`: alignment of what asks for none. */
const CACHE_BYTES = 64n;
/** Physical addresses end here, whatever a description says. */
const PHYS_TOP = 1n << 56n;

/** A boot, as far as it concerns memory. */
export interface MemoryBoot {
  readonly memblock: Memblock;
  readonly description: Pick<MachineDescription, 'memreserve' | 'reservedMemory'>;
  /** What the kernel would have complained about is added. */
  readonly warnings: string[];
}

/** Is there an address that lies in both? */
export function piecesOverlap(a: DescribedPiece, b: DescribedPiece): boolean {
  return a.start < b.end && b.start < a.end;
}

/** `memblock_reserve`; nothing if the range is empty. What lies beyond all physical addresses is cut off. */
export function reservePiece(memblock: Memblock, start: bigint, end: bigint): void {
  const last = end < PHYS_TOP ? end : PHYS_TOP;
  if (start < last) memblock.reserve({ start, end: last });
}

/** One child with a place. */
function reserveNode({ memblock, warnings }: MemoryBoot, { node, noMap }: ReservedNode, place: DescribedPiece): void {
  if (place.start >= place.end) return;
  if (!noMap) {
    reservePiece(memblock, place.start, place.end);
    return;
  }
  // What is in use already must stay mapped; a place that is no memory is not mapped anyway.
  const busy = memblock.memory.some((bank) => piecesOverlap(bank, place));
  if (busy && memblock.reserved.some((used) => piecesOverlap(used, place))) {
    warnings.push(`${node} is in use already and stays mapped`);
    return;
  }
  memblock.markNomap(place);
}

/** One child that leaves the place to the kernel. */
function allocateNode({ memblock, warnings }: MemoryBoot, wanted: ReservedNode): DescribedPiece | undefined {
  const { node, noMap, size, alignment, within } = wanted;
  const align = alignment === 0n ? CACHE_BYTES : alignment;
  for (const { start, end } of within.length === 0 ? [{ start: 0n, end: PHYS_TOP }] : within) {
    const base = memblock.find(size, align, { min: start, max: end < PHYS_TOP ? end : PHYS_TOP });
    if (base === undefined) continue;
    const place = { start: base, end: base + size };
    reservePiece(memblock, place.start, place.end);
    if (noMap) memblock.markNomap(place);
    return place;
  }
  warnings.push(`no memory for ${node}`);
  return undefined;
}

/**
 * `early_init_fdt_scan_reserved_mem`: nodes with a place, the reservation block, then nodes without a place. The block
 * ends at its first empty range.
 * @returns the areas that are handed out again until they are wanted (`reusable`), in the order of reserving
 */
export function scanReservedMemory(boot: MemoryBoot): DescribedPiece[] {
  const { description, memblock } = boot;
  const reusable: DescribedPiece[] = [];
  for (const node of description.reservedMemory) {
    if (node.place === undefined) continue;
    reserveNode(boot, node, node.place);
    if (node.reusable) reusable.push(node.place);
  }
  for (const { start, end } of description.memreserve) {
    if (start === end) break;
    reservePiece(memblock, start, end);
  }
  for (const node of description.reservedMemory) {
    if (node.place !== undefined) continue;
    const place = allocateNode(boot, node);
    if (place !== undefined && node.reusable) reusable.push(place);
  }
  return reusable;
}
