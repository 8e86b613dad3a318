import { describe, expect, it } from 'vitest';
import * as errors from '../src/errors.ts';

describe('errors', () => {
  it('name their rule and carry their values in hex, in the message too', () => {
    const error = new errors.OverlapError('already-mapped', 'a leaf stands in the way', {
      va: 0xffff_8000_0000_0000n,
      level: 2,
      what: 'leaf',
    });
    expect(error.rule).toBe('already-mapped');
    expect(error.values).toEqual({ va: '0xffff800000000000', level: '0x2', what: 'leaf' });
    expect(error.message).toBe(
      'a leaf stands in the way: va 0xffff800000000000, level 0x2, what leaf [already-mapped]',
    );
  });

  it('without values say what they say', () => {
    expect(new errors.ArgumentError('no-root', 'an address space needs a root').message).toBe(
      'an address space needs a root [no-root]',
    );
  });

  it('show numbers that are no integers, and negative ones, as they are', () => {
    const { values } = new errors.ArgumentError('x', 'y', { a: 0.5, b: Number.NaN, c: -16, d: -1n });
    expect(values).toEqual({ a: '0.5', b: 'NaN', c: '-0x10', d: '-0x1' });
  });

  it('are told apart by class and by name', () => {
    for (const [name, type] of Object.entries(errors)) {
      const error = new type('rule', 'message');
      expect(error).toBeInstanceOf(errors.PagefoldError);
      expect(error).toBeInstanceOf(Error);
      expect(error.name).toBe(name);
    }
    expect(new errors.ReadOnlyMemoryError('r', 'm')).toBeInstanceOf(errors.MemoryError);
  });
});
