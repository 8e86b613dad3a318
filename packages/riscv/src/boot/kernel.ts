/** A kernel in the middle of booting: its variables, and what it works with. */
import type { LinuxNames, Memblock, Memory, Paging, PhaseSwitcher, PhysAddr, RecordingAllocator } from '@pagefold/core';
import type { LinuxProtections } from '../linux-protections.ts';
import type { RiscvMode } from '../modes.ts';
import type { KernelAddresses } from './addresses.ts';
import type { BuildOptions } from './build-options.ts';
import type { MappingTarget } from './create-mapping.ts';
import type { BootDescription } from './description.ts';
import type { Fixmap } from './fixmap.ts';
import type { KernelMap } from './kernel-map.ts';

/** Machine and kernel image: what there is before the first instruction. */
export interface BootMachine {
  readonly description: BootDescription;
  readonly options: BuildOptions;
  /** RAM, all zero. */
  readonly memory: Memory;
  /** Where the kernel finds what it should mention; nothing here stops a boot. */
  readonly warnings: string[];
}

/** The kernel, from the end of `setup_vm` on. Members that are not read-only are its variables. */
export interface Kernel extends BootMachine {
  readonly mode: RiscvMode;
  /** Modes that were written to satp to find it. */
  readonly tried: readonly RiscvMode[];
  readonly addresses: KernelAddresses;
  readonly kernelMap: KernelMap;
  readonly paging: Paging;
  readonly names: LinuxNames;
  readonly protections: LinuxProtections;
  readonly fixmap: Fixmap;
  readonly memblock: Memblock;
  /** How tables are made and reached: the phases early, fixmap, late. */
  readonly ptOps: PhaseSwitcher;
  /** Every table that memblock gave. */
  readonly allocations: RecordingAllocator;
  readonly target: MappingTarget;
  /** Physical address of a static table or other symbol of the image. */
  symbolPa(name: string): PhysAddr;
  /** `memory_limit`. */
  memoryLimit: bigint;
  /** `phys_ram_base`. */
  physRamBase: bigint;
  /** `satp`. */
  satp: bigint;
  /** `dtb_early_va`. */
  dtbEarlyVa: bigint;
  /** `initrd_start` and `initrd_end`, linear addresses; 0 if there is none. */
  initrd: { readonly start: bigint; readonly end: bigint };
  /** `max_low_pfn`, `max_pfn`. */
  maxPfn: bigint;
  /** KFENCE's pool. */
  kfencePool: bigint | undefined;
}
