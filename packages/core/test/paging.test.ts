import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rangesMask } from '../src/bits.ts';
import { AttributeError, FormatError } from '../src/errors.ts';
import type { Format, Shape } from '../src/format.ts';
import { completeFormat } from '../src/format-defaults.ts';
import type { CompiledShape } from '../src/level-codec.ts';
import { addressBits, createPaging, numericFieldsOf, type Paging } from '../src/paging.ts';
import { mini, miniFormat, miniGeometry, named, SUBJECTS } from './formats.ts';
import { refDecode, thrownBy } from './model.ts';
import { bigBelow, numbers, seeds, someEntry, somePhysical } from './random-tables.ts';

const SHORT = named('short');

function leafOf(paging: Paging, level: number, name: string): CompiledShape {
  return paging.codec(level).leaves.find(({ shape }) => shape.name === name) as CompiledShape;
}

describe('decode', () => {
  it('reads any entry as the description does', () => {
    for (const subject of SUBJECTS) {
      const tables = subject.geometry.levels.map(() => [0x10_0000n]);
      const bits = BigInt(subject.format.entryBytes * 8);
      fc.assert(
        fc.property(seeds, (seed) => {
          const random = numbers(seed);
          const level = random(subject.paging.levels.length);
          const noise = bigBelow(random, 1n << bits);
          const entry = random(4) === 0 ? noise : someEntry(subject, level, tables, random);
          const got = subject.paging.decode(level, entry);
          const expected = refDecode(subject, level, entry, 0);
          expect(got).toMatchObject({
            kind: expected.kind,
            shape: expected.shape,
            reasons: expected.reasons,
            leafBytes: expected.kind === 'leaf' ? expected.leafBytes : undefined,
          });
          for (const [name, value] of Object.entries(expected.fields)) expect(got.fields[name]).toBe(BigInt(value));
          if (expected.kind === 'leaf') {
            expect(got.address).toBe(expected.address - (expected.address % expected.leafBytes));
          } else {
            expect(got.address).toBe(expected.kind === 'table' ? expected.address : undefined);
          }
        }),
        { numRuns: 100 },
      );
    }
  });
});

