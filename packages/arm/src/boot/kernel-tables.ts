/** The tables of a kernel that boots: its root, the names over them, its memory types, what it complains about. */
import {
  type LinuxNames,
  type PhysAddr,
  phys,
  readWord,
  type Slot,
  type SparseMemory,
  type TableAllocator,
  virt,
  writeWord,
} from '@pagefold/core';
import { hardwarePte, type PteModel } from '../linux-hardware.ts';
import type { LinuxModel } from '../linux-pte.ts';
import { createArmNames } from '../linux-tables.ts';
import { type ArmCpu, type MemoryType, type MemoryTypeName, memoryTypes } from './memory-types.ts';

/** L_PGD_SWAPPER: a root entry whose second-level table belongs to the kernel. */
export const SWAPPER_ENTRY: bigint = 1n << 55n;

/** What {@link KernelTables} is made of. */
export interface KernelTablesOptions {
  readonly model: LinuxModel;
  readonly cpu: ArmCpu;
  readonly memory: SparseMemory;
  /** Physical address of `swapper_pg_dir`. */
  readonly root: PhysAddr;
  readonly allocator: TableAllocator;
}

/** The kernel's own tables. */
export class KernelTables {
  readonly model: LinuxModel;
  readonly cpu: ArmCpu;
  readonly memory: SparseMemory;
  readonly root: PhysAddr;
  readonly names: LinuxNames;
  readonly types: Readonly<Record<MemoryTypeName, MemoryType>>;
  readonly allocator: TableAllocator;
  /** What the kernel would print about mappings that it refuses. */
  readonly warnings: string[] = [];

  constructor({ model, cpu, memory, root, allocator }: KernelTablesOptions) {
    this.model = model;
    this.cpu = cpu;
    this.memory = memory;
    this.root = root;
    this.allocator = allocator;
    this.names = createArmNames(model, memory, { allocator, pteModel: this.pteModel });
    this.types = memoryTypes(model, cpu);
  }

  /** Whose code stores page entries. */
  get pteModel(): PteModel {
    if (this.model === 'lpae') return 'v7-lpae';
    return this.cpu.arch >= 7 ? 'v7-short' : this.cpu.arch === 6 ? 'v6-short' : 'v5-short';
  }

  /** Bytes of a section: 1 MiB, or 2 MiB under long descriptors. */
  get sectionBytes(): bigint {
    return BigInt(this.names.geometry.levels[this.names.pmd.level]?.entrySpan ?? 0);
  }

  /** Bytes of one word. */
  get wordBytes(): 4 | 8 {
    return this.names.paging.format.entryBytes;
  }

  /** Links the kernel's second-level tables behind the root's page, where the root has entries for them. */
  linkSwapper(): void {
    if (this.model === 'short') return;
    const { pgd } = this.names;
    for (let i = 0; i < pgd.entries; i++) {
      const table = this.root + 0x1000n * BigInt(i + 1);
      this.writeWord(phys(this.root + BigInt(i * pgd.slotBytes)), table | 3n | SWAPPER_ENTRY);
    }
  }

  /** The slot of the pmd for an address (`pmd_off_k`): the first word of a pair. */
  pmdSlot(va: bigint): Slot<'pmd'> {
    const { pgd, p4d, pud, pmd } = this.names;
    return pmd.offset(pud.offset(p4d.offset(pgd.offset(this.root, va), va), va), va);
  }

  /** Physical address of the word of a pmd that a section at an address is written to. */
  sectionSlot({ address }: Slot<'pmd'>, va: bigint): PhysAddr {
    const within = (va & (this.names.pmd.size - 1n)) / this.sectionBytes;
    return phys(address + within * BigInt(this.wordBytes));
  }

  readWord(at: PhysAddr): bigint {
    return readWord(this.memory, at, this.wordBytes);
  }

  writeWord(at: PhysAddr, word: bigint): void {
    writeWord(this.memory, at, word, this.wordBytes);
  }

  /** Clears the pmds of a range (`pmd_clear` in steps of `PMD_SIZE` from `start` while below `end`). */
  clearPmds(start: bigint, end: bigint): void {
    const { pmd } = this.names;
    for (let va = start; va < end; va += pmd.size) pmd.clear(this.pmdSlot(va));
  }

  /** Makes sure that the pmd of an address has a table of pages (`arm_pte_alloc`); its slot for the address. */
  pteSlot(slot: Slot<'pmd'>, va: bigint, tableBits: bigint): Slot<'pte'> {
    const { pmd, pte } = this.names;
    if (pmd.none(slot.load())) {
      const table = pte.allocOne(va);
      if (table !== null) pmd.populate(slot, table, tableBits);
    }
    return pte.offset(slot, va);
  }

  /** Stores a page entry given in Linux's bits. */
  setPte(slot: Slot<'pte'>, linux: bigint, extra = 0n): void {
    const { pte } = this.names;
    if (this.model === 'short') pte.set(slot, linux, extra);
    else pte.set(slot, hardwarePte('v7-lpae', linux, extra));
  }

  /** Memory for the kernel's own use, aligned to its size (`early_alloc`). */
  earlyAlloc(bytes: number): PhysAddr {
    return this.allocator.allocate({ level: 0, va: virt(0n), bytes, alignBytes: bytes });
  }
}
