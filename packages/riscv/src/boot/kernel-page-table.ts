/**
 * The kernel's own mapping, and with which protection each part of it is mapped.
 * Source: Linux 6.12 arch/riscv/mm/init.c (`create_kernel_page_table`, `pgprot_from_va`), asm/sections.h.
 */
import { describedSymbol, type PhysAddr } from '@pagefold/core';
import { createPgdMapping, createPgdMappings } from './create-mapping.ts';
import type { Kernel } from './kernel.ts';

/** Addresses of one symbol range, where the kernel runs. */
export interface TextRange {
  readonly start: bigint;
  readonly end: bigint;
}

/** Where a symbol is when the kernel runs: moved with the kernel, whatever its list of symbols says. */
export function runtimeSymbol(kernel: Kernel, name: string): bigint {
  const { description, kernelMap } = kernel;
  return describedSymbol(description, name) - describedSymbol(description, '_start') + kernelMap.virtAddr;
}

/** Text and init text: what is executable. */
export function kernelText(kernel: Kernel): TextRange {
  return { start: kernel.kernelMap.virtAddr, end: runtimeSymbol(kernel, '__init_data_begin') };
}

function within({ start, end }: TextRange, va: bigint): boolean {
  return va >= start && va < end;
}

/** `pgprot_from_va`: the protection of a leaf that begins at an address of the kernel or of the linear map. */
export function pgprotFromVa(kernel: Kernel, va: bigint): bigint {
  const { kernelMap, options, protections, addresses } = kernel;
  const { PAGE_KERNEL, PAGE_KERNEL_EXEC, PAGE_KERNEL_READ, PAGE_KERNEL_READ_EXEC } = protections.values;
  const rv64 = addresses.xlen === 64;
  if (!options.strictKernelRwx) return rv64 && !kernelMap.isKernel(va) ? PAGE_KERNEL : PAGE_KERNEL_EXEC;
  const text = kernelText(kernel);
  if (within(text, va)) return PAGE_KERNEL_READ_EXEC;
  // The twin of the text in the linear map is neither executable nor writable; rodata follows when booting ends.
  const alias = { start: kernelMap.lmAlias(text.start), end: kernelMap.lmAlias(text.end) };
  return rv64 && within(alias, va) ? PAGE_KERNEL_READ : PAGE_KERNEL;
}

/** `create_kernel_page_table` of a kernel that executes in place: the part in flash, the part in RAM. */
function createXipPageTable(kernel: Kernel, root: PhysAddr, rom: bigint, romSize: bigint, dataOffset: bigint): void {
  const { target, kernelMap, addresses, protections } = kernel;
  const size = addresses.pmdSize;
  const steps = (bytes: bigint): number => Number((bytes + size - 1n) / size);
  const { virtAddr, physAddr } = kernelMap;
  const { PAGE_KERNEL, PAGE_KERNEL_EXEC } = protections.values;
  createPgdMappings(target, root, { va: virtAddr, pa: rom, size, prot: PAGE_KERNEL_EXEC }, steps(romSize));
  const data = { va: virtAddr + dataOffset, pa: physAddr, size, prot: PAGE_KERNEL };
  createPgdMappings(target, root, data, steps(kernelMap.size - dataOffset));
}

/**
 * `create_kernel_page_table`: the kernel in large pages.
 * @param when `early`: executable and writable throughout; `final`: each page by what begins in it
 */
export function createKernelPageTable(kernel: Kernel, root: PhysAddr, when: 'early' | 'final'): void {
  const { target, kernelMap, addresses, protections } = kernel;
  const { xip } = kernelMap.placement;
  if (xip !== undefined) {
    createXipPageTable(kernel, root, xip.rom, xip.romSize, xip.dataOffset);
    return;
  }
  const end = kernelMap.virtAddr + kernelMap.size;
  for (let va = kernelMap.virtAddr; va < end; va += addresses.pmdSize) {
    createPgdMapping(target, root, {
      va,
      pa: kernelMap.physAddr + (va - kernelMap.virtAddr),
      size: addresses.pmdSize,
      prot: when === 'early' ? protections.values.PAGE_KERNEL_EXEC : pgprotFromVa(kernel, va),
    });
  }
}

/**
 * The part of the vmalloc area that a kernel takes which runs inside it, as the patch "riscv: Move kernel mapping to
 * vmalloc zone" of 2020 had it: registered before anything is handed out, in whole large pages, without a guard page
 * (`vm_area_add_early`). `undefined` if the kernel runs elsewhere, as it does since v5.13.
 */
export function kernelVmArea({ kernelMap, addresses }: Pick<Kernel, 'kernelMap' | 'addresses'>): TextRange | undefined {
  const { virtAddr, size } = kernelMap;
  const { vmalloc, pmdSize } = addresses;
  if (virtAddr < vmalloc.start || virtAddr >= vmalloc.end) return undefined;
  return { start: virtAddr, end: virtAddr + ((size + pmdSize - 1n) / pmdSize) * pmdSize };
}
