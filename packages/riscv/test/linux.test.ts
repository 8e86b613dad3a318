import { createNames, phys, SparseMemory, writeWord } from '@pagefold/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  COMPAT_TASK_SIZE,
  decodeSwapEntry,
  encodeSwapEntry,
  kasanShadow,
  LINUX_VERSIONS,
  linuxPredicates,
  linuxProtections,
  makeEntry,
  makeNapot,
  memoryTypeBits,
  memoryTypeMask,
  memoryTypeOf,
  napotOrder,
  napotPfn,
  napotRun,
  readNapot,
  riscvPaging,
  shadowPlacement,
  userAddresses,
} from '../src/index.ts';
import * as constants from '../src/linux-constants.ts';

const word64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });

describe('Linux asm/pgtable.h: protections', () => {
  it('were other values in older releases', () => {
    const row = (name: 'PAGE_KERNEL' | 'PAGE_NONE' | 'PAGE_COPY_EXEC') =>
      LINUX_VERSIONS.map((version) => linuxProtections({ version }).values[name]);
    expect(row('PAGE_KERNEL')).toEqual([0xc7n, 0xc7n, 0xe7n, 0xe7n, 0xe7n]);
    expect(row('PAGE_NONE')).toEqual([0x02n, 0x02n, 0x20n, 0x22n, 0x22n]);
    expect(row('PAGE_COPY_EXEC')).toEqual([0x59n, 0x59n, 0x59n, 0x5bn, 0x5bn]);
  });

  it('are exported as constants too', () => {
    const { values } = linuxProtections();
    const exported: Record<string, bigint> = { ...constants };
    expect(Object.keys(exported)).toHaveLength(15);
    expect(values).toMatchObject(exported);
    expect(linuxProtections({ xlen: 32 }).values).toEqual(values);
  });

  it('make leaves that the hardware takes, except the one that it must not', () => {
    const paging = riscvPaging('sv39', ['svpbmt']);
    const { values } = linuxProtections({ memoryTypes: 'svpbmt' });
    for (const [name, bits] of Object.entries(values)) {
      const { kind } = paging.decode(1, bits);
      const expected = { PAGE_NONE: 'empty', PAGE_TABLE: 'table', _PAGE_TABLE: 'table', _PAGE_BASE: 'malformed' }[name];
      expect([name, kind]).toEqual([name, expected ?? 'leaf']);
    }
  });

  it('pte_modify changes permissions and type and keeps everything else', () => {
    fc.assert(
      fc.property(word64, fc.constantFrom('none', 'svpbmt', 'thead' as const), (entry, memoryTypes) => {
        const { modify, values, memoryTypeMask: types } = linuxProtections({ memoryTypes });
        const changed = modify(entry, values.PAGE_READ);
        // A is set by every protection of a user page; D, page number and software bits come from the entry.
        const kept = 0x003f_ffff_ffff_ff80n;
        expect(changed & kept).toBe(entry & kept);
        expect(changed & 0x7fn).toBe(0x53n);
        expect(changed & types).toBe(memoryTypeBits(memoryTypes, 'pma'));
      }),
    );
  });

  it('set a memory type only where the kernel knows types', () => {
    const none = linuxProtections();
    expect(none.noncached(0xe7n)).toBe(0xe7n);
    expect(none.writecombine(0xe7n)).toBe(0xe7n);
    const { noncached, writecombine } = linuxProtections({ memoryTypes: 'svpbmt' });
    expect(writecombine(noncached(0xe7n))).toBe(0x2000_0000_0000_00e7n);
  });

  it.each([
    ['linux-memory-types', () => linuxProtections({ xlen: 32, memoryTypes: 'svpbmt' })],
    ['linux-memory-types', () => linuxProtections({ version: 'v5.17', memoryTypes: 'thead' })],
    ['linux-version', () => linuxProtections({ version: 'v4.2' as 'v6.12' })],
  ])('refuse kernels that never were: %s', (rule, run) => {
    expect(run).toThrow(expect.objectContaining({ name: 'ArgumentError', rule }));
  });
});

