/** Random operations on tables, with a flat model beside them. */
import { releaseTables } from '../src/change.ts';
import { protect, unmap } from '../src/edit.ts';
import { NotMappedError, OutOfTablesError, OverlapError, PartialLeafError } from '../src/errors.ts';
import type { FieldValues } from '../src/format.ts';
import { map } from '../src/map.ts';
import { split } from '../src/split.ts';
import { eachTable } from '../src/table-links.ts';
import { freeTables, merge } from '../src/tables.ts';
import type { Subject } from './formats.ts';
import { type Bed, bed, differences, Flat, refused, refWalk } from './model.ts';
import { bigBelow, numbers } from './random-tables.ts';

interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

type Plan = {
  readonly kind: 'map' | 'keep' | 'unmap' | 'protect' | 'split' | 'merge' | 'free';
  readonly range: Range;
  readonly pa: bigint;
  readonly look: FieldValues;
  readonly partial: 'split' | 'refuse' | 'whole';
  readonly holes: 'skip' | 'refuse';
  readonly maxLeafBytes: bigint | undefined;
  readonly runs: boolean;
  readonly tablesLeft: number;
};

const KINDS = ['map', 'map', 'map', 'map', 'keep', 'unmap', 'protect', 'protect', 'split', 'merge', 'free'] as const;

/** Every range that the roots translate. */
export function allRanges({ paging }: Subject): Range[] {
  return paging.geometry.ranges.map(({ start, end }) => ({ start: BigInt(start), end: BigInt(end) }));
}

/** Leaf sizes and entry spans, smallest first. */
function sizesOf({ paging }: Subject): bigint[] {
  const sizes = [
    ...paging.leafChoices.map(({ leafBytes }) => leafBytes),
    ...paging.levels.map(({ level }) => BigInt(level.entrySpan)),
  ];
  return [...new Set(sizes)].sort((a, b) => (a < b ? -1 : 1));
}

/** Physical addresses that every leaf can hold end here. */
function physicalEnd({ paging, format }: Subject): bigint {
  return 1n << BigInt(format.entryBytes === 4 ? 32 : paging.geometry.paBits);
}

function planOne(subject: Subject, random: (below: number) => number, centers: readonly Range[]): Plan {
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const sizes = sizesOf(subject);
  const page = subject.paging.pageBytes;
  const leaves = subject.paging.leafChoices.map(({ leafBytes }) => leafBytes);
  const size = pick(sizes.filter((one) => one <= (leaves.at(-1) as bigint)));
  const finer = pick(sizes.filter((one) => one <= size));
  const { start: low, end: high } = pick(allRanges(subject));
  const { start: center } = pick(centers.filter(({ start }) => start >= low && start <= high));
  let start =
    center - (center % size) + BigInt(random(7) - 3) * size + (random(2) === 0 ? BigInt(random(8)) * finer : 0n);
  let end = start + BigInt(random(3) + 1) * size + (random(3) === 0 ? BigInt(random(20)) * page : 0n);
  if (start < low) start = low;
  if (end > high) end = high;
  if (start >= end) [start, end] = [high - page, high];
  // Both addresses agree so far that the number of leaves stays bearable.
  const few = leaves.filter((one) => (end - start) / one <= 400n);
  const agree = pick(few);
  const limit = physicalEnd(subject);
  let pa = (bigBelow(random, limit / agree) * agree + (start % agree)) % limit;
  if (random(3) === 0) pa = limit - (end - start) - ((limit - end) % agree) - (random(2) === 0 ? agree : 0n);
  if (pa < 0n || pa + end - start > limit) pa = start % agree;
  return {
    kind: pick(KINDS),
    range: { start, end },
    pa,
    look: pick(subject.looks),
    partial: pick(['split', 'split', 'whole', 'refuse']),
    holes: pick(['skip', 'skip', 'refuse']),
    maxLeafBytes: random(4) === 0 ? pick(few) : undefined,
    runs: random(4) !== 0,
    tablesLeft: random(5) === 0 ? random(3) : Number.POSITIVE_INFINITY,
  };
}

