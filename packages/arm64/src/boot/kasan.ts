/**
 * KASAN's shadow: first one page for all addresses, through tables of which each level has one; then real shadow. Where
 * the shadow begins or ends inside a root entry, the table below that entry belongs to others too.
 * Source: Linux 6.12 arch/arm64/mm/kasan_init.c, mm/kasan/init.c (`kasan_populate_early_shadow`).
 */
import {
  BootError,
  latePhase,
  type PhysAddr,
  phys,
  readWord,
  StaticTables,
  type TableAllocator,
  writeWord,
} from '@pagefold/core';
import { tableMask } from '../entry-bits.ts';
import { linuxAddressBits } from '../linux-addresses.ts';
import { pteWrprotect } from '../linux-transitions.ts';
import { copyRoot } from './early-map.ts';
import { swapperTree } from './fixmap.ts';
import { type Kernel, linearVa, symbolPa, symbolVa, tablesPa } from './kernel.ts';
import { clearTable, newTable, type PageTree, slotAt, tableBelow, tableWord } from './page-tree.ts';

/** The tables that all of the early shadow shares, by level, and the page; then the others that `kasan_init` needs. */
const KASAN_PAGES = [
  'kasan_early_shadow_pte',
  'kasan_early_shadow_pmd',
  'kasan_early_shadow_pud',
  'kasan_early_shadow_p4d',
  'kasan_early_shadow_page',
  'kasan_early_init.tbl',
  'tmp_pg_dir',
  'kasan_init_shadow.pud',
] as const;

/** Where one of them is. Few symbol lists have the last ones; without a symbol they are assumed inside the bss. */
export function kasanPage(kernel: Kernel, name: (typeof KASAN_PAGES)[number]): PhysAddr {
  const { pageBytes } = kernel.paging;
  const bss = (symbolPa(kernel, '__bss_start') + pageBytes - 1n) & -pageBytes;
  return tablesPa(kernel, name, phys(bss + BigInt(16 + KASAN_PAGES.indexOf(name)) * pageBytes));
}

function shadowOf(kernel: Kernel): NonNullable<Kernel['layout']['shadow']> {
  const { shadow } = kernel.layout;
  if (shadow === undefined) throw new BootError('kasan-mode', 'this kernel has no shadow');
  return shadow;
}

/** Does an address begin a root entry? */
function rootAligned({ paging }: Kernel, va: bigint): boolean {
  return va % BigInt(paging.geometry.root.entrySpan) === 0n;
}

/** What each level of a populated range does with its slots. */
interface Populate {
  /** The entry of a page. */
  page(va: bigint): bigint;
}

/** Visits the slots of a range; goes on to the next slot only while that is empty, as the kernel does below its root. */
function populate(tree: PageTree, how: Populate, level: number, table: PhysAddr, start: bigint, end: bigint): void {
  const { entrySpan } = tree.paging.codec(level).level;
  const span = BigInt(entrySpan);
  for (let va = start; va < end; ) {
    const slot = slotAt(tree, table, level, va);
    if (va !== start && level !== tree.paging.geometry.root.level && slot.word !== 0n) return;
    const edge = (va & -span) + span;
    const next = edge < end ? edge : end;
    if (level === 0) writeWord(tree.memory, slot.address, how.page(va));
    else populate(tree, how, level - 1, tableBelow(tree, slot, level, va, 0n), va, next);
    va = next;
  }
}

/** Gives out the shared table of each level where an entry is shared in part only. */
function sharedTables(kernel: Kernel): TableAllocator {
  return {
    allocate: ({ level }) => kasanPage(kernel, KASAN_PAGES[level] as (typeof KASAN_PAGES)[number]),
    free: () => undefined,
  };
}

