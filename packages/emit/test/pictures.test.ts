import {
  type AddressSpace,
  createSpace,
  hex,
  mappedRanges,
  phys,
  SparseMemory,
  TWO_64,
  walk,
  writeWord,
} from '@pagefold/core';
import { RISCV_MODES, riscvLayout, riscvPaging } from '@pagefold/riscv';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EmitError, entrySvg, type LayoutInput, layoutSvg, tableBinary, tablesSvg, walkSvg } from '../src/index.ts';
import { nestedLayout, sv48Layout } from './layouts.ts';
import { checkPicture, unknownClasses } from './pictures.ts';
import { captureSpace, oddPaging, oddSpace, smallSpace } from './spaces.ts';
import { elements, parseXml } from './xml.ts';

function pagingOf(space: AddressSpace): AddressSpace['roots'][number]['paging'] {
  const [root] = space.roots;
  if (root === undefined) throw new Error('no root');
  return root.paging;
}

const sv39 = riscvPaging('sv39', ['svnapot', 'svpbmt']);

const pictures: readonly [string, string, () => string][] = [
  ['a layout of two halves', 'layout', () => layoutSvg(sv48Layout)],
  ['a layout, rising', 'layout', () => layoutSvg(sv48Layout, { order: 'rising' })],
  ['a layout that fills its word', 'layout', () => layoutSvg(nestedLayout)],
  ['a small tree', 'tables', () => tablesSvg(smallSpace())],
  ['a tree without common attributes', 'tables', () => tablesSvg(oddSpace('root <&">'))],
  ['a captured kernel', 'tables', () => tablesSvg(captureSpace('kernel'))],
  ['a captured process', 'tables', () => tablesSvg(captureSpace('user'), { maxRows: 5, maxTables: 20 })],
  [
    'a mapped address',
    'walk',
    () => walkSvg(walk(captureSpace('kernel'), 0xffff_ffff_8023_4567n), pagingOf(captureSpace('kernel'))),
  ],
  ['a malformed entry', 'walk', () => walkSvg(walk(smallSpace(), 0xffff_ffcb_0000_0000n), pagingOf(smallSpace()))],
  ['an address of no root', 'walk', () => walkSvg(walk(smallSpace(), 1n << 63n), pagingOf(smallSpace()))],
  ['a walk of 32-bit entries', 'walk', () => walkSvg(walk(oddSpace(), 0x123n), oddPaging)],
  ['a shape', 'entry', () => entrySvg(sv39, 0, 'leaf')],
  ['an entry in one row', 'entry', () => entrySvg(sv39, 1, 0x4000_0000_2000_00e7n, { bitsPerRow: 64 })],
  ['an entry in eight rows', 'entry', () => entrySvg(sv39, 1, 0x4000_0000_2000_04e5n, { bitsPerRow: 8 })],
  ['a scattered entry', 'entry', () => entrySvg(oddPaging, 0, 0x1234_5a36n)],
  ['an entry of no shape', 'entry', () => entrySvg(oddPaging, 1, 0x3n)],
];

describe.each(pictures)('%s', (_, kind, draw) => {
  test('is well-formed, keeps its text apart and is the same each time', () => {
    const svg = draw();
    checkPicture(svg, kind);
    expect(unknownClasses(svg)).toEqual([]);
    expect(draw()).toBe(svg);
  });
});

