/** `pagefold tlbi`: plans with operands, for every architecture that knows its instructions. */
import { describe, expect, test } from 'vitest';
import { pagefold } from './run-command.ts';

describe('tlbi', () => {
  test('names a range of a program in one range operation, between barriers', async () => {
    const { code, out } = await pagefold('tlbi', '--arch', 'arm64', '--asid', '5', '--range', '0x400000+1M', '--json');
    expect(code).toBe(0);
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map(({ name }) => name)).toEqual(['dsb ishst', 'tlbi rvale1is', 'dsb ish']);
    expect(lines[1]).toMatchObject({ start: '0x400000', pages: 256 });
    // ASID in 63:48, base in units of pages below.
    expect(BigInt(lines[1]?.operand as string) >> 48n).toBe(5n);
    expect(BigInt(lines[1]?.operand as string) & 0x1f_ffff_ffffn).toBe(0x400n);
  });

  test('without range operations names every page', async () => {
    const { out } = await pagefold('tlbi', '--arch', 'arm64', '--asid', '5', '--range', '0x400000+16K', '--single');
    expect(out.match(/tlbi vale1is/g)).toHaveLength(4);
  });

  test('fences pages, and everything where table pointers changed', async () => {
    const pages = await pagefold('tlbi', '--arch', 'riscv', '--range', '0xffffffff80000000+16K');
    expect(pages.out.trim().split('\n')).toHaveLength(4);
    const tables = await pagefold('tlbi', '--arch', 'riscv', '--range', '0xffffffff80000000+16K', '--tables');
    expect(tables.out).toBe('sfence.vma\n');
  });

  test('fences of one address space show it', async () => {
    const range = ['tlbi', '--arch', 'riscv', '--asid', '5', '--range', '0x1000+4K'];
    const { out } = await pagefold(...range, '--json');
    expect(JSON.parse(out)).toEqual({ name: 'sfence.vma', operand: '0x1000', asid: '0x5', start: '0x1000' });
    expect((await pagefold(...range)).out).toBe('sfence.vma va, asid  // 0x1000, asid 5\n');
    expect((await pagefold(...range, '--tables')).out).toBe('sfence.vma x0, asid  // asid 5\n');
  });

  test('isolation pairs the even address space of a program with the odd one after it', async () => {
    const args = ['tlbi', '--arch', 'arm64', '--isolated', '--range', '0x1000+4K', '--json', '--asid'];
    const { out } = await pagefold(...args, '4');
    const operands = [...out.matchAll(/"operand":"(0x[0-9a-f]+)"/g)].map(([, text]) => BigInt(text as string) >> 48n);
    expect(operands).toEqual([4n, 5n]);
    expect((await pagefold(...args, '5')).err).toContain('[tlbi-asid]');
  });

  test.each([
    ['an ASID that is too wide', ['tlbi', '--arch', 'riscv', '--range', '0x0+4K', '--asid', '99999999']],
    ['one too wide for RV32', ['tlbi', '--arch', 'riscv', '--mode', 'sv32', '--range', '0x0+4K', '--asid', '512']],
    ['a range that is no whole leaf', ['tlbi', '--arch', 'riscv', '--range', '0x0+1M', '--level', '3']],
    ['no architecture', ['tlbi', '--range', '0x0+4K']],
    ['no range', ['tlbi', '--arch', 'riscv']],
    ['part of a page', ['tlbi', '--arch', 'riscv', '--range', '0x0+5']],
    ['no such level', ['tlbi', '--arch', 'riscv', '--range', '0x0+4K', '--level', '9']],
    ['an architecture whose instructions are not known', ['tlbi', '--arch', 'arm', '--range', '0x0+4K']],
  ])('%s: one line, exit code 2', async (_, args) => {
    const { code, out, err } = await pagefold(...args);
    expect([code, out, err.trim().split('\n').length]).toEqual([2, '', 1]);
  });
});
