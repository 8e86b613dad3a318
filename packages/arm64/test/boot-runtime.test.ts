import { createSpace, hex, mappedRanges, reachableTables } from '@pagefold/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bootKernel,
  changeHugePage,
  clearHugePage,
  entryFor,
  freeEmptyTables,
  GRANULES,
  hugePage,
  hugeSizes,
  ioremap,
  type Kernel,
  kernelPagePresent,
  LINUX_BITS,
  linearVa,
  linuxBits,
  markRodataRo,
  populateVmemmap,
  ptdump,
  ptdumpText,
  setDirectMap,
  setHugePage,
  setMemory,
  swapperTree,
  symbolPa,
  symbolVa,
  unmapRange,
  vmapRange,
} from '../src/index.ts';
import { capturedMachine, machineWith, runningMachine } from './boot-machine.ts';

const VMALLOC = 0xffff_9000_0000_0000n;

function booted(name: 'pages' | 'blocks'): Kernel {
  const description = name === 'pages' ? capturedMachine() : runningMachine('arm64-4k-48-blocks-6.12');
  return bootKernel(description, { stage: 'after_paging_init' });
}

describe('changing protections (mm/pageattr.c)', () => {
  it('changes pages of one area, and their alias in the linear map', () => {
    const kernel = booted('pages');
    const tree = swapperTree(kernel, kernel.memblock);
    const pa = 0x4400_0000n;
    const area = { start: VMALLOC, end: VMALLOC + 0x4000n };
    vmapRange(tree, { va: VMALLOC, pa, bytes: 0x4000n, prot: kernel.protections.values.PAGE_KERNEL });
    const linearAlias = (at: bigint): bigint => linearVa(kernel, at);
    const stale = setMemory(tree, 'ro', VMALLOC + 0x1000n, 2, { area, linearAlias });
    expect(stale.map(({ start, end }) => [hex(start), hex(end)])).toEqual([
      ['0xffff900000001000', '0xffff900000003000'],
      [hex(linearAlias(pa + 0x1000n)), hex(linearAlias(pa + 0x2000n))],
      [hex(linearAlias(pa + 0x2000n)), hex(linearAlias(pa + 0x3000n))],
    ]);
    const bits = (va: bigint): string => hex(entryFor(tree, va).word & linuxBits('RDONLY WRITE PXN GP VALID'));
    expect([0n, 1n, 2n, 3n].map((i) => bits(VMALLOC + i * 0x1000n))).toEqual([
      '0x28000000000001',
      '0x20000000000081',
      '0x20000000000081',
      '0x28000000000001',
    ]);
    expect(bits(linearAlias(pa + 0x1000n))).toBe('0x20000000000081');
    setMemory(tree, 'x', VMALLOC + 0x1000n, 1, { area, bti: true });
    expect(bits(VMALLOC + 0x1000n)).toBe(hex(linuxBits('RDONLY GP VALID')));
    setMemory(tree, 'nx', VMALLOC + 0x1000n, 1, { area, bti: true });
    setMemory(tree, 'rw', VMALLOC + 0x1000n, 2, { area, linearAlias });
    expect(bits(VMALLOC + 0x1000n)).toBe(bits(VMALLOC));
    expect(bits(linearAlias(pa + 0x1000n))).toBe(bits(VMALLOC));
  });

  it('refuses what Linux refuses, and changes nothing then', () => {
    const kernel = booted('blocks');
    const tree = swapperTree(kernel, kernel.memblock);
    const area = { start: VMALLOC, end: VMALLOC + 0x40_0000n };
    vmapRange(tree, { va: VMALLOC, pa: 0x4400_0000n, bytes: 0x40_0000n, prot: kernel.protections.values.PAGE_KERNEL });
    const before = entryFor(tree, VMALLOC).word;
    expect(() => setMemory(tree, 'ro', VMALLOC, 1, { area })).toThrow(/set-memory-page/);
    expect(() => setMemory(tree, 'ro', VMALLOC, 1025, { area })).toThrow(/set-memory-area/);
    expect(() => setMemory(tree, 'ro', VMALLOC, 1)).toThrow(/set-memory-area/);
    expect(() => setMemory(tree, 'ro', VMALLOC + 1n, 1, { area })).toThrow(/range-align/);
    expect(entryFor(tree, VMALLOC).word).toBe(before);
  });

  it('takes single pages out of the linear map and back', () => {
    const kernel = booted('pages');
    const tree = swapperTree(kernel, kernel.memblock);
    const va = linearVa(kernel, 0x4400_0000n);
    setDirectMap(tree, va, false, false);
    expect(kernelPagePresent(tree, va)).toBe(true);
    setDirectMap(tree, va, false, true);
    expect(kernelPagePresent(tree, va)).toBe(false);
    setDirectMap(tree, va, true, true);
    expect(kernelPagePresent(tree, va)).toBe(true);
    expect(kernelPagePresent(swapperTree(booted('blocks'), kernel.memblock), linearVa(kernel, 1n << 32n))).toBe(true);
  });
});

