/** Leaves: written and read back, word by word and through the operations. */
import { type Attributes, featuresHold, gather, rangesMask, translate, unmap, walk } from '@pagefold/core';
import { Bed } from '../bed.ts';
import { type Context, defineCheck } from '../context.ts';
import {
  type AttributeSet,
  attributeSets,
  halvesOf,
  type LeafKind,
  leafKinds,
  leafSpace,
  leafSpots,
  virtualSpot,
} from '../parts.ts';
import { Reference } from '../reference.ts';
import type { ConformanceCheck } from '../subject.ts';

/** Checks that a word holds attributes as they were asked for. */
function checkAttributes(context: Context, kind: LeafKind, word: bigint, attributes: Attributes): void {
  const { compiled } = kind;
  const where = { level: kind.level, shape: kind.shape, word };
  const free = ~(compiled.address.mask | compiled.fixedMask);
  if (typeof attributes === 'bigint') {
    const all = BigInt.asUintN(64, free);
    context.equal(word & all, attributes & all, 'leaf-bits', 'attribute bits read back as given', where);
    return;
  }
  for (const [name, value] of Object.entries(attributes)) {
    const field = compiled.fields.find((candidate) => candidate.name === name);
    const ranges = field?.bits ?? [];
    // Bits that make the shape are the shape's own business.
    if ((rangesMask(ranges) & compiled.fixedMask) !== 0n) continue;
    context.equal(gather(word, ranges), BigInt(value), 'leaf-field', 'a field reads back as given', {
      ...where,
      field: name,
    });
  }
}

/** One leaf, all entries of it if it is a run: encoded, decoded, cleared. */
function checkEntry(context: Context, reference: Reference, kind: LeafKind, pa: bigint, set: AttributeSet): void {
  const { paging } = context;
  const { level, shape, compiled, leafBytes, entryBytes } = kind;
  const attributes = set.on(kind.choice);
  // What separates the ways of storing: each its own address, or all that of the run.
  const own = !compiled.sharedAddress;
  const last = compiled.runEntries - 1;
  for (const item of new Set([0, Math.min(1, last), context.random.below(last + 1), last])) {
    const given = own ? pa + BigInt(item) * entryBytes : pa;
    const word = paging.encodeLeaf(level, given, attributes, shape);
    const where = { level, shape, set: set.index, pa: given, item, word };
    if (word >> BigInt(paging.format.entryBytes * 8) !== 0n) {
      context.fail('leaf-width', 'an entry fits in its bytes', where);
    }
    const decoded = paging.decode(level, word);
    context.equal(decoded.kind, 'leaf', 'leaf-kind', 'a leaf reads back as a leaf', {
      ...where,
      reasons: decoded.reasons.join(' '),
    });
    context.equal(decoded.shape, shape, 'leaf-shape', 'a leaf reads back with its shape', where);
    context.equal(decoded.leafBytes, leafBytes, 'leaf-size', 'a leaf reads back with its size', where);
    context.equal(decoded.address, pa, 'leaf-address', 'a leaf, or any entry of a run, reads back the address', where);
    const { lo, hi } = halvesOf(word);
    const stored = BigInt(compiled.address.decode(lo, hi));
    context.equal(stored, given, 'item-address', 'an entry stores its own address, or all that of the run', where);
    const slow = reference.decode(level, word);
    context.equal(slow.kind, 'leaf', 'leaf-reference', 'the description calls the entry a leaf', {
      ...where,
      reasons: slow.reasons.join(' '),
    });
    context.equal(slow.stored, given, 'leaf-reference', 'the description finds the same address', where);
    checkAttributes(context, kind, word, attributes);
  }
}

/** The pieces of a leaf's address must hold every bit from its size up, to the geometry's bits or to their own end. */
function checkPieces(context: Context, kind: LeafKind): bigint {
  const { paging } = context;
  const { compiled, level, shape, leafBytes, entryBytes } = kind;
  const whole = 1n << BigInt(paging.geometry.paBits);
  const unit = compiled.sharedAddress ? leafBytes : entryBytes;
  const space = leafSpace(paging, kind);
  if (space <= unit && unit < whole) {
    context.fail('leaf-pieces', 'the address of a leaf is held from its own size up', { level, shape, size: unit });
  }
  if (compiled.shape.kind !== 'leaf') return space;
  const top = compiled.shape.address
    .filter(({ when }) => featuresHold(when, paging.features))
    .reduce((most, { addressLo, bits }) => Math.max(most, addressLo + bits), 0);
  const reach = space.toString(2).length - 1;
  if (top > reach && reach < paging.geometry.paBits) {
    context.fail('leaf-pieces', 'the address of a leaf is held without gaps', {
      level,
      shape,
      gap: 1n << BigInt(reach),
    });
  }
  return space;
}

export const leafEntries: ConformanceCheck = defineCheck(
  'leaf-entries',
  'Every leaf of every level takes physical address 0, a random one and the highest, with every attribute set, and ' +
    'decodes to the same address, size, shape and fields; entries of a run store their own or the shared address.',
  (context) => {
    const reference = new Reference(context.paging);
    const sets = attributeSets(context);
    const spaces = leafKinds(context.paging).map((kind) => checkPieces(context, kind));
    if (!spaces.includes(1n << BigInt(context.paging.geometry.paBits))) {
      context.fail('leaf-reach', 'some leaf can hold every physical address', {
        paBits: context.paging.geometry.paBits,
      });
    }
    for (const kind of leafKinds(context.paging)) {
      for (const set of sets) {
        for (const pa of leafSpots(context, kind)) checkEntry(context, reference, kind, pa, set);
      }
    }
    for (const { level } of context.paging.levels) {
      const empty = context.paging.decode(level.level, 0n);
      const where = { level: level.level };
      context.equal(empty.kind, 'empty', 'zero-empty', 'the word 0 is empty: tables are made of it', where);
      context.equal(empty.reasons.length, 1, 'empty-reason', 'an empty word has its reason', where);
    }
  },
);