describe('encodeLeaf and encodeTable', () => {
  it('make entries that decode to what was asked for, up to the largest address', () => {
    for (const subject of SUBJECTS) {
      const { paging } = subject;
      fc.assert(
        fc.property(seeds, (seed) => {
          const random = numbers(seed);
          for (const { leaves, level, table } of paging.levels) {
            for (const leaf of leaves) {
              const address = somePhysical(subject, leaf, random);
              const look = subject.looks[random(3)] ?? {};
              const entry = paging.encodeLeaf(level.level, address, look, leaf.shape.name);
              const found = refDecode(subject, level.level, entry, 0);
              expect(found).toMatchObject({ kind: 'leaf', shape: leaf.shape.name, address, fields: look });
            }
            if (table === undefined) continue;
            const address = somePhysical(subject, { ...table, entryBytes: 0x1_0000, sharedAddress: false }, random);
            const entry = paging.encodeTable(level.level, address);
            expect(refDecode(subject, level.level, entry, 0)).toMatchObject({ kind: 'table', address });
          }
        }),
        { numRuns: 10 },
      );
    }
  });

  it('take the leaf that stands alone if none is named', () => {
    expect(mini.decode(0, mini.encodeLeaf(0, 0x1000n, { a: 1 })).shape).toBe('page');
    expect(mini.decode(1, mini.encodeLeaf(1, 0x8000n, { a: 1 })).shape).toBe('block');
  });

  it('fill in what makes a shape, whatever attributes say of it', () => {
    expect(mini.encodeLeaf(0, 0n, { valid: 0, a: 1 })).toBe(0x41n);
    expect(mini.encodeLeaf(1, 0n, 0x45n)).toBe(0xc1n);
    expect(mini.encodeLeaf(0, 0n, 0x41n, 'page-run')).toBe(0x20_0045n);
  });

  it('make pointers that limit nothing if nothing is said', () => {
    const anded = named('and-ed tables').paging;
    expect(anded.encodeTable(1, 0x5000n)).toBe(0x5007n);
    expect(anded.encodeTable(1, 0x5000n, 0n)).toBe(0x5001n);
    expect(anded.encodeTable(1, 0x5000n, { us: 1 })).toBe(0x5005n);
    expect(mini.encodeTable(2, 0x40n)).toBe(0x4013n);
    const flat = createPaging(miniFormat, miniGeometry(3), { features: ['flat'] });
    expect(flat.encodeTable(2, 0x40n)).toBe(0x4003n);
  });

  it.each<[string, () => unknown, abstract new (...args: never[]) => Error, string, Record<string, string>]>([
    ['a level that is not there', () => mini.codec(3), FormatError, 'level', { level: '0x3' }],
    ['no leaf at that level', () => SHORT.paging.encodeLeaf(2, 0n, 0n), FormatError, 'level', {}],
    ['no leaf of that name', () => mini.encodeLeaf(2, 0n, 0n, 'page'), FormatError, 'leaf-level', { shape: 'page' }],
    ['a pointer among leaves', () => mini.encodeTable(0, 0n), FormatError, 'table-level', { level: '0x0' }],
    ['an unaligned leaf', () => mini.encodeLeaf(1, 0x1000n, 0n), AttributeError, 'physical-address', {}],
    ['a leaf too high', () => mini.encodeLeaf(0, 1n << 42n, 0n), AttributeError, 'physical-address', {}],
    [
      'an unaligned run that shares its address',
      () => mini.encodeLeaf(0, 0x1000n, 0n, 'page-run'),
      AttributeError,
      'physical-address',
      { address: '0x1000' },
    ],
    ['an unaligned table', () => mini.encodeTable(1, 0x20n), AttributeError, 'physical-address', { address: '0x20' }],
    [
      'an address that a shape has no bits for',
      () => SHORT.paging.encodeLeaf(1, 1n << 32n, {}),
      AttributeError,
      'physical-address',
      { address: '0x100000000' },
    ],
    [
      'a table that a pointer has no bits for',
      () => SHORT.paging.encodeTable(1, 1n << 32n),
      AttributeError,
      'physical-address',
      { address: '0x100000000' },
    ],
    [
      'address bits below the size of a leaf',
      () => named('4K, 39 bits, tags').paging.encodeLeaf(2, 0n, 1n << 21n),
      AttributeError,
      'attribute-address',
      { bits: '0x200000' },
    ],
    ['an unknown field', () => mini.encodeTable(1, 0n, { w: 1 }), AttributeError, 'attribute-field', { field: 'w' }],
    [
      'a field that exists under other features',
      () => named('16 entries at the root, 52 bits').paging.encodeLeaf(0, 0n, { sh: 3 }),
      AttributeError,
      'attribute-field',
      { field: 'sh' },
    ],
    ['a value too large', () => mini.encodeLeaf(0, 0n, { key: 16 }), AttributeError, 'attribute-width', {}],
    ['too many bits', () => SHORT.paging.encodeLeaf(0, 0n, 1n << 32n), AttributeError, 'attribute-width', {}],
    ['negative bits', () => mini.encodeLeaf(0, 0n, -1n), AttributeError, 'attribute-width', { bits: '-0x1' }],
    [
      'a malformed pointer',
      () => mini.encodeTable(1, 0n, 1n << 63n),
      AttributeError,
      'attribute-result',
      { result: 'reserved_63', level: '0x1' },
    ],
    [
      'a pointer that would be a leaf',
      () => named('and-ed tables').paging.encodeTable(1, 0n, { ps: 1 }),
      AttributeError,
      'attribute-result',
      { result: 'leaf' },
    ],
  ])('refuse %s', (_, run, type, rule, values) => {
    const error = thrownBy(run);
    expect(error).toBeInstanceOf(type);
    expect(error).toMatchObject({ rule, values });
  });
});

