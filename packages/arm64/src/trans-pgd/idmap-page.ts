/**
 * An identity map of exactly one page, built from the page upwards, with as many levels as its address needs: also where
 * the address lies beyond what the kernel's own tables reach. Source: Linux 6.12 arch/arm64/mm/trans_pgd.c.
 */
import { BootError, type Memory, type Paging, type Phase, type PhysAddr, writeWord } from '@pagefold/core';
import { lowPaging, newTable, type PageTree, slotAt, tableWord } from '../boot/page-tree.ts';
import { LINUX_BITS } from '../entry-bits.ts';
import { hardwareLevel } from '../granule.ts';
import { type AddressConfig, linuxAddressBits } from '../linux-addresses.ts';
import type { LinuxBuild } from '../linux-builds.ts';

/** How one page is to be mapped. */
export interface IdmapPageRequest {
  readonly build: LinuxBuild;
  readonly addresses: AddressConfig;
  readonly memory: Memory;
  readonly phase: Phase;
  /** Attributes of the page (`PAGE_KERNEL_ROX`). */
  readonly prot: bigint;
  /** Physical address of the page. */
  readonly page: bigint;
  /**
   * With 4K pages a page above 2^48 needs a fifth level, which Linux does not make. `refuse` it, or `extend` the tables.
   * Not supplied: `refuse`.
   */
  readonly beyond?: 'refuse' | 'extend';
}

/** One table of such a map. */
export interface IdmapStep {
  /** Hardware level. */
  readonly level: number;
  /** Address bits that the index covers. */
  readonly lsb: number;
  readonly msb: number;
  readonly index: number;
  readonly table: PhysAddr;
}

/** An identity map of one page. */
export interface IdmapPage {
  readonly paging: Paging;
  readonly root: PhysAddr;
  /** What TCR.T0SZ must be. */
  readonly t0sz: number;
  /** From the page upwards, in the order of allocation. */
  readonly steps: readonly IdmapStep[];
}

/** Bits that an identity map of an address has: 48, or 52 if it lies above those. */
export function idmapBits(address: bigint): 48 | 52 {
  return address >> 48n === 0n ? 48 : 52;
}

/**
 * `trans_pgd_idmap_page`.
 * @throws BootError `idmap-levels` if the address needs more levels than there are
 */
export function idmapPage(request: IdmapPageRequest): IdmapPage {
  const { build, addresses, memory, phase, prot, page, beyond = 'refuse' } = request;
  const bits = idmapBits(page);
  const paging = lowPaging(build, addresses.lpa2 === true, bits);
  const { levels } = paging.geometry;
  if (levels.length > 4 && beyond === 'refuse') {
    throw new BootError('idmap-levels', 'the page lies too high for an identity map of four levels', { page });
  }
  let word = linuxAddressBits(page & -paging.pageBytes, addresses) | prot | LINUX_BITS.TYPE_MASK;
  const steps: IdmapStep[] = [];
  let tree: PageTree | undefined;
  for (const { level, shift, indexBits } of levels) {
    tree = { paging, memory, root: 0n as PhysAddr, addresses, phase };
    const table = newTable(tree, level, page);
    const slot = slotAt(tree, table, level, page);
    writeWord(memory, slot.address, word);
    word = tableWord(tree, table, 0n);
    steps.push({
      level: hardwareLevel(level),
      lsb: shift,
      msb: shift + indexBits - 1,
      index: Number((slot.address - table) / 8n),
      table,
    });
  }
  const root = (steps[steps.length - 1] as IdmapStep).table;
  return { paging, root, t0sz: 64 - bits, steps };
}
