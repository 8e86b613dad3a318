import {
  createSpace,
  FreeListAllocator,
  hex,
  Memblock,
  mappedRanges,
  phys,
  readWord,
  SparseMemory,
  translate,
} from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  createKernelTables,
  createPgdMapping,
  type Kernel,
  KernelMap,
  kernelTablesOf,
  PAGE_KERNEL,
  ptdump,
  ptdumpMarkers,
  removeMapping,
  riscvPaging,
  runtimeSymbol,
  setDirectMapDefault,
  setDirectMapInvalid,
  setMemory,
  structPages,
  vmapMaxPageShift,
  vmapRange,
  vmemmapPopulate,
  vmemmapStartPfn,
} from '../src/index.ts';
import { bootedKernel } from './boot-machine.ts';

const MIB = 2n ** 20n;
const GIB = 2n ** 30n;

function spaceOf(kernel: Kernel) {
  const address = kernel.symbolPa('swapper_pg_dir');
  return createSpace(kernel.memory, { paging: kernel.paging, address });
}

/** Physical address, size and low bits of what an address is mapped to. */
function at(kernel: Kernel, va: bigint): string {
  const result = translate(spaceOf(kernel), va);
  return result.mapped ? `${hex(result.pa)} ${hex(result.leafBytes)} ${hex(result.entry & 0x3ffn)}` : 'nothing';
}

describe('set_memory (mm/pageattr.c)', () => {
  it('changes a kernel mapping whole and splits its twin where the range ends inside a leaf', () => {
    const kernel = bootedKernel({ mode: 'sv48' });
    const tables = kernelTablesOf(kernel);
    const [start, end] = [runtimeSymbol(kernel, '__start_rodata'), runtimeSymbol(kernel, '_data')];
    const { splits, flush } = setMemory(tables, 'ro', start, Number((end - start) / 4096n));
    expect([splits.length, flush]).toEqual([0, 'all']);
    expect(at(kernel, start)).toBe('0x81200000 0x200000 0xe3');
    expect(at(kernel, kernel.kernelMap.lmAlias(start))).toBe('0x81200000 0x200000 0xe3');
    const piece = setMemory(tables, 'rw', start, 3);
    expect(piece.splits.map(({ name }) => name)).toEqual(['pmd']);
    expect(at(kernel, start + 5n * 4096n)).toBe('0x81205000 0x200000 0xe7');
    expect(at(kernel, kernel.kernelMap.lmAlias(start) + 2n * 4096n)).toBe('0x81202000 0x1000 0xe7');
    expect(at(kernel, kernel.kernelMap.lmAlias(start) + 3n * 4096n)).toBe('0x81203000 0x1000 0xe3');
  });

  it('changes vmalloc pages and the pages behind them, wherever those are', () => {
    const kernel = bootedKernel({ mode: 'sv39' });
    const tables = kernelTablesOf(kernel);
    const va = kernel.addresses.vmalloc.start;
    const pages = [0x9012_3000n, 0x9900_0000n];
    pages.forEach((pa, i) => {
      createPgdMapping(kernel.target, tables.root, { va: va + BigInt(i) * 4096n, pa, size: 4096n, prot: PAGE_KERNEL });
    });
    const { splits } = setMemory(tables, 'ro', va, 2);
    expect(splits.length).toBe(2);
    for (const [i, pa] of pages.entries()) {
      expect(at(kernel, va + BigInt(i) * 4096n)).toBe(`${hex(pa)} 0x1000 0xe3`);
      expect(at(kernel, kernel.kernelMap.va(pa))).toBe(`${hex(pa)} 0x1000 0xe3`);
      expect(at(kernel, kernel.kernelMap.va(pa + 4096n))).toBe(`${hex(pa + 4096n)} 0x1000 0xe7`);
    }
    expect(() => setMemory(tables, 'ro', va, 3)).toThrow(/not-mapped/);
  });

  it('takes a page out of the linear map and puts it back', () => {
    const kernel = bootedKernel({ mode: 'sv57' });
    const tables = kernelTablesOf(kernel);
    const va = kernel.kernelMap.va(0xc123_4000n);
    expect(setDirectMapInvalid(tables, va).splits.map(({ name }) => name)).toEqual(['pud', 'pmd']);
    expect(at(kernel, va)).toBe('nothing');
    expect(at(kernel, va + 4096n)).toBe('0xc1235000 0x1000 0xe7');
    setDirectMapDefault(tables, va);
    expect(at(kernel, va)).toBe('0xc1234000 0x1000 0xe7');
  });

  it('never splits on RV32, where only the range itself changes', () => {
    const memory = new SparseMemory();
    const paging = riscvPaging('sv32');
    const allocator = new FreeListAllocator(new Memblock({ memory: [{ start: 0x8000_0000n, end: 0x8100_0000n }] }));
    const root = 0x8000_0000n;
    const kernelMap = new KernelMap({
      xlen: 32,
      pageOffset: 0xc000_0000n,
      kernVirtSize: GIB,
      virtAddr: 0xc000_0000n,
      virtOffset: 0n,
      physAddr: 0x8040_0000n,
      size: 0x100_0000n,
    });
    const tables = createKernelTables({ paging, memory, root, kernelMap, allocator });
    const target = { names: tables.names, pageTable: 1n, memoryTypes: 'none' as const };
    const ptOps = { ...bareOps(allocator) };
    createPgdMapping({ ...target, ptOps }, phys(root), {
      va: 0xc080_0000n,
      pa: 0x80c0_0000n,
      size: 4096n,
      prot: 0xe7n,
    });
    expect(setMemory(tables, 'ro', 0xc080_0000n, 1)).toEqual({ splits: [], changed: 1, flush: 'range' });
  });
});