describe('what is known of shapes', () => {
  it('is which bits are address, also those below a leaf and only under the features that are on', () => {
    const narrow = named('4K, 39 bits, tags').paging;
    const wide = named('16 entries at the root, 52 bits').paging;
    expect(addressBits(leafOf(narrow, 0, 'page'))).toBe((1n << 48n) - 0x1000n);
    expect(addressBits(leafOf(wide, 0, 'page'))).toBe((1n << 50n) - 0x1000n + 0x300n);
    expect(addressBits(leafOf(wide, 2, 'block'))).toBe((1n << 50n) - 0x20_0000n + 0x300n);
    expect(addressBits(mini.codec(0).shapes[0] as CompiledShape)).toBe(0n);
  });

  it('is which fields are numbers: none that holds an address', () => {
    for (const { paging } of SUBJECTS) {
      for (const { shapes } of paging.levels) {
        for (const compiled of shapes) {
          for (const { bits } of numericFieldsOf(compiled)) {
            expect(rangesMask(bits) & addressBits(compiled)).toBe(0n);
          }
        }
      }
    }
    const names = numericFieldsOf(leafOf(named('runs with a pattern').paging, 0, 'leaf')).map(({ name }) => name);
    expect(names).not.toContain('ppn');
    expect(names).toContain('pbmt');
  });

  it('is what they can hold', () => {
    const supersection = leafOf(SHORT.paging, 1, 'supersection');
    const section = leafOf(SHORT.paging, 1, 'section');
    expect(SHORT.paging.canHold(supersection, 2 ** 39 + 2 ** 24 + 2 ** 20)).toBe(true);
    expect(SHORT.paging.canHold(section, 2 ** 32 - 2 ** 20)).toBe(true);
    expect(SHORT.paging.canHold(section, 2 ** 32)).toBe(false);
  });
});

describe('createPaging', () => {
  it('lists every leaf that can be made, smallest first', () => {
    const { leafChoices } = named('64K, 52 bits').paging;
    expect(leafChoices.map(({ level, shape, leafBytes, runEntries }) => [level, shape, leafBytes, runEntries])).toEqual(
      [
        [0, 'page', 1n << 16n, 1],
        [0, 'cont-page', 1n << 21n, 32],
        [1, 'block', 1n << 29n, 1],
        [1, 'cont-block', 1n << 34n, 32],
        [2, 'block', 1n << 42n, 1],
      ],
    );
    expect(named('64K, 52 bits').paging.pageBytes).toBe(0x1_0000n);
  });

  it('adds the features that a geometry brings, and refuses unknown ones', () => {
    const paging = createPaging(miniFormat, miniGeometry(3, { features: ['flat'] }), { features: ['nopair'] });
    expect([...paging.features].sort()).toEqual(['flat', 'nopair']);
    const error = thrownBy(() => createPaging(miniFormat, miniGeometry(3), { features: ['flat', 'fast'] }));
    expect(error).toBeInstanceOf(FormatError);
    expect(error).toMatchObject({ rule: 'unknown-feature', values: { feature: 'fast' } });
    expect(thrownBy(() => createPaging(miniFormat, miniGeometry(3, { features: ['toString'] }))).rule).toBe(
      'unknown-feature',
    );
  });

  it('refuses features that shut each other out, also if the geometry brings one', () => {
    const format: Format = { ...miniFormat, exclusive: [['flat', 'nopair']] };
    expect(createPaging(format, miniGeometry(3), { features: ['flat'] }).features.has('flat')).toBe(true);
    const error = thrownBy(() =>
      createPaging(format, miniGeometry(3, { features: ['flat'] }), { features: ['nopair'] }),
    );
    expect(error).toBeInstanceOf(FormatError);
    expect(error).toMatchObject({ rule: 'exclusive-features', values: { one: 'flat', other: 'nopair' } });
  });

  it('completes what a format leaves out', () => {
    const { name, title, entryBytes, shapes } = miniFormat;
    const bare = completeFormat({ name, title, entryBytes, shapes });
    expect(bare).toMatchObject({
      features: {},
      rules: [{ reason: 'reserved_63' }],
      unmatched: 'reserved_encoding',
      nonCanonical: 'non_canonical',
    });
    expect(bare.common).toBeUndefined();
    expect(bare.attributes).toEqual(['soft', 'key', 'pat', 'd', 'a', 'nx', 'u', 'w', 'run', 'valid', 'big']);
    const request = { kind: 'write', privilege: 'user', options: {} } as const;
    expect(bare.access.check({}, request, new Set())).toEqual({ reasons: [] });
    const event = { reason: 'x', stage: 'entry', level: 0, access: 'read' } as const;
    expect(bare.fault(event as never)).toEqual({ type: 'x' });
  });
});

