/** The check of tables, against a slow reference on random tables and by hand. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ArgumentError,
  BumpAllocator,
  CHECK_RULE_NAMES,
  CHECK_RULES,
  type CheckOptions,
  type CommonAttributes,
  checkTables,
  createPaging,
  createSpace,
  type FieldValues,
  type Format,
  map,
  type Paging,
  phys,
  RangeSet,
  SparseMemory,
  type TableFinding,
  writeWord,
} from '../src/index.ts';
import { type Broken, referenceCheck } from './check-reference.ts';
import { named, SUBJECTS, type Subject } from './formats.ts';
import { type Bed, bed } from './model.ts';
import { numbers, randomBed, seeds, someEntry } from './random-tables.ts';
import { toyFormat, toyGeometry } from './toy-format.ts';

/** A vocabulary for formats that speak none: what leaves may do follows from their fields, whatever those mean. */
function scrambled(leaf: FieldValues): CommonAttributes {
  let hash = 7;
  for (const name of Object.keys(leaf).sort()) hash = (hash * 31 + (leaf[name] ?? 0)) % 8191;
  const bit = (at: number): boolean => ((hash >> at) & 1) === 1;
  return {
    ...{ read: true, write: bit(0), execute: bit(1), user: bit(2), global: false, accessed: true, dirty: true },
    memory: bit(3) ? 'device' : 'normal',
  };
}

function speaking(subject: Subject): Subject {
  const common = { toCommon: scrambled, fromCommon: () => ({ fields: {}, lost: [] }) };
  const format: Format = { ...subject.format, common };
  return { ...subject, format, paging: createPaging(format, subject.geometry, { features: subject.features }) };
}

const ALL = new Map(SUBJECTS.map((subject) => [subject.name, speaking(subject)]));
const names = fc.constantFrom(...ALL.keys());
const speakingNamed = (name: string): Subject => ALL.get(name) as Subject;

/** All that breaks a rule as few ranges. */
function covered(all: readonly { rule: string; start: bigint; end: bigint }[], rule: string): unknown {
  return new RangeSet(all.filter((one) => one.rule === rule)).ranges;
}

const RANGES = [
  'malformed',
  'no-memory',
  'write-execute',
  'device-execute',
  'table-loop',
  'table-user-writable',
  'run-incomplete',
  'run-address',
  'run-attributes',
];

function compare(made: Bed): void {
  const { findings, tables } = checkTables(made.space);
  const { broken, tables: met } = referenceCheck(made);
  const overlapping = [...met.values()].some((one) =>
    [...met.values()].some(
      (other) => one !== other && one.address < other.address + other.bytes && other.address < one.address + one.bytes,
    ),
  );
  for (const rule of RANGES) expect([rule, covered(findings, rule)]).toEqual([rule, covered(broken as Broken[], rule)]);
  expect(findings.some(({ rule }) => rule === 'table-overlap')).toBe(overlapping);
  if (!overlapping) expect(tables).toBe(met.size);
  const shared = [...met.values()].filter(({ slots }) => slots.size > 1);
  const links = findings
    .filter(({ rule }) => rule === 'shared-table')
    .map(({ values }) => [values.table, values.links]);
  const byAddress = (a: unknown[], b: unknown[]): number => Number((a[0] as bigint) - (b[0] as bigint));
  expect(links.sort(byAddress)).toEqual(shared.map(({ address, slots }) => [address, slots.size]).sort(byAddress));
}

describe('a check of tables', () => {
  it('finds what the reference finds, in tables full of chance', () => {
    fc.assert(
      fc.property(names, seeds, fc.constantFrom(64, 0x1000, 0x1_0000), (name, seed, window) =>
        compare(randomBed(speakingNamed(name), seed, window)),
      ),
      { numRuns: 400 },
    );
  });

  it('finds what the reference finds in rows of runs with single faults', () => {
    fc.assert(
      fc.property(names, seeds, (name, seed) => {
        const subject = speakingNamed(name);
        const random = numbers(seed);
        const made = bed(subject, 0x1000);
        const { paging, looks } = subject;
        const range = paging.geometry.ranges[0] as { start: number; end: number };
        const page = paging.pageBytes;
        const bytes = page * BigInt(8 * (1 + random(12)));
        map(made.space, { va: BigInt(range.start), pa: 0n, bytes, attributes: looks[0] ?? {}, allocator: made.frames });
        const leafTables = [...made.frames.live].filter(([, { level }]) => level === 0).map(([address]) => address);
        for (let i = random(4); i > 0 && leafTables.length > 0; i--) {
          const table = leafTables[random(leafTables.length)] as bigint;
          const entries = paging.codec(0).level.entries;
          const slot = phys(table + BigInt(random(Math.min(entries, 96)) * subject.format.entryBytes));
          const entry = someEntry(subject, 0, [], random);
          writeWord(made.memory, slot, entry, subject.format.entryBytes);
        }
        compare(made);
      }),
      { numRuns: 400 },
    );
  });
});

