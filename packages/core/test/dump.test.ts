import { describe, expect, it } from 'vitest';
import { phys, TWO_64 } from '../src/address.ts';
import { attributesText, type DumpLine, type DumpOptions, dump, lineText } from '../src/dump.ts';
import type { Format } from '../src/format.ts';
import { map } from '../src/map.ts';
import { writeWord } from '../src/memory.ts';
import { createPaging } from '../src/paging.ts';
import { mini, miniFormat, miniGeometry, named } from './formats.ts';
import { MINI } from './mini-bed.ts';
import { type Bed, bed } from './model.ts';

const EVERYTHING = { start: 0n, end: TWO_64 };

function lines({ space, subject }: Bed, options: DumpOptions = {}, range = EVERYTHING): string[] {
  const found: DumpLine[] = [];
  dump(space, range, (line) => found.push(line), options);
  return found.map((line) => lineText(line, subject.paging).replace(/ +/g, ' ').trim());
}

function made(): Bed {
  const one = bed(MINI);
  const more = { allocator: one.frames, tableAttributes: { tu: 1 } };
  map(one.space, { va: 0x2000n, pa: 0x6000n, bytes: 0xe000n, attributes: { a: 1, w: 1, key: 5 }, ...more });
  map(one.space, { va: TWO_64 - 0x8000n, pa: 0n, bytes: 0x8000n, attributes: { a: 1, soft: 6 }, ...more });
  return one;
}

describe('dump', () => {
  it('prints one line for each range of equal leaves', () => {
    expect(lines(made())).toEqual([
      '0x0000000000002000-0x0000000000004000 0x0000000000006000 8K L0 4K . KEY(five) . . A . . W . VALID',
      '0x0000000000004000-0x0000000000010000 0x0000000000008000 48K L0 16K . KEY(five) . . A . . W RUN VALID',
      '0xffffffffffff8000-0x10000000000000000 0x0000000000000000 32K L1 32K SOFT(6) . . . A . . . . VALID BIG',
    ]);
  });

  it('puts markers before the first line at or above them, and ends ranges there', () => {
    const markers = [
      { at: 0xa000n, name: 'inside' },
      { at: 0n, name: 'low' },
      { at: 1n << 63n, name: 'high' },
      { at: TWO_64 - 0x1000n, name: 'in the last leaf' },
    ];
    const found = lines(made(), { markers });
    expect(found.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      '---[ low',
      expect.stringContaining('0x0000000000002000-'),
      expect.stringContaining('0x0000000000004000-'),
      '---[ inside',
      expect.stringContaining('0x000000000000a000-'),
      '---[ high',
      expect.stringContaining('0xffffffffffff8000-'),
    ]);
  });

  it('prints leaf by leaf if asked, and a part of the space', () => {
    expect(lines(made(), { fold: false })).toHaveLength(15);
    expect(lines(made(), {}, { start: 0x3000n, end: 0x4000n })).toEqual([
      '0x0000000000003000-0x0000000000004000 0x0000000000007000 4K L0 4K . KEY(five) . . A . . W . VALID',
    ]);
  });

  it('tells what is malformed or missing where it stands', () => {
    const one = bed(MINI);
    writeWord(one.memory, phys(one.root), 5n);
    writeWord(one.memory, phys(one.root + 8n), mini.encodeTable(2, 0x40n));
    expect(lines(one, { markers: [{ at: 0x4_0000n, name: 'second' }] })).toEqual([
      `0x0000000000000000: entry 0x0000000000000005 at 0x${one.root.toString(16)}: reserved_encoding`,
      '---[ second ]---',
      '0x0000000000040000: no memory at 0x40: no_memory',
    ]);
  });

  it('prints addresses and entries as wide as they are', () => {
    const one = bed(named('short'));
    map(one.space, { va: 0xfff0_0000n, pa: 0n, bytes: 0x10_0000n, attributes: { ap: 3, domain: 2 } });
    writeWord(one.memory, phys(one.root), 4n, 4);
    expect(lines(one)).toEqual([expect.stringMatching(/^0xfff00000-0x100000000 0x00000000 1M level 1 1M /)]);
  });
});

describe('attributesText', () => {
  it('has one column for each attribute that the leaf has, in the order of the format, as wide for every value', () => {
    const text = (values: Record<string, number>): string => attributesText(mini, 'page', 0, values);
    const zeros = { soft: 0, key: 0, pat: 0, d: 0, a: 0, nx: 0, u: 0, w: 0, run: 0, valid: 0 };
    const ones = { soft: 7, key: 5, pat: 1, d: 1, a: 1, nx: 1, u: 1, w: 1, run: 1, valid: 1 };
    expect(text(ones).replace(/ +/g, ' ')).toBe('SOFT(7) KEY(five) PAT D A NX U W RUN VALID');
    expect(text(zeros).replace(/[ .]/g, '')).toBe('');
    expect(text(zeros).length).toBe(text(ones).length);
    expect(text({ ...ones, key: 15 }).length).toBe(text(ones).length);
  });

  it('prints what the format names as attributes, and no address', () => {
    const format: Format = { ...miniFormat, attributes: ['w', 'big', 'pat'] };
    const paging = createPaging(format, miniGeometry(3));
    expect(attributesText(paging, 'page', 0, { w: 1, pat: 0 })).toBe('W .  ');
    expect(attributesText(paging, 'block', 1, { w: 1, pat: 1, big: 1 })).toBe('W BIG PAT');
    const napot = named('runs with a pattern');
    const { attributes } = napot.paging.format;
    expect(attributes).toContain('ppn');
    const one = bed(napot);
    map(one.space, { va: 0n, pa: 0x1000n, bytes: 0x1000n, attributes: { r: 1 }, allocator: one.frames });
    expect(lines(one)).toEqual([expect.not.stringContaining('PPN')]);
  });
});