describe('formats that contradict themselves', () => {
  const change = (name: string, more: object): Format => ({
    ...miniFormat,
    shapes: miniFormat.shapes.map((shape) => (shape.name === name ? ({ ...shape, ...more } as Shape) : shape)),
  });
  const field = (bits: readonly (readonly [number, number])[], when?: readonly string[]): object => ({
    fields: [{ name: 'x', bits, meaning: '', ...(when === undefined ? {} : { when }) }],
  });
  const rule = (more: object): Format => {
    return { ...miniFormat, rules: [{ reason: 'r', meaning: '', tests: [], ...more }] } as Format;
  };

  it.each<[string, Format, string, Record<string, string>]>([
    ['a feature that is not declared', change('page', { when: ['fast'] }), 'unknown-feature', { feature: 'fast' }],
    ['a feature off that is not declared', change('page', { when: ['!fast'] }), 'unknown-feature', {}],
    ['a level under such a feature', change('page', { levels: [{ level: 0, when: ['fast'] }] }), 'unknown-feature', {}],
    ['a field under one', change('page', field([[3, 3]], ['fast'])), 'unknown-feature', {}],
    ['a rule under one', rule({ when: ['fast'] }), 'unknown-feature', {}],
    ['a field beyond the entry', change('page', field([[64, 60]])), 'entry-bits', { hi: '0x40', lo: '0x3c' }],
    ['a field upside down', change('page', field([[3, 5]])), 'entry-bits', {}],
    [
      'an address beyond the entry',
      change('page', { address: [{ entryLo: 60, addressLo: 12, bits: 5 }] }),
      'entry-bits',
      { hi: '0x40' },
    ],
    [
      'tests that no word can pass',
      change('page', {
        match: [
          { mask: 1n, equals: 1n },
          { mask: 3n, equals: 2n },
        ],
      }),
      'match-impossible',
      {},
    ],
    [
      'an effect of a field that is not there',
      change('table', { effects: [{ field: 'tw', on: 'w', op: 'and' }] }),
      'effect-field',
      { field: 'tw' },
    ],
    ['a rule for a shape that is not there', rule({ shapes: ['papyrus'] }), 'unknown-shape', { shape: 'papyrus' }],
    ['a level that no geometry has', change('page', { levels: [0, 9] }), 'format-level', { level: '0x9' }],
    ['a rule for a level between two', rule({ levels: [{ level: 0.5, when: [] }] }), 'format-level', {}],
    ['tests under an unknown word', rule({ tests: 'misalignedx' }), 'rule-tests', { tests: 'misalignedx' }],
    ['a name that two shapes of a level share', change('page-run', { name: 'page' }), 'shape-name', { shape: 'page' }],
    [
      'an exclusive feature that is not declared',
      { ...miniFormat, exclusive: [['flat', 'fast']] },
      'unknown-feature',
      {},
    ],
    ['tables at level 0', change('table', { levels: undefined }), 'table-at-level-0', {}],
  ])('are refused: %s', (_, format, name, values) => {
    const error = thrownBy(() => createPaging(format, miniGeometry(3)));
    expect(error).toBeInstanceOf(FormatError);
    expect(error).toMatchObject({ rule: name, values });
    expect(error.message).toContain('mini: ');
  });

  it('may have table words at level 0 if those are malformed throughout', () => {
    const anywhere = change('table', { levels: undefined });
    const rules = [{ reason: 'pointer_at_last_level', meaning: '', tests: [], kinds: ['table'], levels: [0] }] as const;
    const paging = createPaging({ ...anywhere, rules }, miniGeometry(3));
    expect(paging.decode(0, 0x13n)).toMatchObject({ kind: 'malformed', reasons: ['pointer_at_last_level'] });
    const sometimes = [{ ...rules[0], when: ['flat'] }];
    expect(thrownBy(() => createPaging({ ...anywhere, rules: sometimes }, miniGeometry(3))).rule).toBe(
      'table-at-level-0',
    );
  });
});