/** A phase in which tables are found at their physical addresses. */
function bareOps(allocator: FreeListAllocator) {
  return {
    name: 'test',
    allocator,
    open: [],
    reach: (table: bigint) => table as never,
    release: () => undefined,
    physical: (address: bigint) => phys(address),
  };
}

describe('vmap (mm/vmalloc.c, asm/vmalloc.h)', () => {
  it('uses large leaves and runs of 64 KiB, and pud entries only where they are below the root', () => {
    for (const [mode, largest] of [
      ['sv39', 2n * MIB],
      ['sv48', GIB],
    ] as const) {
      const kernel = bootedKernel({ mode });
      const space = spaceOf(kernel);
      expect(1n << BigInt(vmapMaxPageShift(space))).toBe(largest);
      const va = kernel.addresses.vmalloc.start + 4n * GIB;
      const bytes = GIB + 2n * MIB + 0x13000n;
      vmapRange(space, { va, pa: 0x4_0000_0000n, bytes, prot: PAGE_KERNEL, allocator: kernel.ptOps });
      const sizes = mappedRanges(space, { start: va, end: va + bytes }).map(({ leafBytes }) => leafBytes);
      expect(sizes).toEqual([...(largest === GIB ? [GIB] : []), 2n * MIB, 0x10000n, 0x1000n]);
    }
  });

  it('replaces an empty table by a leaf and says what must be flushed', () => {
    const kernel = bootedKernel({ mode: 'sv48' });
    const space = spaceOf(kernel);
    const va = kernel.addresses.vmalloc.start;
    const request = { va, pa: 0x4_0000_0000n, prot: PAGE_KERNEL, allocator: kernel.ptOps };
    vmapRange(space, { ...request, bytes: 4096n });
    removeLeaf(kernel, va);
    const change = vmapRange(space, { ...request, bytes: 2n * MIB });
    expect(change.detached.map(({ level }) => level)).toEqual([0]);
    expect(change.invalidate.some(({ tables }) => tables)).toBe(true);
  });
});

/** Clears one entry of the last level. */
function removeLeaf(kernel: Kernel, va: bigint): void {
  const { names } = kernel;
  const pmd = names.pmd.offset(
    names.pud.offset(names.p4d.offset(names.pgd.offset(kernel.symbolPa('swapper_pg_dir'), va), va), va),
    va,
  );
  names.pte.clear(names.pte.offset(pmd, va));
}

describe('vmemmap (mm/sparse-vmemmap.c)', () => {
  it('maps the page structures of whole sections with 2 MiB leaves', () => {
    const kernel = bootedKernel({ mode: 'sv39', ram: [['0x80000000', '0xc0000000']] });
    const tables = kernelTablesOf(kernel);
    const vmemmap = { start: kernel.addresses.vmemmap.start, startPfn: vmemmapStartPfn(kernel.physRamBase) };
    const range = structPages(vmemmap, { start: 0x8000_0000n, end: 0xc000_0000n });
    expect(range).toEqual({ start: 0xffff_ffc5_0000_0000n, end: 0xffff_ffc5_0000_0000n + 16n * MIB });
    const blocks = vmemmapPopulate(tables, range, kernel.memblock);
    expect(blocks.length).toBe(8);
    expect(vmemmapPopulate(tables, range, kernel.memblock)).toEqual([]);
    const found = mappedRanges(spaceOf(kernel), range, { fold: false });
    expect(found.map(({ leafBytes, bits }) => [leafBytes, bits])).toEqual(blocks.map(() => [2n * MIB, PAGE_KERNEL]));
  });
});

