import { describe, expect, it } from 'vitest';
import { factNumber, numberIn, recordIn, rootFacts } from '../src/capture.ts';
import { thrownBy } from './model.ts';

describe('facts', () => {
  it('are numbers in every form that JSON has for them', () => {
    const cases: [unknown, bigint | undefined][] = [
      [5, 5n],
      ['5', 5n],
      ['0xfFff0000ffff0000', 0xffff_0000_ffff_0000n],
      [true, 1n],
      [false, 0n],
      [7n, 7n],
      [2 ** 60, undefined],
      [-1, undefined],
      [1.5, undefined],
      ['', undefined],
      ['ff', undefined],
      [null, undefined],
      [{}, undefined],
    ];
    for (const [value, expected] of cases) expect(factNumber(value)).toBe(expected);
  });

  it('are looked up under several names, and in parts', () => {
    expect(numberIn({ b: '0x10' }, 'a', 'b')).toBe(16n);
    expect(numberIn({ a: 'no', b: 2 }, 'a', 'b')).toBe(2n);
    expect(numberIn({}, 'a')).toBeUndefined();
    expect(recordIn({ a: { b: 1 } }, 'a')).toEqual({ b: 1 });
    for (const a of [undefined, null, 3, 'text', [1]]) expect(recordIn({ a }, 'a')).toEqual({});
  });

  it('of a root that is not there are refused', () => {
    expect(rootFacts({ roots: { kernel: { root_pa: 1 } } }, 'kernel')).toEqual({ root_pa: 1 });
    for (const capture of [{}, { roots: 3 }, { roots: { other: {} } }, { roots: {} }]) {
      expect(thrownBy(() => rootFacts(capture, 'constructor')).rule).toBe('capture-root');
    }
  });
});
