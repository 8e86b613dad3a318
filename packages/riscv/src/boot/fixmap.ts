/**
 * The fixmap: a few pages at fixed virtual addresses whose physical page can be exchanged. Each level has a slot through
 * which its tables are reached while the MMU is on and there is no linear map.
 * Source: Linux 6.12 arch/riscv/mm/init.c (`__set_fixmap`), asm/fixmap.h.
 */
import { type FixmapEvent, type PhysAddr, type VirtAddr, virt } from '@pagefold/core';
import { fixToVirt, type KernelAddresses } from './addresses.ts';
import { entryFor, type MappingTarget, slotIn } from './create-mapping.ts';
import { bugOn } from './errors.ts';

/** Slots by the level of the tables that are reached through them. */
const TABLE_SLOTS = ['FIX_PTE', 'FIX_PMD', 'FIX_PUD', 'FIX_P4D'];

/** The fixmap of one kernel. */
export class Fixmap {
  readonly #target: Pick<MappingTarget, 'names' | 'memoryTypes'>;
  readonly #addresses: KernelAddresses;
  readonly #ptes: PhysAddr;
  readonly #prot: bigint;

  /**
   * @param ptes physical address of `fixmap_pte`
   * @param prot protection of pages that are mapped (`PAGE_KERNEL`)
   */
  constructor(
    target: Pick<MappingTarget, 'names' | 'memoryTypes'>,
    addresses: KernelAddresses,
    ptes: PhysAddr,
    prot: bigint,
  ) {
    this.#target = target;
    this.#addresses = addresses;
    this.#ptes = ptes;
    this.#prot = prot;
  }

  /** Virtual addresses of the slots for tables, by level; of levels that exist only. */
  get tableSlots(): Readonly<Record<number, VirtAddr>> {
    const levels = this.#target.names.geometry.levels.length;
    return Object.fromEntries(
      TABLE_SLOTS.slice(0, levels - 1).map((slot, level) => [level, virt(fixToVirt(this.#addresses, slot))]),
    );
  }

  /** `__set_fixmap`: maps a page there, or with no page clears the slot. */
  set(va: bigint, page: bigint | undefined): void {
    const { start, end } = this.#addresses.fixmap;
    bugOn(va < start || va >= end, 'fixmap-slot', 'the address is no slot of the fixmap', { va, start, end });
    const { names } = this.#target;
    const entry = page === undefined ? 0n : entryFor(this.#target, 'pte', page, this.#prot);
    names.pte.set(slotIn(names, 'pte', this.#ptes, va), entry);
  }

  /** Carries out what a phase wants. */
  readonly onChange = ({ op, slot, page }: FixmapEvent): void => this.set(slot, op === 'map' ? page : undefined);
}
