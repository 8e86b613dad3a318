/** The search for roots: planted trees in noise, and a slow reference on memory in which almost anything is a table. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Architecture,
  ArgumentError,
  BumpAllocator,
  createSpace,
  type FoundRoot,
  findRoots,
  leaves,
  type Memory,
  map,
  type OptionValues,
  type Paging,
  phys,
  reachableTables,
  readWord,
  SparseMemory,
  TWO_64,
  writeWord,
} from '../src/index.ts';
import { numbers, seeds } from './random-tables.ts';
import { shortPaging, toyLeaf, toyPaging, toyTable } from './toy-format.ts';

const START = 0x10_0000n;
const PAGE = 0x1000n;

/** An architecture that has these pagings, by label. */
function machine(pagings: Readonly<Record<string, Paging>>, more: Partial<Architecture> = {}): Architecture {
  const pagingOf = ({ form }: OptionValues): Paging => pagings[String(form)] as Paging;
  return {
    ...{ name: 'toy', aliases: [], title: 'toy', registers: [], options: [], accessOptions: [], example: '' },
    roots: (values) => [{ paging: pagingOf(values), address: values.root as bigint }],
    paging: pagingOf,
    captureRoots: () => [],
    rootForms: () =>
      Object.keys(pagings).map((label) => ({ label, options: (address) => ({ form: label, root: address }) })),
    ...more,
  };
}

const within = (bytes: bigint): { start: bigint; end: bigint }[] => [{ start: START, end: START + bytes }];

/** Random words of several kinds: text, small numbers, addresses, anything. */
function noise(memory: Memory, bytes: bigint, number: (below: number) => number): void {
  const kinds = [
    () => BigInt(number(256)) * 0x0101_0101_0101_0101n,
    () => BigInt(number(1 << 12)),
    () => START + BigInt(number(Number(bytes))),
    () => (BigInt(number(2 ** 31)) << 33n) | BigInt(number(2 ** 31)),
    () => 0n,
  ];
  for (let at = START; at < START + bytes; at += 8n) writeWord(memory, phys(at), (kinds[number(5)] as () => bigint)());
}

/** Every entry of a table, level by level: nothing malformed, tables in memory. Says what is below. */
function reference(
  memory: Memory,
  paging: Paging,
  address: bigint,
  touches: (pa: bigint, bytes: bigint) => boolean,
): { tables: Set<string>; leaves: number; within: number } | undefined {
  const tables = new Set<string>();
  let mapped = 0;
  let within = 0;
  const fits = (table: bigint, level: number): boolean => {
    if (tables.has(`${level} ${table}`)) return true;
    tables.add(`${level} ${table}`);
    const { entries } = paging.codec(level).level;
    const bytes = paging.format.entryBytes;
    for (let i = 0; i < entries; i++) {
      let word: bigint;
      try {
        word = readWord(memory, phys(table + BigInt(i * bytes)), bytes);
      } catch {
        return false;
      }
      const entry = paging.decode(level, word);
      if (entry.kind === 'malformed') return false;
      if (entry.kind === 'leaf') {
        mapped++;
        if (touches(entry.address as bigint, entry.leafBytes as bigint)) within++;
      }
      if (entry.kind === 'table' && !fits(entry.address as bigint, level - 1)) return false;
    }
    return true;
  };
  return fits(address, paging.geometry.root.level) ? { tables, leaves: mapped, within } : undefined;
}

/** Builds a tree that maps its own memory, and something else. */
function plant(memory: Memory, paging: Paging, at: bigint, tables: bigint): void {
  for (let word = at; word < at + tables * PAGE; word += 8n) writeWord(memory, phys(word), 0n);
  const space = createSpace(memory, { paging, address: at });
  const { tableBytes } = paging.geometry.root;
  const allocator = new BumpAllocator(at + BigInt(tableBytes), at + tables * PAGE);
  const { start } = paging.geometry.ranges.at(-1) as { start: number };
  map(space, { va: BigInt(start), pa: START, bytes: 64n * PAGE, attributes: 0n, allocator });
  map(space, { va: BigInt(start) + (1n << 30n), pa: at, bytes: PAGE, attributes: 0n, allocator });
}

