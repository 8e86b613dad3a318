/** Addresses that are translated, and those that never are. */
import { rangesMask, Translator, translate, walk } from '@pagefold/core';
import { Bed } from '../bed.ts';
import { type Context, defineCheck } from '../context.ts';
import { attributeSets, canonicalSpans } from '../parts.ts';
import { Reference } from '../reference.ts';
import type { ConformanceCheck } from '../subject.ts';

const TOP = 1n << 64n;

/** Addresses around every power of two and every edge, and some at random. */
function candidates(context: Context): bigint[] {
  const found = new Set<bigint>([0n, TOP - 1n]);
  for (const { start, end } of canonicalSpans(context.paging)) {
    for (const edge of [start, end]) for (const by of [-4096n, -1n, 0n, 1n, 4096n]) found.add(edge + by);
  }
  for (let bit = 12n; bit < 64n; bit++) {
    found.add(1n << bit).add((1n << bit) - 1n);
    found.add(TOP - (1n << bit)).add(TOP - (1n << bit) - 1n);
  }
  for (let round = context.rounds(40); round > 0; round--) found.add(context.random.bits(64));
  return [...found].filter((va) => va >= 0n && va < TOP);
}

function checkAddress(context: Context, bed: Bed, reference: Reference, va: bigint): void {
  const { format } = context.paging;
  const { steps, outcome } = walk(bed.space, va);
  const canonical = reference.canonical(va);
  if (outcome.mapped) context.fail('empty-space', 'nothing is mapped in an empty space', { va });
  if (canonical) {
    context.equal(outcome.stage, 'entry', 'canonical', 'a canonical address is looked up in the tables', { va });
    context.equal(steps.length, 1, 'canonical', 'an empty root ends the walk', { va });
    return;
  }
  context.equal(outcome.stage, 'address', 'non-canonical', 'a non-canonical address faults before any table', { va });
  context.equal(steps.length, 0, 'non-canonical', 'no entry is read for it', { va });
  context.equal(outcome.reason, format.nonCanonical, 'non-canonical', "the reason is the format's own", { va });
  context.equal(outcome.level, undefined, 'non-canonical', 'there is no level', { va });
  if (outcome.type === '') context.fail('fault-name', 'a fault has a name', { va });
  if (canonicalSpans(context.paging).some(({ start, end }) => va >= start && va < end)) {
    context.fail('canonical', 'addresses within the ranges are canonical', { va });
  }
}

/** With address tags: an address means the same whatever its tag. */
function checkTags(context: Context, bed: Bed): void {
  const { ignored } = context.paging.geometry;
  if (ignored === undefined) return;
  const [hi, lo] = ignored.bits;
  const translator = new Translator(bed.space);
  for (const { start, end } of canonicalSpans(context.paging)) {
    for (const va of [start, end - 1n]) {
      const plain = translate(bed.space, va);
      const mask = rangesMask([ignored.bits]);
      const tagged = (va & ~mask) | (context.random.bits(hi - lo + 1) << BigInt(lo));
      const found = translate(bed.space, tagged);
      const where = { va, tagged };
      context.equal(found.mapped && found.pa, plain.mapped && plain.pa, 'tag', 'a tag changes nothing', where);
      const fast = translator.translate(tagged);
      context.equal(fast, plain.mapped ? plain.pa : undefined, 'tag', 'nor for a Translator', where);
    }
  }
}

export const canonicalAddresses: ConformanceCheck = defineCheck(
  'canonical-addresses',
  'Exactly the canonical addresses reach the tables, the first and the last page included; all others fault in stage ' +
    '`address` with the reason of the format; tags are ignored where hardware ignores them.',
  (context) => {
    const { paging } = context;
    const reference = new Reference(paging);
    const bed = new Bed(context);
    for (const va of candidates(context)) checkAddress(context, bed, reference, va);
    const [set] = attributeSets(context);
    const page = paging.pageBytes;
    for (const { start, end } of canonicalSpans(paging)) {
      for (const va of [start, end - page]) {
        bed.map({ va, pa: page, bytes: page, attributes: (leaf) => set?.on(leaf) ?? 0n });
        const found = translate(bed.space, va + page - 1n);
        context.equal(found.mapped && found.pa, page * 2n - 1n, 'edge', 'the first and last page can be mapped', {
          va,
        });
      }
    }
    checkTags(context, bed);
  },
);