/** Maps one leaf, looks at it from all sides, takes it away again. */
function checkMapping(context: Context, bed: Bed, kind: LeafKind, pa: bigint, set: AttributeSet): void {
  const { paging } = context;
  const { leafBytes, level, shape, compiled } = kind;
  const va = virtualSpot(context, leafBytes, leafBytes);
  if (va === undefined || pa + leafBytes > 1n << BigInt(paging.geometry.paBits)) return;
  const where = { level, shape, set: set.index, va, pa };
  const change = bed.map({ va, pa, bytes: leafBytes, attributes: (leaf) => set.on(leaf) });
  context.equal(change.entries, compiled.runEntries, 'map-entries', 'a leaf is written once per entry', where);
  const offsets = [0n, context.random.belowBig(leafBytes), leafBytes - 1n];
  for (const offset of offsets) {
    const found = translate(bed.space, va + offset);
    const here = { ...where, offset };
    if (!found.mapped) {
      context.fail('map-found', 'an address that was mapped translates', { ...here, reason: found.reason });
    }
    context.equal(found.pa, pa + offset, 'map-address', 'it translates to the address that was given', here);
    context.equal(found.level, level, 'map-level', 'the leaf stands at its level', here);
    context.equal(found.shape, shape, 'map-shape', 'the leaf has its shape', here);
    context.equal(found.leafBytes, leafBytes, 'map-size', 'the leaf has its size', here);
    checkAttributes(context, kind, found.entry, set.on(kind.choice));
    const { steps, outcome } = walk(bed.space, va + offset);
    context.equal(outcome.mapped && outcome.pa, found.pa, 'walk-agrees', 'walk and translate agree', here);
    const step = steps[steps.length - 1];
    context.equal(step?.slot, found.slot, 'walk-slot', 'the last step of a walk is the leaf', here);
    context.equal(step?.decoded?.address, pa, 'walk-address', 'the last step decodes to the leaf', here);
  }
  for (const beside of [va - 1n, va + leafBytes]) {
    if (beside < 0n || beside >= 1n << 64n) continue;
    const found = translate(bed.space, beside);
    if (found.mapped) context.fail('map-beside', 'nothing beside a leaf is mapped', { ...where, beside });
  }
  const slots = offsets.map((offset) => translate(bed.space, va + offset)).map((found) => found.slot ?? 0n);
  unmap(bed.space, { start: va, end: va + leafBytes });
  for (const slot of slots) context.equal(bed.read(slot), 0n, 'clear-word', 'an unmapped entry is the word 0', where);
  for (const offset of offsets) {
    const found = translate(bed.space, va + offset);
    if (found.mapped) context.fail('clear-found', 'an address that was unmapped does not translate', where);
    context.equal(found.stage, 'entry', 'clear-stage', 'an empty entry stops the walk', where);
  }
}

/** Address bits at which something changes inside an entry: pieces begin, halves of the entry meet; and some more. */
function turns(context: Context, { compiled, leafBytes }: LeafKind, space: bigint): Set<bigint> {
  const found = new Set([32n]);
  if (compiled.shape.kind === 'leaf') {
    for (const { entryLo, addressLo } of compiled.shape.address) {
      found.add(BigInt(addressLo)).add(BigInt(32 - entryLo + addressLo));
    }
  }
  const lowest = leafBytes.toString(2).length + 1;
  const highest = space.toString(2).length - 2;
  if (highest >= lowest) for (let i = 0; i < 3; i++) found.add(BigInt(context.random.between(lowest, highest)));
  return new Set([...found].filter((bit) => bit >= BigInt(lowest) && bit <= BigInt(highest)));
}

/** Four leaves in a row, two on each side of a power of two. */
function checkTurns(context: Context, bed: Bed, kind: LeafKind, set: AttributeSet): void {
  const { leafBytes } = kind;
  for (const bit of turns(context, kind, leafSpace(context.paging, kind))) {
    const va = virtualSpot(context, leafBytes * 4n, leafBytes * 4n);
    if (va === undefined) return;
    const pa = (1n << bit) - leafBytes * 2n;
    const range = { start: va, end: va + leafBytes * 4n };
    bed.map({ va, pa, bytes: leafBytes * 4n, maxLeafBytes: leafBytes, attributes: (leaf) => set.on(leaf) });
    for (let i = 0n; i < 4n; i++) {
      const offset = i * leafBytes + context.random.belowBig(leafBytes);
      const found = translate(bed.space, va + offset);
      const where = { level: kind.level, shape: kind.shape, va, pa, offset };
      context.equal(
        found.mapped && found.pa,
        pa + offset,
        'row-address',
        'leaves in a row have addresses in a row',
        where,
      );
    }
    unmap(bed.space, range);
  }
}

export const leafMappings: ConformanceCheck = defineCheck(
  'leaf-mappings',
  'The same through the operations: map makes that one leaf, translate and walk agree on it, unmap leaves it empty; ' +
    'leaves in a row keep their addresses across every turn of the entry.',
  (context) => {
    const sets = attributeSets(context);
    for (const kind of leafKinds(context.paging)) {
      const bed = new Bed(context);
      leafSpots(context, kind).forEach((pa, at) => {
        for (const set of sets) {
          if (set.index === 0 || (set.index + at) % 2 === 0) checkMapping(context, bed, kind, pa, set);
        }
      });
      checkTurns(context, bed, kind, context.random.pick(sets));
    }
  },
);
