/** The traversal beside a recursive one that reads word by word and knows nothing of windows, sweeps or cursors. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { MemoryError } from '../src/errors.ts';
import { readWord } from '../src/memory.ts';
import type { Root } from '../src/space.ts';
import { type Action, AGAIN, type Cursor, DESCEND, SKIP, STOP, traverse, type Visitor } from '../src/traverse.ts';
import { SUBJECTS } from './formats.ts';
import { type Bed, refDecode } from './model.ts';
import { numbers, randomBed, seeds, someAddress } from './random-tables.ts';

const CALLBACKS = ['bulk', 'leaf', 'hole', 'table', 'leave', 'malformed', 'missing'] as const;
type Callback = (typeof CALLBACKS)[number];

/** What a callback is told, in the words of both sides. */
interface Seen {
  readonly level: number;
  readonly table: bigint;
  readonly index: number;
  readonly va: bigint;
  readonly end: bigint;
  readonly entry: bigint | undefined;
  readonly slotsLeft: number;
}

/** Answers callbacks by chance, the same each time, and writes down what they were told. */
class Teller {
  readonly events: string[] = [];
  /** Tables on the way and the stretches below them. */
  readonly tables: { readonly level: number; readonly at: Seen }[] = [];
  readonly #random: (below: number) => number;
  readonly #patience: number;

  constructor(seed: number, patience: number) {
    this.#random = numbers(seed);
    this.#patience = patience;
  }