/** Pages at which anything can change: ends of ranges, rounded to every size, and their neighbours. */
function watch(subject: Subject, plans: readonly Plan[], random: (below: number) => number): bigint[] {
  const page = subject.paging.pageBytes;
  const pages: bigint[] = [];
  for (const { range } of plans) {
    for (const at of [range.start, range.end]) {
      for (const size of sizesOf(subject)) {
        const down = at - (at % size);
        pages.push(down, down - page, down + size, down + size - page);
      }
      pages.push(range.start + (bigBelow(random, range.end - range.start) / page) * page);
    }
  }
  return pages.filter((va) => allRanges(subject).some(({ start, end }) => va >= start && va < end));
}

/** All fields that a set of looks speaks of, those that this one leaves out as zero. */
function wholeLook(subject: Subject, look: FieldValues): FieldValues {
  const names = subject.looks.flatMap((one) => Object.keys(one));
  return Object.fromEntries(names.map((name) => [name, look[name] ?? 0]));
}

/** One random story; answers everything that went wrong in it. */
export function story(subject: Subject, seed: number, steps: number, windowBytes: number): string[] {
  const random = numbers(seed);
  const ranges = allRanges(subject);
  const somewhere = ranges.map(({ start, end }) => {
    const unit = BigInt(subject.paging.geometry.root.entrySpan);
    const at = start + bigBelow(random, (end - start) / unit) * unit;
    return { start: at, end: at };
  });
  const centers = [...ranges, ...ranges.map(({ end }) => ({ start: end, end })), ...somewhere];
  const plans = Array.from({ length: steps }, () => planOne(subject, random, centers));
  const teller = new Teller(subject, windowBytes, watch(subject, plans, random));
  plans.forEach((plan, step) => {
    if (teller.wrong.length > 0) return;
    const before = teller.wrong.length;
    teller.tell(plan);
    if (step === plans.length - 1 || step % 8 === 7) teller.compare();
    if (teller.wrong.length > before) {
      const text = JSON.stringify(plan, (_, value) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value));
      teller.wrong.push(`at step ${step} of seed ${seed}: ${text}`);
    }
  });
  return teller.wrong;
}

class Teller {
  readonly wrong: string[] = [];
  readonly made: Bed;
  readonly flat: Flat;

  constructor(subject: Subject, windowBytes: number, watched: readonly bigint[]) {
    this.made = bed(subject, windowBytes, 0x800_0000);
    this.flat = new Flat(watched);
  }

