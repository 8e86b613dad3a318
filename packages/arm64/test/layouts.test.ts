import { checkLayout, checkLayouts, type Layout, regionNamed, worstSeverity } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  arm64Layout,
  arm64LayoutRules,
  arm64Layouts,
  createVaPa,
  findLayoutProfile,
  fixmapAddress,
  fixmapBytes,
  fixmapIndex,
  fixmapSlots,
  KASAN_SHADOW_INIT,
  kaslrPlace,
  LINUX_BUILDS,
  type LinuxBuild,
  layoutBase,
  layoutNumbers,
  layoutProfiles,
  layoutSymbols,
  markerLines,
  placeLinearMap,
  vaBitsMin,
} from '../src/index.ts';

/** Every layout that a profile can have. */
function layoutsOf(profile: (typeof layoutProfiles)[number]): Layout[] {
  return LINUX_BUILDS.flatMap((build) =>
    [...new Set([build.vaBits, vaBitsMin(build)])].flatMap((actualBits) =>
      ([undefined, 'generic', 'sw_tags'] as const).flatMap((kasan) => {
        if (build.vaBits === 52 && profile.wide !== 'all' && !(profile.wide === '64K' && build.granule === '64K'))
          return [];
        return [arm64Layout({ build, actualBits, profile, ...(kasan === undefined ? {} : { kasan }) })];
      }),
    ),
  );
}

describe.each(layoutProfiles)('layouts of $name', (profile) => {
  it('keep the rules: nothing overlaps, the shadow is where the arithmetic leads', () => {
    const all = layoutsOf(profile);
    expect(all.length).toBeGreaterThan(20);
    for (const layout of all) {
      const findings = checkLayout(layout, arm64LayoutRules(layout));
      expect([layout.title, findings.filter(({ severity }) => severity === 'error')]).toEqual([layout.title, []]);
    }
  });
});

describe('profiles', () => {
  it('are found by release', () => {
    const names = [
      'v4.9',
      '5.3',
      'v5.4.17',
      '5.10.y',
      '5.15',
      '6.1',
      'v6.6.3',
      '6.8',
      'v6.9-rc1',
      '6.12.107+deb13',
    ].map((release) => findLayoutProfile(release).name);
    expect(names).toEqual([
      'v4.6-v4.20',
      'v5.0-v5.3',
      'v5.4-v5.10',
      'v5.4-v5.10',
      'v5.11-v5.15',
      'v5.16-v6.4',
      'v6.5-v6.8',
      'v6.5-v6.8',
      'v6.9+',
      'v6.9+',
    ]);
    expect(() => findLayoutProfile('3.10')).toThrow(/layout-profile/);
    expect(() => arm64Layout({ build: { granule: '4K', vaBits: 52 }, profile: '6.8' })).toThrow(/layout-profile/);
  });
});

describe('one build on two machines', () => {
  it('has one shadow offset', () => {
    const set = [52, 48].map((actualBits) => {
      const layout = arm64Layout({ build: { granule: '4K', vaBits: 52 }, actualBits, kasan: 'generic' });
      return { layout, rules: arm64LayoutRules(layout) };
    });
    const findings = checkLayouts(set);
    expect(worstSeverity(findings)).toBe('info');
    expect(findings.some(({ rule, severity }) => rule === 'one-shadow-offset' && severity === 'info')).toBe(true);
    expect(KASAN_SHADOW_INIT).toEqual({ generic: 0, sw_tags: 0xfe });
  });

  it('gives the unused part of vmemmap to vmalloc', () => {
    const [wide, narrow] = [52, 48].map((actualBits) =>
      arm64Layout({ build: { granule: '4K', vaBits: 52 }, actualBits }),
    );
    const end = (layout: Layout | undefined) => layout?.facts.VMALLOC_END ?? 0n;
    // 15/16 of the linear map do not exist, and a struct page of 64 bytes stands for 4096.
    expect(end(narrow) - end(wide)).toBe(((1n << 52n) - (1n << 48n)) / 64n);
    expect(narrow?.facts.VMEMMAP_START).toBe(wide?.facts.VMEMMAP_START);
  });
});

