/** `pagefold diff` as a user runs it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { pagefold } from './run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'pagefold-diff-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const captures = new URL('../../riscv/test/fixtures/', import.meta.url).pathname;
const early = `${captures}riscv64-sv48-6.12-early-start_kernel/`;
const final = `${captures}riscv64-sv48-6.12-early-after_setup_vm_final/`;

const diff = (...args: string[]) => pagefold('diff', ...args);

const images = [`${early}tables.elf.gz`, `${final}tables.elf.gz`];
const facts = ['--registers-a', `${early}registers.json`, '--registers-b', `${final}registers.json`];

describe('diff', () => {
  test('finds no difference between what has none, and exits with 0', async () => {
    const result = await diff(...images, ...facts, '--root', 'trampoline_pg_dir');
    expect(result).toEqual({ code: 0, out: '', err: '' });
  });

  test('says what the final tables map that the early ones do not, as JSON lines', async () => {
    const { code, out } = await diff(
      ...images,
      ...facts,
      '--root',
      'early_pg_dir',
      '--root-b',
      'swapper_pg_dir',
      '--json',
    );
    expect(code).toBe(1);
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines[0]).toMatchObject({
      type: 'only-b',
      start: '0xffffaf8000000000',
      end: '0xffffaf8000200000',
      a: null,
      b: { pa: '0x80000000', level: 1, leafSize: '0x200000' },
    });
    expect(lines.at(-1)).toMatchObject({
      type: 'changed',
      start: '0xffffffff80e00000',
      changed: ['attributes'],
      a: { attributes: { x: 1, w: 1 } },
      b: { attributes: { x: 0, w: 1 } },
    });
  });

  test('prints for people, within a range, up to a limit', async () => {
    const roots = ['--root', 'early_pg_dir', '--root-b', 'swapper_pg_dir'];
    const { out } = await diff(...images, ...facts, ...roots, '--range', '0xffffffff80000000+16M');
    expect(out).toMatch(/^~ 0xffffffff80000000-0xffffffff80e00000 +14M {2}attributes\n {4}a: 0x80200000 PMD 2M/);
    const limited = await diff(...images, ...facts, ...roots, '--limit', '1');
    expect(limited.out).toMatch(/more than 1 differences\n$/);
  });

  test('compares two roots of one image with one facts file', async () => {
    const image = images[1] as string;
    const { code, out } = await diff(
      image,
      image,
      '--registers',
      `${final}registers.json`,
      '--root',
      'swapper_pg_dir',
      '--root-b',
      'early_pg_dir',
    );
    expect(code).toBe(1);
    expect(out).toMatch(/^- 0xffffaf8000000000/);
  });

  test('says what is odd on either side, and does not call that equal', async () => {
    const garbage = join(scratch, 'garbage');
    writeFileSync(garbage, new Uint8Array(4096).fill(0xff));
    const side = ['--arch', 'riscv', '--mode', 'sv39', '--root-pa'];
    const both = [`${garbage}@0x1000`, `${garbage}@0x1000`];
    const absent = await diff(...both, ...side, '0x900000', '--json');
    expect(absent.code).toBe(1);
    const lines = absent.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map(({ type, side: which, entry }) => [type, which, entry])).toEqual([
      ['odd', 'a', null],
      ['odd', 'b', null],
    ]);
    const malformed = await diff(...both, ...side, '0x1000', '--limit', '2');
    expect(malformed.code).toBe(1);
    expect(malformed.out).toMatch(/^! a: 0x0000000000000000: entry 0xffffffffffffffff at 0x1000: reserved_bits_60_54/);
    expect(malformed.out).toMatch(/… 512 odd entries in a\n… 512 odd entries in b\n$/);
    expect(malformed.out.trim().split('\n')).toHaveLength(6);
  });

  test('finds a difference with --limit 0 too, and takes --exit-code for granted', async () => {
    const roots = ['--root', 'early_pg_dir', '--root-b', 'swapper_pg_dir'];
    expect(await diff(...images, ...facts, ...roots, '--limit', '0')).toMatchObject({ code: 1 });
    expect(await diff(...images, ...facts, ...roots, '--limit', '0', '--exit-code')).toMatchObject({ code: 1 });
    expect(await diff(...images, ...facts, '--root', 'trampoline_pg_dir', '--exit-code')).toMatchObject({ code: 0 });
  });

  test('makes a range larger to whole pages, as dump does', async () => {
    const roots = ['--root', 'early_pg_dir', '--root-b', 'swapper_pg_dir', '--json'];
    const part = await diff(...images, ...facts, ...roots, '--range', '0xffffffff80000001+4K');
    const whole = await diff(...images, ...facts, ...roots, '--range', '0xffffffff80000000+8K');
    expect(part).toEqual(whole);
  });

  test('names the options of the side that is wrong', async () => {
    const bare = ['--arch', 'riscv', '--satp', '0x9000000000081fca'];
    expect((await diff(...images, ...bare, '--root-b', 'user')).err).toContain('--root-b needs --registers');
    expect((await diff(...images, ...facts, '--root', 'early_pg_dir', '--root-b', 'lunch')).err).toContain(
      "--root-b: 'lunch'",
    );
    const absent = await diff(...images, '--registers-b', 'none.json', '--root', 'early_pg_dir', ...facts.slice(0, 2));
    expect(absent.err).toContain("--registers-b: cannot read 'none.json'");
  });

  test('refuses what it cannot read', async () => {
    const missing = await diff('none.elf', images[1] as string, ...facts, '--root', 'early_pg_dir');
    expect([missing.code, missing.err.includes('none.elf')]).toEqual([2, true]);
    expect((await diff(...images, '--root', 'early_pg_dir')).code).toBe(2);
    expect((await diff(...images, ...facts, '--root', 'lunch')).code).toBe(2);
  });
});
