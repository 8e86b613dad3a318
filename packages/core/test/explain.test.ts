import { describe, expect, it } from 'vitest';
import { explainAddress, explainEntry, explainFields, explainRegister } from '../src/explain.ts';
import { type Format, RESERVED_FIELDS } from '../src/format.ts';
import { createPaging } from '../src/paging.ts';
import type { RegisterFormat } from '../src/register.ts';
import { mini, miniFormat, miniGeometry, named } from './formats.ts';
import { thrownBy } from './model.ts';

describe('explainEntry', () => {
  it('names shape, address, size and every field of a leaf', () => {
    const entry = mini.encodeLeaf(1, 0x18_8000n, { a: 1, pat: 1, key: 5, soft: 2 });
    const found = explainEntry(mini, 1, entry);
    expect(found).toMatchObject({
      kind: 'leaf',
      shape: 'block',
      section: undefined,
      reasons: [],
      address: 0x18_8000n,
      leafBytes: 0x8000n,
      common: { write: false, accessed: true, memory: 'uncached' },
    });
    const fields = new Map(found.fields.map((field) => [field.name, field]));
    expect(fields.get('key')).toEqual({
      name: 'key',
      bits: '57,39:38,33',
      value: 5n,
      text: 'five',
      meaning: 'a key in three pieces',
      section: undefined,
      software: false,
    });
    expect(fields.get('soft')).toMatchObject({ bits: '62:60', value: 2n, text: undefined, software: true });
    expect(fields.get('pat')).toMatchObject({ bits: '20', value: 1n });
  });

  it('gives the start of the run for one of its entries', () => {
    const entry = mini.encodeLeaf(1, 0x1_8000n, { a: 1 }, 'block-pair');
    expect(explainEntry(mini, 1, entry)).toMatchObject({
      shape: 'block-pair',
      address: 0x1_0000n,
      leafBytes: 0x1_0000n,
    });
  });

  it('names tables, empty entries and words that fit no shape', () => {
    expect(explainEntry(mini, 2, mini.encodeTable(2, 0x40n))).toMatchObject({
      kind: 'table',
      shape: 'table',
      address: 0x40n,
      leafBytes: undefined,
      common: undefined,
    });
    expect(explainEntry(mini, 0, 0xff0n)).toMatchObject({
      kind: 'empty',
      reasons: [{ reason: 'not_valid' }],
      address: undefined,
    });
    expect(explainEntry(mini, 1, 1n)).toMatchObject({
      kind: 'malformed',
      shape: undefined,
      reasons: [{ reason: 'reserved_encoding', meaning: 'fits no shape' }],
      fields: [],
    });
  });

  it('gives every reason with its meaning and section', () => {
    const rules = (miniFormat.rules ?? []).map((rule) =>
      rule === RESERVED_FIELDS ? rule : { ...rule, section: `on ${rule.reason}` },
    );
    const paging = createPaging({ ...miniFormat, rules } as Format, miniGeometry(3));
    expect(explainEntry(paging, 0, 0x11n | (1n << 63n)).reasons).toEqual([
      { reason: 'reserved_63', meaning: 'bit 63 must be zero', section: undefined },
      { reason: 'u_without_a', meaning: 'user leaves must be accessed', section: 'on u_without_a' },
    ]);
  });
});

describe('explainFields and explainRegister', () => {
  const register: RegisterFormat = {
    name: 'control',
    bits: 32,
    title: 'control bits',
    section: 'Control',
    fields: [
      { name: 'mode', bits: [[7, 4]], meaning: 'how', values: { 3: 'fast' }, section: 'Modes' },
      { name: 'on', bits: [[0, 0]], meaning: 'in use' },
    ],
  };

  it('name values, bits and what is left over', () => {
    expect(explainRegister(register, 0x135n)).toEqual({
      register: 'control',
      value: 0x135n,
      unnamed: 0x104n,
      fields: [
        { name: 'mode', bits: '7:4', value: 3n, text: 'fast', meaning: 'how', section: 'Modes', software: false },
        { name: 'on', bits: '0', value: 1n, text: undefined, meaning: 'in use', section: undefined, software: false },
      ],
    });
    expect(thrownBy(() => explainRegister(register, 1n << 32n)).rule).toBe('register-width');
  });

  it('do not look for names of values that are wide', () => {
    const wide = { name: 'wide', bits: [[63, 0]] as [number, number][], meaning: '', values: { 1: 'one' } };
    expect(explainFields([wide], (1n << 63n) | 1n)).toMatchObject([{ value: (1n << 63n) | 1n, text: undefined }]);
  });
});

describe('explainAddress', () => {
  it('cuts an address into indices from the root down', () => {
    const subject = named('16 entries at the root, 52 bits');
    const va = 0xffff_1234_5678_9abcn;
    const found = explainAddress(subject.paging, va);
    expect(found.canonical).toBe(true);
    expect(found.offset).toBe(0xabcn);
    expect(
      found.indices.map(({ level, hardwareLevel, bits, index, entryBytes }) => [
        level,
        hardwareLevel,
        bits,
        index,
        entryBytes,
      ]),
    ).toEqual([
      [4, -1, '51:48', 15, 1n << 48n],
      [3, 0, '47:39', 0x24, 1n << 39n],
      [2, 1, '38:30', 0xd1, 1n << 30n],
      [1, 2, '29:21', 0xb3, 1n << 21n],
      [0, 3, '20:12', 0x189, 1n << 12n],
    ]);
  });

  it('tells folded names and the level that each stands for', () => {
    expect(explainAddress(mini, 0n).names).toEqual({
      pgd: { folded: false, level: 2 },
      p4d: { folded: true, level: 2 },
      pud: { folded: true, level: 2 },
      pmd: { folded: false, level: 1 },
      pte: { folded: false, level: 0 },
    });
  });

  it('takes tags off before it says what is translated', () => {
    const tagged = named('4K, 39 bits, tags').paging;
    expect(explainAddress(tagged, 0xab00_0000_0000_1000n)).toMatchObject({ canonical: true, offset: 0n });
    expect(explainAddress(tagged, 0x0080_0000_0000_1000n).canonical).toBe(false);
    expect(explainAddress(mini, 0xab00_0000_0000_1000n).canonical).toBe(false);
  });
});
