/**
 * The first tables: sections only, made while the MMU is off.
 * Source: Linux 6.12 arch/arm/kernel/head.S (`__create_page_tables`), arch/arm/mm/proc-v7.S, proc-v7-2level.S,
 * proc-v7-3level.S (the flags of the processor).
 */
import type { LinuxModel } from '../linux-pte.ts';
import type { ArmKernel } from './kernel.ts';
import { sectionBits } from './memory-types.ts';

/** AP[1:0] = 11, which with long descriptors stays 0: the first mapping may be written by everyone. */
const ANY_ACCESS: Readonly<Record<LinuxModel, bigint>> = { short: 0xc00n, lpae: 0n };

/**
 * Flags of the first sections (`PROCINFO_MM_MMUFLAGS` of v7): writable, executable, cached, shared if there can be
 * several processors.
 */
export function bootSectionFlags(model: LinuxModel, smp: boolean): bigint {
  const { type, accessed, policies, shared } = sectionBits(model);
  const cached = smp ? policies.writealloc | shared : policies.writeback;
  return type | ANY_ACCESS[model] | accessed | cached;
}

/** Flags of the serial port's section (`PROCINFO_IO_MMUFLAGS`), which is never executed. */
export function bootDeviceFlags(model: LinuxModel): bigint {
  const { type, accessed, xn } = sectionBits(model);
  return type | ANY_ACCESS[model] | accessed | xn;
}

/** Builds the tables with which the MMU is switched on. */
export function createPageTables(kernel: ArmKernel): void {
  const { tables, model, cpu, description, addresses, sections } = kernel;
  const size = tables.sectionBytes;
  const flags = bootSectionFlags(model, cpu.smp);
  const down = (address: bigint): bigint => address & -size;
  const section = (va: bigint, pa: bigint, bits = flags): void => {
    tables.writeWord(tables.sectionSlot(tables.pmdSlot(va), va), down(pa) | bits);
  };
  tables.linkSwapper();

  // The code that switches the MMU on must be found where it runs.
  const first = kernel.symbolPa('__turn_mmu_on');
  const last = description.symbols.has('__turn_mmu_on_end') ? kernel.symbolPa('__turn_mmu_on_end') : first;
  for (let at = down(first); at <= down(last); at += size) section(at, at);

  const end = kernel.symbolPa('_end') - 1n;
  sections.end = down(end - addresses.physOffset) + size + addresses.physOffset;
  for (let pa = addresses.physOffset; pa < sections.end; pa += size) {
    section(pa - addresses.physOffset + addresses.pageOffset, pa);
  }

  if (description.dtb !== undefined) {
    // The device tree may begin anywhere in a section, so it may reach into the next one.
    for (let i = 0n; i < 2n; i++) section(addresses.fdt.start + i * size, down(description.dtb.start) + i * size);
  }
  const { debugUart } = description;
  if (debugUart !== undefined) section(debugUart.va, debugUart.pa, bootDeviceFlags(model));
}
