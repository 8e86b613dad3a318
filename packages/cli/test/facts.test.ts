/** Options beside a facts file, and facts files that do not say enough. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { pagefold } from './run-command.ts';

const capture = new URL('../../../tools/fixtures/riscv64-sv48-6.12/', import.meta.url).pathname;
const image = `${capture}tables.elf.gz`;
const registers = `${capture}registers.json`;
const target = ['--image', image, '--registers', registers, '--root', 'kernel'];
const va = '0xffffffff80000000';
const scratch = mkdtempSync(join(tmpdir(), 'pagefold-facts-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** The one line that a command refuses with. */
async function refusal(...args: string[]): Promise<string> {
  const { code, out, err } = await pagefold(...args);
  expect([code, out, err.trim().split('\n').length]).toEqual([2, '', 1]);
  return err;
}

function facts(name: string, content: object): string {
  const path = join(scratch, name);
  writeFileSync(path, JSON.stringify(content));
  return path;
}

describe('options beside a facts file', () => {
  test('go before what the file says', async () => {
    const mode = async (...args: string[]): Promise<unknown> =>
      (
        JSON.parse(
          (await pagefold('explain', 'va', va, '--registers', registers, '--root', 'kernel', '--json', ...args)).out,
        ) as { mode: unknown }
      ).mode;
    expect(await mode()).toBe('sv48');
    expect(await mode('--satp', '0x8000000000081fca')).toBe('sv39');
    const root = await pagefold('walk', ...target, '--root-pa', '0x141198000', '--json', va);
    expect(JSON.parse(root.out)).toMatchObject({ steps: [{ table: '0x141198000' }, {}, {}] });
  });

  test('may not contradict each other', async () => {
    const given = ['--satp', '0x9000000000081fca', '--mode', 'sv48', '--root-pa', '0x1000'];
    expect(await refusal('translate', '--image', image, '--arch', 'riscv', ...given, va)).toContain('[root-conflict]');
    expect(await refusal('translate', ...target, ...given, va)).toContain('[root-conflict]');
    const levels = ['--arch', 'x86-64', '--cr3', '0x1000', '--levels', '5', '--cr4', '0x20'];
    expect(await refusal('translate', '--image', image, ...levels, va)).toContain('[levels-conflict]');
  });

  test('may not name another architecture than the file', async () => {
    const message = await refusal('translate', ...target, '--arch', 'arm64', va);
    expect(message).toContain('arm64, but');
    expect(message).toContain("riscv (arch 'riscv64')");
    expect(await refusal('explain', 'satp', '0x0', '--arch', 'arm', '--registers', registers)).toContain(
      '--arch: arm,',
    );
    expect((await pagefold('translate', ...target, '--arch', 'rv64', va)).code).toBe(0);
  });
});

describe('a facts file', () => {
  const open = (path: string, ...args: string[]): Promise<string> =>
    refusal('translate', '--image', image, '--registers', path, ...args, '0x1000');

  test('must say what the tables are read with', async () => {
    const roots = { only: { root_pa: '0x1000' } };
    expect(await open(facts('arm64.json', { arch: 'arm64', roots }))).toMatch(
      /TCR_EL1 nor granule0, t0sz.*capture-size/,
    );
    expect(await open(facts('arm.json', { arch: 'arm', roots }))).toMatch(/TTBCR.*capture-format/);
    expect(await open(facts('riscv.json', { arch: 'riscv', roots }))).toMatch(/neither satp nor mode/);
    expect(await open(facts('vax.json', { arch: 'vax', roots }))).toContain("vax.json': arch: 'vax' is not one of");
    expect(await open(facts('none.json', { arch: 'arm64' }))).toContain('names no roots');
    const sizes = ['--granule', '4K', '--va-bits', '48'];
    const given = await pagefold(
      'translate',
      '--image',
      image,
      '--registers',
      join(scratch, 'arm64.json'),
      ...sizes,
      '0x1000',
    );
    expect(given.code).toBe(0);
    const x86 = facts('x86.json', { arch: 'x86_64', roots });
    expect((await pagefold('translate', '--image', image, '--registers', x86, '0x1000')).code).toBe(0);
  });
});

test('sizes that no granule has are refused, those of a real TCR are what the hardware faults on', async () => {
  const base = ['translate', '--image', image, '--arch', 'arm64', '--ttbr0', '0x1000'];
  expect(await refusal(...base, '--granule', '4K', '--va-bits', '99', '0x1000')).toContain('[input-size]');
  const { code, out } = await pagefold(...base, '--tcr', '0x3f', '--json', '0x1000');
  expect([code, (JSON.parse(out) as { fault: unknown }).fault]).toEqual([
    0,
    expect.objectContaining({ reason: 'input_size_register' }),
  ]);
});

test('a file whose whole name ends like a base is opened under that name', async () => {
  const path = join(scratch, 'tables.elf@0x1000');
  writeFileSync(path, gunzipSync(readFileSync(image)));
  const { code, out } = await pagefold('translate', '--image', path, ...target.slice(2), '--json', va);
  expect([code, JSON.parse(out)]).toEqual([0, expect.objectContaining({ pa: '0x80200000' })]);
});

test('--version prints the version', async () => {
  expect(await pagefold('--version')).toEqual({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\S*\n$/), err: '' });
});
