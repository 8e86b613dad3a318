/**
 * `setup_vm`: the first C code of the kernel. The MMU is off; it makes the tables with which the kernel runs until all
 * memory is known. Steps, order and names are those of Linux 6.12 arch/riscv/mm/init.c.
 */
import type { PhysAddr } from '@pagefold/core';
import { encodeSatp } from '../satp.ts';
import { fixToVirt } from './addresses.ts';
import { createKernel } from './create-kernel.ts';
import { createP4dMapping, createPgdMapping, createPmdMapping, createPudMapping } from './create-mapping.ts';
import { bugOn } from './errors.ts';
import { fitsPud } from './kaslr.ts';
import type { BootMachine, Kernel } from './kernel.ts';
import { createKernelPageTable } from './kernel-page-table.ts';

const ADDRESS_SPACE_END = (1n << 64n) - 1n;
const SZ_4K = 4096n;

/** The checks that the kernel makes of itself before it maps anything. */
function sanityChecks({ kernelMap, addresses, options }: Kernel): void {
  const { virtAddr, physAddr, size, pageOffset } = kernelMap;
  const { pgdirSize, pmdSize, pudSize, xlen } = addresses;
  bugOn(pageOffset % pgdirSize !== 0n, 'page-offset', 'the linear map must begin at a root entry', { pageOffset });
  bugOn(physAddr % pmdSize !== 0n, 'load-align', 'the kernel must be loaded at a large page', { physAddr, pmdSize });
  const end = virtAddr + size;
  const tooHigh = xlen === 64 && end > ADDRESS_SPACE_END - SZ_4K;
  bugOn(tooHigh, 'kernel-end', 'the last page of the address space cannot be used', { virtAddr, size });
  const crosses = options.relocatable && !fitsPud(virtAddr, size, pudSize);
  bugOn(crosses, 'kernel-pud', 'the kernel crosses what one early table can map', { virtAddr, size });
}

/** The table that a root points to: p4d, pud, pmd or pte, whichever is real. */
export function pgdNext(kernel: Kernel, family: 'fixmap' | 'trampoline'): PhysAddr {
  const { names } = kernel;
  const next = (['p4d', 'pud', 'pmd'] as const).find((name) => !names[name].folded) ?? 'pte';
  return kernel.symbolPa(`${family}_${next}`);
}

/** The fixmap's tables below the early root, down to the one with ptes. */
function createFixmapTables(kernel: Kernel, root: PhysAddr): void {
  const { target, addresses, symbolPa, names } = kernel;
  const { pgdirSize, pmdSize, pudSize } = addresses;
  const hook = (size: bigint, pa: PhysAddr) => ({ va: addresses.fixmap.start, pa, size, prot: target.pageTable });
  createPgdMapping(target, root, hook(pgdirSize, pgdNext(kernel, 'fixmap')));
  if (names.pmd.folded) return;
  if (!names.p4d.folded) createP4dMapping(target, symbolPa('fixmap_p4d'), hook(names.p4d.size, symbolPa('fixmap_pud')));
  if (!names.pud.folded) createPudMapping(target, symbolPa('fixmap_pud'), hook(pudSize, symbolPa('fixmap_pmd')));
  createPmdMapping(target, symbolPa('fixmap_pmd'), hook(pmdSize, symbolPa('fixmap_pte')));
}

/** The trampoline: the first large page of the kernel and nothing else, for the jump to virtual addresses. */
function createTrampoline(kernel: Kernel): void {
  const { target, addresses, kernelMap, symbolPa, protections, options, names } = kernel;
  const { pgdirSize, pmdSize, pudSize } = addresses;
  const va = kernelMap.virtAddr;
  const root = symbolPa('trampoline_pg_dir');
  const prot = protections.values.PAGE_KERNEL_EXEC;
  if (names.pmd.folded) {
    createPgdMapping(target, root, { va, pa: kernelMap.physAddr, size: pgdirSize, prot });
    return;
  }
  const hook = (size: bigint, pa: PhysAddr) => ({ va, pa, size, prot: target.pageTable });
  createPgdMapping(target, root, hook(pgdirSize, pgdNext(kernel, 'trampoline')));
  if (!names.p4d.folded) {
    createP4dMapping(target, symbolPa('trampoline_p4d'), hook(names.p4d.size, symbolPa('trampoline_pud')));
  }
  if (!names.pud.folded) {
    createPudMapping(target, symbolPa('trampoline_pud'), hook(pudSize, symbolPa('trampoline_pmd')));
  }
  const pa = options.xip?.rom ?? kernelMap.physAddr;
  createPmdMapping(target, symbolPa('trampoline_pmd'), { va, pa, size: pmdSize, prot });
}

/** `create_fdt_early_page_table`: 4 MiB around the device tree, in the fixmap. */
function createFdtEarlyPageTable(kernel: Kernel, root: PhysAddr): void {
  const { target, addresses, symbolPa, protections, description } = kernel;
  const { pmdSize } = addresses;
  const { address } = description.dtb;
  const va = fixToVirt(addresses, 'FIX_FDT');
  const pa = address - (address % pmdSize);
  const prot = protections.values.PAGE_KERNEL;
  if (addresses.xlen === 32) {
    createPgdMapping(target, root, { va, pa, size: pmdSize, prot });
  } else {
    const table = symbolPa('fixmap_pmd');
    createPmdMapping(target, table, { va, pa, size: pmdSize, prot });
    createPmdMapping(target, table, { va: va + pmdSize, pa: pa + pmdSize, size: pmdSize, prot });
  }
  kernel.dtbEarlyVa = va + (address % pmdSize);
}

/**
 * `setup_vm`, and the jump to virtual addresses after it: leaves the kernel running on `early_pg_dir`.
 * @throws BootError where the kernel would have stopped, and for symbols that the description lacks
 */
export function setupVm(machine: BootMachine): Kernel {
  // KASLR, kernel_map, set_satp_mode; pt_ops is `early`: tables are static and found at their physical addresses.
  const kernel = createKernel(machine);
  const { addresses } = kernel;
  const earlyPgDir = kernel.symbolPa('early_pg_dir');
  sanityChecks(kernel);

  // The fixmap: empty slots, for tables that are made later and for early I/O.
  createFixmapTables(kernel, earlyPgDir);
  // The trampoline: just enough of the kernel to jump into.
  createTrampoline(kernel);
  // All of the kernel, enough to get to paging_init.
  createKernelPageTable(kernel, earlyPgDir, 'early');
  // The device tree, which says where memory is.
  createFdtEarlyPageTable(kernel, earlyPgDir);

  // The fixmap of early boot has ptes for one large page only: slots for boot-time ioremap must not leave it.
  const [first, last] = [fixToVirt(addresses, 'FIX_BTMAP_BEGIN'), fixToVirt(addresses, 'FIX_BTMAP_END')];
  bugOn(first / addresses.pmdSize !== last / addresses.pmdSize, 'btmap', 'slots of ioremap leave their large page');
  kernel.ptOps.enter('fixmap');

  // relocate_enable_mmu: through the trampoline, to the early root.
  kernel.satp = encodeSatp(kernel.mode, earlyPgDir);
  return kernel;
}