describe('layouts', () => {
  test.each([sv48Layout, nestedLayout])('every region is named, with its range: $name', (layout) => {
    const svg = layoutSvg(layout);
    const said = checkPicture(svg, 'layout');
    const tooltips = elements(parseXml(svg), 'title').map(({ text }) => text);
    for (const { name, start, end } of layout.regions) {
      const range = `${hex(start, layout.wordBits / 4)}-${hex(end, layout.wordBits / 4)}`;
      expect(said).toContain(range);
      expect(said.includes(name) || tooltips.includes(name)).toBe(true);
      expect(tooltips.some((text) => text.startsWith(`${name}: ${range}, `))).toBe(true);
    }
  });

  test.each(RISCV_MODES)('the layouts of core are drawn as they are: %s', (mode) => {
    const layout = riscvLayout({ mode });
    const said = checkPicture(layoutSvg(layout), 'layout');
    for (const { name, purpose } of layout.regions)
      expect([name, purpose].filter((line) => !said.includes(line))).toEqual([]);
  });

  test('gaps are shown, but none between the halves', () => {
    const said = checkPicture(layoutSvg(sv48Layout), 'layout');
    expect(said.filter((line) => line.startsWith('gap '))).toEqual(['gap 508G']);
    expect(said.filter((line) => line.startsWith('0xffff8d7ffea00000-0x10000000000000000'))).toHaveLength(1);
  });

  test('the strip of a part is to scale', () => {
    const root = parseXml(layoutSvg(sv48Layout));
    const strip = (name: string): number => {
      const found = elements(root, 'rect').find(({ children }) => children[0]?.text === name);
      return Number(found?.attributes.height);
    };
    expect(strip('linear map') / strip('vmalloc')).toBeCloseTo(2, 2);
    expect(strip('linear map') / strip('kasan')).toBeCloseTo(4, 1);
  });

  test('random regions never overlap in text', () => {
    const region = fc.record({
      name: fc.string({ unit: 'grapheme', maxLength: 40 }).map((name) => name.replaceAll(/[^\x20-\x7e]/g, '·')),
      start: fc.bigInt(0n, TWO_64 - 1n),
      shift: fc.nat(63),
    });
    fc.assert(
      fc.property(fc.array(region, { maxLength: 12 }), fc.constantFrom('rising', 'falling'), (list, order) => {
        const regions = list.map(({ name, start, shift }) => {
          const end = start + (1n << BigInt(shift));
          return { name, start, end: end > TWO_64 ? TWO_64 : end };
        });
        const layout: LayoutInput = { name: 'random', wordBits: 64, regions };
        if (regions.length > 0) checkPicture(layoutSvg(layout, { order: order as 'rising' | 'falling' }), 'layout');
      }),
      { numRuns: 60 },
    );
  });

  test('text of any kind is escaped', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => {
        parseXml(
          layoutSvg({ name, title: name, wordBits: 64, regions: [{ name, start: 0n, end: 4096n, purpose: name }] }),
        );
      }),
    );
    const svg = layoutSvg({ name: 'x', wordBits: 32, regions: [{ name: '<b>&"\u0001\ud800', start: 0n, end: 4096n }] });
    expect(svg).toContain('&lt;b&gt;&amp;&quot;\ufffd\ufffd');
  });

  test('bad regions are refused', () => {
    const layout = (start: bigint, end: bigint, wordBits = 32): LayoutInput => ({
      name: 'bad',
      wordBits,
      regions: [{ name: 'r', start, end }],
    });
    expect(() => layoutSvg(layout(2n, 1n))).toThrow(EmitError);
    expect(() => layoutSvg(layout(0n, (1n << 32n) + 1n))).toThrow(/layout-region/);
    expect(() => layoutSvg(layout(0n, 1n, 65))).toThrow(/option/);
    expect(layoutSvg(layout(0n, 0n))).toContain('0x00000000-0x00000000');
    expect(layoutSvg({ name: 'none', wordBits: 64, regions: [] })).toContain('0 regions');
  });

  test('the ground can be left out', () => {
    expect(layoutSvg(sv48Layout)).toContain('class="pf-ground"');
    expect(layoutSvg(sv48Layout, { ground: false })).not.toContain('class="pf-ground"');
  });
});

