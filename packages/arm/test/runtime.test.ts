import { access, BumpAllocator, createSpace, map, phys, SparseMemory, translate } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  type ArmKernel,
  addIdentityMap,
  armLayout,
  bootArmKernel,
  createMapping,
  encodeVtcr,
  encodeVttbr,
  findStatic,
  ioremap,
  ioremapUnit,
  KernelTables,
  memoryTypes,
  pgdAlloc,
  pgdFree,
  ptdump,
  ptdumpMarkers,
  sectionPermissions,
  setMemory,
  setSectionPermissions,
  showPte,
  stage2Attributes,
  stage2Paging,
  syncKernelEntry,
} from '../src/index.ts';
import { debian } from './machines.ts';

const booted = (lpae = false) =>
  bootArmKernel(debian(lpae ? { swapper_pg_dir: '0xc0203000' } : {}, { config: { CONFIG_ARM_LPAE: lpae } }), {
    stage: 'after_paging_init',
  });

const layoutOf = ({ model }: ArmKernel) =>
  armLayout({ lpae: model === 'lpae', highmem: true, memory: [{ start: 0x4000_0000n, end: 0xc000_0000n }] });

function spaceOf({ tables }: ArmKernel, root: bigint = tables.root) {
  // As in the kernel: its own domain, I/O and the vectors are checked, users' is closed.
  const control = tables.model === 'short' ? { dacr: 0x51 } : {};
  return createSpace(tables.memory, { paging: tables.names.paging, address: phys(root), control });
}

describe('text', () => {
  it('of a fault shows what is not folded', () => {
    const { tables } = booted();
    const line = (va: bigint) => showPte(tables.names, tables.root, va);
    expect(line(0x8000_0000n)).toBe('[80000000] *pgd=00000000');
    expect(line(0xc030_0000n)).toBe('[c0300000] *pgd=4021140e(bad)');
    expect(line(0xffff_0000n)).toBe('[ffff0000] *pgd=6fffd861, *pte=6fffe5df, *ppte=6fffe67e');
    expect(showPte(tables.names, tables.root, 0xffff_0000n, () => true)).toBe('[ffff0000] *pgd=6fffd861');
    const long = booted(true).tables;
    expect(showPte(long.names, long.root, 0xffff_0000n)).toMatch(
      /^\[ffff0000\] \*pgd=80000040207003, \*pmd=[0-9a-f]{8}, \*pte=[0-9a-f]+$/,
    );
  });

  it('of a dump shows sections in pairs, domains and types', () => {
    const kernel = booted();
    const { tables } = kernel;
    const layout = layoutOf(kernel);
    setSectionPermissions(tables, [{ name: 'text', start: 0xc010_0000n, end: 0xc090_0000n, change: 'ro' }]);
    createMapping(tables, { va: 0xf080_0000n, pa: 0x900_0000n, bytes: 0x1000n, type: tables.types.DEVICE });
    expect(ptdump('short', tables.names, tables.root, ptdumpMarkers(layout))).toEqual([
      '---[ Modules ]---',
      '---[ Kernel Mapping ]---',
      '0xc0000000-0xc0100000           1M PGD KERNEL      RW x  SHD',
      '0xc0100000-0xc0900000           8M PGD KERNEL      ro x  SHD',
      '0xc0900000-0xc1600000          13M PGD KERNEL      RW x  SHD',
      '0xc1600000-0xf0000000         746M PGD KERNEL      RW NX SHD',
      '---[ vmalloc() Area ]---',
      '0xf0800000-0xf0801000           4K PTE IO          RW NX SHD DEV/SHARED',
      '---[ FDT Area ]---',
      '0xff800000-0xffa00000           2M PGD KERNEL      ro NX SHD',
      '---[ Fixmap Area ]---',
      '---[ Vectors ]---',
      '0xffff0000-0xffff1000           4K PTE VECTORS USR ro x  SHD MEM/CACHED/WBWA',
      '0xffff1000-0xffff2000           4K PTE VECTORS     ro x  SHD MEM/CACHED/WBWA',
      '---[ Vectors End ]---',
    ]);
  });

  it('of a dump has no domains under long descriptors', () => {
    const kernel = booted(true);
    const lines = ptdump('lpae', kernel.tables.names, kernel.tables.root, ptdumpMarkers(layoutOf(kernel)));
    expect(lines).toContain('0xc0000000-0xc1600000          22M PMD     RW x  SHD');
    expect(lines).toContain('0xff800000-0xffc00000           4M PMD     ro NX SHD');
    expect(lines.at(-1)).toBe('---[ Vectors End ]---');
  });
});

