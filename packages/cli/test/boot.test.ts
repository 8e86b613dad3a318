/** `pagefold boot` as a user runs it. */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { pagefold } from './run-command.ts';

const captures = new URL('../../riscv/test/fixtures/', import.meta.url).pathname;
const early = `${captures}riscv64-sv48-6.12-early-start_kernel/`;
const final = `${captures}riscv64-sv48-6.12-early-after_setup_vm_final/`;
const scratch = mkdtempSync(join(tmpdir(), 'pagefold-boot-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

type Json = Readonly<Record<string, unknown>>;

interface Report {
  mode: string;
  roots: Record<string, { root_pa: string; satp: string }>;
  registers: Record<string, string>;
  offsets: Record<string, string>;
  values: Record<string, string>;
  tables: { name: string; level: number; pa: string; va: string; roots: string[] }[];
  warnings: string[];
}

async function report(...args: string[]): Promise<Report> {
  const { code, out, err } = await pagefold('boot', ...args, '--json');
  expect([code, err]).toEqual([0, '']);
  expect(out.trim().split('\n').length).toBe(1);
  return JSON.parse(out) as Report;
}

/** The captured description without its expected outcome, as files of a real machine. */
function realFiles(): string[] {
  const { kernel } = JSON.parse(readFileSync(`${early}boot.json`, 'utf8')) as {
    kernel: { symbols: Record<string, string> };
  };
  const lines = Object.entries(kernel.symbols).map(([name, va]) => `${va.slice(2).padStart(16, '0')} T ${name}\n`);
  writeFileSync(join(scratch, 'System.map'), lines.join(''));
  const header = Buffer.alloc(64);
  header.writeBigUInt64LE(0x20_0000n, 0x08);
  header.writeBigUInt64LE(0x1e6_b000n, 0x10);
  header.writeUInt32LE(2, 0x20);
  header.writeUInt32LE(0x0543_5352, 0x38);
  writeFileSync(join(scratch, 'Image'), header);
  const files = ['--system-map', join(scratch, 'System.map'), '--kernel', join(scratch, 'Image')];
  return ['--dtb', `${early}boot.dtb.gz`, ...files];
}

describe('boot', () => {
  test('says roots, registers, offsets and tables as one JSON object', async () => {
    const result = await report(`${early}boot.json`, '--stage', 'start_kernel');
    expect(result.mode).toBe('sv48');
    expect(result.roots).toEqual({
      early_pg_dir: { root_pa: '0x81005000', satp: '0x9000000000081005' },
      trampoline_pg_dir: { root_pa: '0x81fc9000', satp: '0x9000000000081fc9' },
    });
    expect(result.registers).toEqual({ satp: '0x9000000000081005' });
    expect(result.offsets.va_kernel_pa_offset).toBe('0xfffffffeffe00000');
    expect(result.tables.map(({ name }) => name)).toEqual([
      'early_pg_dir',
      'fixmap_pud',
      'fixmap_pmd',
      'fixmap_pte',
      'early_pud',
      'early_pmd',
      'trampoline_pg_dir',
      'trampoline_pud',
      'trampoline_pmd',
    ]);
  });

  test('takes the seed of a kernel that is moved from the device tree that the description names', async () => {
    const fixture = new URL(
      '../../../tools/fixtures/arm64-16k-52-kaslr-6.12-early-after_paging_init/',
      import.meta.url,
    );
    const { kaslrSeed, ...description } = JSON.parse(readFileSync(new URL('boot.json', fixture), 'utf8')) as Json;
    const folder = mkdtempSync(join(scratch, 'moved-'));
    writeFileSync(join(folder, 'boot.json'), JSON.stringify(description));
    const stage = ['--stage', 'after_paging_init'];
    const without = await report(join(folder, 'boot.json'), ...stage);
    cpSync(new URL('boot.dtb.gz', fixture), join(folder, 'boot.dtb.gz'));
    const moved = await report(join(folder, 'boot.json'), ...stage);
    const said = await report(new URL('boot.json', fixture).pathname, ...stage);
    expect(typeof kaslrSeed).toBe('string');
    expect(moved).toEqual(said);
    expect([without.warnings, said.warnings].map((list) => list.filter((text) => text.includes('kaslrSeed')))).toEqual([
      [expect.stringContaining('no kaslrSeed')],
      [],
    ]);
  });

  test('changes members of the description', async () => {
    const args = [`${early}boot.json`, '--stage', 'start_kernel'];
    const { mode } = await report(...args, '--set', 'hardwareModes=["sv39"]', 'config.CONFIG_KFENCE=false');
    expect(mode).toBe('sv39');
    const wrong = await pagefold('boot', ...args, '--set', 'nothing');
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("'nothing' is not MEMBER=VALUE")]);
    const bad = await pagefold('boot', ...args, '--set', 'dtb.address=high');
    expect([bad.code, bad.err]).toEqual([2, expect.stringContaining('dtb.address')]);
  });

  test('tells allocated tables from those of the image', async () => {
    const { tables, offsets } = await report(`${early}boot.json`, '--stage', 'after_setup_vm_final');
    expect(offsets.va_pa_offset).toBe('0xffffaf7f80000000');
    expect(tables.filter(({ name }) => name === 'memblock').map(({ pa }) => pa)).toEqual([
      '0x17fdff000',
      '0x17fdfe000',
      '0x17fdfd000',
      '0x17fdfc000',
      '0x17fdfb000',
      '0x17fdfa000',
    ]);
  });

  for (const name of ['tables.elf', 'tables.elf.gz']) {
    test(`writes ${name} and a facts file that the other commands open`, async () => {
      const folder = mkdtempSync(join(scratch, 'out-'));
      const file = join(folder, name);
      const registers = join(folder, 'registers.json');
      const { code, out } = await pagefold(
        'boot',
        `${early}boot.json`,
        '--stage',
        'after_setup_vm_final',
        '--out',
        file,
      );
      expect(code).toBe(0);
      expect(out).toContain('satp 0x9000000000081fca');
      const opened = ['--image', file, '--registers', registers, '--root', 'swapper_pg_dir'];
      const walked = await pagefold('translate', ...opened, '--json', '0xffffaf8001000123');
      expect(JSON.parse(walked.out)).toMatchObject({ pa: '0x81000123', size: '0x200000' });
      const facts = JSON.parse(readFileSync(registers, 'utf8')) as { arch: string; stage: string };
      expect(facts).toMatchObject({ arch: 'riscv64', stage: 'early:after_setup_vm_final', mode: 'sv48' });
      const root = ['--registers', registers, '--root', 'swapper_pg_dir'];
      const same = await pagefold('diff', file, `${final}tables.elf.gz`, ...root);
      expect(same).toEqual({ code: 0, out: '', err: '' });
    });
  }

  test('never replaces a facts file of something else', async () => {
    const folder = mkdtempSync(join(scratch, 'kept-'));
    const at = (name: string): string => join(folder, name);
    const boot = (stage: string, ...args: string[]) => pagefold('boot', `${early}boot.json`, '--stage', stage, ...args);
    const image = () => (JSON.parse(readFileSync(at('registers.json'), 'utf8')) as Json).image;
    expect((await boot('start_kernel', '--out', at('a.elf'))).code).toBe(0);
    expect(image()).toBe('a.elf');
    // The same output again, and an output with the same facts.
    expect((await boot('after_setup_vm_final', '--out', at('a.elf'))).code).toBe(0);
    expect((await boot('after_setup_vm_final', '--out', at('a.elf.gz'))).code).toBe(0);
    const other = await boot('start_kernel', '--out', at('b.elf'));
    expect([other.code, other.err]).toEqual([2, expect.stringMatching(/registers\.json' exists .* --facts/)]);
    expect([existsSync(at('b.elf')), image()]).toEqual([false, 'a.elf.gz']);
    expect((await boot('start_kernel', '--out', at('b.elf'), '--facts', at('b.json'))).code).toBe(0);
    expect(JSON.parse(readFileSync(at('b.json'), 'utf8'))).toMatchObject({ image: 'b.elf' });
    writeFileSync(at('registers.json'), '{"arch":"riscv64"}');
    expect((await boot('start_kernel', '--out', at('a.elf'))).code).toBe(2);
    expect(readFileSync(at('registers.json'), 'utf8')).toBe('{"arch":"riscv64"}');
  });

  test('says which file cannot be written', async () => {
    const boot = (...args: string[]) => pagefold('boot', `${early}boot.json`, '--stage', 'start_kernel', ...args);
    const same = await boot('--out', join(scratch, 'registers.json'));
    expect([same.code, same.err]).toEqual([2, expect.stringContaining('is where the facts file goes')]);
    expect((await boot('--out', join(scratch, 'x.elf'), '--facts', join(scratch, 'x.elf'))).code).toBe(2);
    const nowhere = await boot('--out', join(scratch, 'nowhere', 'x.elf'));
    expect(nowhere.err).toMatch(/--out: cannot write '.*x\.elf': there is no folder '.*nowhere'/);
    const facts = await boot('--out', join(scratch, 'x.elf'), '--facts', join(scratch, 'nowhere', 'x.json'));
    expect(facts.err).toMatch(/--facts: cannot write '.*x\.json': there is no folder/);
    expect((await boot('--facts', 'x.json')).err).toContain('--facts needs --out');
  });

  test('takes the files of a machine instead of a description, with the same outcome', async () => {
    const stage = ['--stage', 'after_setup_vm_final'];
    const described = await report(`${early}boot.json`, ...stage);
    const { warnings, ...result } = await report(...realFiles(), ...stage);
    expect(result).toEqual({ ...described, warnings: undefined });
    expect(warnings).toEqual(['it is not described which modes the hardware takes: all of them']);
  });

  test('lets options replace what is described', async () => {
    const stage = ['--stage', 'start_kernel'];
    const path = `${early}boot.json`;
    expect((await report(path, ...stage, '--command-line', 'no4lvl')).mode).toBe('sv39');
    expect((await report(path, ...stage, '--command-line', '', '--hardware-modes', 'sv57,sv48,sv39')).mode).toBe(
      'sv57',
    );
    const moved = await report(path, ...stage, '--load-address', '0x90200000', '--dtb-address', '0xa0000000');
    expect(moved.roots.early_pg_dir?.root_pa).toBe('0x91005000');
    expect(moved.values._dtb_early_pa).toBe('0xa0000000');
    const config = join(scratch, 'config');
    writeFileSync(config, '# CONFIG_KFENCE is not set\nCONFIG_STRICT_KERNEL_RWX=y\nCONFIG_HZ=250\nCONFIG_LSM="a,b"\n');
    const built = await report(...realFiles(), '--stage', 'after_setup_vm_final', '--config', config);
    expect(built.values.kfence_pool).toBe(undefined);
  });

  test('builds KASAN in on demand', async () => {
    const { tables, warnings } = await report(`${early}boot.json`, '--stage', 'after_kasan_init', '--kasan');
    expect(tables.map(({ name }) => name)).toContain('kasan_early_shadow_pte');
    expect(warnings.length).toBe(1);
  });

  test('refuses what it cannot do in one line', async () => {
    const one = async (...args: string[]): Promise<string> => {
      const { code, out, err } = await pagefold('boot', ...args);
      expect([code, out, err.trim().split('\n').length]).toEqual([2, '', 1]);
      return err;
    };
    expect(await one(`${early}boot.json`)).toMatch(/--stage/);
    expect(await one(`${early}boot.json`, '--stage', 'lunch')).toMatch(/start_kernel, paging_init/);
    const hardware = [`${early}boot.json`, '--stage', 'start_kernel', '--hardware-modes'];
    expect(await one(...hardware, ',')).toMatch(/no mode is named; there are sv32, sv39/);
    expect(await one(...hardware, 'sv40')).toMatch(/'sv40' is not one of/);
    expect(await one(...hardware, 'sv39', '--set', 'arch=arm64')).toMatch(/arm64 has no modes/);
    expect(await one(`${early}boot.json`, '--stage', 'start_kernel', '--set', 'arch=null')).toMatch(/lacks 'arch'/);
    expect(await one(`${early}boot.json`, '--stage', 'start_kernel', '--set', 'arch=vax')).toMatch(
      /arch: 'vax' is not/,
    );
    expect(await one('--stage', 'start_kernel')).toMatch(/give a description/);
    expect(await one(`${early}boot.json`, '--stage', 'start_kernel', '--dtb', 'x')).toMatch(/not both/);
    expect(await one(join(scratch, 'none.json'), '--stage', 'start_kernel')).toMatch(/no such file/);
    expect(await one(`${early}boot.dtb.gz`, '--stage', 'start_kernel')).toMatch(/not a JSON object/);
    expect(await one(`${early}registers.json`, '--stage', 'start_kernel')).toMatch(/kernel is no object/);
    expect(await one(`${early}boot.json`, '--stage', 'start_kernel', '--load-address', '0x80201000')).toMatch(
      /load-align/,
    );
    expect(await one(`${early}boot.json`, '--stage', 'after_kasan_init')).toMatch(/KASAN/);
  });
});