describe('trees of tables', () => {
  test('rows fold what is alike, leaves show what may be done', () => {
    const said = checkPicture(tablesSvg(smallSpace()), 'tables');
    for (const line of [
      '[256-257] 2 × 1G rw- at 0x80000000',
      '[300] malformed: w_without_r',
      '[301] empty, not zero',
      '[2-5] 4 × PTE, all alike',
      '[16-47] 32 × 4K rwx user at 0x81000000',
      '[0-2] 3 × 2M r-x at 0x80200000',
      'r-x read, execute',
    ]) {
      expect(said).toContain(line);
    }
    expect(said).toContain('6 of 9 tables drawn, … 3 more look like these');
  });

  test('tables that entries share are linked, not repeated', () => {
    const said = checkPicture(tablesSvg(oddSpace()), 'tables');
    expect(said).toContain('[1-2] 2 × the same level 0 at 0x40008c00');
    expect(said).toContain('3 tables');
  });

  test('limits count what is left out', () => {
    const said = checkPicture(tablesSvg(captureSpace('kernel'), { maxTables: 3, maxRows: 4 }), 'tables');
    expect(said).toContain('3 of 219 tables drawn, … 216 more are alike or beyond the limits');
    expect(said).toContain('… 8 more');
    expect(said.filter((line) => /\.PTE/.test(line))).toEqual([]);
    expect(() => tablesSvg(smallSpace(), { maxTables: 0 })).toThrow(/option/);
  });

  test('with enough room, every mapped byte of a small tree is in some row', () => {
    const space = smallSpace();
    const total = mappedRanges(space, { start: 0n, end: TWO_64 }).length;
    const svg = tablesSvg(space, { maxTables: 2000, maxRows: 4096 });
    const leaves = checkPicture(svg, 'tables').filter((line) => /^\[.*(4K|2M|1G) [r-][w-][x-]/.test(line));
    expect(leaves).toHaveLength(total);
  });

  test('tables outside memory and tables within themselves are drawn', () => {
    const memory = new SparseMemory([{ start: 0x1000n, end: 0x2000n }]);
    writeWord(memory, phys(0x1000n), 0x401n);
    writeWord(memory, phys(0x1008n), 0x8001n);
    const said = checkPicture(tablesSvg(createSpace(memory, { paging: sv39, address: 0x1000n })), 'tables');
    expect(said).toContain('at 0x20000, from 0x0000000040000000, outside memory');
  });
});

describe('walks', () => {
  test('say each index, entry and the end', () => {
    const space = captureSpace('kernel');
    const trace = walk(space, 0xffff_ffff_8023_4567n);
    const said = checkPicture(walkSvg(trace, pagingOf(space)), 'walk');
    for (const { index, entry, table } of trace.steps) {
      expect(said).toContain(`[${index}]`);
      expect(said).toContain(hex(entry ?? 0n, 16));
      expect(said).toContain(`at ${hex(table)}`);
    }
    expect(trace.outcome.mapped && said.includes(hex(trace.outcome.pa))).toBe(true);
    expect(said).toContain('pgd; p4d folded');
    expect(said.filter((line) => line === 'part of the offset here')).toHaveLength(1);
  });

  test('say the fault and its reasons', () => {
    const space = smallSpace();
    const said = checkPicture(walkSvg(walk(space, 0xffff_ffcb_0000_0000n), sv39), 'walk');
    expect(said).toContain('fault');
    expect(said).toContain('w_without_r');
    expect(said).toContain('pgd; p4d, pud folded');
    expect(checkPicture(walkSvg(walk(space, 1n << 63n), sv39), 'walk')).toContain('non_canonical');
  });

  test('a root that faults by itself reads no table', () => {
    const memory = new SparseMemory([{ start: 0x1000n, end: 0x2000n }]);
    const fault = 'walk_disabled';
    for (const paging of [sv39, oddPaging]) {
      const space = createSpace(memory, { paging, address: 0x1000n, label: 'off', fault });
      const said = checkPicture(walkSvg(walk(space, 0x1234n), paging), 'walk');
      expect(said).toContain('walk_disabled');
      expect(said).toContain('no table is read');
      expect(checkPicture(tablesSvg(space), 'tables')).toContain('0 tables');
      expect(tableBinary(space).manifest).toEqual({
        base: '0x0',
        size: 0,
        roots: [{ label: 'off', address: '0x1000', format: paging.format.name, geometry: paging.geometry.name, fault }],
        tables: [],
      });
    }
  });

  test('an address outside a root that has no upper bits starts at its indices', () => {
    const ranges = [{ start: 0n, end: 0x8000_0000n }];
    const space = createSpace(oddSpace().memory, { paging: oddPaging, address: 0x4000_4000n, ranges });
    const said = checkPicture(walkSvg(walk(space, 0x9000_0000n), oddPaging), 'walk');
    expect(said).toContain('fault');
    expect(said).not.toContain('upper bits');
  });

  test('hold for any address', () => {
    const space = captureSpace('user');
    const paging = pagingOf(space);
    const mapped = mappedRanges(space, { start: 0n, end: TWO_64 });
    const address = fc.oneof(
      fc.bigInt(0n, TWO_64 - 1n),
      fc.record({ range: fc.constantFrom(...mapped), part: fc.bigInt(0n, 0xffffn) }).map(({ range, part }) => {
        return range.start + (part % (range.end - range.start));
      }),
    );
    fc.assert(
      fc.property(address, (va) => {
        checkPicture(walkSvg(walk(space, va), paging), 'walk');
      }),
      { numRuns: 40 },
    );
  });
});

describe('entries', () => {
  test('every field is listed with its bits and meaning', () => {
    const said = checkPicture(entrySvg(sv39, 0, 'leaf'), 'entry');
    const fields = sv39.codec(0).shapes.find(({ shape }) => shape.name === 'leaf')?.fields ?? [];
    expect(fields.length).toBeGreaterThan(10);
    for (const { name, meaning } of fields) {
      expect(said).toContain(name);
      expect(said.some((line) => line.startsWith(meaning))).toBe(true);
    }
    expect(said).toContain('ppn[43:22]');
  });

  test('every bit of an entry stands under its place', () => {
    const bitsOf = (svg: string): string =>
      elements(parseXml(svg), 'text')
        .filter(({ text, attributes: { class: cls, 'text-anchor': anchor } }) => {
          return /^[01]$/.test(text) && anchor === 'middle' && cls?.includes('pf-small') !== true;
        })
        .map(({ text }) => text)
        .join('');
    fc.assert(
      fc.property(fc.bigInt(0n, TWO_64 - 1n), fc.constantFrom(0, 1, 2), (entry, level) => {
        const svg = entrySvg(sv39, level, entry);
        checkPicture(svg, 'entry');
        expect(bitsOf(svg)).toBe(entry.toString(2).padStart(64, '0'));
      }),
      { numRuns: 40 },
    );
  });

  test('scattered fields say which part lies where', () => {
    const said = checkPicture(entrySvg(oddPaging, 0, 'leaf'), 'entry');
    for (const label of ['frame[19:0]', 'frame[23:20]', 'permission[2:1]', 'permission[0]'])
      expect(said).toContain(label);
    expect(said).toContain('11:8,31:12');
  });

  test('unknown shapes and entries that are too wide are refused', () => {
    expect(() => entrySvg(sv39, 0, 'blob')).toThrow(/\[shape\]/);
    expect(() => entrySvg(oddPaging, 0, 1n << 32n)).toThrow(/option/);
    expect(() => entrySvg(sv39, 0, 'leaf', { bitsPerRow: 7 })).toThrow(/option/);
  });
});
