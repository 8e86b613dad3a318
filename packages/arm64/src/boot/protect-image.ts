/**
 * What happens to the image's mappings when booting is over: read-only data becomes read-only, in both places where it is
 * mapped. Source: Linux 6.12 arch/arm64/mm/mmu.c (`mark_linear_text_alias_ro`, `mark_rodata_ro`).
 */
import { createPgdMapping } from './create-mapping.ts';
import { swapperTree } from './fixmap.ts';
import { type Kernel, linearVa, symbolPa, symbolVa } from './kernel.ts';
import { NO_TABLES } from './page-tree.ts';

/** `update_mapping_prot`: other permissions for what is mapped already, entry by entry. */
function updateProtection(kernel: Kernel, pa: bigint, va: bigint, size: bigint): void {
  const prot = kernel.protections.values.PAGE_KERNEL_RO;
  createPgdMapping(swapperTree(kernel, NO_TABLES), { pa, va, size, prot, flags: { noCont: true } });
}

/** `mark_linear_text_alias_ro`: text and read-only data in the linear map. */
export function markLinearTextAliasRo(kernel: Kernel): void {
  const start = symbolPa(kernel, '_text');
  updateProtection(kernel, start, linearVa(kernel, start), symbolPa(kernel, '__init_begin') - start);
}

/** `mark_rodata_ro`: read-only data, and what stands before the text. Nothing with `rodata=off`. */
export function markRodataRo(kernel: Kernel): void {
  if (kernel.options.rodata === 'off') return;
  for (const [from, to] of [
    ['__start_rodata', '__init_begin'],
    ['_text', '_stext'],
  ] as const) {
    const start = symbolPa(kernel, from);
    updateProtection(kernel, start, symbolVa(kernel, from), symbolPa(kernel, to) - start);
  }
}