/** `kasan_early_init`: runs before any other C code of the kernel, on `swapper_pg_dir`. */
export function kasanEarlyInit(kernel: Kernel): void {
  const { start, end } = shadowOf(kernel);
  const tree = swapperTree(kernel, sharedTables(kernel));
  const { root } = kernel.paging.geometry;
  if (!rootAligned(kernel, start)) {
    // Others will use the table below this entry as well: it must not be the shared one.
    const own = new StaticTables([
      { name: 'tbl', level: root.level - 1, addresses: [kasanPage(kernel, 'kasan_early_init.tbl')] },
    ]);
    const table = newTable({ ...tree, phase: latePhase(own, 0n) }, root.level - 1, start);
    writeWord(tree.memory, slotAt(tree, tree.root, root.level, start).address, tableWord(tree, table, 0n));
  }
  const page = linuxAddressBits(kasanPage(kernel, 'kasan_early_shadow_page'), tree.addresses);
  const entry = page | kernel.protections.values.PAGE_KERNEL;
  populateShared(kernel, tree, root.level, tree.root, start, end, entry, 0n);
}

/**
 * Points whole empty entries at the shared table of their level, makes tables for the edges. The shared tables are filled
 * throughout: each of their entries leads to the shared table of the next level.
 */
function populateShared(
  kernel: Kernel,
  tree: PageTree,
  level: number,
  table: PhysAddr,
  start: bigint,
  end: bigint,
  entry: bigint,
  bits: bigint,
  allocator?: TableAllocator,
): void {
  const span = BigInt(tree.paging.codec(level).level.entrySpan);
  for (let va = start; va < end; ) {
    const edge = (va & -span) + span;
    const next = edge < end ? edge : end;
    const slot = slotAt(tree, table, level, va);
    if (level === 0) {
      writeWord(tree.memory, slot.address, entry);
    } else if (va % span === 0n && next - va === span) {
      const below = fillShared(kernel, tree, level - 1, entry, bits);
      writeWord(tree.memory, slot.address, tableWord(tree, below, bits));
    } else {
      const from = allocator === undefined ? tree : { ...tree, phase: latePhase(allocator, 0n) };
      populateShared(
        kernel,
        tree,
        level - 1,
        tableBelow(from, slot, level, va, bits),
        va,
        next,
        entry,
        bits,
        allocator,
      );
    }
    va = next;
  }
}

/** The shared table of a level, with every entry as it must be. */
function fillShared(kernel: Kernel, tree: PageTree, level: number, entry: bigint, bits: bigint): PhysAddr {
  const table = kasanPage(kernel, KASAN_PAGES[level] as (typeof KASAN_PAGES)[number]);
  const word = level === 0 ? entry : tableWord(tree, fillShared(kernel, tree, level - 1, entry, bits), bits);
  if (readWord(tree.memory, table) === word) return table;
  for (let i = 0; i < tree.paging.codec(level).level.entries; i++) {
    writeWord(tree.memory, phys(table + BigInt(i) * 8n), word);
  }
  return table;
}

/** Copies the table below a root entry and hooks the copy into the temporary root. */
function cloneNextLevel(kernel: Kernel, tmp: PageTree, va: bigint, to: PhysAddr): void {
  const { root } = kernel.paging.geometry;
  const slot = slotAt(tmp, tmp.root, root.level, va);
  const from = tableBelow(tmp, slot, root.level, va, 0n);
  for (let at = 0n; at < kernel.paging.pageBytes; at += 8n) {
    writeWord(kernel.memory, phys(to + at), readWord(kernel.memory, phys(from + at)));
  }
  writeWord(kernel.memory, slot.address, tableWord(tmp, to, 0n));
}

/** The root that the processor uses while the real one loses its shadow. */
function createTemporaryRoot(kernel: Kernel): PageTree {
  const { start, end } = shadowOf(kernel);
  const root = kasanPage(kernel, 'tmp_pg_dir');
  copyRoot(kernel, 'swapper_pg_dir', root);
  const tmp = { ...swapperTree(kernel, NO_MORE), root: phys(root + kernel.rootOffset) };
  const clones = kasanPage(kernel, 'kasan_init_shadow.pud');
  if (!rootAligned(kernel, start)) cloneNextLevel(kernel, tmp, start, clones);
  if (!rootAligned(kernel, end)) cloneNextLevel(kernel, tmp, end, phys(clones + kernel.paging.pageBytes));
  return tmp;
}

