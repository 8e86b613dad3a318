/** What editors, shells and half-finished command lines do: marks, line ends, options twice, readers that leave. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { pagefold } from './run-command.ts';

const capture = new URL('../../../tools/fixtures/riscv64-sv48-6.12/', import.meta.url).pathname;
const early = new URL('../../riscv/test/fixtures/riscv64-sv48-6.12-early-start_kernel/', import.meta.url).pathname;
const image = `${capture}tables.elf.gz`;
const SATP = '0x9000000000081fca';
const scratch = mkdtempSync(join(tmpdir(), 'pagefold-files-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function file(name: string, content: string): string {
  const path = join(scratch, name);
  writeFileSync(path, content);
  return path;
}

const regions = {
  arch: 'riscv',
  mode: 'sv39',
  root: '0x80000000',
  tables: '0x80001000+64K',
  regions: [{ va: '0x40000000', pa: '0x90000000', size: '4K', attributes: 'rw' }],
};

describe('files', () => {
  test('may begin with a byte order mark and have line ends of either kind', async () => {
    const windows = (path: string): string => `\uFEFF${readFileSync(path, 'utf8').replace(/\n/g, '\r\n')}`;
    const facts = file('facts.json', windows(`${capture}registers.json`));
    const walked = await pagefold(
      'walk',
      '--image',
      image,
      '--registers',
      facts,
      '--root',
      'kernel',
      '0xffffffff80000000',
    );
    expect([walked.code, walked.err]).toEqual([0, '']);
    const list = await pagefold('build', file('list.json', `\uFEFF${JSON.stringify(regions, null, 1)}`), '--plan');
    expect([list.code, list.err]).toEqual([0, '']);
    const lines = file('list.csv', '\uFEFF0x0, 256M, DEVICE, low\r\n0x40000000, 1G, RW_DATA, ram\r\n');
    const csv = await pagefold('build', lines, '--plan', '--arch', 'arm64', '--granule', '4K', '--va-bits', '39');
    expect([csv.code, csv.err]).toEqual([0, '']);
    expect(csv.out).toContain('ram ');
    const boot = await pagefold('boot', file('boot.json', windows(`${early}boot.json`)), '--stage', 'start_kernel');
    expect([boot.code, boot.err]).toEqual([0, '']);
  });

  test('that hold something else are refused in one line, whatever is in them', async () => {
    const bytes = file('junk.json', '{"a": \n\u0007\u001b[31m\u2028 oops');
    for (const args of [
      ['layout', '--check', bytes],
      ['build', bytes, '--plan'],
      ['boot', bytes, '--stage', 'start_kernel'],
      ['walk', '--image', image, '--registers', bytes, '0'],
      ['walk', '--image', image, '--arch', 'riscv', '--satp', SATP, 'a\nb'],
      ['walk', '--levell', '5'],
    ]) {
      const { code, out, err } = await pagefold(...args);
      expect([code, out], args[0]).toEqual([2, '']);
      expect(err, args[0]).toMatch(/^error: [^\p{Cc}\p{Zl}\p{Zp}]+\n$/u);
    }
  });

  test('that are to stand in no folder say which', async () => {
    const { code, err } = await pagefold(
      'build',
      file('list.json', JSON.stringify(regions)),
      '--out',
      '/nowhere/x.bin',
    );
    expect([code, err]).toEqual([2, "error: --out: cannot write '/nowhere/x.bin': there is no folder '/nowhere'\n"]);
  });
});

describe('options', () => {
  test('given twice must say the same: else the last one would win unnoticed', async () => {
    const walk = ['walk', '--image', image, '--arch', 'riscv', '0xffffffff80000000'];
    const twice = await pagefold(...walk, '--satp', SATP, '--satp', '0x8000000000081fca');
    expect([twice.code, twice.err]).toEqual([2, `error: --satp is given twice: ${SATP} and 0x8000000000081fca\n`]);
    const arch = await pagefold(...walk, '--satp', SATP, '--arch', 'arm64');
    expect([arch.code, arch.err]).toEqual([2, 'error: --arch is given twice: riscv and arm64\n']);
    const same = await pagefold(...walk, '--satp', SATP, '--satp', SATP);
    expect([same.code, same.err]).toEqual([0, '']);
    const kasan = await pagefold('layout', '--arch', 'riscv', '--kasan', '--kasan', 'none');
    expect([kasan.code, kasan.err]).toEqual([2, 'error: --kasan is given twice: without a value and none\n']);
  });

  test('that are lists go on, and flags may stand twice', async () => {
    const out = [join(scratch, 'a.bin'), join(scratch, 'a.c')];
    const files = out.flatMap((path) => ['--out', path]);
    const built = await pagefold('build', file('list.json', JSON.stringify(regions)), ...files, '--json', '--json');
    expect([built.code, built.err]).toEqual([0, '']);
  });

  test('--set of boot names a member that something reads', async () => {
    const boot = ['boot', `${early}boot.json`, '--stage', 'start_kernel', '--set'];
    for (const member of ['loadAddress', 'kernel.loadAdress', '__proto__.x', 'config_CONFIG_KFENCE']) {
      const { code, out, err } = await pagefold(...boot, `${member}=1`, 'commandLine=quiet');
      expect([code, out]).toEqual([2, '']);
      expect(err).toBe(`error: --set: no boot of riscv to start_kernel reads '${member}'\n`);
    }
    expect(await pagefold(...boot, 'commandLine=quiet', 'config.CONFIG_KFENCE=false')).toMatchObject({
      code: 0,
      err: '',
    });
  });
});

describe('build --section', () => {
  const list = (): string => file('list.json', JSON.stringify(regions));

  test('gives each table a section, and labels are global either way', async () => {
    const [c, gas, plain] = ['s.c', 's.s', 'plain.s'].map((name) => join(scratch, name)) as [string, string, string];
    expect(await pagefold('build', list(), '--out', c, '--out', gas, '--section', '.tables.')).toMatchObject({
      code: 0,
    });
    expect(readFileSync(c, 'utf8')).toContain('section(".tables.satp_pgd")');
    expect(readFileSync(gas, 'utf8')).toMatch(/\.section \.tables\.satp_pgd, "a"\n[^:]*\.globl satp_pgd\nsatp_pgd:/);
    expect(await pagefold('build', list(), '--out', plain)).toMatchObject({ code: 0 });
    expect(readFileSync(plain, 'utf8')).toMatch(/\.globl satp_pgd\nsatp_pgd:/);
  });

  test.each([
    [['--section', '.t'], '--section needs --out'],
    [['--section', '.t', '--out', 'x.bin'], '--section needs a file of format c or gas'],
    [['--section', 'a"b', '--out', 'x.c'], 'section must be made of letters'],
  ])('%j: one clear line', async (args, message) => {
    const { code, err } = await pagefold('build', list(), ...args);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });
});

describe('a reader that leaves', () => {
  // Every entry of the one table points to it: five levels deep that makes 2^44 lines.
  const loop = new BigUint64Array(512).fill((0x8000_0000n >> 2n) | 1n);
  writeFileSync(join(scratch, 'loop.bin'), loop);

  test('ends even a dump that would never end', async () => {
    const bin = new URL('../src/bin.ts', import.meta.url).pathname;
    const source = [
      '--image',
      `${join(scratch, 'loop.bin')}@0x80000000`,
      '--arch',
      'riscv',
      '--satp',
      '0xa000000000080000',
    ];
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', '--conditions=@pagefold/source', bin, 'dump', ...source],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const ended = once(child, 'exit');
    let complaint = '';
    child.stderr.on('data', (text: Buffer) => {
      complaint += String(text);
    });
    await once(child.stdout, 'data');
    child.stdout.destroy();
    const [code, signal] = (await ended) as [number | null, string | null];
    expect([code, signal, complaint]).toEqual([0, null, '']);
  }, 60_000);
});
