/**
 * A copy of the linear map that survives while memory is overwritten: for waking up from hibernation and for kexec.
 * Source: Linux 6.12 arch/arm64/mm/trans_pgd.c (`trans_pgd_create_copy`).
 */
import { BootError, type Phase, type PhysAddr, phys, type TableAllocator, virt, writeWord } from '@pagefold/core';
import { clearTable, newTable, type PageTree, slotAt, tableWord } from '../boot/page-tree.ts';
import { LINUX_BITS, tableMask } from '../entry-bits.ts';
import { hardwareLevel } from '../granule.ts';
import { linuxAddress } from '../linux-addresses.ts';
import { transitionalCopy } from '../linux-changes.ts';
import { pteValid } from '../linux-predicates.ts';

/** What is to be copied. */
export interface TransPgdCopyOptions {
  /** First address, `PAGE_OFFSET`. */
  readonly start: bigint;
  /** Exclusive, `PAGE_END`. */
  readonly end: bigint;
  /** Where the tables of the copy come from: pages that will not be overwritten. */
  readonly allocator: TableAllocator;
  /** Bytes from a root page to the hardware's root in it; see `rootOffset`. Not supplied: 0. */
  readonly rootOffset?: bigint;
  /** Is there memory behind an entry that is not valid now (`pfn_valid`)? Not supplied: yes. */
  readonly isMemory?: (pa: bigint) => boolean;
}

interface Copying {
  readonly from: PageTree;
  readonly to: PageTree;
  readonly isMemory: (pa: bigint) => boolean;
}

function copyTable(copying: Copying, level: number, from: PhysAddr, to: PhysAddr, start: bigint, end: bigint): void {
  const { from: source, to: copy, isMemory } = copying;
  const span = BigInt(source.paging.codec(level).level.entrySpan);
  for (let va = start; va < end; ) {
    const edge = (va & -span) + span;
    const next = edge < end ? edge : end;
    const { word } = slotAt(source, from, level, va);
    const target = slotAt(copy, to, level, va).address;
    if (word !== 0n && level > 0 && (word & LINUX_BITS.TYPE_MASK) === LINUX_BITS.TYPE_MASK) {
      const table = newTable(copy, level - 1, va & -span);
      // The helper for user tables hooks in all but the last level.
      writeWord(copy.memory, target, tableWord(copy, table, tableMask(level === 1 ? 'uxnTable' : 'pxnTable')));
      copyTable(copying, level - 1, phys(linuxAddress(word, source.addresses)), table, va, next);
    } else if (word !== 0n) {
      if (level === 0 && !pteValid(word) && !isMemory(linuxAddress(word, source.addresses))) {
        throw new BootError('trans-pfn', 'an entry that is not valid names no memory', { va, word });
      }
      writeWord(copy.memory, target, transitionalCopy(word, hardwareLevel(level)));
    }
    va = next;
  }
}

/**
 * `trans_pgd_create_copy`: fresh tables throughout; every page writable, pages that were taken out valid again.
 * @param from the live tables
 * @returns the tree of the copy
 * @throws BootError `trans-pfn`; what the allocator throws
 */
export function transPgdCopy(from: PageTree, options: TransPgdCopyOptions): PageTree {
  const { start, end, allocator, rootOffset = 0n, isMemory = () => true } = options;
  const { root } = from.paging.geometry;
  const bytes = Number(from.paging.pageBytes);
  const page = allocator.allocate({ level: root.level, va: virt(start), bytes, alignBytes: bytes });
  clearTable(from.memory, page, bytes);
  const phase: Phase = {
    name: 'transitional',
    allocator,
    open: [],
    reach: from.phase.reach.bind(from.phase),
    release: from.phase.release.bind(from.phase),
    physical: from.phase.physical.bind(from.phase),
  };
  const to: PageTree = { ...from, root: phys(page + rootOffset), phase };
  copyTable({ from, to, isMemory }, root.level, from.root, to.root, start, end);
  return to;
}
