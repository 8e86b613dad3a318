import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseSystemMap } from '../src/index.ts';
import { failsWith } from './image-checks.ts';

describe('symbol lists', () => {
  test('System.map, kallsyms with modules, and two columns', () => {
    const { symbols, duplicates } = parseSystemMap(
      [
        '\uFEFF# a comment behind a byte order mark',
        'ffffffff80000000 T _start',
        'ffffffff80002000 a $x.1',
        '0000000000000000 D __per_cpu_start',
        'ffffffff01234000 t local_function.constprop.0\t[ext4]',
        'c0008000 T swapper_pg_dir\r',
        'ffffffff81dca000 early_pg_dir',
        'ffffffff80002000 T',
        '',
      ].join('\n'),
    );
    expect(symbols.get('_start')).toBe(0xffff_ffff_8000_0000n);
    expect(symbols.get('__per_cpu_start')).toBe(0n);
    expect(symbols.get('local_function.constprop.0')).toBe(0xffff_ffff_0123_4000n);
    expect(symbols.get('swapper_pg_dir')).toBe(0xc000_8000n);
    expect(symbols.get('T')).toBe(0xffff_ffff_8000_2000n);
    expect(symbols.size).toBe(7);
    expect(duplicates).toEqual([]);
  });

  test('the first definition wins, the others are told', () => {
    const { symbols, duplicates } = parseSystemMap('1 t a\n2 t b\n3 t a\n4 t a');
    expect(symbols.get('a')).toBe(1n);
    expect(duplicates).toEqual([
      { name: 'a', address: 3n, line: 3 },
      { name: 'a', address: 4n, line: 4 },
    ]);
  });

  test.each([
    'xyz T a',
    '0x1000 T a',
    '1000',
    '1000 ',
    '1000 TT a',
    '1000 T a b',
    '1000  T a',
    ' 1000 T a',
    '12345678123456781 T a',
    '1000 T a [m',
    '-1 T a',
  ])('malformed: %j', (bad) => {
    const error = failsWith('map-line', () => parseSystemMap(`1 T first\n${bad}\n2 T last`));
    expect(error.values).toMatchObject({ line: '2' });
  });

  test('addresses hidden by the kernel', () => {
    failsWith('map-hidden', () => parseSystemMap('0000000000000000 T a\n0000000000000000 T b\n'));
    expect(parseSystemMap('').symbols.size).toBe(0);
  });

  test('any list comes back', () => {
    const name = fc.stringMatching(/^[A-Za-z_.$][A-Za-z0-9_.$]{0,20}$/);
    const symbol = fc.tuple(name, fc.bigInt({ min: 1n, max: (1n << 64n) - 1n }), fc.constantFrom('T', 't', 'D', ''));
    fc.assert(
      fc.property(fc.uniqueArray(symbol, { selector: ([key]) => key }), (list) => {
        const lines = list.map(([key, address, type]) => [address.toString(16), type, key].filter(Boolean).join(' '));
        expect([...parseSystemMap(lines.join('\n')).symbols]).toEqual(list.map(([key, address]) => [key, address]));
      }),
    );
  });
});
