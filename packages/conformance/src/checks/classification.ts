/** Every word is something: the fast reading of a word against the slow one, and what walks make of it. */
import { type PhysAddr, walk } from '@pagefold/core';
import { Bed } from '../bed.ts';
import { type Context, defineCheck } from '../context.ts';
import { attributeSets, canonicalSpans, halvesOf, leafKinds, leafSpots, physicalSpots, tableSpace } from '../parts.ts';
import { Reference } from '../reference.ts';
import type { ConformanceCheck } from '../subject.ts';

const KINDS = ['empty', 'table', 'leaf', 'malformed'] as const;

/** Words that a format itself would write at a level. */
export function plausibleWords(context: Context, level: number): bigint[] {
  const { paging } = context;
  const words = [0n];
  const below = paging.geometry.levels[level - 1];
  if (below !== undefined) {
    for (const address of physicalSpots(context, BigInt(below.alignBytes), tableSpace(paging))) {
      words.push(paging.encodeTable(level, address, context.tableAttributes(level)));
    }
  }
  const sets = attributeSets(context);
  for (const kind of leafKinds(paging).filter((leaf) => leaf.level === level)) {
    for (const set of sets) {
      const pa = context.random.pick(leafSpots(context, kind));
      words.push(paging.encodeLeaf(level, pa, set.on(kind.choice), kind.shape));
    }
  }
  return words;
}

/** Words to look at: all pairs of bits, alone and turned over in plausible words, all ones, and random ones. */
function words(context: Context, level: number): Set<bigint> {
  const { random } = context;
  const bits = context.paging.format.entryBytes * 8;
  const plausible = plausibleWords(context, level);
  const found = new Set<bigint>([(1n << BigInt(bits)) - 1n, ...plausible]);
  // What belongs elsewhere may turn up here: a table pointer among the leaves.
  for (const other of context.paging.levels) {
    for (const word of plausibleWords(context, other.level.level)) found.add(word);
  }
  for (let high = 0n; high < bits; high++) {
    for (let low = 0n; low <= high; low++) found.add((1n << high) | (1n << low));
    for (const word of plausible) found.add(word ^ (1n << high));
  }
  for (let round = context.rounds(200); round > 0; round--) {
    const word = random.bits(bits);
    found.add(word).add(word & random.bits(bits) & random.bits(bits));
    found.add(random.pick(plausible) ^ (1n << BigInt(random.below(bits))) ^ (1n << BigInt(random.below(bits))));
  }
  return found;
}

/** The fast and the slow reading of a word. */
function checkWord(context: Context, reference: Reference, level: number, word: bigint): void {
  const codec = context.paging.codec(level);
  const { lo, hi } = halvesOf(word);
  const code = codec.classify(lo, hi);
  const slow = reference.decode(level, word);
  const reasons = codec.reasons(lo, hi);
  const where = (): { level: number; word: bigint; slow: string; fast: string } => {
    return {
      level,
      word,
      slow: `${slow.kind} ${slow.reasons.join(' ')}`,
      fast: `${KINDS[code & 3]} ${reasons.join(' ')}`,
    };
  };
  if (KINDS[code & 3] !== slow.kind) context.fail('kind', 'the fast and the slow reading agree on the kind', where());
  if (codec.shapes[code >> 2]?.shape !== slow.shape) context.fail('shape', 'they agree on the shape', where());
  const same = reasons.length === slow.reasons.length && reasons.every((reason, at) => reason === slow.reasons[at]);
  if (!same) context.fail('reasons', 'they agree on the reasons', where());
  const needsReason = slow.kind === 'malformed' || slow.kind === 'empty';
  if (needsReason !== reasons.length > 0) {
    context.fail('reason-missing', 'malformed and empty words have reasons, others have none', where());
  }
  if (slow.kind === 'table' && level === 0) context.fail('table-at-leaves', 'level 0 has no tables', where());
  if ((slow.stored ?? 0n) >> BigInt(context.paging.geometry.paBits) !== 0n) {
    context.fail('address-width', 'an address that decodes lies within the physical bits', where());
  }
  if (codec.classify(lo | 0, hi | 0) !== code) {
    context.fail('signed-halves', 'halves may be signed or unsigned', where());
  }
}

/** The address in a word, decoded. */
function checkAddress(context: Context, reference: Reference, level: number, word: bigint): void {
  const { paging } = context;
  const slow = reference.decode(level, word);
  const decoded = paging.decode(level, word);
  const where = { level, word };
  context.equal(decoded.kind, slow.kind, 'decode-kind', 'decode agrees', where);
  context.equal(decoded.reasons.join(' '), slow.reasons.join(' '), 'decode-reasons', 'decode agrees', where);
  const start = slow.stored === undefined ? undefined : slow.stored - (slow.stored % addressUnit(slow));
  context.equal(decoded.address, start, 'decode-address', 'decode finds the address in its pieces', where);
}

