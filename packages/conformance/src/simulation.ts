/**
 * Random operations on real tables and on the flat model side by side. Every operation must succeed or fail as the
 * model says; afterwards both must tell the same story, and no table may be lost.
 */
import {
  type Change,
  freeTables,
  type MappedRange,
  merge,
  NotMappedError,
  OverlapError,
  PartialLeafError,
  protect,
  split,
  translate,
  unmap,
} from '@pagefold/core';
import { Bed } from './bed.ts';
import type { Context } from './context.ts';
import { Model } from './model.ts';
import {
  aloneAt,
  canonicalSpans,
  higher,
  type LeafKind,
  leafKinds,
  lower,
  mappableSpace,
  readFields,
  type Span,
  sameValues,
  type UniformSet,
  uniformSets,
} from './parts.ts';

/** An operation as it is about to be made, for messages. */
export interface Step {
  readonly name: string;
  readonly start: bigint;
  readonly end: bigint;
  readonly options: string;
}

/** Told of every change: what was mapped before, the change, what is mapped now. */
export type Watcher = (
  step: Step,
  before: readonly MappedRange[],
  change: Change,
  after: readonly MappedRange[],
) => void;

type ErrorClass = abstract new (...args: never[]) => Error;

/** One operation: how it is made, what the model says of it. */
interface Operation {
  readonly step: Step;
  /** Errors of which one must be thrown; empty if it must succeed. */
  readonly errors: readonly ErrorClass[];
  run(): Change;
  /** Does the same to the model. */
  apply(): void;
}

/** Largest number of leaf entries that one operation should write. */
const MOST_ENTRIES = 600n;

/** A running comparison. */
export class Simulation {
  readonly bed: Bed;
  readonly model: Model = new Model();
  readonly #context: Context;
  readonly #kinds: readonly LeafKind[];
  readonly #sets: readonly UniformSet[];
  readonly #spans: readonly Span[];
  readonly #centers: readonly { readonly at: bigint; readonly span: Span }[];
  readonly #page: bigint;
  readonly #space: bigint;
  #ranges: readonly MappedRange[] = [];

