/** `pagefold explain`: which layout of a register, which half of the addresses, which words. */
import { describe, expect, test } from 'vitest';
import { run } from '../src/index.ts';

async function explain(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const got = { out: '', err: '' };
  const code = await run(['explain', ...args], {
    out: (text) => {
      got.out += text;
    },
    err: (text) => {
      got.err += text;
    },
  });
  return { code, ...got };
}

async function json(...args: string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await explain(...args, '--json');
  expect([code, err]).toEqual([0, '']);
  return JSON.parse(out) as Record<string, unknown>;
}

async function refusal(...args: string[]): Promise<string> {
  const { code, out, err } = await explain(...args);
  expect([code, out, err.trim().split('\n').length]).toEqual([2, '', 1]);
  return err;
}

describe('--build', () => {
  test.each([
    [['ttbcr', '--build', 'eae=1', 't0sz=1', '--arch', 'arm'], { value: '0x80000001', bits: 32 }],
    [['ttbcr', '--build', 'n=2', '--arch', 'arm'], { value: '0x2' }],
    [['ttbr0', '--build', 'asid=5', 'base=0x400', '--arch', 'arm'], { value: '0x5000000004000', bits: 64 }],
    [['satp', '--build', 'mode=sv32', 'ppn=1', '--arch', 'riscv'], { value: '0x80000001', bits: 32 }],
    [['satp', '--build', 'mode=SV39', 'ppn=1', '--arch', 'riscv'], { value: '0x8000000000000001', bits: 64 }],
    [['cr3', '--build', 'address=1', 'pcid=5', '--arch', 'x86-64'], { value: '0x1005' }],
    [['cr3', '--build', 'address=1', 'pwt=1', '--arch', 'x86-64'], { value: '0x1008' }],
  ])('takes the layout that has all fields: %j', async (args, expected) => {
    expect(await json(...args)).toMatchObject(expected);
  });

  test.each([
    [['satp', '--build', 'asid=1', 'asid=2', '--arch', 'riscv'], 'the field asid is given twice'],
    [['satp', '--build', 'mode=sv99', '--arch', 'riscv'], "'sv99' is not a number or one of bare, sv39, sv48, sv57"],
    [['satp', '--build', 'mode=sv32', 'ppn=0xfffffffff', '--arch', 'riscv'], 'does not fit in 22 bits'],
    [['satp', '--build', 'colour=1', '--arch', 'riscv'], "no field 'colour'; there are mode, asid, ppn"],
    [['ttbcr', '--build', 'n=1', 't0sz=1', '--arch', 'arm'], 'no layout of ttbcr has all these fields'],
    [['entry', '--build', 'ppn=0xfffffffffffffff', '--arch', 'riscv', '--mode', 'sv39'], 'does not fit in 44 bits'],
    [['satp', '--build', 'asid', '--arch', 'riscv'], "'asid' is not FIELD=VALUE"],
  ])('refuses %j', async (args, message) => {
    expect(await refusal(...args)).toContain(message);
  });
});

test('explains sstatus, and says each name once where there is no such register', async () => {
  const { fields } = (await json('sstatus', '0x40000', '--arch', 'riscv')) as {
    fields: { name: string; value: string }[];
  };
  expect(fields.find(({ name }) => name === 'sum')?.value).toBe('0x1');
  expect(await refusal('lunch', '0x1', '--arch', 'riscv')).toContain('(satp, sstatus)');
});

test('an address of arm64 belongs to the half that bit 55 says', async () => {
  const sizes = ['--arch', 'arm64', '--granule', '4K', '--va-bits', '48'];
  expect(await json('va', '0xffff800080000000', ...sizes)).toMatchObject({ mode: '4K-48-high', canonical: true });
  expect(await json('va', '0x80000000', ...sizes)).toMatchObject({ mode: '4K-48-low', canonical: true });
  expect(await json('va', '0x80000000000000', ...sizes)).toMatchObject({ mode: '4K-48-high', canonical: false });
  const tcr = ['--arch', 'arm64', '--tcr', '0x15001f5b5503510'];
  expect(await json('va', '0xffff800080000000', ...tcr)).toMatchObject({ mode: '4K-48-high', canonical: true });
});

test('a level is written as a whole number', async () => {
  const entry = ['entry', '0x1', '--arch', 'riscv', '--mode', 'sv39', '--level'];
  for (const level of ['1e0', '0x1', '1.0', ' '])
    expect(await refusal(...entry, level)).toContain('is not one of 0, 1, 2');
});