describe('huge pages (mm/hugetlbpage.c)', () => {
  it('has the sizes of each granule', () => {
    expect(GRANULES.map((granule) => hugeSizes(granule).map(({ bytes }) => bytes >> 16n))).toEqual([
      [1n, 32n, 512n, 16384n],
      [32n, 512n, 16384n],
      [32n, 8192n, 262144n],
    ]);
  });

  it('is set, read and changed as a whole', () => {
    const kernel = booted('pages');
    const tree = swapperTree(kernel, kernel.memblock);
    const prot = kernel.protections.values.PAGE_KERNEL & ~LINUX_BITS.DIRTY & ~LINUX_BITS.WRITE;
    let va = VMALLOC;
    for (const { bytes, entries, level } of hugeSizes('4K')) {
      va = (va + bytes - 1n) & -bytes;
      setHugePage(tree, va, bytes * 4n, bytes, (prot | LINUX_BITS.RDONLY) & ~LINUX_BITS.AF);
      const space = createSpace(kernel.memory, { paging: tree.paging, address: tree.root, label: 'x' });
      expect(mappedRanges(space, { start: va, end: va + bytes })).toMatchObject([{ leafBytes: bytes, level }]);
      expect((hugePage(tree, va, bytes) ?? 0n) & LINUX_BITS.AF).toBe(0n);
      // One entry that was used makes the whole page used.
      const last = entryFor(tree, va + bytes - 0x1000n, level);
      const window = kernel.memory.writable(Number(last.address));
      const index = (Number(last.address) - window.base) / 4;
      window.words[index] = (window.words[index] as number) | Number(LINUX_BITS.AF);
      expect((hugePage(tree, va, bytes) ?? 0n) & LINUX_BITS.AF).toBe(LINUX_BITS.AF);
      const steps = changeHugePage(tree, va, bytes, prot & ~LINUX_BITS.AF).map(({ op }) => op);
      expect(steps).toEqual(entries > 1 ? ['clear', 'flush', 'write'] : ['write', 'flush']);
      expect((hugePage(tree, va, bytes) ?? 0n) & linuxBits('AF RDONLY')).toBe(LINUX_BITS.AF);
      expect(clearHugePage(tree, va, bytes)).toBeDefined();
      expect(hugePage(tree, va, bytes)).toBeUndefined();
      expect(() => setHugePage(tree, va + 0x1000n, 0n, bytes, prot)).toThrow(/huge-align/);
      va += bytes;
    }
    expect(() => setHugePage(tree, 0n, 0n, 0x2000n, prot)).toThrow(/huge-size/);
  });
});

