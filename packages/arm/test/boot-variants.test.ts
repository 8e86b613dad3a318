import { createSpace, mappedRanges, phys, translate } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  type ArmKernel,
  armBoot,
  bootArmKernel,
  createKernel,
  createPageTables,
  earlyFixmapInit,
  earlyFixmapShutdown,
  fixupPhysicalOffset,
  pmdGaps,
  readArmDescription,
  setEarlyFixmap,
  shadowAddress,
} from '../src/index.ts';
import { debian } from './machines.ts';

const ALL = { start: 0n, end: 1n << 32n };

function spaceOf({ tables }: ArmKernel, root: bigint = tables.root) {
  return createSpace(tables.memory, { paging: tables.names.paging, address: phys(root) });
}

/** What is mapped, as text: start, size of a leaf, physical start, end. */
function mapped(kernel: ArmKernel): string[] {
  return mappedRanges(spaceOf(kernel), ALL).map(
    ({ start, end, pa, leafBytes }) =>
      `${start.toString(16)}-${end.toString(16)} ${pa.toString(16)} by ${leafBytes.toString(16)}`,
  );
}

const LPAE_SYMBOLS = { swapper_pg_dir: '0xc0203000' };
const lpae = (more: object = {}) => debian(LPAE_SYMBOLS, { config: { CONFIG_ARM_LPAE: true }, ...more });

