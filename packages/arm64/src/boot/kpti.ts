/**
 * Page table isolation: making the entries of a kernel that booted with global ones non-global, and the small root that is
 * in force while programs run. Source: Linux 6.12 arch/arm64/mm/proc.S (`idmap_kpti_install_ng_mappings`),
 * arch/arm64/mm/mmu.c (`map_entry_trampoline`).
 */
import {
  type Memory,
  type Paging,
  type PhysAddr,
  phys,
  readWord,
  type TableAllocator,
  writeWord,
} from '@pagefold/core';
import { LINUX_BITS } from '../entry-bits.ts';
import { type AddressConfig, linuxAddress } from '../linux-addresses.ts';
import { createPgdMapping } from './create-mapping.ts';
import { fixmapSlot, setFixmap, swapperTree } from './fixmap.ts';
import { type Kernel, symbolPa } from './kernel.ts';
import { clearTable } from './page-tree.ts';

/** What a walk changed. */
export interface NonGlobalResult {
  /** Blocks and pages that became non-global. */
  readonly leaves: number;
  /** Pointers to tables that were marked as seen. */
  readonly tables: number;
}

/**
 * Sets nG in every valid entry that lacks it. In a pointer to a table the bit means nothing to the hardware: it marks
 * tables that were seen, because KASAN's shadow uses the same ones over and over.
 */
export function makeNonGlobal(
  memory: Memory,
  paging: Paging,
  root: PhysAddr,
  addresses: AddressConfig,
): NonGlobalResult {
  let leaves = 0;
  let tables = 0;
  const walk = (table: PhysAddr, level: number): void => {
    const { entries } = paging.codec(level).level;
    for (let i = 0; i < entries; i++) {
      const at = phys(table + BigInt(i) * 8n);
      const word = readWord(memory, at);
      if ((word & LINUX_BITS.VALID) === 0n || (word & LINUX_BITS.NG) !== 0n) continue;
      writeWord(memory, at, word | LINUX_BITS.NG);
      if (level === 0 || (word & LINUX_BITS.TABLE_BIT) === 0n) {
        leaves++;
        continue;
      }
      tables++;
      walk(phys(linuxAddress(word, addresses)), level - 1);
    }
  };
  walk(root, paging.geometry.root.level);
  return { leaves, tables };
}

/** `kpti_install_ng_mappings`: nothing if the kernel booted with non-global entries. */
export function kptiInstallNonGlobal(kernel: Kernel): NonGlobalResult {
  if (kernel.nonGlobal) return { leaves: 0, tables: 0 };
  const { root, addresses } = swapperTree(kernel, kernel.memblock);
  return makeNonGlobal(kernel.memory, kernel.paging, root, addresses);
}

/**
 * `map_entry_trampoline`: the code through which programs enter the kernel, alone below `tramp_pg_dir` and in the fixmap.
 * It is mapped at all times and can therefore be global.
 * @param allocator where the tables below `tramp_pg_dir` come from
 */
export function mapEntryTrampoline(kernel: Kernel, allocator: TableAllocator): void {
  const { options, protections, paging } = kernel;
  const { PAGE_KERNEL_EXEC, PAGE_KERNEL_ROX, PAGE_KERNEL_RO } = protections.values;
  const prot = (options.rodata === 'off' ? PAGE_KERNEL_EXEC : PAGE_KERNEL_ROX) & ~LINUX_BITS.NG;
  const start = symbolPa(kernel, '__entry_tramp_text_start');
  const size = symbolPa(kernel, '__entry_tramp_text_end') - start;
  const first = fixmapSlot(kernel, 'FIX_ENTRY_TRAMP_TEXT1');
  clearTable(kernel.memory, symbolPa(kernel, 'tramp_pg_dir'), Number(paging.pageBytes));
  const tree = swapperTree(kernel, allocator, 'tramp_pg_dir');
  createPgdMapping(tree, { pa: start, va: first, size, prot, flags: { noBlock: true } });
  const page = paging.pageBytes;
  const pages = (size + page - 1n) / page;
  for (let i = 0n; i < pages; i++) setFixmap(kernel, first + i * page, start + i * page, prot);
  if (options.relocatable) setFixmap(kernel, first + pages * page, start + pages * page, PAGE_KERNEL_RO);
}
