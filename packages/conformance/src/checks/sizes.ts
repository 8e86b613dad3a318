/** Which sizes of leaves exist. */
import { defineCheck } from '../context.ts';
import { leafKinds } from '../parts.ts';
import type { ConformanceCheck } from '../subject.ts';

export const leafSizes: ConformanceCheck = defineCheck(
  'leaf-sizes',
  'At every level leaves have sizes from one entry up to, not including, the whole table; all sizes differ; the list ' +
    'of leaf choices is complete and sorted.',
  (context) => {
    const { paging } = context;
    const seen = new Map<bigint, string>();
    for (const { level, leafBytes, compiled, shape } of leafKinds(paging)) {
      const { entries, shift } = paging.codec(level).level;
      const span = 1n << BigInt(shift);
      const where = { level, shape, leafBytes };
      context.equal(BigInt(compiled.leafBytes), leafBytes, 'size-run', 'a leaf is its entries long', where);
      if (leafBytes < span) context.fail('size-below-entry', 'no leaf is smaller than an entry', where);
      if (leafBytes >= span * BigInt(entries)) {
        context.fail('size-whole-table', 'no leaf is as large as its whole table', where);
      }
      if (compiled.runEntries > 1 && !Number.isInteger(Math.log2(compiled.runEntries))) {
        context.fail('size-power', 'a run has a power of two of entries', where);
      }
      const other = seen.get(leafBytes);
      if (other !== undefined) {
        context.fail('size-twice', 'two leaves have the same size: the choice is ambiguous', { ...where, other });
      }
      seen.set(leafBytes, shape);
      if (paging.codec(level).leaves.filter((leaf) => leaf.shape.name === shape).length > 1) {
        context.fail('shape-name', 'leaf shapes of a level have names of their own', where);
      }
    }
    if (seen.get(paging.pageBytes) === undefined) {
      context.fail('size-page', 'there is a leaf of the smallest size', { pageBytes: paging.pageBytes });
    }
    const expected = leafKinds(paging).map(({ choice }) => choice);
    context.equal(paging.leafChoices.length, expected.length, 'choices', 'leafChoices lists every leaf once');
    paging.leafChoices.forEach((choice, at) => {
      const want = expected[at];
      const same =
        choice.leafBytes === want?.leafBytes &&
        choice.level === want.level &&
        choice.shape === want.shape &&
        choice.runEntries === want.runEntries &&
        choice.entryBytes === want.entryBytes;
      if (same) return;
      context.fail('choices', 'leafChoices lists the leaves, smallest first', { at, leafBytes: choice.leafBytes });
    });
  },
);
