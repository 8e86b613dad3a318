/** `pagefold build`: lists of regions in, tables out; what was built is read back by the other commands. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { pagefold } from './run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'pagefold-build-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let files = 0;
function file(content: unknown, extension = 'json'): string {
  const path = join(scratch, `list${files++}.${extension}`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const ram = { name: 'ram', va: '0x40000000', pa: '0x80000000', size: '0x603000', attributes: 'rw' };
const text = {
  name: 'text',
  va: '0x80000000',
  pa: '0x90000000',
  size: '2M',
  attributes: { read: true, execute: true },
};
const uart = { name: 'uart', va: '0xa0000000', pa: '0x10000000', size: '64K', attributes: 'rw device' };
const tables = '0x88000000+1M';
const regions = [ram, text, uart];

const machines = [
  ['riscv sv39', { arch: 'riscv', mode: 'sv39', root: '0x87f00000' }],
  ['arm64 4K', { arch: 'arm64', granule: '4K', 'va-bits': 48, root: '0x87f00000' }],
  ['arm64 16K', { arch: 'arm64', granule: '16K', 'va-bits': 47, root: '0x87f00000', size: '0x600000' }],
  ['arm short', { arch: 'arm', root: '0x87f04000' }],
  ['arm LPAE', { arch: 'arm', ttbcr: '0x80000000', root: '0x87f00000' }],
  ['x86-64', { arch: 'x86-64', levels: '4', root: '0x87f00000' }],
] as const;

describe('build', () => {
  test.each(machines)('%s: the ELF is read by dump with the registers of the report', async (_, { ...machine }) => {
    const { size, ...options } = machine as typeof machine & { size?: string };
    const list = size === undefined ? regions : [{ ...ram, size }, text, uart];
    const path = file({ ...options, tables, regions: list });
    const elf = join(scratch, 'tables.elf');
    const built = await pagefold('build', path, '--out', elf);
    expect(built).toMatchObject({ code: 0, err: '' });
    const words = /^read it with: pagefold (.*)$/m.exec(built.out)?.[1]?.split(' ') as string[];
    const dumped = await pagefold(...words, '--json');
    expect(dumped).toMatchObject({ code: 0, err: '' });
    const found = dumped.out
      .trim()
      .split('\n')
      .map(
        (line) => JSON.parse(line) as { start: string; end: string; pa: string; permissions: Record<string, unknown> },
      );
    for (const region of list) {
      const start = BigInt(region.va);
      const bytes = region.size === '2M' ? 0x20_0000n : region.size === '64K' ? 0x1_0000n : BigInt(region.size);
      const own = found.filter((each) => BigInt(each.start) >= start && BigInt(each.start) < start + bytes);
      let at = start;
      for (const each of own) {
        expect(BigInt(each.start)).toBe(at);
        expect(BigInt(each.pa)).toBe(BigInt(region.pa) + at - start);
        expect(each.permissions).toMatchObject({ write: region !== text, execute: region === text, user: false });
        at = BigInt(each.end);
      }
      expect(at).toBe(start + bytes);
    }
    const spans = found.reduce((sum, each) => sum + BigInt(each.end) - BigInt(each.start), 0n);
    expect(spans).toBe((size === undefined ? 0x60_3000n : 0x60_0000n) + 0x20_0000n + 0x1_0000n);
  });

  test('writes every format, the same bytes each time', async () => {
    const path = file({ arch: 'riscv', mode: 'sv39', tables, regions });
    const names = ['a.bin', 'a.elf', 'a.c', 'a.s', 'a.json', 'a.elf.gz'];
    const write = async (turn: string): Promise<Buffer[]> => {
      const paths = names.map((name) => join(scratch, turn + name));
      expect((await pagefold('build', path, ...paths.flatMap((each) => ['--out', each]))).code).toBe(0);
      return paths.map((each) => readFileSync(each));
    };
    const [first, second] = [await write('one-'), await write('two-')];
    expect(second).toEqual(first);
    const [bin, elf, c, gas, json, gz] = first as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];
    // The root is taken from the tables' range where none is named: the blob begins with it.
    expect(bin.length % 4096).toBe(0);
    expect(elf.readUInt16LE(18)).toBe(243);
    expect(gunzipSync(gz).equals(elf)).toBe(true);
    expect(c.toString()).toContain('UINT64_C(');
    expect(gas.toString()).toContain('.quad');
    expect(JSON.parse(json.toString())).toHaveProperty('tables');
  });

  test('reports registers, levels and regions', async () => {
    const path = file({ arch: 'riscv', mode: 'sv39', root: '0x87f00000', tables, regions });
    const { out } = await pagefold('build', path, '--json');
    const report = JSON.parse(out) as Record<string, unknown>;
    expect(report).toMatchObject({
      arch: 'riscv',
      registers: { satp: '0x8000000000087f00' },
      tables: 5,
      size: '0x5000',
      levels: [
        { level: 2, tables: 1 },
        { level: 1, tables: 2 },
        { level: 0, tables: 2 },
      ],
      regions: [
        { name: 'ram', tables: 2, own: 2 },
        { name: 'text', tables: 1, own: 0 },
        { name: 'uart', tables: 1, own: 1 },
      ],
    });
  });

  test('plans without writing, and says what would save tables', async () => {
    const path = file({ arch: 'riscv', mode: 'sv39', regions });
    const { code, out } = await pagefold('build', path, '--plan');
    expect(code).toBe(0);
    expect(out).toContain('5 tables, 20K');
    expect(out).toContain('align ram to 2M to save 1 table');
    expect(out).toContain('align uart to 2M to save 1 table');
  });

  test('keeps to a budget: nothing is written, exit code 1', async () => {
    const path = file({ arch: 'riscv', mode: 'sv39', tables, regions });
    const out = join(scratch, 'budget.bin');
    const over = await pagefold('build', path, '--out', out, '--max-tables', '4');
    expect([over.code, existsSync(out)]).toEqual([1, false]);
    expect(over.err).toContain('5 tables are needed, --max-tables allows 4');
    expect((await pagefold('build', path, '--out', out, '--max-tables', '5')).code).toBe(0);
  });

  test('options on the command line go before those of the file', async () => {
    const path = file({ arch: 'riscv', mode: 'sv39', tables, regions });
    const { out } = await pagefold('build', path, '--mode', 'sv48', '--tables', '0x100000+1M', '--json');
    expect(JSON.parse(out)).toMatchObject({ roots: [{ geometry: 'sv48', pa: '0x100000' }] });
  });

  test('takes limits, fields and raw bits; says what is lost', async () => {
    const list = [
      { ...ram, size: '4M', maxLeaf: '4K', attributes: '0xc7' },
      { ...uart, attributes: { r: 1, w: 1, a: 1, d: 1, pbmt: 'io' }, contiguous: false },
      { ...text, attributes: { read: true, shareability: 'inner' } },
    ];
    const path = file({ arch: 'riscv', mode: 'sv39', tables, regions: list });
    const report = JSON.parse((await pagefold('build', path, '--json')).out) as { regions: unknown[] };
    expect(report.regions).toMatchObject([
      { leaves: [{ size: '0x1000', count: 1024 }], lost: [] },
      { leaves: [{ size: '0x1000', count: 16 }] },
      { lost: ['shareability'] },
    ]);
  });

  test('reads memory maps of ADDRESS, SIZE, TYPE, NAME', async () => {
    const path = file('# a board\n0x40000000, 180K, CODE, rom\n0x6b220000, 4K, DEVICE, uart\n', 'csv');
    const options = ['--arch', 'arm64', '--granule', '4K', '--va-bits', '39', '--tables', '0x50000000+64K'];
    const { out } = await pagefold('build', path, ...options, '--json');
    expect(JSON.parse(out)).toMatchObject({
      tables: 4,
      regions: [
        { name: 'rom', va: '0x40000000', pa: '0x40000000', size: '0x2d000' },
        { name: 'uart', va: '0x6b220000' },
      ],
    });
  });

  const good = { arch: 'riscv', mode: 'sv39', tables, regions };
  test.each([
    ['no such file', undefined, 'no such file'],
    ['not JSON', '{', 'not JSON'],
    ['a list', '[]', 'not a JSON object'],
    ['no regions', { ...good, regions: [] }, 'regions: there are none'],
    ['no architecture', { ...good, arch: undefined }, 'arch is missing'],
    ['an unknown option', { ...good, pages: 3 }, "'pages' is no option of riscv"],
    ['an option of another', { ...good, granule: '4K' }, "'granule' is no option of riscv"],
    ['an option that is no word', { ...good, mode: true }, 'mode: true is not a word'],
    ['a list that is a flag', { ...good, features: false }, 'features: false is not a list'],
    ['no tables', { ...good, tables: undefined }, 'tables are missing'],
    ['too few tables', { ...good, tables: '0x88000000+8K' }, 'tables are needed'],
    ['an empty range', { ...good, tables: '0x2000-0x1000' }, 'tables: '],
    ['a root that is not aligned', { ...good, root: '0x80000010' }, '0x80000010'],
    ['an unknown member', { ...good, regions: [{ ...ram, sizes: 1 }] }, "regions[0] (ram): no member 'sizes'"],
    ['no size', { ...good, regions: [{ ...ram, size: undefined }] }, 'regions[0] (ram).size'],
    ['part of a page', { ...good, regions: [{ ...ram, size: '100' }] }, 'region ram: '],
    ['a hole of addresses', { ...good, regions: [{ ...ram, va: '0x8000000000' }] }, 'region ram: '],
    ['a physical address too high', { ...good, regions: [{ ...ram, pa: '0x100000000000000' }] }, 'region ram: '],
    ['an unknown word', { ...good, regions: [{ ...ram, attributes: 'rwz' }] }, "'rwz' is none of"],
    ['an unknown field', { ...good, regions: [{ ...ram, attributes: { q: 1 } }] }, "no attribute or field 'q'"],
    ['write without read', { ...good, regions: [{ ...ram, attributes: { w: 1 } }] }, 'region ram: '],
    ['one name twice', { ...good, regions: [ram, { ...text, name: 'ram' }] }, 'two regions have one name'],
    [
      'an overlap',
      { ...good, regions: [ram, { ...uart, va: '0x40600000' }] },
      'regions ram and uart overlap: start 0x40600000, end 0x40603000',
    ],
  ])('%s: one clear line, nothing written', async (_, content, message) => {
    const path = content === undefined ? join(scratch, 'nowhere.json') : file(content);
    const out = join(scratch, 'bad.bin');
    const { code, err, out: printed } = await pagefold('build', path, '--out', out);
    expect([code, printed, err.trim().split('\n').length, existsSync(out)]).toEqual([2, '', 1, false]);
    expect(err).toContain(message);
  });

  // Registers keep flags below the address of a root.
  test.each([
    [{ arch: 'x86-64' }, '0x1000'],
    [{ arch: 'arm64', granule: '4K', 'va-bits': 48 }, '0x1000'],
    [{ arch: 'arm' }, '0x4000'],
    [{ arch: 'arm', ttbcr: '0x80000000' }, '0x20'],
  ])('a root that is not aligned for %j: one clear line', async (options, unit) => {
    const path = file({ ...options, tables, regions: [ram], root: '0x80000001' });
    const { code, err } = await pagefold('build', path, '--plan');
    expect([code, err.trim().split('\n').length]).toEqual([2, 1]);
    expect(err).toContain(`no register can select 0x80000001: a root of`);
    expect(err).toContain(`is at a multiple of ${unit}\n`);
  });

  test.each([
    [['--out', 'x.bin', '--plan'], '--plan writes nothing'],
    [['--out', 'tables'], 'says no format'],
    [['--out', 'x.bin', '--format', 'pdf'], "'pdf' is not one of"],
    [['--format', 'bin'], 'more often than --out'],
    [['--out', 'x.bin', '--out', 'x.bin'], 'named twice'],
    [['--satp', '0x8000000000080000', '--root-address', '0x87f00000'], 'not where the registers'],
    [['--out', '/nowhere/at/all/x.bin'], 'cannot write'],
  ])('%j: one clear line', async (args, message) => {
    const { code, err } = await pagefold('build', file(good), ...args);
    expect([code, err.trim().split('\n').length]).toEqual([2, 1]);
    expect(err).toContain(message);
  });
});