const common = {
  toCommon: (leaf: FieldValues): CommonAttributes => ({
    ...{ read: true, execute: leaf.x === 1, write: leaf.write === 1, user: leaf.u === 1, global: false },
    ...{ accessed: true, dirty: true, memory: ['normal', 'uncached', 'device'][leaf.type ?? 0] ?? 'normal' },
  }),
  fromCommon: () => ({ fields: {}, lost: [] }),
};
const field = (name: string, hi: number, lo = hi): { name: string; bits: [[number, number]]; meaning: string } => {
  return { name, bits: [[hi, lo]], meaning: name };
};

/** The toy format with names for bits 3, 4 and 6:5. */
function speakingToy(levels: number): Paging {
  const shapes = toyFormat.shapes.map((shape) =>
    shape.kind === 'leaf'
      ? { ...shape, fields: [...shape.fields, field('x', 3), field('u', 4), field('type', 6, 5)] }
      : shape,
  );
  return createPaging({ ...toyFormat, shapes, common }, toyGeometry(levels));
}

const paging = speakingToy(3);
const memory = (): SparseMemory => new SparseMemory([{ start: 0n, end: 0x100_0000n }]);

function toySpace(): {
  space: ReturnType<typeof createSpace>;
  at: (va: bigint, pa: bigint, pages: number, fields: FieldValues) => void;
} {
  const space = createSpace(memory(), { paging, address: 0x1000n });
  const allocator = new BumpAllocator(0x2000n, 0x10_0000n);
  return {
    space,
    at: (va, pa, pages, attributes) =>
      void map(space, { va, pa, bytes: BigInt(pages) * 0x1000n, attributes, allocator, maxLeafBytes: 0x1000n }),
  };
}

function found(space: ReturnType<typeof createSpace>, options?: CheckOptions): Partial<TableFinding>[] {
  return checkTables(space, options).findings.map(({ rule, severity, start, end, count }) => {
    return { rule, severity, start, end, count };
  });
}