describe('the linear map', () => {
  const base = (build: LinuxBuild, actualBits?: number) =>
    layoutBase({ build, ...(actualBits === undefined ? {} : { actualBits }) });
  const GIB = 1n << 30n;

  it('begins where running kernels say', () => {
    // memstart_addr of 52-bit builds on smaller machines with memory from 1 GiB on.
    const memory = [{ start: GIB, end: 2n * GIB }];
    const start = (build: LinuxBuild, bits: number) =>
      BigInt.asUintN(64, placeLinearMap(base(build, bits), { memory }).memstart);
    expect(start({ granule: '4K', vaBits: 52 }, 48)).toBe(0xfff1_0000_4000_0000n);
    expect(start({ granule: '16K', vaBits: 52 }, 47)).toBe(0xfff0_8000_4000_0000n);
    expect(start({ granule: '4K', vaBits: 52 }, 52)).toBe(GIB);
  });

  it('converts both ways, for memory and for the image, tagged or not', () => {
    const narrow = base({ granule: '4K', vaBits: 52 }, 48);
    const { memstart } = placeLinearMap(narrow, { memory: [{ start: GIB, end: 2n * GIB }] });
    const { toPhysical, toVirtual, isLinear } = createVaPa(narrow, memstart, 0xffff_8000_3fe0_0000n);
    expect(toVirtual(GIB + 0x123n)).toBe(0xffff_0000_0000_0123n);
    expect(toPhysical(0xffff_0000_0000_0123n)).toBe(GIB + 0x123n);
    expect(toPhysical(0x12ff_0000_0000_0123n)).toBe(GIB + 0x123n);
    expect(toPhysical(0xffff_8000_8021_0000n)).toBe(0x4041_0000n);
    expect([isLinear(0xffff_7fff_ffff_ffffn), isLinear(0xffff_8000_0000_0000n)]).toEqual([true, false]);
  });

  it('drops what does not fit, but not the image', () => {
    // 16K pages and 36 bits: 32 GiB of linear map.
    const small = base({ granule: '16K', vaBits: 36 });
    const memory = [
      { start: 1n * GIB, end: 2n * GIB },
      { start: 30n * GIB, end: 100n * GIB },
    ];
    const plain = placeLinearMap(small, { memory });
    expect(plain.memory.map(({ start, end }) => [start / GIB, end / GIB])).toEqual([
      [1n, 2n],
      [30n, 33n],
    ]);
    const above = placeLinearMap(small, { memory, imageEnd: 80n * GIB });
    expect(above.base / GIB).toBe(48n);
    expect(above.memory.map(({ start, end }) => [start / GIB, end / GIB])).toEqual([[48n, 80n]]);
    expect(() => placeLinearMap(small, { memory: [{ start: 1n << 49n, end: 1n << 50n }] })).toThrow(/layout-memory/);
  });

  it('moves by a seed in steps of its alignment, if the processor leaves room', () => {
    const wide = base({ granule: '4K', vaBits: 48 });
    const place = (seed: number, physicalBits: number) =>
      placeLinearMap(wide, { memory: [{ start: GIB, end: 2n * GIB }], seed, physicalBits }).memstart;
    expect(place(0xffff, 48)).toBe(GIB);
    const moved = GIB - place(0x8000, 40);
    expect([moved % GIB, moved > 0n && moved < 1n << 47n]).toEqual([0n, true]);
    expect(place(0, 40)).toBe(GIB);
  });

  it('stays within 51 bits for a hypervisor with one range', () => {
    const wide = base({ granule: '64K', vaBits: 52 });
    const memory = [{ start: 0n, end: 1n << 48n }];
    const { linearSize } = layoutNumbers(wide, layoutSymbols(wide));
    expect(linearSize > 1n << 51n).toBe(true);
    expect(placeLinearMap(wide, { memory, nvhe: true }).memory).toEqual(memory);
  });
});