describe('mapping devices and page structures (mm/ioremap.c, mm/mmu.c)', () => {
  it('maps a device with its page, but no memory', () => {
    const kernel = booted('pages');
    const tree = swapperTree(kernel, kernel.memblock);
    const map = (pa: bigint, bytes: bigint): bigint =>
      ioremap(tree, kernel.protections, kernel.memblock, { pa, bytes, va: VMALLOC, physicalBits: 48 });
    expect(map(0x900_0010n, 0x20n)).toBe(VMALLOC + 0x10n);
    expect(hex(entryFor(tree, VMALLOC).word)).toBe('0x68000009000713');
    expect(() => map(0x4400_0000n, 0x1000n)).toThrow(/ioremap-ram/);
    expect(() => map(1n << 48n, 0x1000n)).toThrow(/ioremap-physical/);
    expect(() => map((1n << 48n) - 1n, 2n)).toThrow(/ioremap-physical/);
  });

  it('uses blocks for the structures of whole sections with 4K pages only', () => {
    const kernel = booted('pages');
    const tree = swapperTree(kernel, kernel.memblock);
    const start = kernel.symbols.VMEMMAP_START + (0xf_0000_0000_0000n >> 6n);
    const section = 0x20_0000n;
    const { protections, memblock } = kernel;
    const whole = populateVmemmap(tree, protections, memblock, { start, end: start + 2n * section }, section);
    expect([whole.huge, whole.blocks.length]).toEqual([true, 2]);
    expect(populateVmemmap(tree, protections, memblock, { start, end: start + section }, section).blocks).toEqual([]);
    const part = { start: start + 4n * section, end: start + 4n * section + 0x3000n };
    expect(populateVmemmap(tree, protections, memblock, part, section)).toMatchObject({ huge: false });
    expect(entryFor(tree, part.start).level).toBe(0);
    const large = bootKernel(machineWith({ build: { granule: '64K', vaBits: 48 } }), { stage: 'after_paging_init' });
    const pages = { start: large.symbols.VMEMMAP_START, end: large.symbols.VMEMMAP_START + 0x20_0000n };
    const other = swapperTree(large, large.memblock);
    expect(populateVmemmap(other, large.protections, large.memblock, pages, 1n)).toMatchObject({ huge: false });
  });
});

describe('taking memory away (mm/mmu.c, unmap_hotplug_range and free_empty_tables)', () => {
  it('frees the tables that nobody else needs', () => {
    const kernel = booted('pages');
    const tree = swapperTree(kernel, kernel.memblock);
    const root = { paging: tree.paging, address: tree.root, label: 'swapper' };
    const floor = kernel.symbols.PAGE_OFFSET;
    const ceiling = kernel.symbols.PAGE_END;
    const before = reachableTables(kernel.memory, [root]).length;
    const [start, end] = [0x6400_0000n, 0x6800_0000n].map((pa) => linearVa(kernel, pa)) as [bigint, bigint];
    const removed = unmapRange(tree, start, end);
    expect(removed.length).toBe(0x4000);
    expect(removed[0]).toEqual({ va: start, pa: 0x6400_0000n, bytes: 0x1000n });
    const freed = freeEmptyTables(tree, start, end, floor, ceiling);
    expect(freed.length).toBe(32);
    expect(freed.every(({ level }) => level === 0)).toBe(true);
    expect(reachableTables(kernel.memory, [root]).length).toBe(before - 32);
    // Half a table: its neighbours still stand in it.
    unmapRange(tree, end, end + 0x10_0000n);
    expect(freeEmptyTables(tree, end, end + 0x10_0000n, floor, ceiling)).toEqual([]);
    // Empty, but the region ends inside it.
    unmapRange(tree, end + 0x10_0000n, end + 0x20_0000n);
    expect(freeEmptyTables(tree, end, end + 0x20_0000n, end + 0x10_0000n, ceiling)).toEqual([]);
    expect(freeEmptyTables(tree, end, end + 0x20_0000n, floor, ceiling).length).toBe(1);
  });

  it('leaves exactly the rest, whatever the range', () => {
    const kernel = booted('pages');
    const tree = swapperTree(kernel, kernel.memblock);
    const space = createSpace(kernel.memory, { paging: tree.paging, address: tree.root, label: 'swapper' });
    const base = linearVa(kernel, 0x4400_0000n);
    const limit = { start: base, end: base + 0x40_0000n };
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1023 }), fc.integer({ min: 1, max: 1024 }), (from, count) => {
        const start = base + BigInt(from) * 0x1000n;
        const end = base + BigInt(Math.min(from + count, 1024)) * 0x1000n;
        unmapRange(tree, start, end);
        freeEmptyTables(tree, start, end, kernel.symbols.PAGE_OFFSET, kernel.symbols.PAGE_END);
        expect(mappedRanges(space, { start, end })).toEqual([]);
        const { PAGE_KERNEL } = kernel.protections.values;
        const pa = 0x4400_0000n + (start - base);
        // In pages, for a block would go as a whole.
        vmapRange(tree, { va: start, pa, bytes: end - start, prot: PAGE_KERNEL, blocks: [] });
        const back = mappedRanges(space, limit);
        expect(back.reduce((bytes, run) => bytes + (run.end - run.start), 0n)).toBe(0x40_0000n);
      }),
      { numRuns: 20 },
    );
  });
});

