/** Layouts: numbers of Linux's own table of them, the rules, bases that a kernel moved. */
import { ArgumentError, checkLayouts, type Layout, regionNamed } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import { x86, x86Layout } from '../src/index.ts';

const provider = x86.layouts as NonNullable<typeof x86.layouts>;
const findings = (layout: Layout) => checkLayouts([{ layout, rules: provider.rules(layout) }]);
const range = (layout: Layout, name: string): string | undefined => {
  const found = regionNamed(layout, name);
  return found === undefined ? undefined : `${found.start.toString(16)}-${(found.end - 1n).toString(16)}`;
};

describe('layouts of Linux 6.12', () => {
  it.each([
    // Documentation/arch/x86/x86_64/mm.rst, start and last address.
    [4, 'guard_hole', 'ffff800000000000-ffff87ffffffffff'],
    [4, 'ldt', 'ffff880000000000-ffff887fffffffff'],
    [4, 'direct', 'ffff888000000000-ffffc87fffffffff'],
    [4, 'vmalloc', 'ffffc90000000000-ffffe8ffffffffff'],
    [4, 'vmemmap', 'ffffea0000000000-ffffeaffffffffff'],
    [4, 'kasan_shadow', 'ffffec0000000000-fffffbffffffffff'],
    [4, 'cpu_entry_area', 'fffffe0000000000-fffffe7fffffffff'],
    [4, 'espfix', 'ffffff0000000000-ffffff7fffffffff'],
    [4, 'efi', 'ffffffef00000000-fffffffeffffffff'],
    [4, 'modules', 'ffffffffc0000000-fffffffffeffffff'],
    [5, 'guard_hole', 'ff00000000000000-ff0fffffffffffff'],
    [5, 'ldt', 'ff10000000000000-ff10ffffffffffff'],
    [5, 'direct', 'ff11000000000000-ff90ffffffffffff'],
    [5, 'vmalloc', 'ffa0000000000000-ffd1ffffffffffff'],
    [5, 'vmemmap', 'ffd4000000000000-ffd5ffffffffffff'],
    [5, 'kasan_shadow', 'ffdffc0000000000-fffffbffffffffff'],
  ] as const)('have, with %i levels, %s at %s', (levels, name, expected) => {
    expect(range(x86Layout({ levels, kasan: true }), name)).toBe(expected);
  });

  it('keep the rules, with and without a shadow', () => {
    for (const levels of [4, 5] as const) {
      for (const kasan of [false, true]) {
        const layout = x86Layout({ levels, kasan });
        expect(findings(layout).filter(({ severity }) => severity !== 'info')).toEqual([]);
        expect(regionNamed(layout, 'kasan_shadow') !== undefined).toBe(kasan);
      }
    }
  });

  it('break the rules where they are changed for the worse', () => {
    const layout = x86Layout({ levels: 4, kasan: true });
    const rulesWith = (name: string, change: (start: bigint, end: bigint) => { start: bigint; end: bigint }) => {
      const regions = layout.regions.map((region) =>
        region.name === name ? { ...region, ...change(region.start, region.end) } : region,
      );
      return findings({ ...layout, regions })
        .filter(({ severity }) => severity === 'error')
        .map(({ rule }) => rule);
    };
    expect(rulesWith('ldt', (start, end) => ({ start: start + 4096n, end }))).toContain('aligned');
    expect(rulesWith('vmalloc', (start, end) => ({ start, end: end + (1n << 41n) }))).toContain('overlap');
    expect(rulesWith('user', (start, end) => ({ start, end: end + 8192n }))).toContain('canonical');
    expect(rulesWith('kasan_shadow', (start, end) => ({ start, end: end - (1n << 40n) }))).toContain('shadow-end');
    expect(() => provider.rules({ ...layout, name: 'sv48' })).toThrow(ArgumentError);
  });

  it('follow the bases that a kernel moved', () => {
    const layout = x86Layout({
      levels: 4,
      pageOffsetBase: 0xffff_8b40_0000_0000n,
      vmallocBase: 0xffff_a1c1_8000_0000n,
      vmemmapBase: 0xffff_e5a4_c000_0000n,
    });
    expect(range(layout, 'direct')).toBe('ffff8b4000000000-ffffa1c17fffffff');
    expect(range(layout, 'vmalloc')).toBe('ffffa1c180000000-ffffc1c17fffffff');
    expect(range(layout, 'vmemmap')).toBe('ffffe5a4c0000000-ffffe6a4bfffffff');
    expect(layout.facts.PAGE_OFFSET).toBe(0xffff_8b40_0000_0000n);
    expect(findings(layout).filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  it.each([
    ['not a whole entry', { pageOffsetBase: 0xffff_8b40_0000_1000n }],
    ['below the direct map', { pageOffsetBase: 0xffff_8000_0000_0000n }],
    ['above the next', { vmallocBase: 0xffff_ea00_4000_0000n }],
    ['above all that may move', { vmemmapBase: 0xffff_fe00_0000_0000n }],
    ['moved in spite of KASAN', { vmallocBase: 0xffff_a1c1_8000_0000n, kasan: true }],
  ])('refuse bases that no kernel has: %s', (_, options) => {
    const build = () => x86Layout({ levels: 4, ...options });
    expect(build).toThrow(expect.objectContaining({ rule: 'layout-base' }));
  });

  it('come from options, and with the markers of the dump', () => {
    expect(provider.create({}).map(({ name }) => name)).toEqual(['4-level', '5-level']);
    const [five] = provider.create({ levels: '5', kasan: true });
    expect(five?.name).toBe('5-level kasan');
    const lines = provider.lines(five as Layout);
    expect(lines.slice(0, 3)).toEqual([
      '0x0000000000000000  ---[ User Space ]---',
      '0x8000000000000000  ---[ Kernel Space ]---',
      '0xff10000000000000  ---[ LDT remap ]---',
    ]);
    expect(lines).toContain('0xfffffc0000000000  ---[ KASAN shadow end ]---');
  });
});
