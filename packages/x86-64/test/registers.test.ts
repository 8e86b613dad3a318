import { createSpace, decodeRegister, encodeRegister, placeOf, SparseMemory, unnamedBits } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import { cr3Pcid, cr4, efer, pat, pkru, x86, x86LevelsOf, x86Registers, x86Root } from '../src/index.ts';

const CR4 = 0x3506f0n; // of a running kernel: SMAP, SMEP, OSXSAVE, FSGSBASE, PGE, PAE

describe('registers', () => {
  it('have fields that do not overlap', () => {
    for (const { bits, fields } of x86Registers) {
      const all = fields.flatMap(({ bits: ranges }) =>
        ranges.flatMap(([hi, lo]) => Array.from({ length: hi - lo + 1 }, (_, i) => lo + i)),
      );
      expect(new Set(all).size).toBe(all.length);
      expect(Math.max(...all)).toBeLessThan(bits);
    }
  });

  it('say what every field means', () => {
    const fields = x86Registers.flatMap((register) => register.fields);
    expect(fields.filter(({ name, meaning }) => name === '' || meaning === '')).toEqual([]);
    expect(cr3Pcid.fields.find(({ name }) => name === 'lam_u57')?.meaning).toMatch(/62:57$/);
  });

  it('read and write', () => {
    expect(decodeRegister(cr3Pcid, 0x1234_5006n)).toMatchObject({ address: 0x12345n, pcid: 6n });
    expect(decodeRegister(pkru, 0x5555_5554n)).toMatchObject({ ad0: 0n, ad1: 1n, wd1: 0n, ad15: 1n });
    expect(encodeRegister(cr4, { la57: 1, pae: 1 })).toBe(0x1020n);
    expect(encodeRegister(pat, { pa0: 6, pa1: 1, pa2: 7, pa4: 6, pa5: 5, pa6: 7, pa7: 4 })).toBe(
      0x0407_0506_0007_0106n,
    );
    expect(unnamedBits(efer, 0xd01n)).toBe(0n);
  });
});

describe('a root from registers', () => {
  it('has the levels, features and control bits that they say', () => {
    const root = x86Root({ cr3: 0x1234_5867n, cr4: CR4, efer: 0xd01n, cr0: 0x8005_0033n }, { paBits: 40 });
    expect(root.address).toBe(0x1234_5000n);
    expect(root.paging.geometry).toMatchObject({ name: '4-level', paBits: 40 });
    expect([...root.paging.features]).toEqual(['nx', 'gbpages']);
    expect(root.control).toEqual({ wp: true, smep: true, smap: true, pkru: 0, pkrs: 0 });
    const other = x86Root(
      { cr3: 0n, cr4: 0x40_1020n, efer: 0x501n, cr0: 0x8000_0001n, pkru: 0x5555_5554n, pkrs: 1n },
      { gbPages: false, amd: true },
    );
    expect(other.paging.geometry.name).toBe('5-level');
    expect([...other.paging.features]).toEqual(['pk', 'amd']);
    // PKRS does not count without CR4.PKS.
    expect(other.control).toEqual({ wp: false, smep: false, smap: false, pkru: 0x5555_5554, pkrs: 0 });
  });

  it('is refused where other formats are in use', () => {
    expect(() => x86LevelsOf({ cr0: 1n })).toThrow('paging-off');
    expect(() => x86LevelsOf({ efer: 0n })).toThrow('long-mode');
    expect(() => x86LevelsOf({ cr4: 0n })).toThrow('long-mode');
    expect(() => x86Root({ cr3: 1n << 64n })).toThrow('register-width');
    expect(() => x86Root({ cr3: 0n, cr4: 0x40_0020n, pkru: 1n << 32n })).toThrow('register-width');
    // Also where it does not count.
    expect(() => x86Root({ cr3: 0n, pkru: 1n << 32n })).toThrow('register-width');
  });

  it('is refused where CR3 holds no physical address', () => {
    expect(() => x86Root({ cr3: 0xffff_ffff_82c2_2000n })).toThrow('cr3-reserved');
    for (let at = 52n; at <= 60n; at++) expect(() => x86Root({ cr3: 1n << at })).toThrow('cr3-reserved');
    // The three above have a meaning: masking of user addresses, and what a write leaves in the caches.
    for (const at of [61n, 62n, 63n]) expect(x86Root({ cr3: 0x1000n | (1n << at) }).address).toBe(0x1000n);
  });
});

