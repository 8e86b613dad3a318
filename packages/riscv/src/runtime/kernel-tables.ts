/** The tables of a running kernel: what the operations on kernel mappings work with. */
import {
  createNames,
  type LinuxNames,
  type Memory,
  type Paging,
  type PhysAddr,
  phys,
  type TableAllocator,
} from '@pagefold/core';
import type { Kernel } from '../boot/kernel.ts';
import type { KernelMap } from '../boot/kernel-map.ts';
import { linuxPredicates } from '../linux-predicates.ts';
import { type LinuxProtections, linuxProtections } from '../linux-protections.ts';

/** The tables under `swapper_pg_dir`, with what the kernel knows about its addresses. */
export interface KernelTables {
  readonly paging: Paging;
  readonly memory: Memory;
  /** Names with the tests of Linux 6.12, which take pgd and p4d entries for no leaves. */
  readonly names: LinuxNames;
  /** Physical address of the root. */
  readonly root: PhysAddr;
  readonly kernelMap: KernelMap;
  readonly protections: LinuxProtections;
  /** Where new tables come from. */
  readonly allocator: TableAllocator;
}

/** What {@link createKernelTables} needs. */
export interface KernelTablesInput {
  readonly paging: Paging;
  readonly memory: Memory;
  readonly root: PhysAddr | bigint;
  readonly kernelMap: KernelMap;
  readonly allocator: TableAllocator;
  /** Not supplied: those of Linux 6.12 without memory types. */
  readonly protections?: LinuxProtections;
}

/** Puts the parts together. */
export function createKernelTables(input: KernelTablesInput): KernelTables {
  const { paging, memory, root, kernelMap, allocator } = input;
  const xlen = paging.geometry.wordBits;
  const predicates = linuxPredicates({ xlen });
  const names = createNames(memory, paging, { allocator, predicates });
  const protections = input.protections ?? linuxProtections({ xlen });
  return { paging, memory, names, root: phys(root), kernelMap, protections, allocator };
}

/** The tables of a kernel that has booted, with tables from its late phase. */
export function kernelTablesOf(kernel: Kernel): KernelTables {
  const { paging, memory, kernelMap, protections, ptOps } = kernel;
  const root = kernel.symbolPa('swapper_pg_dir');
  return createKernelTables({ paging, memory, root, kernelMap, protections, allocator: ptOps });
}