describe('Linux asm/pgtable.h: tests of raw entries', () => {
  it('say present of a global entry whose V was cleared', () => {
    const { pte, pud } = linuxPredicates();
    const invalid = 0xe6n; // What set_direct_map_invalid leaves of PAGE_KERNEL.
    expect(pte.present(invalid)).toBe(true);
    expect(pte.protnone(invalid)).toBe(true);
    expect(pud.present(invalid)).toBe(false);
    expect(linuxPredicates({ version: 'v5.10' }).pte.present(0x20n)).toBe(false);
  });

  it('agree with the bits, one by one', () => {
    fc.assert(
      fc.property(fc.nat(1023), (low) => {
        const entry = BigInt(low);
        const [v, r, w, x, u, g, a, d, soft, devmap] = Array.from({ length: 10 }, (_, i) => ((low >> i) & 1) === 1);
        const leafy = r || w || x;
        const { pte, pmd, pud, p4d, pgd } = linuxPredicates({ thp: true });
        expect([pte.none(entry), pte.present(entry), pte.huge(entry)]).toEqual([low === 0, v || g, (v || g) && leafy]);
        const tests = ['write', 'exec', 'user', 'young', 'dirty', 'special', 'devmap'] as const;
        expect(tests.map((name) => pte[name](entry))).toEqual([w, x, u, a, d, soft, devmap]);
        expect(pte.protnone(entry)).toBe(g && !v);
        expect([pmd.present(entry), pmd.leaf(entry), pmd.bad(entry)]).toEqual([
          v || g || leafy,
          leafy,
          leafy || !(v || g),
        ]);
        const plain = linuxPredicates({ thp: false }).pmd;
        expect([plain.present(entry), plain.leaf(entry)]).toEqual([v || g, (v || g) && leafy]);
        expect([pud.present(entry), pud.leaf(entry), pud.bad(entry)]).toEqual([v, v && leafy, !v]);
        for (const upper of [p4d, pgd]) expect([upper.leaf(entry), upper.bad(entry)]).toEqual([false, !v]);
      }),
    );
  });

  it('are constant for names above a folded one', () => {
    const memory = new SparseMemory();
    const names = createNames(memory, riscvPaging('sv39'), { predicates: linuxPredicates() });
    writeWord(memory, phys(0x1000n), 0x2000_0029n);
    const slot = names.pgd.offset(phys(0x1000n), 0n);
    const word = slot.load();
    expect([names.pgd.none(0n), names.pgd.present(0n), names.pgd.bad(word)]).toEqual([false, true, false]);
    expect([names.pud.none(0n), names.pud.present(0n), names.pud.leaf(word)]).toEqual([true, false, true]);
  });

  it('know the device-map bit only where it exists', () => {
    expect(linuxPredicates().pte.devmap(0x200n)).toBe(true);
    expect(linuxPredicates({ version: 'v6.1' }).pte.devmap(0x200n)).toBe(false);
    expect(linuxPredicates({ xlen: 32 }).pte.devmap(0x200n)).toBe(false);
  });
});

describe('Linux asm/pgtable.h: swap entries', () => {
  it('come back as they were put in, never present, and never a leaf', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...LINUX_VERSIONS),
        fc.constantFrom(32 as const, 64 as const),
        fc.nat(31),
        fc.bigInt({ min: 0n, max: (1n << 20n) - 1n }),
        fc.boolean(),
        (version, xlen, type, offset, marked) => {
          const exclusive = marked && version === 'v6.12';
          fc.pre(type !== 0 || offset !== 0n || exclusive);
          const word = encodeSwapEntry({ type, offset, exclusive }, xlen, version);
          expect(decodeSwapEntry(word, xlen, version)).toEqual({ type, offset, exclusive });
          expect(word & 1n).toBe(0n);
          if (version === 'v6.1' || version === 'v6.12') {
            expect(linuxPredicates({ version, xlen, thp: true }).pmd.present(word)).toBe(false);
          }
        },
      ),
    );
  });

  it('are told from other words', () => {
    expect(decodeSwapEntry(0n)).toBeUndefined();
    expect(decodeSwapEntry(0xe7n)).toBeUndefined();
    expect(decodeSwapEntry(0x20n)).toBeUndefined();
  });

  it.each([
    { type: 32, offset: 0n },
    { type: -1, offset: 0n },
    { type: 0, offset: 1n << 52n },
    { type: 0, offset: -1n },
  ])('refuse what does not fit: $type, $offset', (entry) => {
    expect(() => encodeSwapEntry(entry)).toThrow(expect.objectContaining({ rule: 'swap-entry' }));
  });

  it('cannot be exclusive before v6.12', () => {
    const entry = { type: 1, offset: 1n, exclusive: true };
    expect(() => encodeSwapEntry(entry, 64, 'v6.1')).toThrow(expect.objectContaining({ rule: 'swap-entry' }));
  });
});