describe('findings', () => {
  it('joins neighbours whatever they map, and parts users from the supervisor', () => {
    const { space, at } = toySpace();
    at(0x1000n, 0x50_0000n, 3, { write: 1, x: 1 });
    at(0x4000n, 0x90_0000n, 2, { write: 1, x: 1 });
    at(0x6000n, 0x60_0000n, 1, { write: 1, x: 1, u: 1 });
    at(0x7000n, 0x60_0000n, 1, { x: 1, type: 2 });
    expect(found(space)).toEqual([
      { rule: 'write-execute', severity: 'error', start: 0x1000n, end: 0x6000n, count: 2 },
      { rule: 'write-execute', severity: 'error', start: 0x6000n, end: 0x7000n, count: 1 },
      { rule: 'device-execute', severity: 'error', start: 0x7000n, end: 0x8000n, count: 1 },
    ]);
    expect(checkTables(space)).toMatchObject({ tables: 3, tableBytes: 0x3000n });
  });

  it('looks for what is named, and not for what is ignored', () => {
    const { space, at } = toySpace();
    at(0n, 0n, 16, { write: 1, x: 1 });
    expect(found(space).map(({ rule }) => rule)).toEqual(['write-execute', 'table-writable']);
    expect(found(space, { rules: ['table-writable'] }).map(({ rule }) => rule)).toEqual(['table-writable']);
    expect(found(space, { ignore: ['table-writable', 'write-execute'] })).toEqual([]);
    expect(found(space, { range: { start: 0x8000n, end: 0x9000n } })[0]).toMatchObject({
      start: 0x8000n,
      end: 0x9000n,
    });
    expect(() => checkTables(space, { rules: ['nonsense'] })).toThrow(ArgumentError);
    expect(() => checkTables(space, { ignore: ['nonsense'] })).toThrow(/no such rule/);
  });

  it('says once that the supervisor can write tables, and of users where', () => {
    const { space, at } = toySpace();
    at(0n, 0n, 16, { write: 1 });
    at(0x10_0000n, 0x2000n, 1, { write: 1, u: 1 });
    expect(checkTables(space).findings).toMatchObject([
      {
        rule: 'table-user-writable',
        severity: 'error',
        start: 0x10_0000n,
        end: 0x10_1000n,
        values: { table: 0x2000n },
      },
      { rule: 'table-writable', severity: 'info', start: 0x1000n, values: { tables: 3, table: 0x1000n } },
    ]);
  });

  it('counts tables once, and refuses too many', () => {
    const { space, at } = toySpace();
    at(0n, 0x50_0000n, 1, {});
    at(0x4000_0000n, 0x50_0000n, 1, {});
    expect(checkTables(space, { maxTables: 5 }).findings).toEqual([]);
    expect(checkTables(space, { maxTables: 4 }).findings).toMatchObject([
      { rule: 'too-many-tables', severity: 'error', values: { tables: 5, limit: 4 } },
    ]);
    for (const maxTables of [-1, 1.5, Number.NaN]) {
      expect(() => checkTables(space, { maxTables })).toThrow(
        /a limit of tables is a whole number from 0: .*\[max-tables\]/,
      );
    }
  });

  it('does not go round in circles', () => {
    const { space, at } = toySpace();
    at(0n, 0x50_0000n, 1, {});
    // The last entry of the root points to the root, one of level 1 to itself.
    writeWord(space.memory, phys(0x1000n + 8n * 511n), paging.encodeTable(2, 0x1000n));
    writeWord(space.memory, phys(0x2000n + 8n * 7n), paging.encodeTable(1, 0x2000n));
    expect(found(space)).toEqual([
      { rule: 'table-loop', severity: 'error', start: 0xe0_0000n, end: 0x100_0000n, count: 1 },
      { rule: 'table-loop', severity: 'error', start: (1n << 64n) - (1n << 30n), end: 1n << 64n, count: 1 },
      ...[0x1000n, 0x2000n].flatMap(() => [
        expect.objectContaining({ rule: 'table-levels', severity: 'error' }) as unknown,
        expect.objectContaining({ rule: 'shared-table', severity: 'info' }) as unknown,
      ]),
    ]);
  });

  it('looks through tables that everything shares a single time', () => {
    const five = speakingToy(5);
    const space = createSpace(memory(), { paging: five, address: 0x1000n });
    for (let level = 4; level > 0; level--) {
      const table = BigInt(5 - level) * 0x1000n;
      for (let i = 0n; i < 512n; i++) {
        writeWord(space.memory, phys(table + i * 8n), five.encodeTable(level, table + 0x1000n));
      }
    }
    // Not uniform: page by page another address.
    for (let i = 0n; i < 512n; i++) {
      writeWord(space.memory, phys(0x5000n + i * 8n), five.encodeLeaf(0, i * 0x3000n, { write: 1, x: 1 }));
    }
    const { findings, tables } = checkTables(space);
    expect(tables).toBe(5);
    expect(findings.filter(({ rule }) => rule === 'write-execute')).toMatchObject([
      { start: 0n, end: 0x20_0000n, count: 512 },
    ]);
    expect(findings.filter(({ rule }) => rule === 'shared-table')).toMatchObject(
      [1, 2, 3, 4].map(() => ({ values: { links: 512 } })),
    );
  });

  it('finds memory that is mapped with different types, if asked', () => {
    const { space, at } = toySpace();
    at(0x1_0000n, 0x50_0000n, 16, { write: 1 });
    at(0x4_0000n, 0x50_4000n, 4, { type: 1 });
    at(0x6_0000n, 0x60_0000n, 4, { type: 2 });
    at(0x8_0000n, 0x60_0000n, 4, { type: 2 });
    expect(found(space)).toEqual([]);
    expect(checkTables(space, { rules: ['memory-alias'] }).findings).toMatchObject([
      {
        ...{ rule: 'memory-alias', severity: 'warning', start: 0x4_0000n, end: 0x4_4000n },
        values: { pa: 0x50_4000n, memory: 'uncached', other: 0x1_4000n, otherMemory: 'normal' },
      },
    ]);
  });

  it('judges who executes by the access check, under the control bits of the root', () => {
    const check = (leaf: FieldValues, { privilege }: { privilege: string }): { reasons: string[] } => ({
      reasons: leaf.x === 1 && (privilege === 'supervisor' || leaf.u === 1) ? [] : ['no'],
    });
    const asked = createPaging({ ...paging.format, access: { options: [], check } } as Format, toyGeometry(3));
    const space = createSpace(memory(), { paging: asked, address: 0x1000n });
    const allocator = new BumpAllocator(0x2000n, 0x10_0000n);
    map(space, { va: 0n, pa: 0n, bytes: 0x1000n, attributes: { x: 1 }, allocator });
    map(space, { va: 0x1000n, pa: 0n, bytes: 0x1000n, attributes: { x: 1, u: 1 }, allocator });
    expect(found(space)).toEqual([]);
    expect(found(space, { rules: ['both-execute'] })).toMatchObject([
      { severity: 'warning', start: 0x1000n, end: 0x2000n },
    ]);
  });

  it('takes leaves that nothing keeps users from as those of guests', () => {
    const guests = { ...common, fromCommon: () => ({ fields: {}, lost: ['user' as const] }) };
    const second = createPaging({ ...paging.format, common: guests } as Format, toyGeometry(3));
    const space = createSpace(memory(), { paging: second, address: 0x1000n });
    const allocator = new BumpAllocator(0x2000n, 0x10_0000n);
    map(space, { va: 0n, pa: 0x50_0000n, bytes: 0x1000n, attributes: { x: 1, write: 1, u: 1 }, allocator });
    expect(checkTables(space).findings).toMatchObject([
      { rule: 'write-execute', severity: 'info', values: { who: 'guests' } },
    ]);
  });

  it('accepts runs whose hardware flags differ, and nothing else', () => {
    const subject = named('mini, both ends');
    const made = bed(subject);
    const run = subject.paging.codec(0).leaves.find(({ runEntries }) => runEntries > 1);
    map(made.space, {
      va: 0n,
      pa: 0n,
      bytes: BigInt(run?.leafBytes ?? 0) * 2n,
      attributes: { nx: 1 },
      allocator: made.frames,
      maxLeafBytes: BigInt(run?.leafBytes ?? 0),
    });
    expect(checkTables(made.space).findings).toEqual([]);
    const table = [...made.frames.live].find(([, { level }]) => level === 0)?.[0] as bigint;
    const flip = (index: number, bit: bigint): void => {
      const at = made.memory.writable(Number(table) + index * 8);
      const word = (Number(table) + index * 8 - at.base) / 4;
      at.words[word] = Number(BigInt(at.words[word] as number) ^ bit);
    };
    flip(1, 1n << 6n); // accessed
    expect(checkTables(made.space).findings).toEqual([]);
    flip(2, 1n << 7n); // pat
    expect(checkTables(made.space).findings).toMatchObject([{ rule: 'run-attributes', values: { fields: 'pat' } }]);
    flip(5, 1n); // not valid
    expect(checkTables(made.space).findings.map(({ rule }) => rule)).toEqual(['run-attributes', 'run-incomplete']);
  });

  it('looks again through a table of which a root translates several pieces', () => {
    const { space, at } = toySpace();
    at(0x1000n, 0x50_0000n, 1, { write: 1, x: 1 });
    at(0x10_0000n, 0x50_0000n, 1, { write: 1, x: 1 });
    const ranges = [
      { start: 0n, end: 0x2000n },
      { start: 0x8_0000n, end: 0x20_0000n },
    ];
    const pieces = createSpace(space.memory, { paging, address: 0x1000n, ranges });
    expect(found(pieces).map(({ start }) => start)).toEqual([0x1000n, 0x10_0000n]);
  });

  it('finds whole runs that begin in the wrong place', () => {
    const made = bed(named('mini, both ends'));
    const { paging: own } = made.subject;
    const table = made.frames.allocate({ level: 1, va: 0n as never, bytes: 64, alignBytes: 64 });
    writeWord(made.memory, phys(made.root), own.encodeTable(2, table));
    for (let i = 0n; i < 4n; i++) {
      const entry = own.encodeLeaf(1, (i + 1n) * 0x8000n, { nx: 1 }, 'block-pair');
      writeWord(made.memory, phys(table + i * 8n), entry);
    }
    expect(checkTables(made.space).findings).toMatchObject([
      { rule: 'run-address', start: 0n, end: 0x2_0000n, values: { pa: 0x8000n, size: 0x1_0000n } },
    ]);
  });

  it('names every rule with a severity and a meaning', () => {
    expect(Object.keys(CHECK_RULES)).toEqual(CHECK_RULE_NAMES);
    expect(new Set(CHECK_RULE_NAMES).size).toBe(CHECK_RULE_NAMES.length);
  });
});