  /** Does one thing to the tables and to the model. */
  tell(plan: Plan): void {
    const { range, look, kind } = plan;
    const { space, frames, subject } = this.made;
    const bytes = range.end - range.start;
    const limit = plan.maxLeafBytes === undefined ? {} : { maxLeafBytes: plan.maxLeafBytes };
    const request = { va: range.start, pa: plan.pa, bytes, attributes: look, runs: plan.runs, ...limit };
    const edit = { partial: plan.partial, holes: plan.holes, allocator: frames };
    const whole = plan.partial === 'whole' ? this.#widened(range) : range;
    const full = wholeLook(subject, look);
    frames.left = plan.tablesLeft;
    if (kind === 'map') {
      const taken = this.flat.in(range).some((va) => this.flat.pages.has(va));
      this.#try(
        plan,
        taken ? [OverlapError] : [],
        () => map(space, { ...request, allocator: frames }),
        () => {
          this.flat.map(range.start, plan.pa, bytes, full);
        },
      );
    } else if (kind === 'keep') {
      const kept = { ...request, existing: 'keep', allocator: frames } as const;
      this.#try(
        plan,
        [],
        () => map(space, kept),
        () => this.flat.map(range.start, plan.pa, bytes, full, true),
      );
    } else if (kind === 'unmap') {
      this.#try(
        plan,
        this.#editErrors(plan),
        () => unmap(space, range, edit),
        () => this.flat.unmap(whole),
      );
    } else if (kind === 'protect') {
      this.#try(
        plan,
        this.#editErrors(plan),
        () => protect(space, range, { fields: full }, edit),
        () => {
          this.flat.protect(whole, full);
        },
      );
    } else if (kind === 'split') {
      this.#try(
        plan,
        [],
        () => split(space, range, frames),
        () => {},
      );
    } else if (kind === 'merge') {
      this.#try(
        plan,
        [],
        () => merge(space, range, { runs: plan.runs, ...limit }),
        () => {},
      );
    } else {
      this.#try(
        plan,
        [],
        () => freeTables(space, range),
        () => {},
      );
    }
    frames.left = Number.POSITIVE_INFINITY;
    this.#same(this.flat.in({ start: range.start - 1n, end: range.end + 1n }));
  }

  /** Compares everything, and looks whether a table was lost or a run torn. */
  compare(): void {
    this.#same(this.flat.watched);
    const { space, frames, subject, root } = this.made;
    const linked = new Set<bigint>();
    for (const range of allRanges(subject)) eachTable(space, range, ({ address }) => linked.add(address));
    linked.delete(root);
    for (const address of frames.live.keys()) if (!linked.delete(address)) this.wrong.push(`lost table ${address}`);
    for (const address of linked) this.wrong.push(`freed table ${address} is still linked`);
    for (const va of this.flat.pages.keys()) this.#checkRun(va);
  }

  #same(pages: readonly bigint[]): void {
    this.wrong.push(...differences(this.made, this.flat, pages));
  }

  /** A run made by operations is whole: all its entries, in order, saying the same. */
  #checkRun(va: bigint): void {
    const { subject, memory, root } = this.made;
    const found = refWalk(subject, memory, root, va);
    if (found.kind !== 'mapped') return;
    const names = subject.looks.flatMap((look) => Object.keys(look));
    const span = 1n << BigInt(subject.geometry.levels[found.level]?.shift ?? 0);
    const start = va - (va % found.leafBytes);
    for (let at = start; at < start + found.leafBytes; at += span) {
      const other = refWalk(subject, memory, root, at);
      const good =
        other.kind === 'mapped' &&
        other.shape === found.shape &&
        other.pa - at === found.pa - va &&
        names.every((name) => other.fields[name] === found.fields[name]);
      if (!good) this.wrong.push(`torn run at ${at.toString(16)}`);
    }
  }

  /** The leaf across an address, if one is. */
  #across(va: bigint, beside: bigint): Range | undefined {
    const { subject, memory, root } = this.made;
    const found = refWalk(subject, memory, root, beside);
    if (found.kind !== 'mapped' || va % found.leafBytes === 0n) return undefined;
    return { start: va - (va % found.leafBytes), end: va - (va % found.leafBytes) + found.leafBytes };
  }

  #widened({ start, end }: Range): Range {
    const page = this.made.subject.paging.pageBytes;
    const first = this.#across(start, start);
    const last = this.#across(end, end - page);
    return { start: first?.start ?? start, end: last?.end ?? end };
  }

  #editErrors({ range, partial, holes }: Plan): (abstract new (...args: never[]) => Error)[] {
    const { start, end } = range;
    const page = this.made.subject.paging.pageBytes;
    const cut = this.#across(start, start) !== undefined || this.#across(end, end - page) !== undefined;
    const empty = this.flat.in(range).some((va) => !this.flat.pages.has(va));
    return [
      ...(partial === 'refuse' && cut ? [PartialLeafError] : []),
      ...(holes === 'refuse' && empty ? [NotMappedError] : []),
    ];
  }

  #try(
    { tablesLeft }: Plan,
    errors: readonly (abstract new (...args: never[]) => Error)[],
    run: () => ReturnType<typeof map>,
    apply: () => void,
  ): void {
    if (errors.length > 0) {
      const error = refused(this.made, run);
      if (!errors.some((one) => error instanceof one)) throw error;
      return;
    }
    const words = this.made.memory.snapshot();
    const live = this.made.frames.live.size;
    try {
      const change = run();
      for (const { address } of change.allocated) {
        if (!this.made.frames.live.has(address)) this.wrong.push(`${address} is allocated, but not live`);
      }
      if (change.allocated.length !== this.made.frames.live.size - live) this.wrong.push('allocated tells not all');
      releaseTables(change, this.made.frames);
      apply();
    } catch (error) {
      if (!(error instanceof OutOfTablesError) || tablesLeft === Number.POSITIVE_INFINITY) throw error;
      const after = this.made.memory.snapshot();
      const same = after.size === words.size && [...words].every(([at, word]) => after.get(at) === word);
      if (!same) this.wrong.push('memory was changed although the tables ran out');
      if (this.made.frames.live.size !== live) this.wrong.push('frames were lost when the tables ran out');
    }
  }
}