describe('other kernels', () => {
  it('with long descriptors map blocks of 2 MiB below four tables of the kernel', () => {
    const kernel = bootArmKernel(lpae(), { stage: 'after_paging_init' });
    expect(kernel.tables.root).toBe(0x4020_3000n);
    expect(kernel.tables.readWord(kernel.tables.root)).toBe(0x80_0000_4020_4003n);
    expect(mapped(kernel)).toEqual([
      'c0000000-c1600000 40000000 by 200000',
      'c1600000-f0000000 41600000 by 200000',
      'ff800000-ffc00000 48000000 by 200000',
      'ffff0000-ffff1000 6fffe000 by 1000',
      'ffff1000-ffff2000 6ffff000 by 1000',
    ]);
    const { registers, roots } = armBoot.boot(lpae(), { stage: 'start_kernel' });
    expect(registers).toMatchObject({ TTBCR: 0xb500_3500n, MAIR0: 0xeeaa_4400n, TTBR1: 0x4020_3000n });
    expect(roots[0]?.paging.geometry.name).toBe('lpae');
    const open = debian(LPAE_SYMBOLS, { config: { CONFIG_ARM_LPAE: true, CONFIG_CPU_TTBR0_PAN: false } });
    expect(armBoot.boot(open, { stage: 'start_kernel' }).registers).toMatchObject({
      TTBCR: 0xb502_3500n,
      TTBR1: 0x4020_7000n,
    });
  });

  it('move to another physical address before the MMU is on', () => {
    const kernel = createKernel(readArmDescription(lpae()));
    createPageTables(kernel);
    const block = (va: bigint) => kernel.tables.readWord(kernel.tables.pmdSlot(va).address) & 0xff_ffff_f000n;
    const before = [block(0xc000_0000n), block(0xc180_0000n), block(0xff80_0000n)];
    const slots = [0xc000_0000n, 0xc180_0000n, 0xff80_0000n].map((va) => kernel.tables.pmdSlot(va).address);
    const { ttbr0, ttbr1 } = fixupPhysicalOffset(kernel, 0x7_8000_0000n);
    expect([ttbr0, ttbr1]).toEqual([0x7_c020_3000n, 0x7_c020_7000n]);
    expect(kernel.tables.readWord(kernel.tables.root)).toBe(0x80_0007_c020_4003n);
    const after = slots.map((slot) => kernel.tables.readWord(slot) & 0xff_ffff_f000n);
    expect(after).toEqual(before.map((pa) => pa + 0x7_8000_0000n));
  });

  it('have their kernel in less memory, with the contiguous area in pages', () => {
    const small = debian(
      { __init_end: '0xc1700000' },
      { ram: [{ base: '0x40000000', size: '0x10000000' }], commandLine: 'cma=4M vmalloc=400M' },
    );
    const kernel = bootArmKernel(small, { stage: 'after_paging_init' });
    // The area lies at the top of memory, and tables come below it.
    expect(mapped(kernel)).toContain('cfc00000-d0000000 4fc00000 by 1000');
    expect(kernel.addresses.highMemory).toBe(0xd000_0000n);
    expect(kernel.tables.readWord(kernel.tables.sectionSlot(kernel.tables.pmdSlot(0xc170_0000n), 0xc170_0000n))).toBe(
      0x4171_141en,
    );
  });

  it('take memory from the boot arguments', () => {
    const symbols = { ...LPAE_SYMBOLS, __init_begin: '0xc1800000', __init_end: '0xc1a00000', _end: '0xc1c321d0' };
    const config = { CONFIG_ARM_LPAE: true };
    const initrd = { start: '0x48000000', end: '0x4803cca4' };
    const dtb = { address: '0x4803d000', size: '0x100000' };
    const booted = (commandLine: string) =>
      bootArmKernel(debian(symbols, { config, initrd, dtb, commandLine }), { stage: 'after_paging_init' });
    expect(mapped(booted('quiet mem=300M'))).toEqual([
      'c0000000-c1a00000 40000000 by 200000',
      'c1a00000-d1c00000 41a00000 by 200000',
      'd1c00000-d2c00000 51c00000 by 1000',
      'ff800000-ffc00000 48000000 by 200000',
      'ffff0000-ffff1000 51bf4000 by 1000',
      'ffff1000-ffff2000 51bf5000 by 1000',
    ]);
    const pieces = booted('mem=64M mem=64M@0x48000000').memblock.memory;
    expect(pieces).toEqual([
      { start: 0x4000_0000n, end: 0x4400_0000n },
      { start: 0x4800_0000n, end: 0x4c00_0000n },
    ]);
    // What lies below the kernel's first address cannot be mapped.
    expect(booted('mem=0x48000000@0x38000000').memblock.memory).toEqual([{ start: 0x4000_0000n, end: 0x8000_0000n }]);
    expect(() => booted('mem=16M@0x10000000')).toThrow('[no-memory]');
  });

  it('take tables from below the first piece that is cut out of memory', () => {
    const reservedMemory = [
      { node: 'a', base: '0x50000000', size: '0x300000', no_map: true },
      { node: 'b', base: '0x5a001000', size: '0x2000', no_map: true },
      { node: 'c', base: '0x44000000', size: '0x1000000', no_map: false },
      { node: 'd', base: '0x48200000', size: '0x1000', no_map: true },
      { node: 'busy', base: '0x48000000', size: '0x1000', no_map: true },
      { node: 'g', size: '0x803000', alignment: '0x10000', no_map: true },
      { node: 'h', size: '0x1234' },
      { node: 'much', size: '0x80000000' },
    ];
    const symbols = { ...LPAE_SYMBOLS, __init_begin: '0xc1800000', __init_end: '0xc1a00000', _end: '0xc1c321d0' };
    const kernel = bootArmKernel(
      debian(symbols, {
        config: { CONFIG_ARM_LPAE: true },
        ram: [{ base: '0x40000000', size: '0x40000000' }],
        dtb: { address: '0x4803d000', size: '0xac68' },
        initrd: { start: '0x48000000', end: '0x4803cca4' },
        reservedMemory,
      }),
      { stage: 'after_paging_init' },
    );
    expect(mapped(kernel)).toEqual([
      'c0000000-c1a00000 40000000 by 200000',
      'c1a00000-c8200000 41a00000 by 200000',
      'c8201000-c8400000 48201000 by 1000',
      'c8400000-d0000000 48400000 by 200000',
      'd0300000-d0400000 50300000 by 1000',
      'd0400000-da000000 50400000 by 200000',
      'da000000-da001000 5a000000 by 1000',
      'da003000-da200000 5a003000 by 1000',
      'da200000-f0000000 5a200000 by 200000',
      'ff800000-ffc00000 48000000 by 200000',
      'ffff0000-ffff1000 6fffe000 by 1000',
      'ffff1000-ffff2000 6ffff000 by 1000',
    ]);
    const table = (va: bigint) => kernel.tables.readWord(kernel.tables.pmdSlot(va).address);
    expect([0xc820_0000n, 0xd020_0000n, 0xda00_0000n].map(table)).toEqual([0x481f_f003n, 0x481f_e003n, 0x481f_d003n]);
    expect(kernel.warnings).toContain('busy is in use already and stays mapped');
    expect(kernel.warnings).toContain('no memory for much');
  });

  it('do without an initrd that is no memory or in use', () => {
    const warned = (start: string, end: string) =>
      bootArmKernel(debian({}, { initrd: { start, end } }), { stage: 'after_paging_init' }).warnings.join();
    expect(warned('0xc0000000', '0xc0100000')).toContain('is not in memory');
    expect(warned('0x40300000', '0x40400000')).toContain('lies where something is in use');
  });

  it('map the machine’s devices and keep the free halves of pairs free', () => {
    const devices = [
      { virtual: '0xf8100000', physical: '0x10100000', size: '0x100000' },
      { virtual: '0xf8801000', physical: '0x10001000', size: '0x1000' },
    ];
    const kernel = bootArmKernel(debian({}, { devices }), { stage: 'after_paging_init' });
    expect(mapped(kernel)).toEqual(
      expect.arrayContaining(['f8100000-f8200000 10100000 by 100000', 'f8801000-f8802000 10001000 by 1000']),
    );
    expect(pmdGaps([{ va: 0xf810_0000n, bytes: 0x10_0000n }])).toEqual([0xf800_0000n]);
    expect(pmdGaps([{ va: 0xf800_0000n, bytes: 0x10_0000n }])).toEqual([0xf810_0000n]);
    expect(pmdGaps([{ va: 0xf800_0000n, bytes: 0x20_0000n }])).toEqual([]);
  });

  it('keep what devices were mapped in permanent slots of the fixmap', () => {
    const kernel = createKernel(readArmDescription(debian()));
    createPageTables(kernel);
    earlyFixmapInit(kernel);
    const va = setEarlyFixmap(kernel, 0, 0x900_0000n);
    expect(translate(spaceOf(kernel), va)).toMatchObject({ mapped: true, pa: 0x900_0000n });
    expect(() => setEarlyFixmap(kernel, 300, 0n)).toThrow('[fixmap-index]');
    kernel.memblock.limit = 0x7000_0000n;
    earlyFixmapShutdown(kernel);
    expect(translate(spaceOf(kernel), va)).toMatchObject({ mapped: true, pa: 0x900_0000n, shape: 'small' });
  });
});

