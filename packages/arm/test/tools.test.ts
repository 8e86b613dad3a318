import {
  ArgumentError,
  access,
  checkLayouts,
  createSpace,
  decodeRegister,
  encodeRegister,
  phys,
  readWord,
  SparseMemory,
  translate,
  writeWord,
} from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  arm,
  armLayout,
  armLayoutLines,
  armLayoutRules,
  armLayouts,
  armRegisterFormats,
  clampVmalloc,
  dacr,
  mair1,
  nmrr,
  prrr,
  ttbcrLong,
  ttbr0Short,
  VM_SPLITS,
} from '../src/index.ts';

describe('registers', () => {
  it('name every field once, inside the register', () => {
    for (const { fields, bits, name } of armRegisterFormats) {
      const seen = new Set<number>();
      for (const field of fields) {
        for (const [hi, lo] of field.bits) {
          for (let bit = lo; bit <= hi; bit++) {
            expect([name, field.name, bit, seen.has(bit), bit < bits]).toEqual([name, field.name, bit, false, true]);
            seen.add(bit);
          }
        }
      }
    }
  });

  it('read what Linux programs', () => {
    expect(decodeRegister(ttbcrLong, 0xb500_3500n)).toMatchObject({ eae: 1n, t0sz: 0n, t1sz: 0n, sh0: 3n, irgn0: 1n });
    expect(decodeRegister(ttbr0Short, 0x4020_406an)).toMatchObject({ irgn: 1n, rgn: 1n, s: 1n, nos: 1n });
    expect(decodeRegister(dacr, 0x51n)).toMatchObject({ d0: 1n, d1: 0n, d2: 1n, d3: 1n });
    expect(decodeRegister(prrr, 0xff0a_81a8n)).toMatchObject({ tr0: 0n, tr1: 2n, tr4: 1n, tr7: 2n, ns1: 1n, ds1: 1n });
    expect(decodeRegister(nmrr, 0x40e0_40e0n)).toMatchObject({ ir2: 2n, ir3: 3n, or7: 1n });
    expect(decodeRegister(mair1, 0xff00_0004n)).toMatchObject({ attr4: 4n, attr7: 0xffn });
    expect(encodeRegister(dacr, { d0: 1, d3: 3 })).toBe(0xc1n);
  });

  it('with two forms are told apart by EAE, or by their width', () => {
    expect(arm.pickRegister?.('ttbcr', 0x8000_0000n, {})?.title).toContain('long');
    expect(arm.pickRegister?.('ttbcr', 2n, {})?.title).toContain('short');
    const bits = (value: bigint, values = {}) => arm.pickRegister?.('ttbr0', value, values)?.bits;
    expect([bits(0x4000n), bits(1n << 48n)]).toEqual([32, 64]);
    expect([bits(0x4000n, { ttbcr: 1n << 31n }), bits(0x4000n, { ttbcr: 0n })]).toEqual([64, 32]);
  });
});

