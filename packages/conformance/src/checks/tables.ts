/** Table pointers. */
import { FormatError, walk } from '@pagefold/core';
import { Bed } from '../bed.ts';
import { type Context, defineCheck } from '../context.ts';
import { canonicalSpans, physicalSpots, reachBits, tableSpace } from '../parts.ts';
import { Reference } from '../reference.ts';
import type { ConformanceCheck } from '../subject.ts';

function checkPointer(context: Context, reference: Reference, level: number, address: bigint): bigint {
  const { paging } = context;
  const attributes = context.tableAttributes(level);
  const word = paging.encodeTable(level, address, attributes);
  const where = { level, address, word };
  context.equal(paging.encodeTable(level, address, attributes), word, 'table-same', 'twice gives the same word', where);
  if (word >> BigInt(paging.format.entryBytes * 8) !== 0n) {
    context.fail('table-width', 'a pointer fits in its bytes', where);
  }
  if (word === 0n) context.fail('table-zero', 'a pointer is not the empty word', where);
  const decoded = paging.decode(level, word);
  context.equal(decoded.kind, 'table', 'table-kind', 'a table pointer reads back as one', {
    ...where,
    reasons: decoded.reasons.join(' '),
  });
  context.equal(decoded.address, address, 'table-address', 'a table pointer reads back its address', where);
  const slow = reference.decode(level, word);
  context.equal(slow.kind, 'table', 'table-reference', 'the description calls it a table', where);
  context.equal(slow.stored, address, 'table-reference', 'the description finds the same address', where);
  return word;
}

/** The address of a table must be held from the table's alignment up. */
function checkPieces(context: Context, level: number, align: bigint): void {
  const { paging } = context;
  const { table } = paging.codec(level);
  if (table === undefined) context.fail('table-shape', 'every level above the leaves has a table shape', { level });
  if (reachBits(paging, table, align.toString(2).length - 1) < align.toString(2).length) {
    context.fail('table-pieces', 'the address of a table is held from its alignment up', { level, align });
  }
}

/** Installs a pointer in the root and lets a walk follow it. */
function checkFollowed(context: Context, address: bigint, word: bigint): void {
  const { paging } = context;
  const { start } = context.random.pick(canonicalSpans(paging));
  const bed = new Bed(context);
  const slot = walk(bed.space, start).steps[0]?.slot ?? 0n;
  bed.write(slot, word);
  const { steps } = walk(bed.space, start);
  context.equal(steps[0]?.decoded?.kind, 'table', 'table-walk', 'a walk sees the pointer', { address, word });
  context.equal(steps[1]?.table, address, 'table-walk', 'a walk goes on in the table', { address, word });
  bed.write(slot, 0n);
  const after = walk(bed.space, start).steps[0]?.decoded?.kind;
  context.equal(after, 'empty', 'table-clear', 'a cleared pointer is empty', { address });
}

export const tablePointers: ConformanceCheck = defineCheck(
  'table-pointers',
  'At every level above the leaves a pointer to table address 0, a random one and the highest decodes to it; level 0 ' +
    'has no pointers.',
  (context) => {
    const { paging } = context;
    const reference = new Reference(paging);
    const { levels, root } = paging.geometry;
    for (let level = 1; level < levels.length; level++) {
      const align = BigInt(levels[level - 1]?.alignBytes ?? 1);
      checkPieces(context, level, align);
      for (const address of [...physicalSpots(context, align, tableSpace(paging)), align]) {
        const word = checkPointer(context, reference, level, address);
        if (level === root.level) checkFollowed(context, address, word);
        const below = paging.decode(0, word).kind;
        if (below === 'table') {
          context.fail('table-at-leaves', 'no word is a table pointer at level 0', { word });
        }
      }
    }
    context.equal(paging.codec(0).table?.shape.name, undefined, 'table-at-leaves', 'level 0 has no table shape');
    context.refuses([FormatError], 'table-at-leaves', 'a pointer at level 0 is refused', {}, () =>
      paging.encodeTable(0, 0n),
    );
  },
);