describe('KASAN', () => {
  for (const [name, description] of [
    ['short', debian()],
    ['lpae', lpae()],
  ] as const) {
    it(`has one page for all shadow at first, and pages for lowmem later (${name})`, () => {
      const early = bootArmKernel(description, { stage: 'start_kernel', kasan: true });
      const shadow = early.addresses.shadow;
      const first = translate(spaceOf(early), shadow?.start ?? 0n);
      const last = translate(spaceOf(early), (shadow?.end ?? 0n) - 1n);
      expect([first.mapped && first.pa, last.mapped && last.pa - 0xfffn]).toEqual([
        early.staticTable('kasan_early_shadow_page', 0x1000),
        early.staticTable('kasan_early_shadow_page', 0x1000),
      ]);

      const final = bootArmKernel(description, { stage: 'after_kasan_init', kasan: true });
      const space = spaceOf(final);
      const at = (va: bigint) => {
        const found = translate(space, shadowAddress(final, va));
        return found.mapped ? found : undefined;
      };
      const lowmem = [0xc000_0000n, 0xc123_4000n, 0xefff_fff8n].map(at);
      expect(new Set(lowmem.map((found) => found?.pa)).size).toBe(3);
      expect(lowmem.every((found) => found?.common?.write)).toBe(true);
      const zero = at(0xf900_0000n);
      expect(zero?.pa).toBe(final.staticTable('kasan_early_shadow_page', 0x1000));
      expect(zero?.common?.write).toBe(false);
      expect(at(0xffff_fff8n)?.common?.write).toBe(false);
      expect(at(final.addresses.modules.start)?.common?.write).toBe(true);
    });
  }

  it('is a stage only of kernels that have it', () => {
    expect(() => bootArmKernel(debian(), { stage: 'after_kasan_init' })).toThrow('[boot-stage]');
  });
});
