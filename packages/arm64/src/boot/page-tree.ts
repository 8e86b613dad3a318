/**
 * A tree of tables under construction: its own root size and levels, how addresses go into its entries, where its tables
 * come from and how they are reached. The identity map, the first kernel tables, swapper_pg_dir and the tables of kexec
 * are all trees of this kind; only the rules by which they are filled differ.
 */
import {
  BootError,
  createPaging,
  type Memory,
  type Paging,
  type Phase,
  type PhysAddr,
  phys,
  readWord,
  type TableAllocator,
  virt,
  writeWord,
} from '@pagefold/core';
import { LINUX_BITS } from '../entry-bits.ts';
import { arm64Stage1 } from '../format.ts';
import { stage1Geometry } from '../geometry.ts';
import { type AddressConfig, linuxAddress, linuxAddressBits } from '../linux-addresses.ts';
import { isLpa2Build, type LinuxBuild, paBitsOf } from '../linux-builds.ts';

/** A tree of tables and what it takes to build it. */
export interface PageTree {
  /** Levels and the size of the root: the tree's own, not the build's. */
  readonly paging: Paging;
  readonly memory: Memory;
  /** Physical address of the root. */
  readonly root: PhysAddr;
  /** How addresses go into entries. */
  readonly addresses: AddressConfig;
  /** How tables are made and reached now. */
  readonly phase: Phase;
}

/** A slot of a table: where it stands, and what is in it. */
export interface TreeSlot {
  readonly address: PhysAddr;
  readonly word: bigint;
}

/** Refuses to make tables: for changes to what is mapped already (`create_mapping_noalloc`). */
export const NO_TABLES: TableAllocator = {
  allocate: ({ level, va }) => {
    throw new BootError('no-table', 'this mapping must not need a new table', { level, va });
  },
  free: () => undefined,
};

/** The place of a table through the phase in force: what software would dereference now. */
export function reachTable({ phase }: PageTree, table: PhysAddr, level: number): PhysAddr {
  return phase.physical(phase.reach(table, level));
}

/** The slot for an address in a table of a level that stands at `table`. */
export function slotAt({ paging, memory }: PageTree, table: PhysAddr, level: number, va: bigint): TreeSlot {
  const { shift, entries } = paging.codec(level).level;
  const address = phys(table + ((va >> BigInt(shift)) & BigInt(entries - 1)) * 8n);
  return { address, word: readWord(memory, address) };
}

/** Zeroes the table at `at`. */
export function clearTable(memory: Memory, at: PhysAddr, bytes: number): void {
  for (let from = Number(at), to = from + bytes; from < to; ) {
    const { base, words } = memory.writable(from);
    const end = Math.min(base + words.length * 4, to);
    words.fill(0, (from - base) / 4, (end - base) / 4);
    from = end;
  }
}

/** A new table of a level, zeroed. New tables of every level are zeroed through the slot of the last one. */
export function newTable(tree: PageTree, level: number, va: bigint): PhysAddr {
  const { tableBytes, alignBytes } = tree.paging.codec(level).level;
  const table = tree.phase.allocator.allocate({ level, va: virt(va), bytes: tableBytes, alignBytes });
  clearTable(tree.memory, reachTable(tree, table, 0), tableBytes);
  tree.phase.release(0);
  return table;
}

/** The word of a pointer to a table. */
export function tableWord({ addresses }: PageTree, table: PhysAddr, bits: bigint): bigint {
  return linuxAddressBits(table, addresses) | LINUX_BITS.TYPE_MASK | bits;
}

/**
 * The table below a slot, made if the slot is empty.
 * @param level of the slot
 * @param bits attributes of the pointer to a new table
 * @throws BootError `leaf-in-the-way` if the slot holds anything but a table
 */
export function tableBelow(tree: PageTree, slot: TreeSlot, level: number, va: bigint, bits: bigint): PhysAddr {
  const { word, address } = slot;
  if (word === 0n) {
    const { entrySpan } = tree.paging.codec(level).level;
    const table = newTable(tree, level - 1, va - (va % BigInt(entrySpan)));
    writeWord(tree.memory, address, tableWord(tree, table, bits));
    return table;
  }
  if ((word & LINUX_BITS.TYPE_MASK) !== LINUX_BITS.TYPE_MASK) {
    throw new BootError('leaf-in-the-way', 'something else stands where a table is needed', {
      va,
      slot: address,
      word,
    });
  }
  return phys(linuxAddress(word, tree.addresses));
}

/** How a build puts addresses into entries. */
export function addressConfig(build: LinuxBuild, lpa2: boolean): AddressConfig {
  return { granule: build.granule, paBits: paBitsOf(build), lpa2 };
}

/** Features of the format for entries that a build writes. */
export function entryFeatures(build: LinuxBuild, lpa2: boolean): string[] {
  const pa52 = build.granule === '64K' && paBitsOf(build) === 52;
  return ['ha', ...(lpa2 && isLpa2Build(build) ? ['lpa2'] : []), ...(pa52 ? ['pa52'] : [])];
}

/**
 * The paging of a tree in the lower half: an identity map has its own number of bits, whatever the build's.
 * @param lpa2 52-bit descriptors are in use
 * @param bits input bits. Not supplied: 48, those of Linux's identity maps (`IDMAP_VA_BITS`)
 */
export function lowPaging(build: LinuxBuild, lpa2: boolean, bits = 48): Paging {
  const features = entryFeatures(build, lpa2);
  const wide = features.length > 1;
  const geometry = stage1Geometry({
    granule: build.granule,
    inputBits: bits,
    half: 'low',
    outputBits: wide ? 52 : 48,
    features,
    rootAlignBytes: wide ? 64 : 0,
  });
  return createPaging(arm64Stage1[build.granule], geometry);
}