describe('options', () => {
  it('become roots', () => {
    expect(arm.roots({ ttbr0: 0x4020_406an }).map(({ address, label }) => [address, label])).toEqual([
      [0x4020_4000n, 'TTBR0'],
    ]);
    const split = arm.roots({ ttbcr: 0xb502_3500n, ttbr0: 0x8000n, ttbr1: 0x40_0000_7000n });
    expect(split.map(({ label, ranges }) => [label, ranges?.[0]?.start])).toEqual([
      ['TTBR0', 0n],
      ['TTBR1', 0xc000_0000n],
    ]);
    expect(() => arm.roots({})).toThrow(ArgumentError);
    expect(() => arm.roots({ ttbr1: 0x4000n })).toThrow('[no-root]');
  });

  it('have no bits that their register has not', () => {
    const LPAE = 1n << 31n;
    for (const wide of [
      { ttbr0: 0x1_4020_4000n },
      { ttbr0: 0n, dacr: 0x1_0000_0051n },
      { ttbr0: 0n, prrr: 1n << 32n },
    ]) {
      expect(() => arm.roots(wide)).toThrow('[register-width]');
    }
    expect(() => arm.roots({ ttbr0: 0n, ttbcr: LPAE | (1n << 32n) })).toThrow('[register-width]');
    expect(arm.roots({ ttbr0: 0x1_4020_4000n, ttbcr: LPAE })[0]?.address).toBe(0x1_4020_4000n);
    const captured = { roots: { all: { root_pa: '0x4000' } }, registers: { TTBCR: '0x80000000' } };
    expect(arm.captureRoots(captured, 'all', { ttbr0: 0x1_4020_4000n })).toHaveLength(1);
    expect(() => arm.captureRoots(captured, 'all', { dacr: 1n << 32n })).toThrow('[register-width]');
  });

  it('say what entries mean', () => {
    const plain = arm.paging({ features: ['none'] });
    expect([plain.features.size, plain.geometry.paBits]).toEqual([0, 32]);
    expect(arm.paging({}).decode(1, 0x1140fn).fields.pxn).toBe(1n);
    expect(arm.paging({ ttbcr: 1n << 31n }).geometry.name).toBe('lpae');
    // PRRR says that type 0 is normal memory, NMRR that it is write-through.
    const paging = arm.paging({ prrr: 2n, nmrr: 0x2_0002n });
    const leaf = { ap: 1, tex: 0, c: 0, b: 0, s: 0, xn: 0, nG: 0 };
    expect(paging.format.common?.toCommon(leaf, paging.features).memory).toBe('write-through');
    const long = arm.paging({ ttbcr: 1n << 31n, mair0: 0x44n });
    expect(long.format.common?.toCommon({ attrIndx: 0, sh: 3 }, long.features).memory).toBe('uncached');
  });

  it('refuse what a closed domain holds', () => {
    const memory = new SparseMemory();
    writeWord(memory, phys(0x4000n), 0x0000_0c02n | (1n << 5n), 4);
    const space = createSpace(memory, arm.roots({ ttbr0: 0x4000n, dacr: 0x51n }));
    expect(access(space, 0n, { kind: 'read', privilege: 'supervisor' })).toMatchObject({ type: 'domain', code: 9 });
    expect(translate(space, 0n).mapped).toBe(true);
    expect(readWord(memory, phys(0x4000n), 4)).toBe(0xc22n);
  });
});

describe('captures', () => {
  const capture = {
    regime: { format: 'short', ttbcr_n: 0 },
    registers: {
      DACR: '0x51',
      SCTLR: '0x10c5387d',
      ID_MMFR0: '0x10201105',
      ID_MMFR3: '0xf0000000',
      MAIR0: '0xff0a81a8',
    },
    roots: {
      user: { reg: 'TTBR0', ttbr: '0x425bc06a', root_pa: '0x425bc000' },
      kernel: { reg: 'TTBR1', ttbr: '0x4020406a' },
      long: { format: 'long (LPAE)', reg: 'TTBR1', root_pa: '0x40207000', tsz: 2, start_level: 2 },
      odd: { format: 'long (LPAE)', reg: 'TTBR1', root_pa: '0x40207000', tsz: 2, start_level: 1 },
      lost: {},
    },
  };
  const rootOf = (label: string, values = {}) => arm.captureRoots(capture, label, values)[0];

  it('give each root all that its table translates', () => {
    expect(rootOf('user')).toMatchObject({ address: 0x425b_c000n, control: { dacr: 0x51 } });
    expect([...(rootOf('user')?.paging.features ?? [])]).toEqual(['pxn', 'tre']);
    expect(rootOf('kernel')).toMatchObject({ address: 0x4020_4000n });
    expect(rootOf('kernel')?.paging.geometry.vaBits).toBe(32);
  });

  it('believe the root before the regime, and options before both', () => {
    expect(rootOf('long')?.paging.geometry).toMatchObject({ vaBits: 30, upper: 'one' });
    expect(rootOf('long', { ttbcr: 0x8000_0000n })?.paging.geometry.vaBits).toBe(32);
    expect(rootOf('user', { features: ['none'] })?.paging.features.size).toBe(0);
    expect(rootOf('user', { ttbr0: 0x8000n })?.address).toBe(0x8000n);
  });

  it('take sizes from TTBCR where nobody read them out of it', () => {
    const raw = (ttbcr: string, reg: string) => {
      const only = { arch: 'arm', registers: { TTBCR: ttbcr }, roots: { only: { root_pa: '0x4000', reg } } };
      return arm.captureRoots(only, 'only', {})[0]?.paging.geometry;
    };
    expect(raw('0x2', 'TTBR0')?.vaBits).toBe(30);
    expect(raw('0x2', 'TTBR1')?.vaBits).toBe(32);
    expect(raw('0x80020001', 'TTBR0')).toMatchObject({ vaBits: 31, upper: 'zero' });
    expect(raw('0x80020001', 'TTBR1')).toMatchObject({ vaBits: 30, upper: 'one' });
  });

  it('must make sense', () => {
    expect(() => rootOf('odd')).toThrow('[capture-root]');
    expect(() => rootOf('lost')).toThrow('[capture-root]');
    expect(() => rootOf('nobody')).toThrow('[capture-root]');
    expect(() => rootOf('user', { ttbr1: 0x8000n })).toThrow('[register-conflict]');
    expect(() => rootOf('kernel', { ttbr0: 0x8000n })).toThrow('[register-conflict]');
    const bare = { arch: 'arm', roots: { only: { root_pa: '0x4000' } } };
    expect(() => arm.captureRoots(bare, 'only', {})).toThrow('registers.TTBCR');
    expect(arm.captureRoots(bare, 'only', { ttbcr: 0n })[0]?.paging.format.entryBytes).toBe(4);
  });
});

