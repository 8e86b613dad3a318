/** The command as a user runs it: arguments in, text, JSON lines and exit codes out. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { pagefoldLines as pagefold } from './run-command.ts';

const capture = new URL('../../../tools/fixtures/riscv64-sv48-6.12/', import.meta.url).pathname;
const image = `${capture}tables.elf.gz`;
const registers = `${capture}registers.json`;
const satp = '0x9000000000081fca';
const target = ['--image', image, '--registers', registers, '--root', 'kernel'];
const scratch = mkdtempSync(join(tmpdir(), 'pagefold-cli-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe('translate', () => {
  test('answers one JSON object per address, null for what is not mapped', async () => {
    const { code, lines } = await pagefold(
      'translate',
      '--image',
      image,
      '--arch',
      'riscv',
      '--satp',
      satp,
      '--json',
      '0xffffffff80000123',
      '0x1234',
      '0x800000000000',
    );
    expect(code).toBe(0);
    expect(lines).toEqual([
      { va: '0xffffffff80000123', pa: '0x80200123', level: 1, size: '0x200000' },
      expect.objectContaining({
        va: '0x1234',
        pa: null,
        level: 3,
        size: null,
        fault: expect.objectContaining({ type: 'page_fault', reason: 'v_clear' }),
      }),
      expect.objectContaining({
        va: '0x800000000000',
        pa: null,
        level: null,
        fault: expect.objectContaining({ reason: 'non_canonical' }),
      }),
    ]);
  });

  test('takes addresses that a variadic --image swallowed', async () => {
    const { code, lines } = await pagefold(
      'translate',
      '--json',
      '--arch',
      'riscv',
      '--satp',
      satp,
      '--image',
      image,
      '0xffffffff80000000',
    );
    expect(code).toBe(0);
    expect(lines[0]?.pa).toBe('0x80200000');
  });

  test('takes arch, mode and root from a facts file', async () => {
    const { lines } = await pagefold(
      'translate',
      '--image',
      image,
      '--registers',
      registers,
      '--root',
      'user',
      '--json',
      '0xffffffff80000000',
    );
    expect(lines[0]?.pa).toBe('0x80200000');
  });

  test('reads several raw files with bases as one memory', async () => {
    // One table page and one leaf table, in two files: Sv39 would need three levels, so use what the ELF holds raw.
    const elf = gunzipSync(readFileSync(image));
    const path = join(scratch, 'tables.elf');
    writeFileSync(path, elf);
    const direct = await pagefold(
      'translate',
      '--image',
      path,
      '--arch',
      'riscv',
      '--satp',
      satp,
      '--json',
      '0xffffaf8000000000',
    );
    expect(direct.lines[0]?.pa).toBe('0x80000000');
    const table = new BigUint64Array(512);
    table[0] = (0x1000n >> 2n) | 1n;
    const middle = new BigUint64Array(512);
    middle[0] = (0x8000_0000n >> 2n) | 0xcfn;
    writeFileSync(join(scratch, 'root.bin'), new Uint8Array(table.buffer));
    writeFileSync(join(scratch, 'middle.bin'), new Uint8Array(middle.buffer));
    const raw = await pagefold(
      'translate',
      '--image',
      `${join(scratch, 'root.bin')}@0x0`,
      `${join(scratch, 'middle.bin')}@0x1000`,
      '--arch',
      'riscv',
      '--satp',
      '0x8000000000000000',
      '--json',
      '0x123456',
    );
    expect(raw.lines[0]).toEqual({ va: '0x123456', pa: '0x80123456', level: 1, size: '0x200000' });
  });

  test('--exit-code turns an address that is not mapped into exit code 1', async () => {
    const args = ['translate', '--image', image, '--arch', 'riscv', '--satp', satp];
    expect((await pagefold(...args, '0x1234')).code).toBe(0);
    expect((await pagefold(...args, '--exit-code', '0x1234')).code).toBe(1);
    expect((await pagefold(...args, '--exit-code', '0xffffffff80000000')).code).toBe(0);
  });
});

describe('walk, access and dump', () => {
  test('walk shows every table with its entry and fields', async () => {
    const { code, lines } = await pagefold(
      'walk',
      '--image',
      image,
      '--registers',
      registers,
      '--root',
      'kernel',
      '--json',
      '0xffffffff80000000',
    );
    expect(code).toBe(0);
    const steps = lines[0]?.steps as { level: number; kind: string; slot: string; index: number }[];
    expect(steps.map(({ level, kind }) => [level, kind])).toEqual([
      [3, 'table'],
      [2, 'table'],
      [1, 'leaf'],
    ]);
    expect(steps[0]).toMatchObject({ slot: '0x81fcaff8', index: 511 });
    expect(lines[0]?.permissions).toMatchObject({ read: true, write: false, execute: true, user: false, global: true });
  });

  test('access names the fault, and sum, mxr and ad change the answer', async () => {
    const args = ['access', '--image', image, '--registers', registers, '--root', 'user', '--json'];
    const va = '0x10000';
    const plain = await pagefold(...args, '--access', 'read', '--privilege', 'supervisor', va);
    expect(plain.lines[0]).toMatchObject({
      allowed: false,
      reasons: ['supervisor_on_user_page'],
      fault: { type: 'page_fault', code: 13 },
    });
    const sum = await pagefold(...args, '--access', 'read', '--privilege', 'supervisor', '--sum', va);
    expect(sum.lines[0]).toMatchObject({ allowed: true });
    const user = await pagefold(...args, '--access', 'fetch', '--privilege', 'user', va);
    expect(user.lines[0]).toMatchObject({ allowed: false, fault: { code: 12 } });
  });

  test('dump ends after as many lines as it may print', async () => {
    const args = ['dump', '--image', image, '--registers', registers, '--root', 'kernel'];
    const all = (await pagefold(...args)).out.trimEnd().split('\n');
    expect((await pagefold(...args, '--limit', '2')).out).toBe(`${all.slice(0, 2).join('\n')}\nand more (--limit 2)\n`);
    expect((await pagefold(...args, '--limit', String(all.length))).out.trimEnd().split('\n')).toEqual(all);
    expect((await pagefold(...args, '--limit', '3', '--json')).out.trimEnd().split('\n')).toHaveLength(3);
  });

  test('dump folds neighbours; --raw shows entries; --range limits', async () => {
    const args = ['dump', '--image', image, '--registers', registers, '--root', 'kernel', '--json'];
    const folded = await pagefold(...args, '--range', '0xffffffff80000000+16M');
    expect(folded.lines.map(({ start, size }) => [start, size])).toEqual([
      ['0xffffffff80000000', '0xc00000'],
      ['0xffffffff80c00000', '0x200000'],
      ['0xffffffff80e00000', '0x200000'],
    ]);
    const raw = await pagefold(...args, '--raw', '--range', '0xffffffff80000000+4M');
    expect(raw.lines.map(({ entry, slot }) => [entry, slot])).toEqual([
      ['0x200800eb', '0x17fdfa000'],
      ['0x201000eb', '0x17fdfa008'],
    ]);
  });
});

describe('explain', () => {
  test('explains an entry, a register and an address', async () => {
    const entry = await pagefold(
      'explain',
      'entry',
      '0x200800eb',
      '--arch',
      'riscv',
      '--mode',
      'sv48',
      '--level',
      '1',
      '--json',
    );
    expect(entry.lines[0]).toMatchObject({ kind: 'leaf', address: '0x80200000', size: '0x200000' });
    const register = await pagefold('explain', 'satp', satp, '--arch', 'riscv', '--json');
    expect(
      ((register.lines[0]?.fields ?? []) as { name: string; value: string }[]).map(({ name, value }) => [name, value]),
    ).toEqual([
      ['mode', '0x9'],
      ['asid', '0x0'],
      ['ppn', '0x81fca'],
    ]);
    const address = await pagefold(
      'explain',
      'va',
      '0xffffffff80000000',
      '--arch',
      'riscv',
      '--mode',
      'sv39',
      '--json',
    );
    expect(((address.lines[0]?.indices ?? []) as { index: number }[]).map(({ index }) => index)).toEqual([510, 0, 0]);
    expect(address.lines[0]?.names).toMatchObject({
      pgd: { folded: false },
      p4d: { folded: true },
      pud: { folded: true },
      pmd: { folded: false },
    });
  });

  test('--build goes the other way', async () => {
    const register = await pagefold(
      'explain',
      'satp',
      '--build',
      'mode=sv48',
      'ppn=0x81fca',
      '--arch',
      'riscv',
      '--json',
    );
    expect(register.lines[0]?.value).toBe(satp);
    const entry = await pagefold(
      'explain',
      'entry',
      '--build',
      'v=1',
      'r=1',
      'x=1',
      'a=1',
      'd=1',
      'g=1',
      'ppn=0x80200',
      '--arch',
      'riscv',
      '--mode',
      'sv48',
      '--level',
      '1',
      '--json',
    );
    expect(entry.lines[0]?.entry).toBe('0x200800eb');
  });
});

describe('bad arguments: one clear line and exit code 2', () => {
  const cases: [string, string[]][] = [
    ['no command', []],
    ['unknown command', ['frobnicate']],
    ['unknown option', ['translate', '--frobnicate']],
    ['no address', ['translate', '--image', image, '--arch', 'riscv', '--satp', satp]],
    ['no number', ['translate', '--image', image, '--arch', 'riscv', '--satp', satp, 'zebra']],
    ['hexadecimal without 0x', ['translate', '--image', image, '--arch', 'riscv', '--satp', satp, 'ffffffff80000000']],
    ['too large', ['translate', '--image', image, '--arch', 'riscv', '--satp', satp, '0x10000000000000000']],
    ['unknown architecture', ['translate', '--image', image, '--arch', 'z80', '0x0']],
    ['no image', ['translate', '--arch', 'riscv', '--satp', satp, '0x0']],
    [
      'image that is not there',
      ['translate', '--image', join(scratch, 'none.elf'), '--arch', 'riscv', '--satp', satp, '0x0'],
    ],
    ['raw file without a base', ['translate', '--image', registers, '--arch', 'riscv', '--satp', satp, '0x0']],
    ['bare satp', ['translate', '--image', image, '--arch', 'riscv', '--satp', '0x0', '0x0']],
    ['reserved mode', ['translate', '--image', image, '--arch', 'riscv', '--satp', '0x5000000000000001', '0x0']],
    ['no root', ['translate', '--image', image, '--registers', registers, '0x0']],
    ['unknown root', ['translate', '--image', image, '--registers', registers, '--root', 'nobody', '0x0']],
    ['facts file that is no JSON', ['translate', '--image', image, '--registers', image, '--root', 'kernel', '0x0']],
    ['no kind of access', ['access', ...target, '--access', 'constructor', '0x0']],
    ['nobody who accesses', ['access', ...target, '--privilege', 'constructor', '0x0']],
    ['bad range', ['dump', '--image', image, '--registers', registers, '--root', 'kernel', '--range', '5-4']],
    ['nothing to explain', ['explain', '--arch', 'riscv']],
    ['unknown field', ['explain', 'satp', '--build', 'colour=1', '--arch', 'riscv']],
    ['unknown level', ['explain', 'entry', '0x1', '--arch', 'riscv', '--mode', 'sv39', '--level', '7']],
  ];
  test.each(cases)('%s', async (_, args) => {
    const { code, out, err } = await pagefold(...args);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err.trim().split('\n')).toHaveLength(1);
    expect(err).toMatch(/error: \S/);
  });

  test('help says examples and ends with 0', async () => {
    const { code, out } = await pagefold('translate', '--help');
    expect(code).toBe(0);
    expect(out).toContain('Examples:');
  });
});
