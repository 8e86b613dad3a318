/** `pagefold explain`: which layout of a register, which half of the addresses, which words. */
import { type OptionValues, rangesMask } from '@pagefold/core';
import { describe, expect, test } from 'vitest';
import { buildEntry } from '../src/field-pairs.ts';
import { architectures } from '../src/registry.ts';
import { pagefold } from './run-command.ts';

const explain = (...args: string[]) => pagefold('explain', ...args);

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

describe('--build of entries', () => {
  test.each([
    // The address of a leaf of 2M begins at bit 21, that of a pointer at bit 12, and bit 12 is the leaf's PAT bit.
    [['p=1', 'ps=1', 'pat=1', 'address=5'], '0xa01081'],
    [['p=1', 'rw=1', 'address=5'], '0x5003'],
    [['software=5'], '0xa'],
  ])('takes the shape that the entry turns out to have: %j', async (pairs, entry) => {
    expect(await json('entry', '--build', ...pairs, '--arch', 'x86-64', '--level', '2')).toMatchObject({ entry });
  });

  test('refuses fields that no shape has together', async () => {
    expect(await refusal('entry', '--build', 'pat=1', 'avl_6=1', '--arch', 'x86-64', '--level', '2')).toContain(
      'no layout of such an entry has all these fields: software, p; or nx, avl_keys',
    );
  });

  const machines: Readonly<Record<string, readonly OptionValues[]>> = {
    riscv: [{ mode: 'sv32' }, { mode: 'sv48' }],
    arm64: [{ granule: '4K', 'va-bits': 48n }],
    arm: [{}, { ttbcr: 0x8000_0000n }],
    'x86-64': [{ levels: '5' }, { efer: 0x501n, cr4: 0x40_0020n }],
  };
  test.each(architectures.map((arch) => [arch.name, arch] as const))('%s: is the way back', (name, arch) => {
    let word = 0x9e37_79b9_7f4a_7c15n;
    for (const paging of (machines[name] ?? []).map((values) => arch.paging(values))) {
      for (const { level } of paging.geometry.levels) {
        for (let i = 0; i < 300; i++) {
          word = BigInt.asUintN(64, word * 6364136223846793005n + 1442695040888963407n);
          const random = BigInt.asUintN(8 * paging.format.entryBytes, (word ^ (word >> 29n)) & ~(BigInt(i & 15) << 2n));
          const { shape: wanted } = paging.decode(level, random);
          const compiled = paging.codec(level).shapes.find(({ shape }) => shape.name === wanted);
          if (compiled === undefined) continue;
          // A few formats leave bits that are ignored without a field.
          const entry = compiled.fields.reduce((mask, { bits }) => mask | rangesMask(bits), 0n) & random;
          const { fields, shape } = paging.decode(level, entry);
          const pairs = Object.entries(fields).map(([field, value]) => `${field}=${value}`);
          expect([level, shape, buildEntry(paging, level, pairs)]).toEqual([level, wanted, entry]);
        }
      }
    }
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
