/** `pagefold layout`: layouts as text, JSON and pictures, and the checks of layouts from files. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { pagefoldLines } from './run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'pagefold-layout-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const layout = (...args: string[]) => pagefoldLines('layout', ...args);

function file(name: string, content: unknown): string {
  const path = join(scratch, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

describe('layout', () => {
  test("prints the kernel's own lines, then every region and number", async () => {
    const { code, out } = await layout('--arch', 'riscv', '--mode', 'sv39', '--kasan', '--memory', '0x80000000+4G');
    expect(code).toBe(0);
    expect(out).toContain('Linux v6.11+ on RISC-V Sv39 with KASAN\nVirtual kernel memory layout:\n      fixmap : ');
    expect(out).toContain('      lowmem : 0xffffffd600000000 - 0xffffffd700000000   (4096 MB)');
    expect(out).toContain('       kasan : 0xfffffff700000000 - 0xffffffff00000000   (  32 GB)');
    expect(out).toMatch(/0x0 +0x4000000000 +256G +user +programs/);
    expect(out).toMatch(/kasan_shadow_offset +0xdfffffff00000000/);
    expect(out).toContain('nothing lies between linear and kasan_shadow: 4G');
  });

  test('shows all 64-bit modes of a release if none is named, and what they have in common', async () => {
    const { code, lines } = await layout('--arch', 'riscv', '--kasan', '--json');
    expect(code).toBe(0);
    const layouts = lines.filter(({ type }) => type === 'layout');
    expect(layouts.map(({ name }) => name)).toEqual(['sv39', 'sv48', 'sv57']);
    expect(lines.at(-1)).toMatchObject({ type: 'finding', rule: 'one-shadow-offset', severity: 'info' });
    const old = await layout('--arch', 'riscv', '--profile', '5.10', '--json');
    expect(old.lines.map(({ name }) => name)).toEqual(['sv39']);
    expect(old.lines[0]).toMatchObject({
      profile: 'v5.9-v5.12 MAXPHYSMEM_128GB',
      facts: { page_offset: '0xffffffe000000000' },
    });
    const text = await layout('--arch', 'riscv', '--kasan');
    expect(text.out.trimEnd()).toMatch(
      /one shadow offset, 0xdfffffff00000000, serves sv39, sv48, sv57 \[one-shadow-offset\]$/,
    );
  });

  test('takes every input', async () => {
    const { lines } = await layout(
      ...['--arch', 'rv64', '--mode', 'sv48', '--profile', '6.1.192', '--struct-page', '128', '--json'],
      ...['--kernel-start', '0xffffffff80200000', '--kernel-end', '0xffffffff81200000', '--kernel-pa', '0x80400000'],
      ...['--memory', '0x80000000+2G,0x200000000-0x280000000'],
    );
    expect(lines[0]).toMatchObject({
      arch: 'riscv',
      profile: 'v6.1.y-v6.3',
      facts: {
        struct_page_max_shift: '0x7',
        virt_addr: '0xffffffff80200000',
        kernel_end: '0xffffffff81200000',
        phys_addr: '0x80400000',
        phys_ram_end: '0x280000000',
        va_pa_offset: '0xffffaf7f7fc00000',
      },
    });
  });

  test('ends with 1 for an error only if asked to', async () => {
    const args = ['--arch', 'riscv', '--mode', 'sv39', '--kernel-end', '0xfffffffffffff001'];
    const { code, out } = await layout(...args);
    expect(code).toBe(0);
    expect(out).toMatch(/^error sv39: /m);
    expect(await layout(...args, '--exit-code')).toMatchObject({ code: 1 });
    expect(await layout('--arch', 'riscv', '--mode', 'sv39', '--exit-code')).toMatchObject({ code: 0 });
  });

  test('draws one layout', async () => {
    const path = join(scratch, 'map.svg');
    expect(await layout('--arch', 'riscv', '--mode', 'sv48', '--svg', path)).toMatchObject({ code: 0, out: '' });
    expect(readFileSync(path, 'utf8')).toMatch(/^<svg /);
    expect((await layout('--arch', 'riscv', '--mode', 'sv48', '--svg', '-')).out).toContain('vmemmap');
    expect(await layout('--arch', 'riscv', '--svg', path)).toMatchObject({ code: 2 });
    expect((await layout('--arch', 'riscv', '--mode', 'sv48', '--svg', scratch)).err).toContain('it is a directory');
  });

  test.each([
    [[], '--arch is missing'],
    [['--arch', 'vax'], "'vax' is not one of"],
    [['--arch', 'riscv', '--mode', 'sv40'], "--mode: 'sv40' is not one of sv32, sv39, sv48, sv57"],
    [['--arch', 'riscv', '--profile', '4.4'], 'no layout is known for that'],
    [['--arch', 'riscv', '--mode', 'sv57', '--profile', '5.17'], 'no layout with sv57'],
    [['--arch', 'riscv', '--mode', 'sv32', '--kasan'], 'Linux has no KASAN on RV32'],
    [['--arch', 'riscv', '--memory', '0x80000000'], '--memory:'],
    [['--arch', 'riscv', '--struct-page', 'many'], '--struct-page:'],
    [['--arch', 'riscv', '--memory', '0x80000000+2G,0xc0000000+1G'], '0x80000000+2G and 0xc0000000+1G overlap'],
    [['--arch', 'riscv', '--mode', 'sv48', '--kernel-start', '0x1'], '[layout-kernel]'],
    [['--arch', 'riscv', '--svg', '-'], '--svg draws one layout, there are 3 (sv39, sv48, sv57): give --mode'],
    [['--check', 'nowhere.json'], 'no such file'],
  ])('refuses %j', async (args, message) => {
    const { code, err, out } = await layout(...args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
  });
});

describe('layout --check', () => {
  test('accepts what --json prints, and finds what was broken in it', async () => {
    const printed = (await layout('--arch', 'riscv', '--kasan', '--json')).out;
    const sound = await layout('--check', file('sound.json', printed));
    expect(sound.code).toBe(0);
    expect(sound.out).toMatch(/3 layouts, 0 errors, 1 warning\n$/);
    const [sv39] = printed.split('\n');
    const broken = (sv39 ?? '')
      .replace('"start":"0xffffffc600000000"', '"start":"0xffffffc500800000"')
      .replace(/"size":"[^"]*",/g, '');
    const found = await layout('--check', file('broken.json', broken), '--json');
    expect(found.code).toBe(1);
    expect(await layout('--check', file('broken.json', broken), '--exit-code')).toMatchObject({ code: 1 });
    expect(await layout('--check', file('sound.json', printed), '--exit-code')).toMatchObject({ code: 0 });
    const drawn = await layout('--check', file('sound.json', printed), '--svg', '-');
    expect([drawn.code, drawn.err]).toEqual([2, expect.stringContaining('give --check a file with one')]);
    expect(found.lines[0]).toMatchObject({
      type: 'finding',
      severity: 'error',
      rule: 'overlap',
      layout: 'sv39',
      regions: ['vmemmap', 'vmalloc'],
      values: { start: '0xffffffc500800000', end: '0xffffffc600000000', bytes: '0xff800000' },
    });
  });

  test('finds that two modes were given different shadow offsets', async () => {
    const one = file(
      'one.json',
      (await layout('--arch', 'riscv', '--mode', 'sv39', '--profile', '5.16', '--kasan', '--json')).out,
    );
    const two = file('two.json', (await layout('--arch', 'riscv', '--mode', 'sv48', '--kasan', '--json')).out);
    const { code, out } = await layout('--check', one, two);
    expect(code).toBe(1);
    expect(out).toContain('the shadow offset of sv39 does not serve sv48');
  });

  test('uses the rules in the file, with or without an architecture', async () => {
    const own = {
      name: 'sv39',
      regions: [
        { name: 'linear', start: '0xffffffd600001000', size: '0x1000' },
        { name: 'far', start: '0x8000000000', size: '0x1000' },
      ],
    };
    const bare = await layout('--check', file('own.json', own));
    expect(bare).toMatchObject({ code: 0 });
    const asked = await layout('--check', file('own.json', own), '--arch', 'riscv');
    expect(asked.code).toBe(1);
    expect(asked.out).toContain('far holds addresses that do not exist in sv39');
    expect(asked.out).toContain('the start of linear is no multiple of 1G');
    const named = await layout(
      '--check',
      file('named.json', { ...own, arch: 'riscv', rules: { alignment: [], order: ['linear', 'far'] } }),
    );
    expect(named.out).toContain('linear should lie below far');
    expect(named.out).not.toContain('no multiple of 1G');
    const ruled = { ...own, name: 'own', rules: { pageBytes: '0x10000' } };
    expect((await layout('--check', file('ruled.json', ruled))).out).toContain(
      'linear does not begin and end at a page',
    );
  });

  test('says where a file is wrong', async () => {
    const { code, err } = await layout(
      '--check',
      file('bad.json', '{"name":"x","regions":[{"name":"a","start":"0"}]}'),
    );
    expect(code).toBe(2);
    expect(err).toContain("bad.json: region 1 a: 'end' or 'size' is missing");
    const unknown = await layout('--check', file('arch.json', { name: 'x', arch: 'vax', regions: [] }));
    expect(unknown).toMatchObject({ code: 2 });
  });
});