describe('roots of processes', () => {
  it('hold copies of the kernel’s entries', () => {
    const kernel = booted();
    const root = pgdAlloc(kernel.tables, kernel.addresses);
    expect(root % 0x4000n).toBe(0n);
    const space = spaceOf(kernel, root);
    expect(translate(space, 0xc012_3456n)).toMatchObject({ mapped: true, pa: 0x4012_3456n });
    expect(pgdFree(kernel.tables, root)).toEqual([root]);
  });

  it('have a table of their own for the gigabyte of the modules under long descriptors', () => {
    const kernel = booted(true);
    const root = pgdAlloc(kernel.tables, kernel.addresses);
    const [low, modules, high] = [0n, 2n, 3n].map((i) => kernel.tables.readWord(phys(root + 8n * i)));
    expect([low, high]).toEqual([0n, kernel.tables.readWord(phys(kernel.tables.root + 24n))]);
    expect(modules && modules >> 55n).toBe(0n);
    expect(pgdFree(kernel.tables, root)).toHaveLength(2);
  });

  it('get what the kernel mapped later when they miss it, by the word of the address', () => {
    const kernel = booted();
    const { tables } = kernel;
    const root = pgdAlloc(tables, kernel.addresses);
    const device = { pa: 0x1000_0000n, bytes: 0x10_0000n, type: tables.types.DEVICE };
    createMapping(tables, { va: 0xf210_0000n, ...device });
    const space = spaceOf(kernel, root);
    expect(translate(space, 0xf210_0000n).mapped).toBe(false);
    // The even half is empty: an address there is wrong, whatever the odd half holds.
    expect(syncKernelEntry(tables, root, 0xf200_0000n)).toBe('bad-area');
    expect(syncKernelEntry(tables, root, 0xf210_0000n)).toBe('copied');
    expect(translate(space, 0xf210_0000n)).toMatchObject({ mapped: true, pa: 0x1000_0000n });
    expect(syncKernelEntry(tables, root, 0xf210_0000n)).toBe('present');
  });

  for (const lpae of [false, true]) {
    it(`can hold an identity map (${lpae ? 'lpae' : 'short'}), without touching the kernel’s tables`, () => {
      const kernel = booted(lpae);
      const root = pgdAlloc(kernel.tables, kernel.addresses);
      addIdentityMap(kernel.tables, root, 0xc030_0000n, 0xc030_1000n);
      expect(translate(spaceOf(kernel, root), 0xc030_0123n)).toMatchObject({ mapped: true, pa: 0xc030_0123n });
      expect(translate(spaceOf(kernel, root), 0xc090_0000n)).toMatchObject({ mapped: true, pa: 0x4090_0000n });
      expect(translate(spaceOf(kernel), 0xc030_0123n)).toMatchObject({ mapped: true, pa: 0x4030_0123n });
    });
  }
});

describe('permissions of the kernel’s pages', () => {
  it('change by whole sections after boot', () => {
    for (const lpae of [false, true]) {
      const kernel = booted(lpae);
      const parts = { stext: 0xc040_0000n, rodata: 0xc100_0000n, initBegin: 0xc140_0000n, sdata: 0xc160_0000n };
      const list = sectionPermissions(0xc000_0000n, parts);
      expect(setSectionPermissions(kernel.tables, list)).toEqual([]);
      const may = (va: bigint, kind: 'read' | 'write' | 'execute') =>
        access(spaceOf(kernel), va, { kind, privilege: 'supervisor' }).allowed;
      expect([may(0xc000_0000n, 'write'), may(0xc000_0000n, 'execute')]).toEqual([true, false]);
      expect([may(0xc050_0000n, 'write'), may(0xc050_0000n, 'execute')]).toEqual([false, true]);
      expect([may(0xc120_0000n, 'write'), may(0xc120_0000n, 'execute')]).toEqual([false, false]);
      setSectionPermissions(
        kernel.tables,
        list.filter(({ change }) => change === 'ro'),
        true,
      );
      expect([may(0xc050_0000n, 'write'), may(0xc120_0000n, 'execute')]).toEqual([true, false]);
      expect(
        setSectionPermissions(kernel.tables, [{ name: 'odd', start: 0xc000_1000n, end: 0xc020_0000n, change: 'nx' }]),
      ).toEqual(['odd']);
    }
  });

  it('change by pages in modules and vmalloc only', () => {
    const kernel = booted();
    const { tables, addresses } = kernel;
    createMapping(tables, {
      va: 0xbf00_0000n,
      pa: 0x5000_0000n,
      bytes: 0x3000n,
      type: { ...tables.types.MEMORY_RWX, section: 0n },
    });
    const may = (va: bigint, kind: 'write' | 'execute') =>
      access(spaceOf(kernel), va, { kind, privilege: 'supervisor' }).allowed;
    expect(setMemory(tables, addresses, 'ro', 0xbf00_0000n, 2)).toEqual({ start: 0xbf00_0000n, end: 0xbf00_2000n });
    setMemory(tables, addresses, 'nx', 0xbf00_1000n, 2);
    expect([may(0xbf00_0000n, 'write'), may(0xbf00_2000n, 'write')]).toEqual([false, true]);
    expect([may(0xbf00_0000n, 'execute'), may(0xbf00_1000n, 'execute')]).toEqual([true, false]);
    setMemory(tables, addresses, 'invalid', 0xbf00_2000n, 1);
    expect(translate(spaceOf(kernel), 0xbf00_2000n).mapped).toBe(false);
    expect(setMemory(tables, addresses, 'ro', 0xbf00_0000n, 0)).toBeUndefined();
    expect(() => setMemory(tables, addresses, 'ro', 0xc000_0000n, 1)).toThrow('[memory-range]');
    expect(() => setMemory(tables, addresses, 'invalid', 0xc000_0000n, 1)).toThrow('[memory-section]');
  });
});

