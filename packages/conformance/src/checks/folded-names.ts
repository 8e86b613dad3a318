/** Code written once for pgd, p4d, pud, pmd and pte, over however many levels there are. */
import {
  createNames,
  eachTable,
  type LinuxNames,
  leaves,
  type NameHelpers,
  type PhysAddr,
  phys,
  type Slot,
  TABLE_NAMES,
  type TableName,
  walk,
} from '@pagefold/core';
import { Bed } from '../bed.ts';
import { type Context, defineCheck } from '../context.ts';
import { attributeSets, canonicalSpans, higher, lower, type Span } from '../parts.ts';
import { Simulation } from '../simulation.ts';
import type { ConformanceCheck } from '../subject.ts';

/** Where five-level code ends. */
interface Found {
  readonly name: TableName;
  readonly slot: Slot;
  readonly kind: 'empty' | 'leaf' | 'malformed';
}

/** The lookup as every kernel writes it: test each name's word, then step to the name below. */
function lookUp(names: LinuxNames, root: PhysAddr, va: bigint): Found {
  let parent: PhysAddr | Slot = root;
  for (const name of TABLE_NAMES) {
    const helpers: NameHelpers = names.byName(name);
    const slot: Slot = helpers.offset(parent, va);
    const word = helpers.val(slot);
    if (helpers.none(word)) return { name, slot, kind: 'empty' };
    if (helpers.leaf(word)) return { name, slot, kind: 'leaf' };
    if (helpers.bad(word)) return { name, slot, kind: 'malformed' };
    parent = slot;
  }
  return { name: 'pte', slot: parent as Slot, kind: 'malformed' };
}

function checkLookUp(context: Context, names: LinuxNames, bed: Bed, va: bigint): void {
  const found = lookUp(names, phys(bed.root), va);
  const { steps, outcome } = walk(bed.space, va);
  const last = steps[steps.length - 1];
  const where = { va, name: found.name };
  context.equal(found.slot.address, last?.slot, 'names-slot', 'five names end at the slot where a walk ends', where);
  context.equal(found.kind, last?.decoded?.kind, 'names-kind', 'five names find there what a walk finds', where);
  const { level } = names.byName(found.name);
  context.equal(level, last?.level, 'names-level', 'the name that owns a word stands for its level', where);
  context.equal(found.kind === 'leaf', outcome.mapped, 'names-mapped', 'five names agree on what is mapped', where);
}

/** The loop as every kernel writes it; `end` of 0 is the top. Collects the leaves that it passes. */
function loop(
  context: Context,
  names: LinuxNames,
  depth: number,
  parent: PhysAddr | Slot,
  start: bigint,
  end: bigint,
  found: { va: bigint; slot: bigint }[],
): void {
  const helpers = names.byName(TABLE_NAMES[depth] ?? 'pte');
  let addr = start;
  let slot = helpers.offset(parent, addr);
  do {
    const next = helpers.addrEnd(addr, end);
    const again = helpers.offset(parent, addr).address;
    context.equal(slot.address, again, 'names-loop', 'the stepped slot is the one that offset gives', {
      name: helpers.name,
      addr,
      end,
    });
    const word = helpers.val(slot);
    if (!helpers.none(word)) {
      if (helpers.leaf(word)) found.push({ va: addr, slot: slot.address });
      else if (!helpers.bad(word)) loop(context, names, depth + 1, slot, addr, next, found);
    }
    addr = next;
    slot = helpers.next(slot);
  } while (addr !== end);
}

function checkLoop(context: Context, names: LinuxNames, bed: Bed, { start, end }: Span): void {
  const found: { va: bigint; slot: bigint }[] = [];
  const top = BigInt.asUintN(context.paging.geometry.wordBits, end);
  loop(context, names, 0, phys(bed.root), start, top, found);
  const expected = leaves(bed.space, { start, end });
  const where = { start, end };
  context.equal(found.length, expected.length, 'names-leaves', 'five nested loops pass every leaf once', where);
  found.forEach(({ va, slot }, at) => {
    context.equal(va, expected[at]?.start, 'names-leaves', 'in rising order', where);
    context.equal(slot, walk(bed.space, va).outcome.slot, 'names-leaves', 'at its slot', { ...where, va });
  });
}

/** What a folded name promises: it owns nothing, so it does nothing. */
function checkTrivial(context: Context, names: LinuxNames, bed: Bed, va: bigint): void {
  const { folding } = context.paging.geometry;
  let parent: PhysAddr | Slot = phys(bed.root);
  for (const name of TABLE_NAMES) {
    const helpers: NameHelpers = names.byName(name);
    const slot: Slot = helpers.offset(parent, va);
    const where = { va, name };
    if (helpers.folded) {
      context.equal(helpers.allocOne(va) === null, true, 'names-alloc', 'a folded name allocates nothing', where);
      helpers.freeOne(phys(bed.root), va);
      if (folding.offset === 'same-slot') {
        context.equal(slot === parent, true, 'names-same', 'the slot of a folded name is the one above', where);
        context.equal(helpers.addrEnd(va, 0n), 0n, 'names-step', 'a folded name takes one step', where);
      }
    }
    if (!helpers.trivial) return;
    const before = helpers.val(slot);
    const tests = [helpers.none(0n), helpers.present(0n), helpers.bad(0n), helpers.leaf(0n)].join(' ');
    context.equal(tests, 'false true false false', 'names-trivial', 'tests above a folded name are constant', where);
    helpers.clear(slot);
    helpers.populate(slot, phys(bed.root));
    helpers.clearBad(slot);
    context.equal(helpers.val(slot), before, 'names-trivial', 'clear and populate there do nothing', where);
    parent = slot;
  }
}