/** What the address of a decoded entry is a multiple of: of its leaf, or for a table of anything. */
function addressUnit({ kind, leafBytes }: { readonly kind: string; readonly leafBytes: bigint }): bigint {
  return kind === 'leaf' ? leafBytes : 1n;
}

/** Bits that no test and no address looks at may hold anything. */
function checkIgnored(context: Context, reference: Reference, level: number, word: bigint): void {
  const { paging } = context;
  const { format } = paging;
  let looked = 0n;
  for (const { tests } of paging.codec(level).shapes) looked |= tests.mask;
  for (const { tests } of format.rules) if (typeof tests !== 'string') for (const { mask } of tests) looked |= mask;
  const shape = paging.codec(level).shapes.find((compiled) => compiled.shape === reference.decode(level, word).shape);
  if (shape === undefined || shape.shape.kind === 'empty') return;
  for (const { entryLo, bits } of shape.shape.address) looked |= ((1n << BigInt(bits)) - 1n) << BigInt(entryLo);
  const ignored = ((1n << BigInt(format.entryBytes * 8)) - 1n) & ~looked;
  const before = paging.decode(level, word);
  const after = paging.decode(level, word ^ (ignored & context.random.bits(64)));
  const where = { level, word, ignored };
  context.equal(after.kind, before.kind, 'ignored-kind', 'bits that nothing looks at do not change the kind', where);
  context.equal(after.shape, before.shape, 'ignored-shape', 'nor the shape', where);
  context.equal(after.address, before.address, 'ignored-address', 'nor the address', where);
}

export const classification: ConformanceCheck = defineCheck(
  'classification',
  'Every word is empty, a table, a leaf or malformed, with reasons where it must have some; the compiled reading and ' +
    'the description agree; addresses that decode lie within the physical bits.',
  (context) => {
    const reference = new Reference(context.paging);
    for (const { level } of context.paging.levels) {
      for (const word of words(context, level.level)) {
        checkWord(context, reference, level.level, word);
        if (context.random.once(6)) checkAddress(context, reference, level.level, word);
      }
      for (const word of plausibleWords(context, level.level)) {
        checkAddress(context, reference, level.level, word);
        checkIgnored(context, reference, level.level, word);
      }
    }
  },
);

/** Slots, one per level, on the path to an address; the tables above each are in place. */
function pathSlots(context: Context, bed: Bed, va: bigint): PhysAddr[] {
  const [set] = attributeSets(context);
  bed.map({ va, pa: 0n, bytes: context.paging.pageBytes, attributes: (leaf) => set?.on(leaf) ?? 0n });
  return walk(bed.space, va)
    .steps.map(({ slot }) => slot)
    .reverse();
}

/** A word for each shape and each reason that a word of that shape can have. */
function oneOfEach(context: Context, level: number, all: readonly bigint[]): Iterable<bigint> {
  const codec = context.paging.codec(level);
  const found = new Map<string, bigint>();
  for (const word of all) {
    const { lo, hi } = halvesOf(word);
    const [reason = ''] = codec.reasons(lo, hi);
    found.set(`${codec.classify(lo, hi)} ${reason}`, word);
  }
  return found.values();
}

export const faultTotality: ConformanceCheck = defineCheck(
  'fault-totality',
  'A walk over any word at any level ends with an address or a named fault, and never throws.',
  (context) => {
    const { random, paging } = context;
    const { start } = random.pick(canonicalSpans(paging));
    const bed = new Bed(context);
    pathSlots(context, bed, start).forEach((slot, level) => {
      const kept = bed.read(slot);
      const all = [...words(context, level)];
      const some = Array.from({ length: context.rounds(100) }, () => random.pick(all));
      for (const word of new Set([...oneOfEach(context, level, all), ...some])) {
        bed.write(slot, word);
        const { steps, outcome } = walk(bed.space, start);
        const step = steps[paging.levels.length - 1 - level];
        const where = { level, word };
        context.equal(step?.entry, word, 'walk-entry', 'the walk sees the word', where);
        if (outcome.mapped) continue;
        if (outcome.reasons.length === 0) context.fail('fault-reason', 'a fault has a reason', where);
        context.equal(outcome.reason, outcome.reasons[0], 'fault-reason', 'the first reason is "the" reason', where);
        if (typeof outcome.type !== 'string' || outcome.type === '') {
          context.fail('fault-name', 'a fault has a name', { ...where, reason: outcome.reason });
        }
        if (outcome.level === level && outcome.stage !== 'memory') {
          context.equal(outcome.entry, word, 'fault-entry', 'a fault carries the entry that caused it', where);
        }
      }
      bed.write(slot, kept);
    });
  },
);
