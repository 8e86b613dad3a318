/**
 * `paging_init`: memory becomes known, and the final tables are made through the fixmap.
 * Source: Linux 6.12 arch/riscv/mm/init.c (`setup_vm_final`, `paging_init`).
 */
import { kasanSwapperInit } from '../kasan/early.ts';
import { encodeSatp } from '../satp.ts';
import { fixToVirt } from './addresses.ts';
import { setupBootmem } from './bootmem.ts';
import { createPgdMapping, slotIn } from './create-mapping.ts';
import type { Kernel } from './kernel.ts';
import { createKernelPageTable } from './kernel-page-table.ts';
import { createLinearMappingPageTable } from './linear-mapping.ts';
import { pgdNext } from './setup-vm.ts';

/** On RV32 the device tree has a root entry of its own, which the final root takes over. */
function copyFdtEntry(kernel: Kernel): void {
  const { names, addresses } = kernel;
  const va = fixToVirt(addresses, 'FIX_FDT');
  const from = slotIn(names, 'pgd', kernel.symbolPa('early_pg_dir'), va);
  names.pgd.set(slotIn(names, 'pgd', kernel.symbolPa('swapper_pg_dir'), va), from.load());
}

/** `setup_vm_final`: leaves the kernel running on `swapper_pg_dir`. */
export function setupVmFinal(kernel: Kernel): void {
  const { target, addresses, options, ptOps, names } = kernel;
  const swapperPgDir = kernel.symbolPa('swapper_pg_dir');
  // The fixmap's tables are shared: both roots have the same slots.
  if (addresses.xlen === 32) copyFdtEntry(kernel);
  createPgdMapping(target, swapperPgDir, {
    va: addresses.fixmap.start,
    pa: pgdNext(kernel, 'fixmap'),
    size: addresses.pgdirSize,
    prot: target.pageTable,
  });
  createLinearMappingPageTable(kernel);
  // On RV32 the linear map holds the kernel already.
  if (addresses.xlen === 64) createKernelPageTable(kernel, swapperPgDir, 'final');
  if (options.kasan) kasanSwapperInit(kernel);
  // No table is reached through a slot any more.
  for (let level = 0; level < names.geometry.levels.length; level++) ptOps.release(level);
  kernel.satp = encodeSatp(kernel.mode, swapperPgDir);
  ptOps.enter('late');
}

/** `paging_init`. */
export function pagingInit(kernel: Kernel): void {
  setupBootmem(kernel);
  setupVmFinal(kernel);
}
