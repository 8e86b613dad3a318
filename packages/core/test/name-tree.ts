/** A tree of tables under the five names, for tests. */
import { type PhysAddr, phys } from '../src/address.ts';
import { BumpAllocator, FreeListAllocator, RecordingAllocator } from '../src/allocators.ts';
import { createNames, type LinuxNames, type NamesOptions, type Slot } from '../src/linux-names.ts';
import { SparseMemory } from '../src/memory.ts';
import type { Paging } from '../src/paging.ts';

/** Root of the trees. */
export const ROOT = phys(0x10_0000n);

/** What a test works on. */
export interface NameTree {
  readonly memory: SparseMemory;
  readonly allocator: RecordingAllocator;
  readonly names: LinuxNames;
}

/** Memory of 2 GiB, names over it, and an allocator with a record. */
export function tree(paging: Paging, options: NamesOptions = {}): NameTree {
  const memory = new SparseMemory([{ start: 0n, end: 0x8000_0000n }]);
  const allocator = new RecordingAllocator(new FreeListAllocator(new BumpAllocator(0x100_0000n, 0x8000_0000n)));
  return { memory, allocator, names: createNames(memory, paging, { allocator, ...options }) };
}

/** The slots of all names for one address. */
export type SlotPath = { readonly [N in keyof Pick<LinuxNames, 'pgd' | 'p4d' | 'pud' | 'pmd' | 'pte'>]: Slot<N> };

/** Five-level code, written once: the slots of an address, with tables made on the way. */
export function allocPath({ pgd, p4d, pud, pmd, pte }: LinuxNames, root: PhysAddr, va: bigint): SlotPath {
  const pgdp = pgd.offset(root, va);
  const p4dp = p4d.alloc(pgdp, va);
  const pudp = pud.alloc(p4dp, va);
  const pmdp = pmd.alloc(pudp, va);
  const ptep = pte.alloc(pmdp, va);
  return { pgd: pgdp, p4d: p4dp, pud: pudp, pmd: pmdp, pte: ptep };
}
