import { createSpace, mappedRanges } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import { bootArmKernel, sectionPermissions, setSectionPermissions } from '../src/index.ts';
import { debian } from './machines.ts';

/** Start, end, physical start, word without its address. */
type Run = readonly [start: bigint, end: bigint, pa: bigint, bits: bigint];

/** Boots, forbids what strict kernels forbid after boot, and lists what is mapped. */
function strictKernel(lpae: boolean, stext: bigint, rodata: bigint, initBegin: bigint, sdata: bigint): Run[] {
  const symbols = {
    __init_begin: `0x${initBegin.toString(16)}`,
    __init_end: `0x${sdata.toString(16)}`,
    ...(lpae ? { __turn_mmu_on: '0xc0400000', swapper_pg_dir: '0xc0203000', _end: '0xc1d00000' } : {}),
  };
  const description = debian(symbols, { config: { CONFIG_ARM_LPAE: lpae } });
  const { tables } = bootArmKernel(description, { stage: 'after_paging_init' });
  const changes = sectionPermissions(0xc000_0000n, { stext, rodata, initBegin, sdata });
  expect(setSectionPermissions(tables, changes)).toEqual([]);
  const space = createSpace(tables.memory, { paging: tables.names.paging, address: tables.root });
  return mappedRanges(space, { start: 0n, end: 1n << 32n }).map(({ start, end, pa, bits }) => [start, end, pa, bits]);
}

describe('low memory, device tree and vectors of running kernels, as read from machines', () => {
  it('with short descriptors', () => {
    expect(strictKernel(false, 0xc030_0000n, 0xc0f0_0000n, 0xc140_0000n, 0xc160_0000n)).toEqual([
      [0xc000_0000n, 0xc030_0000n, 0x4000_0000n, 0x1141en],
      [0xc030_0000n, 0xc0f0_0000n, 0x4030_0000n, 0x1940en],
      [0xc0f0_0000n, 0xc140_0000n, 0x40f0_0000n, 0x1941en],
      [0xc140_0000n, 0xf000_0000n, 0x4140_0000n, 0x1141en],
      [0xff80_0000n, 0xffa0_0000n, 0x4800_0000n, 0x1941en],
      [0xffff_0000n, 0xffff_1000n, 0x6fff_e000n, 0x67en],
      [0xffff_1000n, 0xffff_2000n, 0x6fff_f000n, 0x65en],
    ]);
  });

  it('with long descriptors', () => {
    expect(strictKernel(true, 0xc040_0000n, 0xc120_0000n, 0xc180_0000n, 0xc1a0_0000n)).toEqual([
      [0xc000_0000n, 0xc040_0000n, 0x4000_0000n, 0x40_0000_0000_071dn],
      [0xc040_0000n, 0xc120_0000n, 0x4040_0000n, 0x400_0000_0000_079dn],
      [0xc120_0000n, 0xc180_0000n, 0x4120_0000n, 0x440_0000_0000_079dn],
      [0xc180_0000n, 0xf000_0000n, 0x4180_0000n, 0x40_0000_0000_071dn],
      [0xff80_0000n, 0xffc0_0000n, 0x4800_0000n, 0x440_0000_0000_079dn],
      [0xffff_0000n, 0xffff_1000n, 0x6fff_e000n, 0x480_0000_0000_07dfn],
      [0xffff_1000n, 0xffff_2000n, 0x6fff_f000n, 0x480_0000_0000_079fn],
    ]);
  });
});