describe('devices', () => {
  const single = { arch: 7, tre: true, smp: false, io36: true } as const;
  const tablesFor = (cpu: { arch: 7; tre: boolean; smp: boolean; io36?: boolean }) =>
    new KernelTables({
      model: 'short',
      cpu,
      memory: new SparseMemory(),
      root: phys(0x4000n),
      allocator: { allocate: () => phys(0x10_0000n), free: () => undefined },
    });

  it('are mapped with supersections and sections by a kernel for one processor', () => {
    const type = memoryTypes('short', single).DEVICE;
    const tables = tablesFor(single);
    const high = { va: 0xf100_0000n, pa: 0x1_0200_0000n, bytes: 0x100_0000n, type };
    expect(ioremap(tables, high)).toBe('supersections');
    const space = createSpace(tables.memory, { paging: tables.names.paging, address: tables.root });
    expect(translate(space, 0xf1ab_cdefn)).toMatchObject({ pa: 0x1_02ab_cdefn, shape: 'supersection' });
    expect(ioremap(tables, { va: 0xf200_0000n, pa: 0x1000_0000n, bytes: 0x20_0000n, type })).toBe('sections');
    expect(translate(space, 0xf210_0000n)).toMatchObject({ pa: 0x1010_0000n, shape: 'section' });
    expect(ioremapUnit(tablesFor({ ...single, smp: true }), high)).toBe('pages');
    expect(() => ioremap(tables, { ...high, va: 0xf180_0000n })).toThrow('[ioremap-reach]');
  });

  it('that are mapped for ever keep their address', () => {
    const statics = [{ va: 0xf800_0000n, pa: 0x1000_0000n, bytes: 0x10_0000n }];
    expect(findStatic(statics, 0x1000_1000n, 0x1000n)).toBe(0xf800_1000n);
    expect(findStatic(statics, 0x100f_f000n, 0x2000n)).toBeUndefined();
  });
});

describe('stage 2', () => {
  it('translates 40 bits from a root of two tables', () => {
    const paging = stage2Paging();
    expect([paging.geometry.root.tableBytes, paging.geometry.root.alignBytes]).toEqual([8192, 8192]);
    const memory = new SparseMemory();
    const space = createSpace(memory, { paging, address: 0x8000n });
    const allocator = new BumpAllocator(0x10_0000n, 0x20_0000n);
    const attributes = stage2Attributes('write-back', true);
    map(space, { va: 0xff_c000_0000n, pa: 0x8000_0000n, bytes: 0x20_1000n, attributes, allocator });
    map(space, {
      va: 0x900_0000n,
      pa: 0x900_0000n,
      bytes: 0x1000n,
      attributes: stage2Attributes('device', false),
      allocator,
    });
    expect(translate(space, 0xff_c020_0008n)).toMatchObject({ mapped: true, pa: 0x8020_0008n, hardwareLevel: 3 });
    const may = (va: bigint, kind: 'read' | 'write' | 'execute') =>
      access(space, va, { kind, privilege: 'user' }).allowed;
    expect([may(0xff_c000_0000n, 'write'), may(0xff_c000_0000n, 'execute')]).toEqual([true, true]);
    expect([may(0x900_0000n, 'read'), may(0x900_0000n, 'write'), may(0x900_0000n, 'execute')]).toEqual([
      true,
      false,
      false,
    ]);
    expect(translate(space, 0x100_0000_0000n)).toMatchObject({ mapped: false, code: 5 });
  });

  it('starts at level 1 with a negative size field', () => {
    expect(encodeVtcr(40) & 0xdfn).toBe(0x58n);
    expect(encodeVtcr(32) & 0xdfn).toBe(0x40n);
    expect(encodeVttbr(0x8000n, 7)).toBe(0x7_0000_0000_8000n);
  });
});
