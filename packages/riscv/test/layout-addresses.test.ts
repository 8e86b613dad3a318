/** Addresses of a layout: conversions, the fixmap, where KASLR moves the image, entries of the shadow. */
import { regionNamed } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  findLayoutProfile,
  fixmapAddress,
  fixmapIndex,
  fixmapSlots,
  kaslrPlace,
  kaslrSeed,
  layoutProfiles,
  type RiscvMode,
  riscvLayout,
  shadowEntries,
  vaPaOfLayout,
} from '../src/index.ts';

describe('conversions', () => {
  const memory = [{ start: 0x8000_0000n, end: 0xc000_0000n }];

  it('followed four rules over time', () => {
    const via = (profile: string, va: bigint) =>
      vaPaOfLayout(riscvLayout({ mode: 'sv39', profile, memory })).toPa(va).via;
    const above = 0xffff_fff7_8000_0000n;
    expect(via('6.12', above)).toBe('kernel');
    expect(via('5.14', above)).toBe('linear');
    expect(via('5.14', 0xffff_ffff_8000_0000n)).toBe('kernel');
    expect(via('seed002-v5', 0xffff_ffdf_8000_0000n)).toBe('kernel');
    expect(via('seed002-v5', 0xffff_ffff_8000_0000n)).toBe('linear');
    expect(via('5.10', 0x1000n)).toBe('linear');
  });

  it('have one offset on RV32, and before v5.13', () => {
    const narrow = vaPaOfLayout(riscvLayout({ mode: 'sv32', memory }));
    // Memory begins where the kernel stands, so what lies before it has no linear address.
    expect(narrow.toPa(0xc000_1000n)).toMatchObject({ via: 'linear', pa: 0x8040_1000n, debugVirtualWarns: false });
    expect(narrow.linearOffset).toBe(narrow.kernelOffset);
    const old = vaPaOfLayout(riscvLayout({ mode: 'sv39', profile: '5.10', memory }));
    expect(old.toPa(0xffff_ffe0_0000_0000n).pa).toBe(0x8020_0000n);
  });

  it('move the linear map down to the start of memory from v6.4 on', () => {
    const facts = (profile: string) => riscvLayout({ mode: 'sv39', profile, memory }).facts;
    expect(facts('6.1.y').va_pa_offset).toBe(0xffff_ffd8_0000_0000n - 0x8020_0000n);
    expect(facts('6.4').va_pa_offset).toBe(0xffff_ffd8_0000_0000n - 0x8000_0000n);
    const odd = riscvLayout({ mode: 'sv39', memory: [{ start: 0x8010_0000n, end: 0xc000_0000n }] }).facts;
    expect([odd.phys_ram_base, odd.phys_addr]).toEqual([0x8000_0000n, 0x8030_0000n]);
  });
});

describe('fixmap', () => {
  it('had fewer slots in older kernels', () => {
    const of = (text: string) => fixmapSlots(findLayoutProfile(text));
    expect(of('5.10')).toEqual({
      FIX_PTE: 1,
      FIX_PMD: 2,
      FIX_TEXT_POKE1: 3,
      FIX_TEXT_POKE0: 4,
      FIX_EARLYCON_MEM_BASE: 5,
      FIX_BTMAP_END: 6,
      FIX_BTMAP_BEGIN: 453,
    });
    expect(of('5.15.110')).toMatchObject({ FIX_FDT: 1024, FIX_PTE: 1025, FIX_TEXT_POKE1: 1027 });
    expect(of('5.17')).toMatchObject({ FIX_PUD: 3, FIX_TEXT_POKE1: 4 });
    expect(of('6.12')).toMatchObject({ FIX_P4D: 1028, FIX_BTMAP_BEGIN: 1479 });
    expect(() => of('seed002-v5')).toThrow(expect.objectContaining({ rule: 'fixmap-profile' }));
  });

  it('slots all lie in the region', () => {
    for (const profile of layoutProfiles.filter(({ releases }) => releases.length > 0)) {
      for (const mode of Object.keys(profile.pageOffset) as RiscvMode[]) {
        const { start = 0n, end = 0n } = regionNamed(riscvLayout({ mode, profile }), 'fixmap') ?? {};
        for (const index of Object.values(fixmapSlots(profile))) {
          const address = fixmapAddress(end, index);
          expect(address >= start && address < end, `${profile.name} ${mode} ${index}`).toBe(true);
          expect(fixmapIndex(end, address)).toBe(index);
        }
      }
    }
    expect(() => fixmapIndex(0x1000n, 0x1000n)).toThrow(expect.objectContaining({ rule: 'fixmap-address' }));
  });
});

describe('KASLR', () => {
  it('takes its seed from the first source that has one', () => {
    expect(kaslrSeed({ zkr: 5n, deviceTree: 7n })).toBe(5n);
    expect(kaslrSeed({ zkr: 0n, deviceTree: 7n })).toBe(7n);
    expect(kaslrSeed({ deviceTree: 7n, commandLine: 'root=/dev/nokaslrx' })).toBe(0n);
    expect(kaslrSeed({})).toBe(0n);
  });

  it('never leaves the window, whatever size and seed', () => {
    for (const size of [1n, 4096n, 0x20_0000n, 0x1e6_b000n, 0x3fdf_ffffn, 0x3fe0_0000n]) {
      for (const seed of [0n, 1n, 511n, 512n, (1n << 64n) - 1n, 0xdead_beef_0bad_cafen]) {
        const { virtAddr, fitsWindow, positions, virtOffset } = kaslrPlace(size, seed);
        expect(fitsWindow).toBe(true);
        expect(virtOffset / 0x20_0000n).toBe(seed % BigInt(positions));
        expect(virtAddr + size <= 0xffff_ffff_c000_0000n).toBe(true);
      }
    }
    expect(() => kaslrPlace(0x3fe0_0001n, 0n)).toThrow(expect.objectContaining({ rule: 'kaslr-size' }));
  });
});

describe('entries of the shadow', () => {
  it('in Sv57 share two tables with the kernel', () => {
    const { root, partial } = shadowEntries('sv57');
    expect(root).toEqual({ name: 'pgd', first: 479, last: 510, pointsTo: 'kasan_early_shadow_p4d' });
    expect(partial).toEqual([
      { name: 'p4d', first: 0, last: 510, pointsTo: 'kasan_early_shadow_pud' },
      { name: 'pud', first: 0, last: 507, pointsTo: 'kasan_early_shadow_pmd' },
    ]);
  });

  it('at the bottom were the first of the kernel half', () => {
    expect(shadowEntries('sv39', 'bottom').root).toMatchObject({ first: 256, last: 287 });
  });
});
