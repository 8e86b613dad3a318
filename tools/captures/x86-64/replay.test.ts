/** The shipped captures of x86-64 kernels, against what QEMU said of the same tables. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { run } from '@pagefold/cli';
import { type Capture, createSpace, eachTable, hex, leaves, mappedRanges, walk } from '@pagefold/core';
import { openImage } from '@pagefold/image/node';
import { linuxX86Predicates, x86 } from '@pagefold/x86-64';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { replayOracle } from '../../kernels/replay.ts';

const fixtures = new URL('../../fixtures/', import.meta.url).pathname;
// A folder without a facts file is of another kind (accesses, not tables).
const captures = readdirSync(fixtures).filter((name) => {
  return name.startsWith('x86_64-') && existsSync(join(fixtures, name, 'registers.json'));
});
const ALL = { start: 0n, end: 1n << 64n };

interface Facts extends Capture {
  readonly roots: Readonly<Record<string, { readonly leaf_entries: number }>>;
  readonly levels: number;
  readonly cpu: { readonly maxphyaddr: number };
  readonly user_regions: readonly { readonly what: string; readonly start: string; readonly bytes: string }[];
}

/** What the monitor printed, by root. */
function printed(path: string): Map<string, string[]> {
  const byRoot = new Map<string, string[]>();
  let lines: string[] = [];
  for (const line of gunzipSync(readFileSync(path)).toString('utf8').split('\n').filter(Boolean)) {
    const label = /^root (\S+)$/.exec(line)?.[1];
    if (label === undefined) {
      lines.push(line);
      continue;
    }
    lines = [];
    byRoot.set(label, lines);
  }
  return byRoot;
}

/** A number as QEMU prints it; what ends the address space is 0. */
function digits(value: bigint): string {
  return BigInt.asUintN(64, value).toString(16).padStart(16, '0');
}

it('there is one of each number of levels', () => {
  expect(captures).toEqual(['x86_64-4level-6.12', 'x86_64-5level-6.12']);
});

describe.each(captures)('%s', (name) => {
  const folder = join(fixtures, name);
  const facts = JSON.parse(readFileSync(join(folder, 'registers.json'), 'utf8')) as Facts;
  const labels = Object.keys(facts.roots);
  let image: Awaited<ReturnType<typeof openImage>>;
  beforeAll(async () => {
    image = await openImage([join(folder, 'tables.elf.gz')]);
  });
  afterAll(() => image.close());
  const spaceOf = (label: string) => createSpace(image.memory, x86.captureRoots(facts, label, {}));

  it('every answer of the emulator is ours', async () => {
    const roots = await replayOracle(folder);
    expect(roots.map(({ root }) => root)).toEqual(labels);
    for (const { disagreements, total, agreed } of roots) {
      expect(disagreements).toEqual([]);
      expect(agreed).toBe(total);
      expect(total).toBeGreaterThan(3000);
    }
  });

  const rights = join(folder, 'mem.txt.gz');
  it.each(existsSync(rights) ? labels : [])(
    '%s: rights of all levels together are what the emulator prints',
    (label) => {
      const joined: { start: bigint; end: bigint; may: string }[] = [];
      for (const { start, end, fields } of mappedRanges(spaceOf(label), ALL)) {
        const may = `${fields.us === 1 ? 'u' : '-'}r${fields.rw === 1 ? 'w' : '-'}`;
        const last = joined[joined.length - 1];
        if (last !== undefined && last.end === start && last.may === may) last.end = end;
        else joined.push({ start, end, may });
      }
      const ours = joined.map(({ start, end, may }) => `${digits(start)}-${digits(end)} ${digits(end - start)} ${may}`);
      expect(ours).toEqual(printed(rights).get(label));
    },
  );

  it.each(labels)('%s: every leaf with its flags is what the emulator prints', (label) => {
    const space = spaceOf(label);
    const paging = space.roots[0]?.paging;
    const ours = leaves(space, ALL).map(({ start, pa, level, entry }) => {
      const { nx, g, ps, pat, d, a, pcd, pwt, us, rw } = paging?.decode(level, entry).fields ?? {};
      // Bit 7 is shown as P, whatever it means.
      const flags = [nx, g, level === 0 ? pat : ps, d, a, pcd, pwt, us, rw];
      const shown = flags.map((flag, at) => (flag === 1n ? 'XGPDACTUW'[at] : '-')).join('');
      return `${digits(start)}: ${digits(pa)} ${shown}`;
    });
    expect(ours).toEqual(printed(join(folder, 'tlb.txt.gz')).get(label));
  });

  it('the file holds exactly the tables that are reached, and nothing in them is odd', () => {
    const tables = new Set<bigint>();
    for (const label of labels) {
      const odd: string[] = [];
      const found = leaves(spaceOf(label), ALL, { odd: ({ va, reasons }) => odd.push(`${hex(va)} ${reasons.join()}`) });
      expect(odd.filter((text) => !text.endsWith('not_present'))).toEqual([]);
      expect(found.length).toBe(facts.roots[label]?.leaf_entries);
      eachTable(spaceOf(label), ALL, ({ address }) => void tables.add(address));
    }
    expect(tables.size).toBe(facts.tables);
  });

  it('pages that nobody may touch are present to the kernel, their numbers inverted', () => {
    const { start = '', bytes = '' } = facts.user_regions.find(({ what }) => what === 'none') ?? {};
    const { pte } = linuxX86Predicates();
    const seen = new Set<bigint>();
    for (let va = BigInt(start); va < BigInt(start) + BigInt(bytes); va += 4096n) {
      const entry = walk(spaceOf('user'), va).steps.at(-1)?.entry ?? 0n;
      expect([pte.present(entry), pte.protnone(entry), pte.write(entry)]).toEqual([true, true, false]);
      // As it stands in the entry, no memory is there.
      expect(entry & (1n << 51n)).not.toBe(0n);
      expect(pte.pfn(entry) << 12n).toBeLessThan(1n << BigInt(facts.cpu.maxphyaddr));
      seen.add(pte.pfn(entry));
    }
    expect(seen.size).toBe(Number(bytes) / 4096);
  });

  it('the command reads it by its facts file alone', async () => {
    let out = '';
    const files = ['--image', join(folder, 'tables.elf.gz'), '--registers', join(folder, 'registers.json')];
    const code = await run(['walk', ...files, '--root', 'user', '0x10000'], {
      out: (text) => {
        out += text;
      },
      err: () => undefined,
    });
    expect(code).toBe(0);
    expect(out).toContain(`level ${facts.levels}  PGD`);
    expect(out).toMatch(/level 1 {2}PTE .*page 4K/);
    expect(existsSync(join(folder, 'README.md'))).toBe(true);
  });
});
