import { BumpAllocator, createNames, createSpace, map, SparseMemory, translate, walk } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import { LINUX_PAT, memoryTypes, RESET_PAT, type X86Feature, x86Attributes, x86Paging } from '../src/index.ts';
import { read } from './reference.ts';

/** A generator of 64-bit words that repeats itself. */
function words(seed: number): () => bigint {
  let state = BigInt(seed) | 1n;
  return () => {
    let word = 0n;
    for (let at = 0; at < 2; at++) {
      state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn;
      word = (word << 32n) | (state >> 32n);
    }
    return word;
  };
}

describe('entries', () => {
  it('are what the tables of the manual say, bit by bit', () => {
    const next = words(7);
    for (const paBits of [36, 46, 52]) {
      for (let set = 0; set < 8; set++) {
        const machine = { nxe: (set & 1) !== 0, gbpages: (set & 2) !== 0, amd: (set & 4) !== 0, paBits };
        const features: X86Feature[] = [
          ...(machine.nxe ? (['nx'] as const) : []),
          ...(machine.gbpages ? (['gbpages'] as const) : []),
          ...(machine.amd ? (['amd'] as const) : []),
        ];
        const paging = x86Paging(5, { features, paBits });
        for (let level = 0; level < 5; level++) {
          const judge = (word: bigint): void => {
            const { kind, address } = paging.decode(level, word);
            const expected = read(level, word, machine);
            expect({ level, word, kind }).toEqual({ level, word, kind: expected.kind });
            if (expected.address !== undefined)
              expect({ level, word, address }).toEqual({ level, word, ...{ address: expected.address } });
          };
          // Each bit alone beside P, with and without PS; then words with few and with many bits.
          for (let at = 0; at < 64; at++) for (const base of [0n, 1n, 0x81n]) judge(base | (1n << BigInt(at)));
          for (let i = 0; i < 300; i++) judge(i % 2 === 0 ? next() | 1n : (next() & next() & next() & next()) | 1n);
        }
      }
    }
  });

  it('name the reserved bit', () => {
    const paging = x86Paging(5, { features: ['gbpages', 'amd'], paBits: 46 });
    const reasons = (level: number, word: bigint) => paging.decode(level, word).reasons;
    expect(reasons(0, (1n << 63n) | 1n)).toEqual(['reserved_63']);
    expect(reasons(0, (1n << 46n) | 1n)).toEqual(['reserved_address']);
    expect(reasons(1, (1n << 13n) | 0x81n)).toEqual(['reserved_20_13']);
    expect(reasons(2, (1n << 29n) | 0x81n)).toEqual(['reserved_29_13']);
    expect(reasons(3, 0x181n)).toEqual(['reserved_ps', 'reserved_8']);
    expect(x86Paging(4, { features: [] }).decode(2, 0x81n).reasons).toEqual(['reserved_ps']);
  });

  it('have the PAT bit where the size of the page wants it', () => {
    const paging = x86Paging(4);
    expect(paging.encodeLeaf(0, 0n, { pat: 1 })).toBe(0x81n);
    expect(paging.encodeLeaf(1, 0n, { pat: 1 })).toBe(0x1081n);
    expect(paging.encodeLeaf(2, 0n, { pat: 1 })).toBe(0x1081n);
    expect(paging.decode(1, 0x1081n).fields.pat).toBe(1n);
    expect(paging.decode(0, 0x1081n).address).toBe(0x1000n);
    expect(() => paging.encodeLeaf(1, 0x1000n, {})).toThrow('physical-address');
  });
});

describe('memory types', () => {
  it('are looked up in the PAT', () => {
    expect(memoryTypes(LINUX_PAT)).toEqual(['WB', 'WC', 'UC-', 'UC', 'WB', 'WP', 'UC-', 'WT']);
    expect(memoryTypes(RESET_PAT)).toEqual(['WB', 'WT', 'UC-', 'UC', 'WB', 'WT', 'UC-', 'UC']);
    expect(() => memoryTypes(0x02n)).toThrow('pat-type');
  });

  it('are chosen as a kernel would', () => {
    const linux = x86Attributes(LINUX_PAT);
    const nx = new Set(['nx']);
    const bits = (memory: string) => {
      const { fields, lost } = linux.fromCommon({ memory }, nx);
      return [4 * (fields.pat ?? 0) + 2 * (fields.pcd ?? 0) + (fields.pwt ?? 0), ...lost];
    };
    expect(['normal', 'uncached', 'device', 'write-through', 'write-protected', 'other'].map(bits)).toEqual([
      [0],
      [1],
      [2],
      [7],
      [5],
      [0, 'memory'],
    ]);
    expect(x86Attributes(RESET_PAT).fromCommon({ memory: 'uncached' }, nx).lost).toEqual(['memory']);
    expect(linux.fromCommon({}, new Set()).lost).toEqual(['execute']);
  });
});

describe('folding', () => {
  it('makes p4d the slot of pgd with four levels, and a level of its own with five', () => {
    for (const levels of [4, 5] as const) {
      const memory = new SparseMemory([{ start: 0n, end: 0x10_0000n }]);
      const space = createSpace(memory, { paging: x86Paging(levels), address: 0x1000n });
      const allocator = new BumpAllocator(0x2000n, 0x10_0000n);
      const va = 0xffff_8880_4000_0000n;
      const change = map(space, { va, pa: 0x4000_0000n, bytes: 0x4020_1000n, attributes: { rw: 1 }, allocator });
      expect(change.allocated.length).toBe(levels === 4 ? 3 : 4);
      const names = createNames(memory, x86Paging(levels));
      expect([names.pgd.shift, names.p4d.shift, names.pgd.entries, names.p4d.entries, names.p4d.folded]).toEqual(
        levels === 4 ? [39, 39, 512, 1, true] : [48, 39, 512, 512, false],
      );
      const sizes = [0n, 0x4000_0000n, 0x4020_0000n].map((offset) => {
        const found = translate(space, va + offset);
        return found.mapped ? [found.pa, found.leafBytes] : [];
      });
      expect(sizes).toEqual([
        [0x4000_0000n, 0x4000_0000n],
        [0x8000_0000n, 0x20_0000n],
        [0x8020_0000n, 0x1000n],
      ]);
      expect(walk(space, va).steps.map(({ name }) => name)).toEqual(
        levels === 4 ? ['PGD', 'PUD'] : ['PGD', 'P4D', 'PUD'],
      );
    }
  });
});
