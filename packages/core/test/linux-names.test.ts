import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PhysAddr, phys, virt } from '../src/address.ts';
import { ArgumentError, MemoryError } from '../src/errors.ts';
import { TABLE_NAMES, type TableName } from '../src/geometry.ts';
import type { LinuxNames, Slot } from '../src/linux-names.ts';
import { readWord, type SparseMemory, writeWord } from '../src/memory.ts';
import type { Paging } from '../src/paging.ts';
import { allocPath, ROOT, tree } from './name-tree.ts';
import {
  builtPaging,
  longPaging,
  reindex16kPaging,
  reindexPaging,
  toyLeaf,
  toyPaging,
  toyTable,
} from './toy-format.ts';

/** Every way of folding, with 64-bit entries. */
const PAGINGS: Record<string, Paging> = {
  toy2: toyPaging(2),
  toy3: toyPaging(3),
  toy4: toyPaging(4),
  toy5: toyPaging(5),
  'toy3 with counts as built': builtPaging(3),
  'toy4 with counts as built': builtPaging(4),
  're-index, 4 of 5 levels': reindexPaging,
  're-index, 3 of 4 levels of 16 KiB pages': reindex16kPaging,
  'three levels of 32 bits': longPaging,
};

/** Five-level code, written once: the word that maps an address, or `undefined` at a hole. */
function lookUp({ pgd, p4d, pud, pmd, pte }: LinuxNames, root: PhysAddr, va: bigint): bigint | undefined {
  const pgdp = pgd.offset(root, va);
  if (pgd.none(pgd.val(pgdp))) return undefined;
  const p4dp = p4d.offset(pgdp, va);
  if (p4d.none(p4d.val(p4dp))) return undefined;
  const pudp = pud.offset(p4dp, va);
  if (pud.none(pud.val(pudp))) return undefined;
  if (pud.leaf(pud.val(pudp))) return pud.val(pudp);
  const pmdp = pmd.offset(pudp, va);
  if (pmd.none(pmd.val(pmdp))) return undefined;
  if (pmd.leaf(pmd.val(pmdp))) return pmd.val(pmdp);
  const ptep = pte.offset(pmdp, va);
  return pte.none(pte.val(ptep)) ? undefined : pte.val(ptep);
}

/** The slow reference: the walk over the levels that are there, without names. */
function hardwareWalk(paging: Paging, memory: SparseMemory, va: bigint): bigint | undefined {
  let table: bigint = ROOT;
  for (const { shift, entries, level } of [...paging.geometry.levels].reverse()) {
    const word = readWord(memory, phys(table + ((va >> BigInt(shift)) % BigInt(entries)) * 8n));
    if (word === 0n) return undefined;
    if (level === 0 || (word & 3n) === 1n) return word;
    table = word & ~0xfffn;
  }
  return undefined;
}

const addresses = (paging: Paging) =>
  fc.oneof(
    ...paging.geometry.ranges.map(({ start, end }) =>
      fc.oneof(
        fc.bigInt(BigInt(start), BigInt(end) - 1n),
        fc.bigInt(0n, 5n).map((page) => BigInt(start) + page * 4096n),
        fc.bigInt(1n, 5n).map((page) => BigInt(end) - page * 4096n),
      ),
    ),
  );

