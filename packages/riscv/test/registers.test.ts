import { decodeRegister } from '@pagefold/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeSatp,
  encodeSatp,
  RISCV_MODES,
  SATP_MODES,
  satp32,
  satp64,
  satpRoot,
  sstatus32,
  sstatus64,
  sstatusOptions,
} from '../src/index.ts';

describe('Supervisor Address Translation and Protection (satp) Register', () => {
  it('gives back what was put in', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...RISCV_MODES),
        fc.nat(),
        fc.bigInt({ min: 0n, max: (1n << 44n) - 1n }),
        (mode, number, page) => {
          const narrow = mode === 'sv32';
          const asid = number % (narrow ? 512 : 65536);
          const root = BigInt.asUintN(narrow ? 22 : 44, page) << 12n;
          const value = encodeSatp(mode, root, asid);
          expect(decodeSatp(value, narrow ? 32 : 64)).toEqual({ kind: 'translation', mode, asid, root });
        },
      ),
    );
  });

  it('puts the fields where the manual draws them', () => {
    expect(encodeSatp('sv48', 0x81fc_a000n)).toBe(0x9000_0000_0008_1fcan);
    expect(encodeSatp('sv57', 0xff_ffff_ffff_f000n, 0xffff)).toBe(0xafff_ffff_ffff_ffffn);
    expect(encodeSatp('sv32', 0x3_ffff_f000n, 0x1ff)).toBe(0xffff_ffffn);
    expect(encodeSatp('sv39', 0n)).toBe(8n << 60n);
  });

  it('names every mode number', () => {
    const kinds = Array.from({ length: 16 }, (_, mode) => decodeSatp((BigInt(mode) << 60n) | 1n).kind);
    expect(kinds).toEqual([
      'bare_with_nonzero_fields',
      ...new Array(7).fill('reserved_mode'),
      ...new Array(3).fill('translation'),
      'reserved_for_sv64',
      ...new Array(2).fill('reserved_mode'),
      ...new Array(2).fill('custom_mode'),
    ]);
    expect(decodeSatp(0n)).toEqual({ kind: 'bare' });
    expect(decodeSatp(0n, 32)).toEqual({ kind: 'bare' });
  });

  it('describes the same modes in words', () => {
    for (const mode of RISCV_MODES) {
      const register = mode === 'sv32' ? satp32 : satp64;
      const field = register.fields.find(({ name }) => name === 'mode');
      expect(field?.values?.[SATP_MODES[mode]]).toBe(mode);
    }
  });

  it('selects a root for an address space', () => {
    const root = satpRoot(encodeSatp('sv48', 0x8000_0000n, 3), ['svpbmt']);
    expect([root.paging.geometry.name, root.address, [...root.paging.features]]).toEqual([
      'sv48',
      0x8000_0000n,
      ['svpbmt'],
    ]);
    expect(satpRoot(encodeSatp('sv32', 0x1000n), [], 32).paging.geometry.name).toBe('sv32');
    expect(() => satpRoot(0n)).toThrow(expect.objectContaining({ rule: 'satp-mode' }));
  });

  it.each([
    ['satp-root', () => encodeSatp('sv39', 0x1001n)],
    ['satp-root', () => encodeSatp('sv39', 1n << 56n)],
    ['satp-root', () => encodeSatp('sv32', 1n << 34n)],
    ['satp-root', () => encodeSatp('sv39', -4096n)],
    ['satp-asid', () => encodeSatp('sv39', 0n, 65536)],
    ['satp-asid', () => encodeSatp('sv32', 0n, 512)],
    ['satp-asid', () => encodeSatp('sv39', 0n, -1)],
    ['satp-asid', () => encodeSatp('sv39', 0n, 1.5)],
    ['register-width', () => decodeSatp(1n << 64n)],
    ['register-width', () => decodeSatp(1n << 32n, 32)],
  ])('refuses what it cannot say: %s', (rule, run) => {
    expect(run).toThrow(expect.objectContaining({ name: 'ArgumentError', rule }));
  });
});

describe('Supervisor Status (sstatus) Register', () => {
  it('turns SUM and MXR into options of the access check', () => {
    expect(sstatusOptions(64, 0n)).toEqual({ sum: false, mxr: false });
    expect(sstatusOptions(64, 1n << 18n)).toEqual({ sum: true, mxr: false });
    expect(sstatusOptions(32, 1n << 19n)).toEqual({ sum: false, mxr: true });
  });

  it('names the other fields too', () => {
    expect(decodeRegister(sstatus64, 0x8000_0002_0000_6122n)).toMatchObject({
      sd: 1n,
      uxl: 2n,
      fs: 3n,
      spp: 1n,
      spie: 1n,
      sie: 1n,
      mxr: 0n,
    });
    expect(decodeRegister(sstatus32, 0x8000_0000n).sd).toBe(1n);
  });
});