describe('the image', () => {
  it('moves by a seed within the middle half, and keeps the low bits of its physical address', () => {
    const symbols = layoutSymbols(layoutBase({ build: { granule: '4K', vaBits: 48 } }));
    const range = (symbols.VMALLOC_END - symbols.KIMAGE_VADDR) / 2n;
    for (const seed of [1n, 0x1234_5678_9abc_def0n, (1n << 64n) - 1n]) {
      const { offset, imageStart, linearSeed } = kaslrPlace(symbols, { seed, imagePhys: 0x4021_0000n });
      expect(offset % (1n << 21n)).toBe(0x1_0000n);
      expect(offset >= range / 2n - (1n << 21n) && offset < range + range / 2n).toBe(true);
      expect([imageStart, linearSeed]).toEqual([symbols.KIMAGE_VADDR + offset, Number(seed & 0xffffn)]);
    }
    expect(kaslrPlace(symbols, { seed: 0n, imagePhys: 0x4021_0000n }).offset).toBe(0x1_0000n);
  });
});

describe('the fixmap', () => {
  it('has the device tree where running kernels have it, and stays above the I/O region', () => {
    const top = 0xffff_ffff_ff80_0000n;
    expect(fixmapAddress('4K', top, fixmapSlots('4K').FIX_FDT ?? 0)).toBe(0xffff_ffff_ff5f_e000n);
    expect(fixmapIndex('4K', top, 0xffff_ffff_ff5f_e123n)).toBe(514);
    expect(() => fixmapIndex('4K', top, top)).toThrow(/fixmap-address/);
    for (const granule of ['4K', '16K', '64K'] as const) {
      expect(top - fixmapBytes(granule) > 0xffff_ffff_c180_0000n).toBe(true);
      expect(fixmapBytes(granule, { errorSources: false, isolation: false }) < fixmapBytes(granule)).toBe(true);
    }
  });
});

describe('layouts for tools', () => {
  it('come from options', () => {
    const memory = [{ start: 1n << 30n, end: 3n << 30n }];
    const [wide, narrow] = arm64Layouts.create({ granule: '4K', 'va-bits': 52n, kasan: true, memory });
    expect([wide?.name, narrow?.name]).toEqual(['4K-52', '4K-52-on-48']);
    expect(narrow?.facts.high_memory).toBe(0xffff_0000_8000_0000n);
    expect(regionNamed(narrow as Layout, 'linear')?.usedTo).toBe(0xffff_0000_8000_0000n);
    expect(arm64Layouts.create({ profile: '5.10' }).map(({ profile }) => profile)).toEqual(['v5.4-v5.10']);
    expect(arm64Layouts.create({ kasan: 'sw_tags' })[0]?.facts.KASAN_SHADOW_SCALE_SHIFT).toBe(4n);
    expect(arm64Layouts.create({ kasan: true })[0]?.facts.KASAN_SHADOW_SCALE_SHIFT).toBe(3n);
    expect(() => arm64Layouts.create({ 'kernel-start': 0n })).toThrow(/layout-kernel/);
    expect(() => arm64Layouts.create({ 'struct-page': 0n })).toThrow(/layout-struct-page/);
  });

  it('print the markers of the kernel’s own dump', () => {
    const [layout] = arm64Layouts.create({});
    const lines = markerLines(layout as Layout);
    expect(lines.slice(0, 3)).toEqual([
      '0xffff000000000000 ---[ Linear Mapping start ]---',
      '0xffff800000000000 ---[ Linear Mapping end ]---',
      '0xffff800000000000 ---[ Modules start ]---',
    ]);
    expect(lines.at(-1)).toBe('0xffffffffff800000 ---[ Fixmap end ]---');
  });

  it('have names that say what they are for', () => {
    const [layout] = arm64Layouts.create({});
    const named = (name: string) => () => arm64LayoutRules({ ...(layout as Layout), name });
    expect(named('64k-52-on-48')().rootSpan).toBe(1n << 42n);
    expect(named('sv48')).toThrow(/layout-mode/);
    expect(named('4K-52-on-47')).toThrow(/linux-va-bits/);
    // Without facts the scale follows from the size of the region.
    for (const kasan of ['generic', 'sw_tags'] as const) {
      const shadowed = arm64Layout({ build: { granule: '4K', vaBits: 48 }, kasan });
      const { shadow } = arm64LayoutRules({ ...shadowed, facts: {} });
      expect(shadow?.offset).toBe(shadowed.facts.KASAN_SHADOW_OFFSET);
    }
  });
});