describe.each(Object.entries(PAGINGS))('five-level code over %s', (_, paging) => {
  it('maps what the hardware then finds, and nothing else', () => {
    const list = fc.array(addresses(paging), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(list, list, (mapped, others) => {
        const { memory, allocator, names } = tree(paging);
        const page = paging.pageBytes;
        const frames = new Map<bigint, bigint>();
        mapped.forEach((va, i) => {
          frames.set(va / page, toyLeaf(0x4000_0000n + BigInt(i) * page));
          names.pte.set(allocPath(names, ROOT, va).pte, frames.get(va / page) ?? 0n);
        });
        for (const va of [...mapped, ...others]) {
          expect(lookUp(names, ROOT, va)).toBe(frames.get(va / page));
          expect(hardwareWalk(paging, memory, va)).toBe(frames.get(va / page));
        }
        // One table for each span of each level below the root, however often it was asked for.
        for (const { level, shift, entries } of paging.geometry.levels.slice(0, -1)) {
          const spans = new Set(mapped.map((va) => va / (BigInt(entries) << BigInt(shift))));
          const made = allocator.events.filter((event) => event.level === level);
          expect(new Set(made.map(({ va }) => va / (BigInt(entries) << BigInt(shift))))).toEqual(spans);
          expect(made).toHaveLength(spans.size);
          for (const { va } of made) expect(va % (BigInt(entries) << BigInt(shift))).toBe(0n);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('keeps each loop pointer where the offset helper would put it', () => {
    const { wordBits } = paging.geometry;
    fc.assert(
      fc.property(addresses(paging), fc.bigInt(1n, 20n), fc.constantFrom(...TABLE_NAMES), (from, count, unit) => {
        const { names } = tree(paging);
        const page = paging.pageBytes;
        const addr = from - (from % page);
        const top = BigInt(paging.geometry.ranges.find((range) => from < BigInt(range.end))?.end ?? 0);
        const far = addr + (count * names[unit].size) / 7n + page;
        const end = far - (far % page) < top ? far - (far % page) : top;
        const wrong: string[] = [];
        let branches = 0;
        const loop = (depth: number, parent: Slot | PhysAddr, first: bigint, last: bigint): void => {
          const helper = names.byName(TABLE_NAMES[depth] as TableName);
          let pointer = helper.offset(parent, first);
          let here = first;
          let rounds = 0;
          do {
            const next = helper.addrEnd(here, last);
            if (pointer.address !== helper.offset(parent, here).address) wrong.push(`${helper.name} ${here}`);
            rounds++;
            // Descending everywhere would take long: some branches suffice.
            if (depth < 4 && branches++ < 20) {
              names.byName(TABLE_NAMES[depth + 1] as TableName).alloc(pointer, here);
              loop(depth + 1, pointer, here, next);
            }
            pointer = helper.next(pointer);
            here = next;
          } while (here !== last && rounds < 100);
          if (helper.folded && helper.tableEntries === 1 && rounds !== 1)
            wrong.push(`${helper.name} ran ${rounds} times`);
          if (here !== last && rounds < 100) wrong.push(`${helper.name} stopped at ${here}`);
        };
        loop(0, ROOT, addr, BigInt.asUintN(wordBits, end));
        expect(wrong).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('clears at every name on the way up without harm, and at the owner with effect', () => {
    const { names } = tree(paging);
    const slots = allocPath(names, ROOT, 0n);
    const owner = TABLE_NAMES.filter((name) => names[name].level === names.pgd.level).at(-1) ?? 'pgd';
    const before = slots[owner].load();
    expect(before & 3n).toBe(3n);
    for (const name of TABLE_NAMES.slice(0, TABLE_NAMES.indexOf(owner))) {
      names.byName(name).clear(slots[name]);
      names.byName(name).clearBad(slots[name]);
      expect(names.byName(name).noneOrClearBad(slots[name])).toBe(false);
      expect(slots[owner].load()).toBe(before);
    }
    names.byName(owner).clear(slots[owner]);
    expect(slots[owner].load()).toBe(0n);
    expect(lookUp(names, ROOT, 0n)).toBe(undefined);
  });

  it('gives back each table once, whatever name is asked', () => {
    const { allocator, names } = tree(paging);
    const slots = allocPath(names, ROOT, 0n);
    for (const [i, name] of TABLE_NAMES.entries()) {
      const upper = TABLE_NAMES[i - 1];
      if (upper === undefined) continue;
      // As exit code does it: every name is asked for the table behind it.
      names.byName(name).freeOne(names.byName(upper).tableAddress(slots[upper].load()), 0n);
    }
    const freed = allocator.events.filter(({ op }) => op === 'free').map(({ address }) => address);
    const made = allocator.events.filter(({ op }) => op === 'allocate').map(({ address }) => address);
    expect([...freed].sort()).toEqual([...made].sort());
    expect(new Set(freed).size).toBe(paging.geometry.levels.length - 1);
  });
});

describe('dialects of folding', () => {
  const va = virt(0xffff_9234_5678_9000n);

  it('keep constants as built, but never loop or index by them in place', () => {
    const { names } = tree(builtPaging(3));
    expect([names.p4d.entries, names.pud.entries, names.pmd.entries]).toEqual([512, 512, 512]);
    expect([names.p4d.tableEntries, names.pud.tableEntries, names.pmd.tableEntries]).toEqual([1, 1, 512]);
    expect([names.pgd.shift, names.p4d.shift, names.pud.shift]).toEqual([30, 30, 30]);
    // A valid number that must not be added: the offset helper knows, the index helper does not.
    expect(names.pud.index(va)).toBe(names.pgd.index(va));
    const pgd = names.pgd.offset(ROOT, va);
    expect(names.pud.offset(names.p4d.offset(pgd, va), va)).toBe(pgd);
    expect(names.p4d.addrEnd(0x1000n, 0x8_0000_0000n)).toBe(0x8_0000_0000n);
  });

  it('look up again inside the page', () => {
    const { names } = tree(reindexPaging);
    expect([names.pgd.shift, names.p4d.shift, names.p4d.folded, names.pgd.trivial]).toEqual([48, 39, true, true]);
    const pgd = names.pgd.offset(ROOT, va);
    expect(pgd.address).toBe(ROOT + 15n * 8n);
    const p4d = names.p4d.offset(pgd, va);
    expect(p4d.address).toBe(ROOT + ((va >> 39n) & 511n) * 8n);
    expect(names.p4d.tableEntries).toBe(512);
    expect(names.p4d.addrEnd(va, 0n)).toBe((va & names.p4d.mask) + names.p4d.size);
    expect(names.pgd.none(0n)).toBe(false);
    expect(names.p4d.none(0n)).toBe(true);
    expect(names.p4d.allocOne(va)).toBe(null);
  });

  it('look up again only where there is something to look up', () => {
    const { names } = tree(reindex16kPaging);
    const pgd = names.pgd.offset(ROOT, va);
    const p4d = names.p4d.offset(pgd, va);
    expect(p4d).toBe(pgd);
    const pud = names.pud.offset(p4d, va);
    expect(pud.address).toBe(ROOT + ((va >> 36n) & 2047n) * 8n);
    expect([names.p4d.tableEntries, names.pud.tableEntries]).toEqual([1, 2048]);
  });

  it('count within 32 bits where the machine has them', () => {
    const { names } = tree(longPaging);
    expect([names.pgd.entries, names.pgd.mask, names.pmd.mask]).toEqual([4, 0xc000_0000n, 0xffe0_0000n]);
    expect(names.pgd.addrEnd(0xc000_0000n, 1n << 32n)).toBe(0n);
    expect(names.pmd.addrEnd(0xffc0_0000n, 0n)).toBe(0xffe0_0000n);
  });
});

describe('slots', () => {
  it('are immutable and read the word of the moment', () => {
    const { memory, names } = tree(toyPaging(2));
    const slot = names.pgd.offset(ROOT, 0n);
    expect(Object.isFrozen(slot)).toBe(true);
    expect(slot.load()).toBe(0n);
    writeWord(memory, ROOT, 5n);
    expect([slot.load(), names.pgd.val(slot)]).toEqual([5n, 5n]);
  });

  it('outside memory fail when read, not when made', () => {
    const { names } = tree(toyPaging(2));
    const slot = names.pgd.offset(phys(0x9000_0000n), 0n);
    expect(slot.address).toBe(0x9000_0000n);
    expect(() => slot.load()).toThrow(MemoryError);
  });

  it('cannot be passed to the wrong name', () => {
    const { names } = tree(toyPaging(2));
    const { pgd, pud, pte } = names;
    const slot = pgd.offset(ROOT, 0n);
    // @ts-expect-error a step over p4d is missing
    expect(pud.offset(slot, 0n)).toBe(slot);
    // @ts-expect-error a pgd slot is no pte slot
    pte.set(slot, 0n);
    // @ts-expect-error the root is an address, not a slot
    expect(() => pgd.offset(slot, 0n)).toThrow();
    const anyName: Slot = names.byName('pud').offset(slot, 0n);
    expect(anyName).toBe(slot);
  });
});

describe('words', () => {
  it('mean what the format says, unless the kernel has its own tests', () => {
    const plain = tree(toyPaging(4)).names;
    // Not present, but in use: empty to the hardware, not to `none`.
    expect([plain.pte.none(0x1002n), plain.pte.present(0x1002n)]).toEqual([false, false]);
    expect([plain.pmd.leaf(toyLeaf(0n)), plain.pmd.bad(toyLeaf(0n)), plain.pmd.bad(0n)]).toEqual([true, true, true]);
    // A pte is no table pointer; only a malformed one is bad.
    expect([plain.pte.bad(toyLeaf(0n)), plain.pte.bad(0n), plain.pte.bad(3n)]).toEqual([false, false, true]);
    const own = tree(toyPaging(4), {
      predicates: {
        pgd: { none: () => true },
        pte: { present: (word) => (word & 3n) !== 0n, none: (word) => word >> 12n === 0n, bad: () => true },
        pmd: { leaf: () => false },
      },
    }).names;
    expect([own.pte.present(0x1002n), own.pte.none(1n), own.pte.bad(0n), own.pmd.leaf(1n)]).toEqual([
      true,
      true,
      true,
      false,
    ]);
    // A name whose word belongs to a lower one asks nobody.
    expect(own.pgd.none(0n)).toBe(false);
  });

  it('that are bad are reported and cleared by their owner', () => {
    const seen: [TableName, bigint][] = [];
    const { memory, names } = tree(toyPaging(5), { onBad: (name, _slot, word) => seen.push([name, word]) });
    const slots = allocPath(names, ROOT, 0n);
    for (const name of TABLE_NAMES.slice(0, 4)) {
      const helper = names.byName(name);
      expect(helper.noneOrClearBad(slots[name])).toBe(false);
      writeWord(memory, slots[name].address, 0x5001n);
      expect(helper.noneOrClearBad(slots[name])).toBe(true);
      expect(slots[name].load()).toBe(0n);
      expect(helper.noneOrClearBad(slots[name])).toBe(true);
    }
    expect(seen).toEqual(TABLE_NAMES.slice(0, 4).map((name) => [name, 0x5001n]));
  });

  it('that are bad stay where the folding headers have no function to clear them', () => {
    const clears = (paging: Paging, name: TableName): boolean => {
      const { memory, names } = tree(paging);
      writeWord(memory, ROOT, 0x5001n);
      expect(names.byName(name).noneOrClearBad(names.byName('p4d').offset(names.pgd.offset(ROOT, 0n), 0n))).toBe(true);
      return readWord(memory, ROOT) === 0n;
    };
    expect(clears(toyPaging(4), 'p4d')).toBe(false);
    expect(clears(toyPaging(3), 'pud')).toBe(false);
    expect(clears(toyPaging(2), 'pmd')).toBe(true);
    // Folded at run time, the function exists.
    expect(clears(builtPaging(4), 'p4d')).toBe(true);
    expect(clears(builtPaging(3), 'pud')).toBe(true);
    expect(clears(reindexPaging, 'p4d')).toBe(true);
  });

  it('that point to no table cannot be followed', () => {
    const { memory, names } = tree(toyPaging(3));
    const slot = names.pud.offset(names.p4d.offset(names.pgd.offset(ROOT, 0n), 0n), 0n);
    for (const word of [0n, 0x5001n, 0x5002n]) {
      writeWord(memory, ROOT, word);
      expect(() => names.pmd.offset(slot, 0n)).toThrow(/not-a-table/);
      expect(() => names.pgd.tableAddress(word)).toThrow(ArgumentError);
    }
    expect(names.pgd.tableAddress(toyTable(0x7000n))).toBe(0x7000n);
  });
});