describe('tags in addresses', () => {
  const LAM_U57 = 1n << 61n;
  const LAM_U48 = 1n << 62n;
  const LAM_SUP = 1n << 28n;
  const LA57 = 1n << 12n;

  /** Where an access to this address is looked up: in the tables, or nowhere. */
  function lookedUp(registers: { cr3?: bigint; cr4?: bigint; efer?: bigint }, va: bigint, kind?: 'execute') {
    const space = createSpace(new SparseMemory([]), x86Root({ cr3: 0n, cr4: CR4, ...registers }));
    return placeOf(space, va, kind)?.address;
  }

  it('of user addresses are masked as CR3 says', () => {
    const tagged = 0x1234_0000_0000_5000n;
    expect(lookedUp({}, tagged)).toBeUndefined();
    expect(lookedUp({ cr3: LAM_U48 }, tagged)).toBe(0x5000n);
    // Bits 62:57 only: 56:48 must still be copies of bit 47.
    expect(lookedUp({ cr3: LAM_U57 }, tagged)).toBeUndefined();
    expect(lookedUp({ cr3: LAM_U57 }, 0x1100_0000_0000_5000n)).toBeUndefined();
    expect(lookedUp({ cr3: LAM_U57 }, 0x7c00_0000_0000_5000n)).toBe(0x5000n);
    expect(lookedUp({ cr3: LAM_U57, cr4: CR4 | LA57 }, 0x7c12_0000_0000_5000n)).toBe(0x12_0000_0000_5000n);
    // The wider tag does not win where both are asked for.
    expect(lookedUp({ cr3: LAM_U57 | LAM_U48 }, tagged)).toBeUndefined();
    // Bit 63 is no tag, and bit 47 must agree with it.
    expect(lookedUp({ cr3: LAM_U48 }, tagged | (1n << 63n))).toBeUndefined();
    expect(lookedUp({ cr3: LAM_U48 }, tagged | (1n << 47n))).toBeUndefined();
  });

  it('of supervisor addresses are masked as CR4 says', () => {
    const tagged = 0x9234_8000_0000_5000n;
    expect(lookedUp({}, tagged)).toBeUndefined();
    expect(lookedUp({ cr4: CR4 | LAM_SUP }, tagged)).toBe(0xffff_8000_0000_5000n);
    expect(lookedUp({ cr4: CR4 | LAM_SUP }, 0x1234_0000_0000_5000n)).toBeUndefined();
    expect(lookedUp({ cr4: CR4 | LAM_SUP | LA57 }, 0x93ff_8000_0000_5000n)).toBe(0xffff_8000_0000_5000n);
  });

  it('of both are ignored on processors of AMD, and of fetches never', () => {
    const efer = 0xd01n | (1n << 20n);
    expect(lookedUp({ efer }, 0xfe00_0000_0000_5000n)).toBe(0x5000n);
    expect(lookedUp({ efer }, 0x01ff_8000_0000_5000n)).toBe(0xffff_8000_0000_5000n);
    expect(lookedUp({ efer }, 0xfe00_0000_0000_5000n, 'execute')).toBeUndefined();
    expect(lookedUp({ cr3: LAM_U48 }, 0x1234_0000_0000_5000n, 'execute')).toBeUndefined();
  });
});

describe('the architecture', () => {
  it('knows the layout of CR3 by CR4', () => {
    const names = (values: Record<string, bigint>) =>
      x86.pickRegister?.('cr3', 5n, values)?.fields.map(({ name }) => name);
    expect(names({})).not.toContain('pcid');
    expect(names({ cr4: CR4 })).not.toContain('pcid');
    expect(names({ cr4: CR4 | (1n << 17n) })).toContain('pcid');
  });

  const capture = {
    arch: 'x86_64',
    roots: { kernel: { cr3: '0x2000' }, plain: { root_pa: '0x3000' }, empty: {} },
    registers: { CR4: '0x3506f0', CR0: '0x80050033', EFER: '0xd01' },
    cpu: { maxphyaddr: 40 },
  };

  it('takes roots from options', () => {
    const [root] = x86.roots({ cr3: 0x1000n, levels: '5', maxphyaddr: 46n, cpu: ['none'] });
    expect(root).toMatchObject({ address: 0x1000n, label: 'cr3' });
    expect(root?.paging.geometry).toMatchObject({ name: '5-level', paBits: 46 });
    expect([...(root?.paging.features ?? [])]).toEqual(['nx']);
    expect(() => x86.roots({})).toThrow('no-root');
    expect(() => x86.roots({ cr3: 0n, cr4: 0x20n, levels: '5' })).toThrow('levels-conflict');
    expect(x86.roots({ cr3: 0n, cr4: 0x1020n, levels: '5' })).toHaveLength(1);
    expect(() => x86.roots({ cr3: 0n, maxphyaddr: 60n })).toThrow('maxphyaddr');
    expect(x86.paging({ cr4: 0x1020n }).geometry.name).toBe('5-level');
    expect(x86.paging({}).geometry.name).toBe('4-level');
  });

  it('takes roots from a facts file, and options before what it says', () => {
    const [kernel] = x86.captureRoots(capture, 'kernel', {});
    expect(kernel).toMatchObject({ address: 0x2000n, label: 'kernel', control: { smep: true, smap: true, wp: true } });
    expect(kernel?.paging.geometry).toMatchObject({ name: '4-level', paBits: 40 });
    expect(x86.captureRoots(capture, 'plain', {})[0]?.address).toBe(0x3000n);
    expect(x86.captureRoots(capture, 'kernel', { cr3: 0x5000n, levels: '5' })[0]).toMatchObject({ address: 0x5000n });
    const own = { registers: { CR3: '0x9000' }, roots: { one: { root_pa: '0x7000' }, other: {} } };
    expect(x86.captureRoots(own, 'one', {})[0]?.address).toBe(0x7000n);
    expect(x86.captureRoots(own, 'other', {})[0]?.address).toBe(0x9000n);
    expect(() => x86.captureRoots(capture, 'empty', {})).toThrow('no-root');
    expect(() => x86.captureRoots(capture, 'other', {})).toThrow('capture-root');
  });
});