/** Builds mappings with five-level code alone; the hardware's walk must see them. */
function checkBuilt(context: Context): void {
  const { paging, random } = context;
  const bed = new Bed(context);
  bed.frames.anyRequest = true;
  const names = createNames(bed.memory, paging, { allocator: bed.frames, toHardware: (word) => word });
  const { pairs } = paging.geometry.folding;
  const page = paging.pageBytes;
  const [set] = attributeSets(context);
  const vas = new Set<bigint>();
  for (const { start, end } of canonicalSpans(paging)) {
    vas.add(start).add(end - page);
    for (let i = 0; i < 4; i++) vas.add(start + random.belowBig((end - start) / page) * page);
  }
  const choice = paging.leafChoices.find(({ level, runEntries }) => level === 0 && runEntries === 1);
  if (choice === undefined) return;
  let pa = 0n;
  for (const va of vas) {
    checkTrivial(context, names, bed, va);
    const pgd = names.pgd.alloc(phys(bed.root), va);
    const p4d = names.p4d.alloc(pgd, va);
    const pud = names.pud.alloc(p4d, va);
    const pmd = names.pmd.alloc(pud, va);
    const pte = names.pte.alloc(pmd, va);
    pa += page;
    names.pte.set(pte, paging.encodeLeaf(0, pa, set?.on(choice) ?? 0n, choice.shape));
    const { outcome } = walk(bed.space, va);
    const where = { va, pa, slot: pte.address };
    context.equal(outcome.mapped && outcome.pa, pa, 'names-built', 'hardware sees what five-level code maps', where);
    const twin = pte.address + BigInt(pairs?.hardwareOffset ?? 0);
    context.equal(outcome.slot, twin, 'names-built', 'in the same slot, or in its hardware twin', where);
    if (random.once(2)) continue;
    names.pte.clear(pte);
    context.equal(walk(bed.space, va).outcome.mapped, false, 'names-cleared', 'what pte clears is gone', where);
  }
}

/** A window of the address space that is cheap to loop over: around something mapped, or at an edge. */
function windowOf(context: Context, simulation: Simulation): Span {
  const { random, paging } = context;
  const page = paging.pageBytes;
  const spans = canonicalSpans(paging);
  const span = random.pick(spans);
  const segment = random.pick(simulation.model.segments);
  const edges = [span.start, span.end, segment?.start ?? span.start, segment?.end ?? span.end];
  const around = random.pick(edges);
  const home = spans.find(({ start, end }) => around >= start && around <= end) ?? span;
  const size = random.pick(paging.levels.map(({ level }) => BigInt(level.entrySpan)));
  const reach = higher(size, BigInt(random.between(1, 40)) * page);
  const start = higher(home.start, around - BigInt(random.below(3)) * reach - BigInt(random.below(3)) * page);
  const end = lower(home.end, around + BigInt(random.between(1, 3)) * reach);
  if (start >= end) return { start: home.end - page, end: home.end };
  let bytes = end - start;
  while (loopSteps(context, simulation.bed, { start, end: start + bytes }) > MOST_STEPS)
    bytes -= (bytes / page / 2n) * page;
  return { start, end: start + bytes };
}

/** Steps that a loop may take: five-level code is slow. */
const MOST_STEPS = 2000;

/** How many steps a loop over a range takes at all levels. */
function loopSteps(context: Context, bed: Bed, range: Span): number {
  let steps = 0;
  eachTable(bed.space, range, ({ level }) => {
    const { entries = 1, entrySpan = 1 } = context.paging.geometry.levels[level] ?? {};
    steps += Math.min(entries, Number((range.end - range.start) / BigInt(entrySpan)) + 2);
  });
  return steps;
}

export const foldedNames: ConformanceCheck = defineCheck(
  'folded-names',
  'Five-level code (offset, none, leaf, bad, addr_end, alloc, set, clear) sees and builds the same tables as a walk; ' +
    'names that are folded do nothing.',
  (context) => {
    checkBuilt(context);
    // Where software keeps copies of its own beside the tables, only what it built itself has them.
    if (context.paging.geometry.folding.pairs !== undefined) return;
    const { random } = context;
    const simulation = new Simulation(context);
    for (let step = 6; step > 0; step--) simulation.step();
    const { bed } = simulation;
    const names = createNames(bed.memory, context.paging);
    const spans = canonicalSpans(context.paging);
    for (const { start, end } of [...spans, ...simulation.model.segments]) {
      for (const va of [start, end - 1n, start + random.belowBig(end - start)]) checkLookUp(context, names, bed, va);
    }
    for (let round = context.rounds(40); round > 0; round--) {
      const { start, end } = random.pick(spans);
      checkLookUp(context, names, bed, start + random.belowBig(end - start));
    }
    for (let round = context.rounds(5); round > 0; round--)
      checkLoop(context, names, bed, windowOf(context, simulation));
  },
);
