import { createSpace, leaves, map, merge, SparseMemory } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import { shortPaging } from '../src/index.ts';

const RANGE = { start: 0xd000_0000n, end: 0xd100_0000n };

function sections(domain: number) {
  const space = createSpace(new SparseMemory(), { paging: shortPaging(), address: 0x4000n });
  const attributes = { ap: 1, tex: 1, c: 1, b: 1, domain };
  map(space, { va: RANGE.start, pa: 0x5000_0000n, bytes: 0x100_0000n, attributes, runs: false });
  return space;
}

describe('sixteen sections in a row', () => {
  it('become a supersection in domain 0', () => {
    const space = sections(0);
    merge(space, RANGE);
    expect(leaves(space, RANGE)[0]?.leafBytes).toBe(0x100_0000n);
  });

  it('stay sections in any other domain, which supersections cannot say', () => {
    const space = sections(3);
    merge(space, RANGE);
    expect(new Set(leaves(space, RANGE).map(({ leafBytes }) => leafBytes))).toEqual(new Set([0x10_0000n]));
  });
});