describe('layouts', () => {
  it('are sound for every split, with and without KASAN', () => {
    for (const vmsplit of VM_SPLITS) {
      for (const lpae of [false, true]) {
        if (lpae && vmsplit === '3G_OPT') continue;
        for (const kasan of [false, true]) {
          for (const highmem of [false, true]) {
            const layout = armLayout({ vmsplit, lpae, kasan, highmem });
            const findings = checkLayouts([{ layout, rules: armLayoutRules(layout) }]);
            expect([layout.title, findings.filter(({ severity }) => severity === 'error')]).toEqual([layout.title, []]);
          }
        }
      }
    }
  });

  it('begin their shadow where the source says', () => {
    const starts = VM_SPLITS.map((vmsplit) => armLayout({ vmsplit, kasan: true }).facts.KASAN_SHADOW_START);
    expect(starts).toEqual([0xb6e0_0000n, 0xa4e0_0000n, 0x6ee0_0000n, 0x26e0_0000n]);
  });

  it('give TTBR1 what lies above a split at a quarter', () => {
    const facts = (vmsplit: '3G' | '2G' | '1G') =>
      armLayout({ vmsplit, lpae: true, memory: [{ start: 0n, end: 1n << 30n }] }).facts;
    expect([facts('3G').TTBCR_T1SZ, facts('2G').TTBR1_OFFSET, facts('1G').TTBCR_T1SZ]).toEqual([2n, 16n, 0n]);
    const high = armLayout({ vmsplit: '2G', lpae: true, memory: [{ start: 0x9000_0000n, end: 0xa000_0000n }] }).facts;
    expect(high.TTBCR_T1SZ).toBe(0n);
  });

  it('print like the kernel', () => {
    const memory = [{ start: 0x4000_0000n, end: 0xc000_0000n }];
    expect(armLayoutLines(armLayout({ highmem: true, memory }))).toEqual([
      'Virtual kernel memory layout:',
      '    vector  : 0xffff0000 - 0xffff1000   (   4 kB)',
      '    fixmap  : 0xffc80000 - 0xfff00000   (2560 kB)',
      '    vmalloc : 0xf0800000 - 0xff800000   ( 240 MB)',
      '    lowmem  : 0xc0000000 - 0xf0000000   ( 768 MB)',
      '    pkmap   : 0xbfe00000 - 0xc0000000   (   2 MB)',
      '    modules : 0xbf000000 - 0xbfe00000   (  14 MB)',
    ]);
  });

  it('come from options as tools have them', () => {
    expect(armLayouts.create({}).map(({ name }) => name)).toEqual(['short-3G']);
    expect(armLayouts.create({ lpae: true }).map(({ name }) => name)).toEqual(['lpae-3G']);
    expect(armLayouts.create({ vmsplit: '3G_OPT' }).map(({ name }) => name)).toEqual(['short-3G_OPT']);
    expect(() => armLayouts.create({ mode: 'lpae', vmsplit: '3G_OPT' })).toThrow('[layout-split]');
    expect(() => armLayouts.create({ memory: [{ start: 2n, end: 1n }] })).toThrow('[layout-memory]');
    expect(() => armLayoutRules({ ...armLayout(), name: 'sv48' })).toThrow('[layout-mode]');
    expect([clampVmalloc(1n, 0xc000_0000n), clampVmalloc(1n << 31n, 0xc000_0000n)]).toEqual([
      0x100_0000n,
      0x3d00_0000n,
    ]);
  });
});
