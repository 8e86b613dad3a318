/** RISC-V as tools see it: what options say, what facts files say, and which goes first. */
import { describe, expect, it } from 'vitest';
import { planFences, riscv } from '../src/index.ts';

const SV39 = 0x8000_0000_0008_1fcan;
const SV48 = 0x9000_0000_0008_1fcan;

describe('options', () => {
  it('may repeat each other but not contradict', () => {
    const [root] = riscv.roots({ satp: SV48, mode: 'sv48', 'root-pa': 0x81fc_a000n });
    expect(root).toMatchObject({ address: 0x81fc_a000n, label: 'satp' });
    expect(() => riscv.roots({ satp: SV48, mode: 'sv39' })).toThrow('[mode-conflict]');
    expect(() => riscv.roots({ satp: SV48, mode: 'sv48', 'root-pa': 0x1000n })).toThrow('[root-conflict]');
    expect(() => riscv.paging({ satp: SV48, mode: 'sv39' })).toThrow('[mode-conflict]');
    expect(riscv.paging({ mode: 'sv39' }).geometry.name).toBe('sv39');
  });
});

describe('values of options', () => {
  const wrong: Record<string, unknown> = {
    'unknown-option': { satp: SV48, asid: 1n },
    'option-kind': { satp: Number(SV48) },
    'option-word': { mode: 'sv40', 'root-pa': 0n },
  };
  const kinds = [{ satp: -1n }, { satp: 1n << 64n }, { satp: SV48, features: 'svnapot' }, { satp: SV48, mode: 48 }];

  it.each(Object.entries(wrong))('are refused by %s, wherever they are given', (rule, values) => {
    const given = values as Record<string, bigint>;
    expect(() => riscv.roots(given)).toThrow(`[${rule}]`);
    expect(() => riscv.paging(given)).toThrow(`[${rule}]`);
    expect(() => riscv.captureRoots({ roots: { r: { satp: '0x9000000000081fca' } } }, 'r', given)).toThrow(`[${rule}]`);
  });

  it.each(kinds)('%o are of another kind', (values) => {
    expect(() => riscv.roots(values as unknown as Record<string, bigint>)).toThrow('[option-kind]');
  });

  it('may be there and undefined', () => {
    expect(riscv.roots({ satp: SV48, mode: undefined })).toHaveLength(1);
  });
});

describe('a facts file', () => {
  const capture = {
    mode: 'sv57',
    roots: {
      full: { mode: 'sv48', root_pa: '0x2000', satp: '0x9000000000000002' },
      register: { satp: '0x8000000000000003' },
      address: { root_pa: '0x4000' },
      nothing: {},
    },
  };
  const root = (label: string, values = {}) => {
    const [found] = riscv.captureRoots(capture, label, values);
    return [found?.paging.geometry.name, found?.address];
  };

  it('is believed root first, machine second', () => {
    expect(root('full')).toEqual(['sv48', 0x2000n]);
    expect(root('register')).toEqual(['sv39', 0x3000n]);
    expect(root('address')).toEqual(['sv57', 0x4000n]);
    expect(() => root('nothing')).toThrow('[capture-root]');
  });

  it('gives way to options', () => {
    expect(root('full', { satp: SV39 })).toEqual(['sv39', 0x81fc_a000n]);
    expect(root('full', { 'root-pa': 0x7000n })).toEqual(['sv48', 0x7000n]);
    expect(root('full', { mode: 'sv39' })).toEqual(['sv39', 0x2000n]);
    expect(root('register', { 'root-pa': 0x7000n })).toEqual(['sv39', 0x7000n]);
    expect(() => root('full', { satp: SV39, mode: 'sv48' })).toThrow('[mode-conflict]');
  });
});

describe('instructions', () => {
  const change = { invalidate: [], allocated: [] };
  const plan = (values = {}) =>
    riscv.fences?.plan(
      {
        invalidate: [
          { start: 0x1000n, end: 0x2000n, cause: 'changed', level: 0, strideBytes: 4096n, tables: false },
        ] as never,
        allocated: [],
      },
      values,
    );

  it('show all operands with their values', () => {
    expect(plan({ asid: 5n })).toEqual([
      {
        name: 'sfence.vma',
        operand: 0x1000n,
        start: 0x1000n,
        asid: 5n,
        text: 'sfence.vma va, asid  // 0x1000, asid 5',
      },
    ]);
    expect(plan()?.[0]?.text).toBe('sfence.vma va  // 0x1000');
  });

  it('take ASIDs that exist', () => {
    expect(() => plan({ asid: 0x1_0000n })).toThrow('[fence-asid]');
    expect(() => plan({ asid: 512n, mode: 'sv32' })).toThrow('[fence-asid]');
    expect(plan({ asid: 0xffffn })).toHaveLength(1);
    expect(() => planFences(change, { asid: -1 })).toThrow('[fence-asid]');
    expect(riscv.fences?.entryBytes(1, { mode: 'sv32' })).toBe(0x40_0000n);
  });
});