describe('Svnapot; Linux asm/pgtable.h: runs', () => {
  const { PAGE_KERNEL } = linuxProtections().values;

  it('every page of a run makes the same entry, and the entry names its first page', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 40n) - 1n }), fc.nat(15), (run, page) => {
        const first = run << 4n;
        const entry = makeNapot(makeEntry('pte', first + BigInt(page), PAGE_KERNEL), 4);
        expect(entry).toBe(makeNapot(makeEntry('pte', first, PAGE_KERNEL), 4));
        expect([napotOrder(entry), napotPfn(entry)]).toEqual([4, first]);
        const decoded = riscvPaging('sv39', ['svnapot']).decode(0, entry);
        expect([decoded.shape, decoded.address, decoded.leafBytes]).toEqual(['napot', first << 12n, 0x1_0000n]);
      }),
      { numRuns: 50 },
    );
  });

  it('are accessed or dirty if one of their entries is', () => {
    const clean = makeNapot(makeEntry('pte', 0x8_0000n, PAGE_KERNEL & ~0xc0n), 4);
    const run = new Array<bigint>(16).fill(clean);
    expect(readNapot(run)).toBe(clean);
    const touched = run.map((entry, i) => (i === 3 ? entry | 0x40n : i === 9 ? entry | 0x80n : entry));
    expect(readNapot(touched)).toBe(clean | 0xc0n);
    expect(napotRun(makeEntry('pte', 0x8_0005n, PAGE_KERNEL), 4)).toHaveLength(16);
  });

  it.each([0, 3, 5, 9])('have no order %i', (order) => {
    expect(() => makeNapot(0xe7n, order)).toThrow(expect.objectContaining({ rule: 'napot-order' }));
  });

  it('refuse a run of another length', () => {
    expect(() => readNapot([0xe7n])).toThrow(expect.objectContaining({ rule: 'napot-order' }));
  });
});

describe('Linux asm/errata_list.h: T-Head memory types', () => {
  it('are added by the constructors of pte, pmd and pgd entries, not of pud and p4d entries', () => {
    const made = (['pte', 'pmd', 'pud', 'p4d', 'pgd'] as const).map((name) => makeEntry(name, 1n, 0xe7n, 'thead'));
    const [typed, plain] = [0x7000_0000_0000_04e7n, 0x4e7n];
    expect(made).toEqual([typed, typed, plain, plain, typed]);
  });

  it('stay as asked for', () => {
    const io = memoryTypeBits('thead', 'io');
    expect(makeEntry('pte', 1n, 0xe7n | io, 'thead')).toBe(0x9000_0000_0000_04e7n);
  });

  it('read back by name', () => {
    for (const types of ['svpbmt', 'thead'] as const) {
      for (const name of ['pma', 'nc', 'io'] as const)
        expect(memoryTypeOf(types, memoryTypeBits(types, name))).toBe(name);
      expect(memoryTypeOf(types, memoryTypeMask(types))).toBeUndefined();
    }
    expect(memoryTypeOf('none', ~0n & 0xffff_ffff_ffff_ffffn)).toBe('pma');
  });

  it('refuse a page number that does not fit', () => {
    expect(() => makeEntry('pte', 1n << 44n, 0xe7n)).toThrow(expect.objectContaining({ rule: 'entry-pfn' }));
  });
});

describe('Linux asm/processor.h: user addresses', () => {
  it('stop at 48 bits for mmap unless asked, also under Sv57', () => {
    const { taskSize, mmapVaBits, defaultMapWindow } = userAddresses('sv57');
    expect([taskSize, mmapVaBits, defaultMapWindow]).toEqual([1n << 56n, 48, 1n << 47n]);
    expect(COMPAT_TASK_SIZE).toBe(0x7fff_f000n);
  });

  it('do not follow from the mode on RV32', () => {
    expect(() => userAddresses('sv32')).toThrow(expect.objectContaining({ rule: 'user-mode' }));
  });
});

describe('Linux asm/kasan.h: shadow memory', () => {
  it('ends at one address in all modes and starts at a root entry', () => {
    const rows = (['sv39', 'sv48', 'sv57'] as const).map((mode) => kasanShadow(mode));
    expect(rows.map(({ start }) => start)).toEqual([
      0xffff_fff7_0000_0000n,
      0xffff_ef80_0000_0000n,
      0xffdf_0000_0000_0000n,
    ]);
    for (const { end, shadow } of rows) {
      expect([end, shadow.offset]).toEqual([0xffff_ffff_0000_0000n, 0xdfff_ffff_0000_0000n]);
      expect(shadow.shadowOf(0xffff_ffff_ffff_ffffn)).toBe(end - 1n);
    }
  });

  it('stood at the bottom of the kernel half up to v5.16', () => {
    const { start, end, shadow } = kasanShadow('sv39', shadowPlacement('v5.14-v5.16'));
    expect([start, end, shadow.offset]).toEqual([
      0xffff_ffc0_0000_0000n,
      0xffff_ffc8_0000_0000n,
      0xdfff_ffc8_0000_0000n,
    ]);
    expect(shadowPlacement('v5.17')).toBe('below-modules');
    expect(shadowPlacement('v6.11+')).toBe('below-modules');
  });

  it.each([
    ['kasan-mode', () => kasanShadow('sv32')],
    ['kasan-mode', () => kasanShadow('sv48', 'bottom')],
    ['kasan-release', () => shadowPlacement('newest')],
  ])('refuses what Linux has not: %s', (rule, run) => {
    expect(run).toThrow(expect.objectContaining({ name: 'ArgumentError', rule }));
  });
});
