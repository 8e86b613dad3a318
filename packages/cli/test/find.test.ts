/** `pagefold find`: the roots of real kernels, found from their tables alone. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { jsonLines, pagefold } from './run-command.ts';

const fixtures = new URL('../../../tools/fixtures/', import.meta.url).pathname;

interface Found {
  readonly address: string;
  readonly form: string;
  readonly options: Readonly<Record<string, string>>;
  readonly mapsItself: boolean;
  readonly users: boolean;
}

async function find(name: string, ...args: string[]): Promise<Found[]> {
  const { code, out, err } = await pagefold('find', '--image', `${fixtures}${name}/tables.elf.gz`, '--json', ...args);
  expect([code, err]).toEqual([0, '']);
  return jsonLines(out) as unknown as Found[];
}

/** Physical addresses of the roots of a capture, by name. */
function rootsOf(name: string): Record<string, string> {
  const facts = JSON.parse(readFileSync(`${fixtures}${name}/registers.json`, 'utf8')) as {
    roots: Record<string, { root_pa: string }>;
  };
  return Object.fromEntries(Object.entries(facts.roots).map(([label, { root_pa }]) => [label, root_pa]));
}

describe('find', () => {
  test.each([
    ['riscv64-sv48-6.12', 'riscv', 'sv48'],
    ['riscv64-sv57-6.12', 'riscv', 'sv57'],
    ['x86_64-4level-6.12', 'x86-64', '4 levels'],
    ['x86_64-5level-6.12', 'x86-64', '5 levels'],
  ])('every root of %s, and nothing else', async (name, arch, form) => {
    const found = await find(name, '--arch', arch);
    const roots = rootsOf(name);
    expect(found.map(({ address }) => address).sort()).toEqual([...new Set(Object.values(roots))].sort());
    expect(new Set(found.map((root) => root.form))).toEqual(new Set([form]));
    const kernel = roots.init_top_pgt ?? roots.kernel;
    expect(found.find(({ address }) => address === kernel)).toMatchObject({ mapsItself: true, users: false });
  });

  test('roots of arm64, those that share no addresses with others among them', async () => {
    const name = 'arm64-16k-52-kaslr-6.12-early-after_paging_init';
    const found = await find(name, '--arch', 'arm64');
    // The reserved root is empty: nothing tells it from other memory that is zero.
    const { reserved_pg_dir: _, ...roots } = rootsOf(name);
    expect(found.map(({ address }) => address).sort()).toEqual(Object.values(roots).sort());
    expect(found[0]).toMatchObject({ form: '16K pages, 52 bits', address: roots.swapper_pg_dir, mapsItself: true });
  });

  test('with the options that open them', async () => {
    const name = 'riscv64-sv48-6.12';
    const [best] = await find(name, '--arch', 'riscv', '--mode', 'sv48', '--limit', '1');
    const options = Object.entries(best?.options ?? {}).flatMap(([option, value]) => [`--${option}`, value]);
    const image = ['--image', `${fixtures}${name}/tables.elf.gz`, '--arch', 'riscv'];
    const { out } = await pagefold('translate', ...image, ...options, '0xffffffff81c10180');
    expect(out).toBe('0xffffffff81c10180 -> 0x81e10180 2M leaf at level 1\n');
    const text = await pagefold('find', ...image, '--limit', '1');
    expect(text.out).toMatch(
      /^root +form +tables +bytes +leaves +in image +maps itself +users +options\n0x[0-9a-f]+ +sv48/,
    );
    expect(text.out).toContain(options.join(' '));
    expect(text.out).toMatch(/and 1 more \(--limit 0 shows all\)\n$/);
  });

  test('nothing where there is nothing', async () => {
    const image = [
      '--image',
      `${fixtures}riscv64-sv48-6.12/tables.elf.gz`,
      '--arch',
      'riscv',
      '--within',
      '0x81fc0000+4K',
    ];
    expect(await pagefold('find', ...image)).toEqual({ code: 0, out: 'no table here could be a root\n', err: '' });
    expect((await pagefold('find', ...image, '--exit-code')).code).toBe(1);
  });

  test('ends soon in memory that is larger than its file, and beyond it', async () => {
    // An ELF core of 64 + 56 bytes: one segment, 4 TiB of zeros.
    const core = new DataView(new ArrayBuffer(120));
    [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1].forEach((byte, i) => {
      core.setUint8(i, byte);
    });
    core.setUint16(16, 4, true);
    core.setUint16(18, 243, true);
    core.setUint32(20, 1, true);
    core.setBigUint64(32, 64n, true);
    core.setUint16(52, 64, true);
    core.setUint16(54, 56, true);
    core.setUint16(56, 1, true);
    core.setUint32(64, 1, true);
    core.setBigUint64(64 + 40, 1n << 42n, true);
    const scratch = mkdtempSync(join(tmpdir(), 'pagefold-find-'));
    try {
      const path = join(scratch, 'zeros.elf');
      writeFileSync(path, new Uint8Array(core.buffer));
      const nothing = { code: 0, out: 'no table here could be a root\n', err: '' };
      expect(await pagefold('find', '--image', path, '--arch', 'riscv')).toEqual(nothing);
      const image = ['--image', `${fixtures}riscv64-sv48-6.12/tables.elf.gz`, '--arch', 'riscv', '--json'];
      const all = await pagefold('find', ...image);
      expect(await pagefold('find', ...image, '--within', '0+64P')).toEqual(all);
      expect(all.out).not.toBe('');
    } finally {
      rmSync(scratch, { recursive: true });
    }
  }, 30_000);

  test.each([
    [['--arch', 'riscv', '--satp', '0x8000000000080000'], /no satp and no root/],
    [['--arch', 'x86-64', '--cr3', '0x1000'], /no CR3/],
    [['--arch', 'arm64', '--ttbr1', '0x1000'], /no --ttbr1/],
    [['--arch', 'arm', '--ttbr0', '0x4000'], /no TTBR0/],
    [['--arch', 'arm', '--ttbcr', '0x2'], /TTBCR is 0 or EAE alone.*ttbcr 0x2/],
    [['--arch', 'riscv', '--granule', '4K'], /--granule is an option of arm64/],
    [['--arch', 'riscv', '--min-tables', '0'], /at least one table/],
    [['--arch', 'riscv', '--within', '0x100000000000000+4K'], /end <= 2\^56/],
    [[], /--arch is missing/],
  ])('refuses %j', async (args, message) => {
    const { code, out, err } = await pagefold('find', '--image', `${fixtures}riscv64-sv48-6.12/tables.elf.gz`, ...args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(message);
  });
});
