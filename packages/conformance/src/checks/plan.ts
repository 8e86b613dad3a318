/** Which leaves a range is made of, against a search that places one leaf at a time. */
import { type MapPlan, planMap } from '@pagefold/core';
import { Bed } from '../bed.ts';
import { type Context, defineCheck } from '../context.ts';
import {
  type AttributeSet,
  attributeSets,
  canonicalSpans,
  leafKinds,
  lower,
  mappableSpace,
  type Span,
} from '../parts.ts';
import type { ConformanceCheck } from '../subject.ts';

/** A request as the search sees it. */
interface PlanCase {
  readonly va: bigint;
  readonly pa: bigint;
  readonly bytes: bigint;
  /** Sizes that may be used. */
  readonly sizes: readonly bigint[];
}

/** The largest size that fits: in the list, both addresses aligned, not past the end. */
function bestSize({ sizes }: PlanCase, va: bigint, pa: bigint, rest: bigint): bigint | undefined {
  let best: bigint | undefined;
  for (const size of sizes) {
    const fits = (va & (size - 1n)) === 0n && (pa & (size - 1n)) === 0n && size <= rest;
    // Above the size nothing may change between the first and the last byte: the leaf is one aligned block.
    const block = va / size === (va + size - 1n) / size && pa / size === (pa + size - 1n) / size;
    if (fits && block && (best === undefined || size > best)) best = size;
  }
  return best;
}

/** Checks rows at their first, last and some leaves between; the choice depends on nothing but the position. */
function checkRows(context: Context, plan: MapPlan, request: PlanCase): void {
  let done = 0n;
  for (const { va, pa, leaf, count } of plan.leaves) {
    const where = { va: request.va, pa: request.pa, bytes: request.bytes, at: va, leafBytes: leaf.leafBytes, count };
    context.equal(va, request.va + done, 'plan-chain', 'each row starts where the one before ends', where);
    context.equal(pa, request.pa + done, 'plan-chain', 'physical addresses rise with the virtual ones', where);
    if (count < 1) context.fail('plan-count', 'a row has at least one leaf', where);
    const items = new Set([0, 1, count - 2, count - 1, context.random.below(count)]);
    for (const item of items) {
      if (item < 0 || item >= count) continue;
      const offset = done + BigInt(item) * leaf.leafBytes;
      const best = bestSize(request, request.va + offset, request.pa + offset, request.bytes - offset);
      context.equal(leaf.leafBytes, best, 'plan-best', 'every leaf is the largest that fits where it stands', {
        ...where,
        item,
      });
    }
    done += leaf.leafBytes * BigInt(count);
  }
  context.equal(done, request.bytes, 'plan-cover', 'the rows cover the request', { va: request.va, pa: request.pa });
}

/** Tables that the plan must list: those on the path of each leaf, each once, parents first. */
function checkTables(context: Context, plan: MapPlan): void {
  const { levels } = context.paging.geometry;
  const wanted = new Set<string>();
  for (const { va, leaf, count } of plan.leaves) {
    const end = va + leaf.leafBytes * BigInt(count);
    for (let level = leaf.level; level < levels.length - 1; level++) {
      const span = 1n << BigInt((levels[level]?.shift ?? 0) + (levels[level]?.indexBits ?? 0));
      for (let at = va - (va % span); at < end; at += span) wanted.add(`${level}:${at}`);
    }
  }
  const listed = plan.tables.map(({ level, va }) => `${level}:${va}`);
  const unique = new Set(listed);
  context.equal(listed.length, unique.size, 'plan-tables', 'no table is listed twice');
  context.equal(unique.size, wanted.size, 'plan-tables', 'exactly the missing tables are listed');
  for (const key of unique) {
    if (!wanted.has(key)) context.fail('plan-tables', 'exactly the missing tables are listed', { table: key });
  }
  const bytes = plan.tables.reduce((sum, table) => sum + BigInt(table.bytes), 0n);
  context.equal(plan.tableBytes, bytes, 'plan-bytes', 'the bytes of all tables are summed up');
}

/** A random case: positions of every alignment, at the bottom, the top and between. */
function randomCase(context: Context, spans: readonly Span[], all: readonly bigint[]): PlanCase | undefined {
  const { random, paging } = context;
  const page = paging.pageBytes;
  const space = mappableSpace(paging);
  const { start, end } = random.pick(spans);
  const limit = random.once(3) ? random.pick(all) : (all[all.length - 1] ?? page);
  const sizes = all.filter((size) => size <= limit);
  // The size up to which both addresses agree, and the one that the request is a few of.
  const agree = random.pick(all);
  const unit = random.pick(sizes.filter((size) => size <= agree).concat(page));
  const reach = lower(agree, limit);
  const most = lower(unit, reach);
  let bytes = most * BigInt(random.between(1, 4));
  if (random.once(2)) bytes += random.belowBig(32n) * page;
  if (random.once(3)) bytes += random.pick(sizes.filter((size) => size <= most).concat(page));
  if (bytes > end - start || bytes > space) return undefined;
  const room = end - start - bytes;
  let va = start + random.belowBig(room / page + 1n) * page;
  if (random.once(3)) va -= (va - start) % unit;
  if (random.once(5)) va = start;
  if (random.once(5)) va = start + room;
  // Physical addresses that agree with the virtual one below `agree`, anywhere above.
  const modulus = lower(agree, space);
  let pa = random.belowBig(space / modulus) * modulus + (va % modulus);
  if (random.once(6)) pa = va % modulus;
  if (random.once(6)) pa = space - modulus + (va % modulus);
  while (pa + bytes > space) {
    if (pa < modulus) return undefined;
    pa -= modulus;
  }
  return { va, pa, bytes, sizes };
}

function checkCase(context: Context, bed: Bed, set: AttributeSet, request: PlanCase, runs: boolean): void {
  const largest = request.sizes[request.sizes.length - 1] ?? context.paging.pageBytes;
  const plan = planMap(bed.space, {
    va: request.va,
    pa: request.pa,
    bytes: request.bytes,
    attributes: (leaf) => set.on(leaf),
    maxLeafBytes: largest,
    runs,
  });
  checkRows(context, plan, request);
  checkTables(context, plan);
}

export const leafChoice: ConformanceCheck = defineCheck(
  'leaf-choice',
  'Every leaf of a planned mapping is the largest that fits where it stands; exactly the missing tables are listed.',
  (context) => {
    const kinds = leafKinds(context.paging);
    const spans = canonicalSpans(context.paging);
    const bed = new Bed(context);
    const [set] = attributeSets(context);
    if (set === undefined) return context.fail('attributes-none', 'the subject needs at least one attribute set');
    for (let round = context.rounds(120); round > 0; round--) {
      const runs = !context.random.once(4);
      const sizes = kinds.filter(({ choice }) => runs || choice.runEntries === 1).map(({ leafBytes }) => leafBytes);
      const request = randomCase(context, spans, sizes);
      if (request !== undefined) checkCase(context, bed, set, request, runs);
    }
  },
);
