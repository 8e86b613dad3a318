/**
 * Supersections as Linux makes them: for memory above 4 GiB without long descriptors.
 * Source: Linux 6.12 arch/arm/mm/mmu.c (`create_36bit_mapping`).
 */
import { ArgumentError, type PhysAddr, phys, type VirtAddr, virt } from '@pagefold/core';
import { linuxPaging } from './linux-tables.ts';

/** Bytes of a supersection. */
export const SUPERSECTION_BYTES = 0x100_0000n;

/** What to map. */
export interface SupersectionRequest {
  readonly va: bigint;
  readonly pa: bigint;
  /** Not supplied: one supersection. */
  readonly bytes?: bigint;
  /** Bits of a section word (`prot_sect`), without the one that makes it a supersection. */
  readonly prot: bigint;
  /** Domain of the memory type. Not supplied: 0. */
  readonly domain?: number;
}

/** Words that make supersections: each word stands in 16 neighbouring slots. */
export interface SupersectionPlan {
  readonly va: VirtAddr;
  readonly pa: PhysAddr;
  /** First index in the first-level table. */
  readonly firstIndex: number;
  /** Slots that hold the word. */
  readonly count: number;
  readonly word: bigint;
}

const paging = linuxPaging('short');

/**
 * The words of a mapping, in rising order.
 * @throws ArgumentError `supersection-domain` if the domain is not 0: the hardware has no field for another;
 *   `supersection-va`, `supersection-pa`, `supersection-size` if something is no multiple of 16 MiB;
 *   `supersection-reach` if the address has more than 36 bits, which Linux has no place for
 */
export function planSupersections(request: SupersectionRequest): SupersectionPlan[] {
  const { va, pa, prot, bytes = SUPERSECTION_BYTES, domain = 0 } = request;
  if (domain !== 0) {
    throw new ArgumentError('supersection-domain', 'supersections are always in domain 0', { domain, va, pa });
  }
  for (const [rule, value] of [
    ['supersection-va', va],
    ['supersection-pa', pa],
    ['supersection-size', bytes],
  ] as const) {
    if (value % SUPERSECTION_BYTES !== 0n) {
      throw new ArgumentError(rule, 'supersections need multiples of 16 MiB', { va, pa, bytes });
    }
  }
  if (pa + bytes > 1n << 36n) throw new ArgumentError('supersection-reach', 'Linux fills 36 address bits', { pa });
  return Array.from({ length: Number(bytes / SUPERSECTION_BYTES) }, (_, i) => {
    const offset = BigInt(i) * SUPERSECTION_BYTES;
    const at = phys(pa + offset);
    return {
      va: virt(va + offset),
      pa: at,
      firstIndex: Number((va + offset) >> 20n),
      count: 16,
      word: paging.encodeLeaf(1, at, prot, 'supersection'),
    };
  });
}