describe('the dump (mm/ptdump.c)', () => {
  it('prints lines as the kernel does', () => {
    const { paging } = booted('blocks');
    const line = (level: number, bits: bigint): string =>
      ptdumpText(paging, { start: 0xffff_0000_0000_0000n, end: 0xffff_0000_0020_0000n, level, bits });
    const head = '0xffff000000000000-0xffff000000200000           2M';
    expect(line(0, 0xe8_0000_0000_0707n)).toBe(`${head} PTE       RW NX SHD AF            UXN    MEM/NORMAL-TAGGED`);
    expect(line(1, 0xc0_0000_0000_0781n)).toBe(`${head} PMD       ro x  SHD AF        BLK UXN    MEM/NORMAL`);
    expect(line(0, 0x68_0000_0000_0f13n)).toBe(`${head} PTE       RW NX SHD AF NG         UXN    DEVICE/nGnRE`);
    expect(line(3, 0n)).toBe(`${head} PGD`);
  });

  it('covers everything, and finds what is writable and executable', () => {
    const kernel = booted('blocks');
    markRodataRo(kernel);
    const tree = swapperTree(kernel, kernel.memblock);
    const root = { paging: tree.paging, address: tree.root, label: 'swapper' };
    const markers = [
      { at: kernel.symbols.PAGE_OFFSET, name: 'Linear Mapping start' },
      { at: kernel.symbols.PAGE_END, name: 'Linear Mapping end' },
      { at: kernel.symbols.MODULES_VADDR, name: 'Modules start' },
      { at: kernel.symbols.MODULES_END, name: 'Modules end' },
      { at: kernel.symbols.VMALLOC_START, name: 'vmalloc() area' },
      { at: kernel.symbols.FIXADDR_TOP, name: 'Fixmap end' },
    ];
    const { lines, writableExecutable, userExecutable } = ptdump(kernel.memory, root, { markers });
    expect(lines[0]).toBe('---[ Linear Mapping start ]---');
    expect(lines.filter((text) => text.startsWith('---['))).toEqual(markers.map(({ name }) => `---[ ${name} ]---`));
    const ranges = lines.flatMap((text) => {
      const [, start, end] = /^(0x[0-9a-f]{16})-(0x[0-9a-f]{16}) /.exec(text) ?? [];
      return start === undefined || end === undefined ? [] : [[BigInt(start), BigInt(end)] as const];
    });
    ranges.slice(1).forEach(([start], i) => {
      expect(start).toBe(ranges[i]?.[1]);
    });
    expect(ranges[0]?.[0]).toBe(0xffff_0000_0000_0000n);
    expect(ranges.at(-1)?.[1]).toBe(0n);
    // The kernel was booted with rodata=off: its text can be written.
    const text = symbolPa(kernel, '_etext') - symbolPa(kernel, '_stext');
    const init = symbolPa(kernel, '__inittext_end') - symbolPa(kernel, '__inittext_begin');
    expect(writableExecutable).toBe((text + init) / 0x1000n);
    expect(userExecutable).toBe(0n);
    expect(lines.some((each) => each.startsWith(hex(symbolVa(kernel, '_stext'))))).toBe(true);
  });
});