describe('hot-remove (mm/init.c, remove_pgd_mapping)', () => {
  for (const mode of ['sv39', 'sv48', 'sv57'] as const) {
    it(`${mode}: clears leaves whole, frees empty tables, keeps those that hang in the root`, () => {
      const kernel = bootedKernel({ mode, ram: [['0x80000000', '0x100000000']] });
      const tables = kernelTablesOf(kernel);
      const [start, end] = [kernel.kernelMap.va(0x8000_0000n), kernel.kernelMap.va(0x1_0000_0000n)];
      const { leaves, freed } = removeMapping(tables, start, end);
      expect(leaves.reduce((sum, { bytes }) => sum + bytes, 0n)).toBe(2n * GIB);
      expect(mappedRanges(spaceOf(kernel), { start, end })).toEqual([]);
      const names = freed.map(({ name }) => name);
      expect(names).toEqual({ sv39: ['pte'], sv48: ['pmd', 'pte', 'pmd'], sv57: ['pmd', 'pte', 'pmd', 'pud'] }[mode]);
      const word = kernel.names.pgd.offset(tables.root, start).load();
      expect(word & 0xfn).toBe(1n);
    });
  }

  it('frees a table that became empty although the range covers only a part of its span', () => {
    const kernel = bootedKernel({ mode: 'sv48' });
    const tables = kernelTablesOf(kernel);
    const va = kernel.kernelMap.va(0x4_0000_0000n);
    createPgdMapping(kernel.target, tables.root, { va, pa: 0x4_0000_0000n, size: 4096n, prot: PAGE_KERNEL });
    expect(removeMapping(tables, va, va + 4096n).freed.map(({ name }) => name)).toEqual(['pte', 'pmd']);
  });
});

describe('ptdump (mm/ptdump.c)', () => {
  it('prints the booted kernel with markers, merges neighbours, finds nothing writable and executable', () => {
    const kernel = bootedKernel({ mode: 'sv48' });
    const address = kernel.symbolPa('swapper_pg_dir');
    const markers = ptdumpMarkers(kernel.addresses, kernel.kernelMap);
    const { lines, writableExecutable } = ptdump(kernel.memory, { paging: kernel.paging, address }, { markers });
    expect(lines).toEqual([
      '---[ Fixmap start ]---',
      '0xffff8d7ffec00000-0xffff8d7fff000000    0x00000000bfe00000         4M PMD .   ..     ..   D A G . . W R V',
      '---[ Fixmap end ]---',
      '---[ PCI I/O start ]---',
      '---[ PCI I/O end ]---',
      '---[ vmemmap start ]---',
      '---[ vmemmap end ]---',
      '---[ vmalloc() area ]---',
      '---[ vmalloc() end ]---',
      '---[ Linear mapping ]---',
      '0xffffaf8000000000-0xffffaf8000200000    0x0000000080000000         2M PMD .   ..     ..   D A G . . W R V',
      '0xffffaf8000200000-0xffffaf8001000000    0x0000000080200000        14M PMD .   ..     ..   D A G . . . R V',
      '0xffffaf8001000000-0xffffaf8040000000    0x0000000081000000      1008M PMD .   ..     ..   D A G . . W R V',
      '0xffffaf8040000000-0xffffaf80c0000000    0x00000000c0000000         2G PUD .   ..     ..   D A G . . W R V',
      '0xffffaf80c0000000-0xffffaf80ffe00000    0x0000000140000000      1022M PMD .   ..     ..   D A G . . W R V',
      '0xffffaf80ffe00000-0xffffaf8100000000    0x000000017fe00000         2M PTE .   ..     ..   D A G . . W R V',
      '---[ Modules/BPF mapping ]---',
      '---[ Kernel mapping ]---',
      '0xffffffff80000000-0xffffffff80e00000    0x0000000080200000        14M PMD .   ..     ..   D A G . X . R V',
      '0xffffffff80e00000-0xffffffff82000000    0x0000000081000000        18M PMD .   ..     ..   D A G . . W R V',
    ]);
    expect(writableExecutable).toEqual({ pages: 0n, first: undefined });
  });

  it('counts pages of the early root that are writable and executable', () => {
    const kernel = bootedKernel({ mode: 'sv39' });
    const address = kernel.symbolPa('early_pg_dir');
    const { writableExecutable } = ptdump(kernel.memory, { paging: kernel.paging, address });
    expect(writableExecutable).toEqual({ pages: 8192n, first: kernel.kernelMap.virtAddr });
  });

  it('notes shadow that all shares one table once for each table it passes over', () => {
    const kernel = bootedKernel({ mode: 'sv57', kasan: true });
    const address = kernel.symbolPa('swapper_pg_dir');
    const { start, end } = kernel.addresses.shadow ?? { start: 0n, end: 0n };
    const { lines } = ptdump(
      kernel.memory,
      { paging: kernel.paging, address },
      {
        start,
        markers: [
          { at: start, name: 'Kasan shadow start' },
          { at: end, name: 'Kasan shadow end' },
        ],
        sharedTables: new Set(
          ['p4d', 'pud', 'pmd', 'pte'].map((name) => kernel.symbolPa(`kasan_early_shadow_${name}`)),
        ),
        sharedPtes: kernel.symbolPa('kasan_early_shadow_pte'),
      },
    );
    const page = hex(kernel.symbolPa('kasan_early_shadow_page'), 16);
    expect(lines[1]).toBe(`${hex(start)}-${hex(end)}    ${page}   8650748G PTE .   ..     ..   D A G . . W R V`);
    expect(readWord(kernel.memory, kernel.symbolPa('kasan_early_shadow_pte')) & 0x3ffn).toBe(0xe7n);
  });
});
