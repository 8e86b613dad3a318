/** `pagefold check`: findings of a real kernel and of tables that were built to be found fault with. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { pagefoldLines as pagefold } from './run-command.ts';

const capture = new URL('../../../tools/fixtures/riscv64-sv48-6.12/', import.meta.url).pathname;
const real = ['check', '--image', `${capture}tables.elf.gz`, '--registers', `${capture}registers.json`, '--root'];
const scratch = mkdtempSync(join(tmpdir(), 'pagefold-check-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Builds tables whose text can be written, and whose tables users can write. */
async function bad(): Promise<string[]> {
  const list = join(scratch, 'bad.json');
  const elf = join(scratch, 'bad.elf');
  const regions = [
    { name: 'text', va: '0x40000000', pa: '0x80000000', size: '2M', attributes: 'rwx' },
    { name: 'tables', va: '0x80000000', pa: '0x88000000', size: '16K', attributes: 'rw user' },
    { name: 'uart', va: '0xc0000000', pa: '0x10000000', size: '4K', attributes: 'rx device' },
  ];
  writeFileSync(list, JSON.stringify({ arch: 'riscv', mode: 'sv39', tables: '0x88000000+1M', regions }));
  expect((await pagefold('build', list, '--out', elf)).code).toBe(0);
  return ['check', '--image', elf, '--arch', 'riscv', '--satp', '0x8000000000088000'];
}

describe('check', () => {
  test("a real kernel's tables are free of errors, those of its program are not", async () => {
    const kernel = await pagefold(...real, 'kernel', '--json');
    expect(kernel.code).toBe(0);
    expect(kernel.lines).toEqual([
      expect.objectContaining({
        rule: 'table-writable',
        severity: 'info',
        values: { tables: 219, table: '0x81fc2000' },
      }),
      { type: 'summary', errors: 0, warnings: 0, infos: 1, tables: 219, size: '0xdb000' },
    ]);
    const user = await pagefold(...real, 'user', '--json');
    expect(user.code).toBe(1);
    expect(user.lines[0]).toMatchObject({
      type: 'finding',
      rule: 'write-execute',
      severity: 'error',
      start: '0x7fff90ef3000',
      end: '0x7fff90efb000',
      values: { who: 'users' },
      root: 'user',
    });
  });

  test('says what is wrong with tables that were built so', async () => {
    const args = await bad();
    const { code, out } = await pagefold(...args);
    expect(code).toBe(1);
    expect(out.split('\n').map((line) => line.split(/\s+/).slice(0, 3))).toEqual([
      ['error', 'write-execute', '0x0000000040000000-0x0000000040200000'],
      ['error', 'device-execute', '0x00000000c0000000-0x00000000c0001000'],
      ['error', 'table-user-writable', '0x0000000080000000-0x0000000080004000'],
      ['6', 'tables', '(24K):'],
      [''],
    ]);
  });

  test('looks for some rules, not for others, in a range, within a budget', async () => {
    const args = await bad();
    const rules = async (...more: string[]): Promise<[number, string[]]> => {
      const { code, lines } = await pagefold(...args, '--json', ...more);
      return [code, (lines as { rule?: string }[]).flatMap(({ rule }) => (rule === undefined ? [] : [rule]))];
    };
    expect(await rules('--rule', 'device-execute,write-execute')).toEqual([1, ['write-execute', 'device-execute']]);
    expect(await rules('--ignore', 'write-execute,device-execute,table-user-writable')).toEqual([0, []]);
    expect(await rules('--range', '0xc0000000+4K')).toEqual([1, ['device-execute']]);
    expect(await rules('--rule', 'too-many-tables', '--max-tables', '5')).toEqual([1, ['too-many-tables']]);
    expect(await rules('--rule', 'too-many-tables', '--max-tables', '6', '--exit-code')).toEqual([0, []]);
    expect((await rules('--rule', 'all', '--ignore', 'write-execute'))[1]).toEqual([
      'device-execute',
      'table-user-writable',
    ]);
  });

  test.each([
    [['--rule', 'nonsense'], "--rule: 'nonsense' is not one of malformed"],
    [['--ignore', 'nonsense'], "--ignore: 'nonsense' is not one of"],
    [['--max-tables', 'many'], "--max-tables: 'many' is not a number"],
    [['--range', 'here'], '--range'],
  ])('%j: one clear line, exit code 2', async (args, message) => {
    const { code, out, err } = await pagefold(...real, 'kernel', ...args);
    expect([code, out, err.trim().split('\n').length]).toEqual([2, '', 1]);
    expect(err).toContain(message);
  });
});
