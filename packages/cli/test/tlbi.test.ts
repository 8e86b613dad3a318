/** `pagefold tlbi`: plans with operands, for every architecture that knows its instructions. */
import { describe, expect, test } from 'vitest';
import { run } from '../src/index.ts';

async function pagefold(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const got = { out: '', err: '' };
  const code = await run(args, {
    out: (text) => {
      got.out += text;
    },
    err: (text) => {
      got.err += text;
    },
  });
  return { code, ...got };
}

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

  test.each([
    ['no architecture', ['tlbi', '--range', '0x0+4K']],
    ['no range', ['tlbi', '--arch', 'riscv']],
    ['part of a page', ['tlbi', '--arch', 'riscv', '--range', '0x0+5']],
    ['no such level', ['tlbi', '--arch', 'riscv', '--range', '0x0+4K', '--level', '9']],
    ['an architecture whose instructions are not known', ['tlbi', '--arch', 'x86-64', '--range', '0x0+4K']],
  ])('%s: one line, exit code 2', async (_, args) => {
    const { code, out, err } = await pagefold(...args);
    expect([code, out, err.trim().split('\n').length]).toEqual([2, '', 1]);
  });
});