describe('a search for roots', () => {
  it.each(['toy3', 'toy4', 'toy5'])('finds a planted tree of %s in noise, and counts it', (form) => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const number = numbers(seed);
        const bytes = 0x6_0000n;
        const memory = new SparseMemory(within(bytes));
        noise(memory, bytes, number);
        const pagings = { toy3: toyPaging(3), toy4: toyPaging(4), toy5: toyPaging(5) };
        const paging = pagings[form as keyof typeof pagings];
        const address = START + BigInt(number(64)) * PAGE;
        plant(memory, paging, address, 16n);
        const [best] = findRoots(memory, machine(pagings), { within: within(bytes) });
        const found = best as FoundRoot;
        expect([found.form, found.address]).toEqual([form, address]);
        expect(found.options).toEqual({ form, root: address });
        const space = createSpace(memory, found.root);
        expect(found.tables).toBe(reachableTables(memory, [found.root]).length);
        expect(found.tableBytes).toBe(BigInt(found.tables) * PAGE);
        const all = leaves(space, { start: 0n, end: TWO_64 });
        expect([found.leaves, found.leavesWithin]).toEqual([all.length, all.length]);
        expect(found.mapsItself).toBe(true);
      }),
      { numRuns: 8 },
    );
  });

  it('takes what a slow search takes, but for what shares memory with something better', () => {
    fc.assert(
      fc.property(seeds, fc.constantFrom(2, 3), fc.integer({ min: 1, max: 3 }), (seed, levels, minTables) => {
        const number = numbers(seed);
        const pages = 12;
        const bytes = BigInt(pages) * PAGE;
        const memory = new SparseMemory(within(bytes));
        const paging = toyPaging(levels);
        // Few entries, most of them pointing to some page here: chains of tables come about, and loops.
        for (let page = 0; page < pages; page++) {
          for (let i = number(4); i > 0; i--) {
            const target = START + BigInt(number(pages + 1)) * PAGE;
            const word = number(3) === 0 ? toyLeaf(target) : toyTable(target);
            writeWord(memory, phys(START + BigInt(page) * PAGE + BigInt(number(512)) * 8n), word);
          }
        }
        const found = findRoots(memory, machine({ toy: paging }), { within: within(bytes), minTables });
        const touches = (pa: bigint, size: bigint): boolean => pa < START + bytes && pa + size > START;
        const taken = new Set<string>();
        const [best] = found;
        const whole = best !== undefined && best.leavesWithin * 2 >= best.leaves;
        for (const { address, tables, leaves: mapped, leavesWithin, mapsItself } of found) {
          const slow = reference(memory, paging, address, touches);
          expect(slow).toBeDefined();
          expect([tables, mapped, leavesWithin]).toEqual([slow?.tables.size, slow?.leaves, slow?.within]);
          expect(tables > 1 || mapsItself).toBe(true);
          for (const table of slow?.tables ?? []) taken.add(table);
        }
        for (let page = 0; page < pages; page++) {
          const address = START + BigInt(page) * PAGE;
          if (found.some((root) => root.address === address)) continue;
          const slow = reference(memory, paging, address, touches);
          if (slow === undefined || slow.leaves === 0 || slow.tables.size < Math.max(minTables, 2)) continue;
          if (whole && slow.within === 0) continue;
          // One of its tables stands at another level in something that was taken.
          const clash = [...slow.tables].some((own) => {
            const [level, table] = own.split(' ');
            return [...taken, ...slow.tables].some((one) => one.endsWith(` ${table}`) && !one.startsWith(`${level} `));
          });
          expect([address, clash]).toEqual([address, true]);
        }
      }),
      { numRuns: 80 },
    );
  });

  it('finds roots of 32-bit entries, larger than a page', () => {
    const bytes = 0x4_0000n;
    const memory = new SparseMemory(within(bytes));
    const root = START + 0x8000n;
    writeWord(memory, phys(root + 4n * 5n), 0x10_0401n, 4);
    writeWord(memory, phys(root + 4n * 6n), 0x10_0801n, 4);
    writeWord(memory, phys(0x10_0400n), 0x10_8002n, 4);
    writeWord(memory, phys(0x10_0bfcn), 0x20_0002n, 4);
    const found = findRoots(memory, machine({ short: shortPaging }), { within: within(bytes) });
    expect(found).toMatchObject([
      { address: root, tables: 3, tableBytes: 0x4800n, leaves: 2, leavesWithin: 1, mapsItself: true },
    ]);
  });

  it('lists every root that shares tables with others at their level', () => {
    const bytes = 0x10_0000n;
    const memory = new SparseMemory(within(bytes));
    const paging = toyPaging(3);
    plant(memory, paging, START, 16n);
    // A second root with a tree of its own beside a table of the first one.
    const other = START + 0x8_0000n;
    plant(memory, paging, other, 16n);
    writeWord(memory, phys(other + 8n * 7n), readWord(memory, phys(START + 8n * 256n)), 8);
    const found = findRoots(memory, machine({ toy: paging }), { within: within(bytes) });
    expect(found.map(({ address }) => address)).toEqual([other, START]);
  });

  it('leaves out what maps nothing that is there, if the best one maps what is', () => {
    const bytes = 0x10_0000n;
    const memory = new SparseMemory(within(bytes));
    const paging = toyPaging(3);
    plant(memory, paging, START, 16n);
    const other = START + 0x8_0000n;
    // A chain of tables whose only leaf maps memory elsewhere.
    writeWord(memory, phys(other), toyTable(other + PAGE));
    writeWord(memory, phys(other + PAGE), toyTable(other + 2n * PAGE));
    writeWord(memory, phys(other + 2n * PAGE), toyLeaf(1n << 40n));
    const search = (start: bigint) =>
      findRoots(memory, machine({ toy: paging }), { within: [{ start, end: START + bytes }] });
    expect(search(START).map(({ address }) => address)).toEqual([START]);
    expect(search(START + PAGE)).toMatchObject([{ address: other, leaves: 1, leavesWithin: 0 }]);
  });

  it('wants whole tables within what is searched, and follows pointers out of it', () => {
    const bytes = 0x2_0000n;
    const memory = new SparseMemory(within(bytes));
    const paging = toyPaging(3);
    plant(memory, paging, START + 0x1000n, 16n);
    const search = (start: bigint, end: bigint): number => {
      return findRoots(memory, machine({ toy: paging }), { within: [{ start, end }] }).length;
    };
    expect(search(START + 0x1000n, START + 0x2000n)).toBe(1);
    expect(search(START + 0x1008n, START + 0x2000n)).toBe(0);
    expect(search(START + 0x1000n, START + 0x1ff8n)).toBe(0);
    // Where there is no memory nothing is found, and it does not take long.
    expect(search(START + 0x1000n, 1n << 32n)).toBe(1);
  });

  it('sees a table that two windows hold', () => {
    const bytes = 0x2_0000n;
    const whole = new SparseMemory(within(bytes));
    const paging = toyPaging(3);
    plant(whole, paging, START + 0x1000n, 16n);
    const cut: Memory = {
      window(address) {
        const window = whole.window(address);
        if (window === undefined) return undefined;
        const first = Math.floor((address - window.base) / 0x600) * 0x180;
        return { base: window.base + first * 4, words: window.words.subarray(first, first + 0x180) };
      },
      writable: (address) => whole.writable(address),
    };
    const search = (memory: Memory) => findRoots(memory, machine({ toy: paging }), { within: within(bytes) });
    expect(search(cut)).toEqual(search(whole));
    expect(search(cut)).toHaveLength(1);
  });

  it('passes over what is known to be zero, however much that is, and misses nothing beside it', () => {
    const paging = toyPaging(3);
    for (const offset of [0n, 0x1000n, 0x9000n, 0xf000n]) {
      const whole = new SparseMemory([{ start: START, end: 1n << 44n }]);
      plant(whole, paging, START + offset, 16n);
      const end = START + offset + 16n * PAGE;
      const limit = Math.ceil(Number(end) / 0x1_0000) * 0x1_0000;
      const memory: Memory = {
        window(address) {
          if (address >= limit) throw new Error('looked where nothing is');
          return whole.window(address);
        },
        writable: (address) => whole.writable(address),
      };
      const search = (blank: { start: bigint; end: bigint }[], last: bigint) => {
        return findRoots(memory, machine({ toy: paging }), { within: [{ start: START, end: last }], blank });
      };
      const plain = findRoots(whole, machine({ toy: paging }), { within: [{ start: START, end: BigInt(limit) }] });
      expect(plain).toHaveLength(1);
      const around = [
        { start: end, end: 1n << 44n },
        ...(offset === 0n ? [] : [{ start: START, end: START + offset }]),
      ];
      // What is blank is memory all the same: leaves may map it.
      const counted = plain.map((root) => ({ ...root, leavesWithin: root.leaves }));
      expect(search(around, 1n << 44n)).toEqual(counted);
    }
  });

  it('leaves out what no registers can select', () => {
    const bytes = 0x10_0000n;
    const memory = new SparseMemory(within(bytes));
    const paging = toyPaging(3);
    const low = START + 0x1000n;
    const high = START + 0x8_0000n;
    plant(memory, paging, low, 16n);
    plant(memory, paging, high, 16n);
    const search = (roots: Architecture['roots']) =>
      findRoots(memory, machine({ toy: paging }, { roots }), { within: within(bytes) }).map(({ address }) => address);
    const plain = (address: unknown) => [{ paging, address: address as bigint }];
    expect(search(({ root }) => plain(root)).sort()).toEqual([low, high]);
    const narrow: Architecture['roots'] = ({ root }) => {
      if ((root as bigint) >= high) throw new ArgumentError('register-width', 'too wide');
      return plain(root);
    };
    expect(search(narrow)).toEqual([low]);
    expect(search(({ root }) => plain((root as bigint) & 0xfffffn))).toEqual([]);
    expect(search(({ root }) => plain(root).map((made) => (root === low ? { ...made, fault: 'off' } : made)))).toEqual([
      high,
    ]);
  });

  it('refuses what it cannot search', () => {
    const memory = new SparseMemory();
    const arch = machine({ toy: toyPaging(3) });
    const { rootForms: _, ...silent } = arch;
    const rule = (expected: string) => expect.objectContaining({ rule: expected });
    const options = { within: within(PAGE) };
    expect(() => findRoots(memory, silent, options)).toThrow(rule('no-search'));
    expect(() => findRoots(memory, machine({ toy: toyPaging(3) }, { roots: () => [] }), options)).toThrow(
      rule('no-root'),
    );
    for (const [start, end] of [
      [-8n, 8n],
      [8n, 8n],
      [0n, (1n << 56n) + 1n],
    ] as const) {
      expect(() => findRoots(memory, arch, { within: [{ start, end }] })).toThrow(ArgumentError);
    }
    for (const minTables of [0, 1.5, Number.NaN]) {
      expect(() => findRoots(memory, arch, { ...options, minTables })).toThrow(rule('min-tables'));
    }
  });
});