  #note(callback: Callback, seen: Seen): void {
    const { level, table, index, va, end, entry } = seen;
    this.events.push([callback, level, table, index, va, end, entry].join(' '));
    if (callback === 'table') this.tables.push({ level, at: seen });
  }

  action(callback: Callback, seen: Seen): Action | undefined {
    this.#note(callback, seen);
    if (this.events.length >= this.#patience) return STOP;
    const answers = [undefined, undefined, undefined, callback === 'table' ? DESCEND : SKIP, SKIP, AGAIN] as const;
    return this.#random(200) === 0 ? STOP : answers[this.#random(callback === 'missing' ? 5 : 6)];
  }

  slots(seen: Seen): number {
    this.#note('bulk', seen);
    return Math.min(Math.max(this.#random(6) - 3, 0), seen.slotsLeft);
  }
}

/** The slow traversal. Answers false if a callback stopped it. */
function visit(
  { subject, memory }: Bed,
  has: ReadonlySet<Callback>,
  teller: Teller,
  level: number,
  table: bigint,
  start: bigint,
  end: bigint,
): boolean {
  const { shift, entries } = subject.paging.geometry.levels[level] as { shift: number; entries: number };
  const { entryBytes } = subject.format;
  const span = 1n << BigInt(shift);
  for (let entryVa = start - (start % span); entryVa < end; ) {
    const va = entryVa > start ? entryVa : start;
    const to = entryVa + span < end ? entryVa + span : end;
    const index = Number((entryVa / span) % BigInt(entries));
    const slotsLeft = Number((end - entryVa + span - 1n) / span);
    const slot = table + BigInt(index * entryBytes);
    const seen = { level, table, index, va, end: to, entry: undefined, slotsLeft };
    const took = has.has('bulk') ? teller.slots(seen) : 0;
    entryVa += BigInt(took) * span;
    if (took > 0) continue;
    const tell = (callback: Callback, entry?: bigint): Action | undefined =>
      has.has(callback) ? teller.action(callback, { ...seen, entry }) : undefined;
    if (memory.window(Number(slot)) === undefined) {
      if (!has.has('missing')) throw new MemoryError('no-memory', 'nothing there');
      return tell('missing') !== STOP;
    }
    const entry = readWord(memory, phys(slot), entryBytes);
    const found = refDecode(subject, level, entry, index);
    let action: Action | undefined;
    if (found.kind === 'table') {
      action = tell('table', entry) ?? DESCEND;
      if (action === DESCEND) {
        if (!visit({ subject, memory } as Bed, has, teller, level - 1, found.address, va, to)) return false;
        action = tell('leave', entry);
      }
    } else {
      action = tell(found.kind === 'empty' ? 'hole' : found.kind, entry);
    }
    if (action === STOP) return false;
    if (action !== AGAIN) entryVa += span;
  }
  return true;
}

function seenAt(cursor: Cursor, loaded: boolean): Seen {
  const { level, table, index, va, end, lo, hi, slotsLeft } = cursor;
  const entry = loaded ? (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0) : undefined;
  return { level, table: BigInt(table), index, va: BigInt(va), end: BigInt(end), entry, slotsLeft };
}

function visitorOf(has: ReadonlySet<Callback>, teller: Teller): Visitor {
  const callbacks = [...has].map((callback) => [
    callback,
    callback === 'bulk'
      ? (cursor: Cursor) => teller.slots(seenAt(cursor, false))
      : (cursor: Cursor) => teller.action(callback, seenAt(cursor, callback !== 'missing')),
  ]);
  return Object.fromEntries(callbacks) as Visitor;
}

/** What came of a run: all events, and how it ended. */
function outcome(teller: Teller, run: () => boolean): string[] {
  try {
    const end = run() ? 'done' : 'stopped';
    return [...teller.events, end];
  } catch (error) {
    if (error instanceof MemoryError) return [...teller.events, 'no memory'];
    throw error;
  }
}

describe('a traversal and a recursive one', () => {
  for (const subject of SUBJECTS) {
    it(subject.name, () => {
      fc.assert(
        fc.property(seeds, fc.constantFrom(64, 0x1_0000), (seed, windowBytes) => {
          const made = randomBed(subject, seed, windowBytes);
          const random = numbers(seed);
          const root = made.space.roots[0] as Root;
          const { levels } = subject.paging.geometry;
          const page = subject.paging.pageBytes;
          const has = new Set(CALLBACKS.filter(() => random(3) > 0));
          const at = someAddress(subject, random);
          const range = root.ranges.find(({ start, end }) => at >= BigInt(start) && at < BigInt(end));
          if (range === undefined) return;
          const start = at - (at % page);
          const wanted = start + (BigInt(random(3)) << BigInt(levels[random(levels.length)]?.shift ?? 0)) + page;
          const end = wanted < BigInt(range.end) ? wanted : BigInt(range.end);
          const compare = (level: number, table: bigint, from: bigint, to: bigint, patience: number, top: boolean) => {
            const [ours, slow] = [new Teller(seed, patience), new Teller(seed, patience)];
            const stretch = { root, start: Number(from), end: Number(to) };
            const visitor = visitorOf(has, ours);
            const place: [number?, number?] = top ? [] : [level, Number(table)];
            const got = outcome(ours, () => traverse(made.memory, stretch, visitor, ...place));
            expect(got).toEqual(outcome(slow, () => visit(made, has, slow, level, table, from, to)));
            return slow.tables;
          };
          const tables = compare(levels.length - 1, made.root, start, end, 300, true);
          // The same from tables on the way.
          for (const { level, at: seen } of tables.slice(0, 4)) {
            const found = refDecode(subject, level, seen.entry as bigint, seen.index);
            compare(level - 1, found.address, seen.va, seen.end, 100, false);
          }
        }),
        { numRuns: 60 },
      );
    });
  }

  it('may start another from a callback', () => {
    const made = randomBed(SUBJECTS[0] as (typeof SUBJECTS)[number], 3, 64);
    const root = made.space.roots[0] as Root;
    const stretch = { root, start: root.ranges[0]?.start ?? 0, end: root.ranges[0]?.end ?? 0 };
    const count = (inner: boolean): number => {
      let entries = 0;
      const again = (): undefined => {
        entries++;
        if (inner) count(false);
      };
      traverse(made.memory, stretch, { leaf: again, table: again, malformed: again, missing: () => undefined });
      return entries;
    };
    expect(count(true)).toBe(count(false));
    expect(count(false)).toBeGreaterThan(2);
  });
});
