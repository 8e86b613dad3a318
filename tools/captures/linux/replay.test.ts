/** The shipped captures that `capture.py` made, against what QEMU and the kernels said of the same tables. */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { canRebuild, rebuild } from '../../kernels/rebuild.ts';
import { replayOracle } from '../../kernels/replay.ts';

const folder = (name: string) => fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));

describe('a moved kernel with 16K pages and 52 bits, early', () => {
  const capture = folder('arm64-16k-52-kaslr-6.12-early-after_paging_init');

  it('is translated as by the emulator', async () => {
    const roots = await replayOracle(capture);
    expect(roots.map(({ root }) => root)).toEqual([
      'reserved_pg_dir',
      'swapper_pg_dir',
      'init_idmap_pg_dir',
      'idmap_pg_dir',
      'init_pg_dir',
    ]);
    for (const { disagreements, agreed, total } of roots) expect([disagreements, agreed]).toEqual([[], total]);
    expect(roots.find(({ root }) => root === 'swapper_pg_dir')?.total).toBeGreaterThan(800);
  });

  it('is rebuilt from its description, byte for byte', async () => {
    expect(canRebuild(capture)).toBe(true);
    const roots = await rebuild(capture);
    for (const { differences, agreed, total } of roots) expect([differences, agreed]).toEqual([[], total]);
    expect(
      roots.find(({ root, what }) => root === 'swapper_pg_dir' && what.startsWith('tables'))?.total,
    ).toBeGreaterThan(40);
  });
});

describe('a running kernel with five levels', () => {
  it('is translated as by the emulator and the kernel', async () => {
    const capture = folder('riscv64-sv57-6.12');
    expect(canRebuild(capture)).toBe(false);
    const roots = await replayOracle(capture);
    expect(roots.map(({ root }) => root)).toEqual(['kernel', 'user']);
    for (const { disagreements, agreed, total, passed } of roots) {
      expect([disagreements, agreed]).toEqual([[], total]);
      // The program maps the zero page many times over: its entries do not continue each other.
      expect(passed.join()).toMatch(/^leaf list of \d+ runs agrees$/);
    }
  });
});
