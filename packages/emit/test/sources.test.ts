import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AddressSpace, createSpace, phys, readWord, SparseMemory, writeWord } from '@pagefold/core';
import { describe, expect, test } from 'vitest';
import { collectTables, cSource, EmitError, gasSource, tableBinary, tablesDocument, tablesJson } from '../src/index.ts';
import { captureSpace, captureSpaces, oddPaging, oddSpace, smallSpace } from './spaces.ts';
import { runTool, toolMissing } from './tools.ts';

/** Makes an object of a source and looks at it; `look` may write into the folder. */
function withObject<T>(tool: 'cc' | 'as', source: string, look: (object: string, folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'pagefold-'));
  try {
    const object = join(folder, 'tables.o');
    const input = join(folder, tool === 'cc' ? 'tables.c' : 'tables.s');
    writeFileSync(input, source);
    const strict = ['-std=c99', '-Wall', '-Wextra', '-Wpedantic', '-Werror', '-O2', '-c'];
    runTool(tool, tool === 'cc' ? [...strict, '-o', object, input] : ['-o', object, input]);
    return look(object, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The bytes of the sections of an object by symbol. */
function sections(tool: 'cc' | 'as', source: string, symbols: readonly string[]): Map<string, Buffer> {
  return withObject(tool, source, (object, folder) => {
    const bytesOf = (symbol: string): Buffer => {
      const out = join(folder, 'bytes');
      runTool('objcopy', ['-O', 'binary', '--only-section', `.tables.${symbol}`, object, out]);
      return readFileSync(out);
    };
    return new Map(symbols.map((symbol) => [symbol, bytesOf(symbol)]));
  });
}

/** The symbols of an object, in rising order of their names. */
function symbolsOf(tool: 'cc' | 'as', source: string): string[] {
  const text = withObject(tool, source, (object) => runTool('nm', ['--format=posix', object]));
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => line.split(' ')[0] ?? '').sort();
}

const symbolOf = (label: string): string => label.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_');

const spaces: readonly [string, () => AddressSpace][] = [
  ['a small Sv39 tree', smallSpace],
  ['32-bit entries', () => oddSpace('odd root; /* not a comment */ ä')],
  ['a captured kernel', () => captureSpace('kernel')],
];

describe.each(spaces)('%s as source', (_, make) => {
  const section = '.tables.';

  test.skipIf(toolMissing('cc', 'objcopy'))('cc gives the same bytes', () => {
    const tables = collectTables(make());
    const found = sections(
      'cc',
      cSource(make(), { section }),
      tables.map(({ label }) => symbolOf(label)),
    );
    for (const { label, bytes } of tables) expect(found.get(symbolOf(label))?.equals(bytes)).toBe(true);
  });

  test.skipIf(toolMissing('as', 'objcopy'))('as gives the same bytes', () => {
    const tables = collectTables(make());
    const found = sections(
      'as',
      gasSource(make(), { section }),
      tables.map(({ label }) => symbolOf(label)),
    );
    for (const { label, bytes } of tables) expect(found.get(symbolOf(label))?.equals(bytes)).toBe(true);
  });

  test.skipIf(toolMissing('cc', 'nm'))('a compiler that optimizes keeps every table', () => {
    const symbols = collectTables(make()).map(({ label }) => symbolOf(label));
    for (const linkage of ['extern', 'static'] as const) {
      expect(symbolsOf('cc', cSource(make(), { linkage }))).toEqual([...symbols].sort());
    }
    expect(cSource(make())).toBe(cSource(make(), { linkage: 'extern' }));
  });

  test('is the same each time', () => {
    expect(cSource(make())).toBe(cSource(make()));
    expect(gasSource(make())).toBe(gasSource(make()));
    expect(tablesJson(make())).toBe(tablesJson(make()));
  });
});

describe('the text of sources', () => {
  test('says what entries mean', () => {
    const text = cSource(smallSpace());
    expect(text).toContain(
      '/* kernel.PGD: PGD (level 2) of riscv64 sv39 at 0x80001000, root */\n#define KERNEL_PGD_ADDRESS UINT64_C(0x80001000)\n' +
        'const uint64_t kernel_pgd[512] __attribute__((aligned(4096))) = {\n',
    );
    expect(text).toContain('/* 0xffffffff80000000-0xffffffffc0000000 table kernel_pmd_1 at 0x80002000: v */');
    expect(text).toContain('/* 0xffffffff80000000-0xffffffff80200000 leaf 2M at 0x80200000: d a x r v */');
    expect(text).toContain('malformed (w_without_r) */');
    expect(text).toContain(
      '[301] = UINT64_C(0x000000000000abc0), /* 0xffffffcb40000000-0xffffffcb80000000 empty (v_clear) */',
    );
    expect(text).not.toMatch(/\[0\] = UINT64_C\(0x0+\)/);
  });

  test('leaves comments out on request, takes prefixes, refuses bad ones', () => {
    const plain = gasSource(smallSpace(), { comments: false, prefix: 'boot_', global: true });
    expect(plain).toContain('  .balign 4096\n  .globl boot_kernel_pgd\nboot_kernel_pgd:\n  .quad 0x');
    expect(plain).not.toContain('[300]');
    expect(cSource(smallSpace(), { linkage: 'static' })).toContain(
      '\nstatic const uint64_t kernel_pgd[512] __attribute__((aligned(4096), used)) = {\n',
    );
    expect(() => cSource(smallSpace(), { prefix: '1' })).toThrow(EmitError);
    expect(() => gasSource(smallSpace(), { section: '.x"' })).toThrow(EmitError);
  });

  test('32-bit entries are 32-bit words', () => {
    expect(gasSource(oddSpace())).toContain('  .long 0x12345a36 /* [0] 0x00000000-0x00001000 leaf 4K at 0xa12345000');
    expect(cSource(oddSpace())).toContain('\nconst uint32_t root_level_0_0[256] __attribute__((aligned(1024)))');
    expect(cSource(oddSpace())).toContain('permission=some');
  });
});

describe('a table that several entries share', () => {
  test('is one table with all its uses', () => {
    const tables = collectTables(oddSpace());
    expect(tables.map(({ label, uses }) => [label, uses.map(({ slot }) => slot)])).toEqual([
      ['root.level 1', [undefined]],
      ['root.level 0.0', [0x4000_4000n]],
      ['root.level 0.1', [0x4000_4004n, 0x4000_4008n]],
    ]);
    expect(tablesDocument(oddSpace()).tables[2]?.slots).toEqual(['0x40004004', '0x40004008']);
  });

  test('and all below it are looked through once', () => {
    // Three tables, each linked from every entry of the one above: 512^3 ways down.
    const memory = new SparseMemory([{ start: 0n, end: 0x10000n }]);
    const space = captureSpace('kernel');
    const [root] = space.roots;
    if (root === undefined) throw new Error('no root');
    for (let level = 0; level < 3; level++) {
      for (let i = 0; i < 512; i++)
        writeWord(memory, phys(0x1000 * (level + 1) + i * 8), BigInt(level + 2) * 0x400n + 1n);
    }
    const deep = createSpace(memory, { paging: root.paging, address: 0x1000n });
    expect(collectTables(deep).map(({ uses }) => uses.length)).toEqual([1, 512, 512, 512]);
    expect(tablesDocument(deep, { mapped: false }).tables).toHaveLength(4);
  });

  test('a table that points to itself serves at every level', () => {
    const memory = new SparseMemory([{ start: 0n, end: 0x10000n }]);
    const [root] = captureSpace('kernel').roots;
    if (root === undefined) throw new Error('no root');
    writeWord(memory, phys(0x1000n), 0x401n);
    const [table, ...others] = collectTables(createSpace(memory, { paging: root.paging, address: 0x1000n }));
    expect(others).toEqual([]);
    expect(table?.uses.map(({ level }) => level)).toEqual([3, 2, 1, 0]);
  });
});

describe('tables outside memory', () => {
  test('are refused or passed over', () => {
    const memory = new SparseMemory([{ start: 0x4000n, end: 0x8000n }]);
    writeWord(memory, phys(0x4000n), 0x9001n, 4);
    const space = createSpace(memory, { paging: oddPaging, address: 0x4000n });
    expect(() => collectTables(space)).toThrow(/no-memory/);
    expect(collectTables(space, { missing: 'skip' })).toHaveLength(1);
    expect(() => collectTables([space, oddSpace()])).toThrow(/memory-differs/);
    expect(() => collectTables([])).toThrow(/memory-differs/);
  });
});

describe('one blob', () => {
  test.skipIf(toolMissing('as', 'objcopy'))('has at each offset what an assembler makes of the source', () => {
    for (const make of [smallSpace, oddSpace]) {
      const { bytes, manifest } = tableBinary(make());
      const symbols = manifest.tables.map(({ label }) => symbolOf(label));
      const found = sections('as', gasSource(make(), { section: '.tables.' }), symbols);
      const pieces = manifest.tables.map(({ offset, bytes: size }) => bytes.subarray(offset, offset + size));
      expect(symbols.map((symbol, i) => found.get(symbol)?.equals(pieces[i] ?? Buffer.of()))).toEqual(
        symbols.map(() => true),
      );
    }
  });

  test('holds every table at its offset and zeros between', () => {
    const { base, bytes, manifest } = tableBinary(oddSpace());
    expect(base).toBe(0x4000_4000n);
    expect(manifest).toEqual({
      base: '0x40004000',
      size: 0x5000,
      roots: [{ label: 'root', address: '0x40004000', table: 'root.level 1', format: 'odd32', geometry: 'odd' }],
      tables: [
        { label: 'root.level 1', level: 1, name: 'level 1', address: '0x40004000', offset: 0, bytes: 0x4000 },
        { label: 'root.level 0.0', level: 0, name: 'level 0', address: '0x40008400', offset: 0x4400, bytes: 0x400 },
        { label: 'root.level 0.1', level: 0, name: 'level 0', address: '0x40008c00', offset: 0x4c00, bytes: 0x400 },
      ],
    });
    const view = new DataView(bytes.buffer);
    expect(view.getUint32(0x4400, true)).toBe(0x1234_5a36);
    expect(view.getUint32(0x4000, true)).toBe(0);
  });

  test('is refused if it would be mostly holes', () => {
    expect(() => tableBinary(captureSpaces())).toThrow(/range-large/);
    expect(() => tableBinary(captureSpaces(), { maxBytes: 0 })).toThrow(/option/);
  });
});

describe('JSON', () => {
  test('has the entries that are not zero and what is mapped', () => {
    const document = JSON.parse(tablesJson(smallSpace())) as ReturnType<typeof tablesDocument>;
    expect(document.roots).toEqual([
      { label: 'kernel', address: '0x80001000', table: 'kernel.PGD', format: 'riscv64', geometry: 'sv39' },
    ]);
    const [pgd] = document.tables;
    expect(pgd?.entries.map(({ index, kind }) => [index, kind])).toEqual([
      [0, 'table'],
      [256, 'leaf'],
      [257, 'leaf'],
      [300, 'malformed'],
      [301, 'empty'],
      [510, 'table'],
    ]);
    expect(pgd?.entries[1]).toMatchObject({ va: '0xffffffc000000000', address: '0x80000000', leafBytes: '0x40000000' });
    expect(document.mapped?.[0]?.map(({ start, pa }) => [start, pa])).toContainEqual([
      '0xffffffff80000000',
      '0x80200000',
    ]);
  });

  test('says for every entry of a capture what memory says', () => {
    const spaces = captureSpaces();
    const { tables } = tablesDocument(spaces);
    expect(tables).toHaveLength(234);
    const memory = spaces[0]?.memory;
    if (memory === undefined) throw new Error('no memory');
    const wrong: string[] = [];
    for (const { address, entries } of tables) {
      const words = new Map(entries.map(({ index, entry }) => [index, BigInt(entry)]));
      for (let i = 0; i < 512; i++) {
        const slot = phys(BigInt(address) + BigInt(i * 8));
        if (readWord(memory, slot) !== (words.get(i) ?? 0n)) wrong.push(`${address}[${i}]`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