  constructor(context: Context) {
    const { paging, random } = context;
    this.#context = context;
    this.bed = new Bed(context);
    this.#kinds = leafKinds(paging);
    this.#sets = uniformSets(context);
    this.#spans = canonicalSpans(paging);
    this.#page = paging.pageBytes;
    this.#space = mappableSpace(paging);
    const unit = 1n << BigInt(paging.geometry.root.shift);
    this.#centers = this.#spans.flatMap((span) => {
      const somewhere = span.start + random.belowBig((span.end - span.start) / unit) * unit;
      return [span.start, somewhere, span.end].map((at) => ({ at, span }));
    });
  }

  /** Makes one random operation and checks what the model can say at once. */
  step(watcher?: Watcher): void {
    const operation = this.#choose();
    const { step, errors } = operation;
    const where = { operation: step.name, options: step.options, start: step.start, end: step.end };
    if (errors.length > 0) {
      const before = this.bed.snapshot();
      this.#context.refuses(errors, 'step-refused', 'an operation that cannot be done is refused', where, () =>
        operation.run(),
      );
      this.bed.mustEqual(before, `a refused ${step.name}`);
      return;
    }
    const change = this.#context.must('step-done', 'an operation that can be done succeeds', where, () =>
      operation.run(),
    );
    operation.apply();
    const before = this.#ranges;
    this.#ranges = this.bed.ranges();
    this.#checkFrames(step, change);
    this.bed.release(change);
    this.#checkSpots(step);
    watcher?.(step, before, change, this.#ranges);
  }

  /** Compares everything: every range with the model, every table with the allocator. */
  compare(): void {
    const context = this.#context;
    let total = 0n;
    for (const range of this.#ranges) {
      total += range.end - range.start;
      for (const hole of this.model.holes(range.start, range.end)) {
        context.fail('mapped-too-much', 'nothing is mapped that should not be', hole);
      }
      const shape = context.paging.codec(range.level).leaves.find(({ shape }) => shape.name === range.shape);
      for (const segment of this.model.within(range.start, range.end)) {
        const where = { va: segment.start, level: range.level, leafBytes: range.leafBytes };
        const pa = range.pa + segment.start - range.start;
        context.equal(pa, segment.pa, 'mapped-address', 'every range leads where it should', where);
        const values = shape === undefined ? {} : readFields(shape, range.bits, Object.keys(segment.set.values));
        this.#checkValues(segment.set, values, 'mapped-attributes', where);
        // Pointers limit nothing, unless the subject says so: then what counts is what a leaf says itself.
        if (context.subject.tableAttributes === undefined) {
          this.#checkValues(segment.set, range.fields, 'mapped-effective', where);
        }
      }
      const run = shape !== undefined && shape.runEntries > 1;
      if (run && [range.start, range.end, range.pa].some((address) => address % range.leafBytes !== 0n)) {
        context.fail('run-torn', 'a run is whole: all its entries, at their places, with the same attributes', {
          start: range.start,
          end: range.end,
          pa: range.pa,
          leafBytes: range.leafBytes,
        });
      }
    }
    context.equal(total, this.model.total, 'mapped-total', 'as much is mapped as should be');
    this.bed.mustOwnTables('random operations');
  }

  #checkValues(
    set: UniformSet,
    values: Readonly<Record<string, number>>,
    rule: string,
    where: Record<string, bigint | number>,
  ): void {
    if (sameValues(set.values, values)) return;
    const actual = Object.fromEntries(Object.keys(set.values).map((name) => [name, values[name]]));
    this.#context.fail(rule, 'every range has the attributes that it should have', {
      ...where,
      expected: JSON.stringify(set.values),
      actual: JSON.stringify(actual),
    });
  }

  /** A change must name exactly the tables that it took from the allocator. */
  #checkFrames({ name }: Step, { allocated, detached }: Change): void {
    for (const { address, va } of [...allocated, ...detached]) {
      if (this.bed.frames.live.has(address)) continue;
      this.#context.fail('change-frames', `${name} names a table that is not in use`, { address, va });
    }
    const twice = new Set(detached.map(({ address }) => address)).size !== detached.length;
    if (twice) this.#context.fail('change-frames', `${name} detaches a table twice`);
  }

  /** Translations at the edges of the range and around, against the model. */
  #checkSpots({ start, end, name }: Step): void {
    const { random } = this.#context;
    const spots = [start, end - 1n, start - 1n, end, start + random.belowBig(end - start)];
    for (const { start: low, end: high } of [random.pick(this.model.segments)].filter(Boolean)) {
      spots.push(low + random.belowBig(high - low), high);
    }
    for (const va of spots) {
      if (va < 0n || va >= 1n << 64n) continue;
      const found = translate(this.bed.space, va);
      const segment = this.model.at(va);
      const expected = segment === undefined ? undefined : segment.pa + va - segment.start;
      this.#context.equal(
        found.mapped ? found.pa : undefined,
        expected,
        'spot',
        'an address translates as the flat model says',
        { operation: name, va },
      );
    }
  }

  #choose(): Operation {
    const { random } = this.#context;
    const pick = random.below(this.model.segments.length < 4 ? 60 : 100);
    if (pick < 55) return this.#map();
    if (pick < 70) return this.#unmap();
    if (pick < 85) return this.#protect();
    const range = random.once(2) ? random.pick(this.#spans) : this.#range();
    if (pick < 90) return this.#harmless('merge', range, () => merge(this.bed.space, range));
    if (pick < 94) return this.#harmless('freeTables', range, () => freeTables(this.bed.space, range));
    return this.#split();
  }

  /** A size that some level knows, and a range of a few of it near one of the centers. */
  #range(): Span {
    const { random, paging } = this.#context;
    const sizes = [
      ...this.#kinds.map(({ leafBytes }) => leafBytes),
      ...paging.levels.map(({ level }) => BigInt(level.entrySpan)),
    ];
    const { at, span } = random.pick(this.#centers);
    const size = random.pick(sizes);
    const fine = random.pick(sizes.filter((other) => other <= size));
    let start = at - (at % size) + BigInt(random.between(-3, 2)) * size;
    if (random.once(2)) start += BigInt(random.between(-8, 8)) * fine;
    let end = start + BigInt(random.between(1, 2)) * size;
    if (random.once(3)) end = start + BigInt(random.between(1, 20)) * fine;
    if (random.once(3)) end += BigInt(random.between(1, 20)) * this.#page;
    start = higher(start, span.start);
    end = lower(end, span.end);
    if (start >= end) return { start: higher(span.end - size, span.start), end: span.end };
    return { start, end };
  }

  /** Mostly a range that has to do with something mapped. */
  #mappedRange(): Span {
    const { random } = this.#context;
    const segment = random.pick(this.model.segments);
    if (segment === undefined || random.once(4)) return this.#range();
    const sizes = this.#kinds.map(({ leafBytes }) => leafBytes);
    const cut = (): bigint => {
      const unit = random.pick(sizes.filter((size) => size <= segment.end - segment.start).concat(this.#page));
      return random.belowBig((segment.end - segment.start) / unit) * unit;
    };
    const start = segment.start + (random.once(2) ? cut() : 0n);
    const end = segment.end - (random.once(2) ? cut() : 0n);
    return start < end ? { start, end } : { start: segment.start, end: segment.end };
  }

  #map(): Operation {
    const { random } = this.#context;
    const { start, end, pa, agree } = this.#target();
    const bytes = end - start;
    const sizes = this.#kinds.map(({ leafBytes }) => leafBytes);
    const limits = sizes.filter((size) => size >= agree);
    const maxLeafBytes = random.once(4) && limits.length > 0 ? random.pick(limits) : undefined;
    const runs = !random.once(4);
    const set = random.pick(this.#sets);
    const taken = this.model.within(start, end).length > 0;
    const limit = maxLeafBytes === undefined ? {} : { maxLeafBytes };
    return {
      step: { name: 'map', start, end, options: `runs ${runs}, set ${set.index}` },
      errors: taken ? [OverlapError] : [],
      run: () => this.bed.map({ va: start, pa, bytes, runs, ...limit, attributes: (leaf) => set.on(leaf) }),
      apply: () => this.model.put({ start, end, pa, set }),
    };
  }

  /** A range and a place for it: both addresses agree so far that the number of leaves stays bearable. */
  #target(): Span & { readonly pa: bigint; readonly agree: bigint } {
    const { random } = this.#context;
    const range = this.#range();
    const { start } = range;
    const sizes = this.#kinds.map(({ leafBytes }) => leafBytes).filter((size) => size * 2n <= this.#space);
    const largest = sizes[sizes.length - 1] ?? this.#page;
    const most = lower(largest * MOST_ENTRIES, this.#space - largest);
    const end = lower(range.end, start + most);
    const bytes = end - start;
    const few = sizes.find((size) => bytes / size <= MOST_ENTRIES) ?? largest;
    const agree = random.pick(sizes.filter((size) => size >= few));
    const count = (this.#space - bytes) / agree;
    const pa = random.belowBig(count) * agree + (start % agree);
    return { start, end, pa, agree };
  }

  /** The leaf that an address stands inside of, so that it is no boundary. */
  #across(va: bigint): MappedRange | undefined {
    return this.#ranges.find(({ start, end, leafBytes }) => va > start && va < end && va % leafBytes !== 0n);
  }

  /** Can an address be made a boundary? Between two levels there may be one that has no leaves. */
  #splits(va: bigint): boolean {
    const leaf = this.#across(va);
    if (leaf === undefined) return true;
    const { levels } = this.#context.paging.geometry;
    for (let level = leaf.level; level >= 0; level--) {
      if (aloneAt(this.#kinds, level) === undefined) return false;
      if (va % (1n << BigInt(levels[level]?.shift ?? 0)) === 0n) return true;
    }
    return true;
  }

  /** How an edit treats its edges; the errors that follow, and the range that is then really changed. */
  #edges(range: Span): { partial: 'split' | 'refuse' | 'whole'; errors: ErrorClass[]; start: bigint; end: bigint } {
    const partial = this.#context.random.pick(['split', 'split', 'refuse', 'whole'] as const);
    const first = this.#across(range.start);
    const last = this.#across(range.end);
    const cut = first !== undefined || last !== undefined;
    if (partial === 'refuse') return { partial, errors: cut ? [PartialLeafError] : [], ...range };
    if (partial === 'split') {
      const possible = this.#splits(range.start) && this.#splits(range.end);
      return { partial, errors: possible ? [] : [PartialLeafError], ...range };
    }
    const start = first === undefined ? range.start : range.start - (range.start % first.leafBytes);
    const end = last === undefined ? range.end : range.end - (range.end % last.leafBytes) + last.leafBytes;
    return { partial, errors: [], start, end };
  }

  #unmap(): Operation {
    const range = this.#mappedRange();
    const { partial, errors, start, end } = this.#edges(range);
    const holes = this.#context.random.once(3) ? 'refuse' : 'skip';
    const refused = holes === 'refuse' && this.model.holes(range.start, range.end).length > 0;
    return {
      step: { name: 'unmap', ...range, options: `partial ${partial}, holes ${holes}` },
      errors: refused ? [...errors, NotMappedError] : errors,
      run: () => unmap(this.bed.space, range, { partial, holes, allocator: this.bed.frames }),
      apply: () => this.model.remove(start, end),
    };
  }

  #protect(): Operation {
    const { random } = this.#context;
    const range = this.#mappedRange();
    const { partial, errors, start, end } = this.#edges(range);
    const holes = random.once(2) ? 'refuse' : 'skip';
    const refused = holes === 'refuse' && this.model.holes(range.start, range.end).length > 0;
    const set = random.pick(this.#sets);
    return {
      step: { name: 'protect', ...range, options: `partial ${partial}, holes ${holes}, set ${set.index}` },
      errors: refused ? [...errors, NotMappedError] : errors,
      run: () => protect(this.bed.space, range, { fields: set.values }, { partial, holes, allocator: this.bed.frames }),
      apply: () => this.model.protect(start, end, set),
    };
  }

  #split(): Operation {
    const range = this.#mappedRange();
    const possible = this.#splits(range.start) && this.#splits(range.end);
    return {
      step: { name: 'split', ...range, options: '' },
      errors: possible ? [] : [PartialLeafError],
      run: () => split(this.bed.space, range, this.bed.frames),
      apply: () => {},
    };
  }

  /** An operation that must not change any translation. */
  #harmless(name: string, range: Span, run: () => Change): Operation {
    return { step: { name, ...range, options: '' }, errors: [], run, apply: () => {} };
  }

  /** Takes everything away and looks whether anything is left. */
  clear(): void {
    for (const span of this.#spans) {
      unmap(this.bed.space, span);
      this.bed.release(freeTables(this.bed.space, span));
      this.model.remove(span.start, span.end);
    }
    this.#ranges = this.bed.ranges();
    this.compare();
    this.#context.equal(this.bed.frames.live.size, 0, 'cleared', 'nothing is left of an emptied address space');
  }

  /** Maps something with what exists already kept, and compares with the model. */
  keep(): void {
    const { start, end, pa } = this.#target();
    const set = this.#context.random.pick(this.#sets);
    const change = this.bed.map({
      va: start,
      pa,
      bytes: end - start,
      attributes: (leaf) => set.on(leaf),
      existing: 'keep',
    });
    this.bed.release(change);
    for (const hole of this.model.holes(start, end)) {
      this.model.put({ ...hole, pa: pa + hole.start - start, set });
    }
    this.#ranges = this.bed.ranges();
    this.compare();
  }
}