const NO_MORE: TableAllocator = {
  allocate: ({ level, va }) => {
    throw new BootError('kasan-clone', 'the shadow has no table there that could be copied', { level, va });
  },
  free: () => undefined,
};

/** `clear_shadow`: parts of the tables below the first and last root entry, then whole root entries. */
function clearShadow(kernel: Kernel, tree: PageTree): void {
  const { start, end } = shadowOf(kernel);
  const { root, levels } = kernel.paging.geometry;
  const span = BigInt(root.entrySpan);
  const below = levels[root.level - 1];
  const clearPart = (from: bigint, to: bigint): void => {
    const table = tableBelow(tree, slotAt(tree, tree.root, root.level, from), root.level, from, 0n);
    const step = BigInt(below?.entrySpan ?? 0);
    for (let va = from; va < to; va += step) {
      clearTable(kernel.memory, slotAt(tree, table, root.level - 1, va).address, 8);
    }
  };
  const first = (start + span - 1n) & -span;
  const last = end & -span;
  if (first !== start) clearPart(start, first < end ? first : end);
  if (last !== end && last >= first) clearPart(last, end);
  for (let va = first; va < last; va += span) {
    clearTable(kernel.memory, slotAt(tree, tree.root, root.level, va).address, 8);
  }
}

/**
 * `kasan_init`. Memory that other code of the kernel takes from memblock between `paging_init` and here is not modelled,
 * so addresses of shadow may differ from those of a real kernel; what is mapped how does not.
 * @throws OutOfTablesError if memory does not suffice for the shadow
 */
export function kasanInit(kernel: Kernel): void {
  const { memblock, paging, symbols, protections } = kernel;
  const { shadow, start: shadowStart, end: shadowEnd } = shadowOf(kernel);
  const page = paging.pageBytes;
  createTemporaryRoot(kernel);
  const tree = swapperTree(kernel, memblock);
  clearShadow(kernel, tree);

  const own = (): bigint => linuxAddressBits(memblock.physAlloc(page, page), tree.addresses);
  const real: Populate = { page: () => own() | protections.values.PAGE_KERNEL };
  const { root } = paging.geometry;
  const mapReal = (from: bigint, to: bigint): void => {
    populate(tree, real, root.level, tree.root, from & -page, (to + page - 1n) & -page);
  };
  mapReal(shadow.shadowOf(symbolVa(kernel, '_text')), shadow.shadowOf(symbolVa(kernel, '_end')));

  // What is never checked, and what lies beyond vmalloc, keeps the shared page, read-only now.
  const shared = linuxAddressBits(kasanPage(kernel, 'kasan_early_shadow_page'), tree.addresses);
  const zero = pteWrprotect(shared | protections.values.PAGE_KERNEL);
  const uxn = tableMask('uxnTable');
  const mapShared = (from: bigint, to: bigint): void => {
    populateShared(kernel, tree, root.level, tree.root, from & -page, to & -page, zero, uxn, memblock);
  };
  mapShared(shadow.shadowOf(symbols.PAGE_END), shadow.shadowOf(symbols.MODULES_VADDR));
  mapShared(shadow.shadowOf(symbols.VMALLOC_END), shadowEnd);

  for (const { start, end } of [...memblock.mappable]) {
    const from = linearVa(kernel, start);
    const to = from + (end - start);
    if (from < to) mapReal(shadow.shadowOf(from), shadow.shadowOf(to));
  }
  const readOnly = shared | protections.values.PAGE_KERNEL_RO;
  const ptes = kasanPage(kernel, 'kasan_early_shadow_pte');
  for (let i = 0; i < paging.codec(0).level.entries; i++) {
    writeWord(kernel.memory, phys(ptes + BigInt(i) * 8n), readOnly);
  }
  if (shadowStart >= shadowEnd) throw new BootError('kasan-range', 'the shadow ends before it begins');
}
