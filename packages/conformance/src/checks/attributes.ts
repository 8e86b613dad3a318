/** Attributes: as bits, as fields, and in the vocabulary that all formats share. */
import { type CommonAttributes, type FieldValues, gather, rangesMask, rangesWidth } from '@pagefold/core';
import { type Context, defineCheck } from '../context.ts';
import { attributeSets, halvesOf, type LeafKind, leafKinds, leafSpots } from '../parts.ts';
import type { ConformanceCheck } from '../subject.ts';

/** All fields of a leaf that name no part of its address, as numbers. */
function attributeFields({ compiled }: LeafKind, word: bigint): FieldValues {
  const values: Record<string, number> = {};
  for (const { name, bits } of compiled.fields) {
    const free = rangesWidth(bits) <= 32 && (rangesMask(bits) & compiled.address.mask) === 0n;
    if (free) values[name] = Number(gather(word, bits));
  }
  return values;
}

export const attributes: ConformanceCheck = defineCheck(
  'attributes',
  'A leaf made again from the fields, or from the raw attribute bits, that were read from it is the same word.',
  (context) => {
    const { paging } = context;
    for (const set of attributeSets(context)) {
      for (const kind of leafKinds(paging)) {
        for (const pa of leafSpots(context, kind)) {
          const { level, shape, compiled } = kind;
          const word = paging.encodeLeaf(level, pa, set.on(kind.choice), shape);
          const where = { level, shape, set: set.index, pa, word };
          const bits = word & ~compiled.address.mask;
          const fromBits = context.must('bits-again', 'raw bits that were read are accepted', where, () =>
            paging.encodeLeaf(level, pa, bits, shape),
          );
          context.equal(fromBits, word, 'bits-again', 'raw bits give the same word', where);
          const fields = attributeFields(kind, word);
          const fromFields = context.must('fields-again', 'fields that were read are accepted', where, () =>
            paging.encodeLeaf(level, pa, fields, shape),
          );
          context.equal(fromFields, word, 'fields-again', 'fields give the same word', where);
        }
      }
    }
  },
);

const BOOLEANS = ['read', 'write', 'execute', 'user', 'global', 'accessed', 'dirty'] as const;

/** Memory kinds to try: the three that all share, and whatever the format's own leaves are called. */
function memoryKinds(context: Context): string[] {
  const { format, features } = context.paging;
  const names = new Set(['normal', 'uncached', 'device']);
  for (const set of attributeSets(context)) {
    for (const kind of leafKinds(context.paging)) {
      const word = context.paging.encodeLeaf(kind.level, 0n, set.on(kind.choice), kind.shape);
      const memory = format.common?.toCommon(attributeFields(kind, word), features).memory;
      if (memory !== undefined) names.add(memory);
    }
  }
  return [...names];
}

/** Asks for common attributes, makes a leaf of the answer, and reads it back. */
function checkCommon(context: Context, kinds: readonly LeafKind[], wanted: Partial<CommonAttributes>): void {
  const { format, features } = context.paging;
  const rules = format.common;
  if (rules === undefined) return;
  const text = JSON.stringify(wanted);
  const { fields, lost } = context.must('common-total', 'every combination is answered', { wanted: text }, () =>
    rules.fromCommon(wanted, features),
  );
  for (const kind of kinds) {
    const { level, shape, compiled } = kind;
    const where = { level, shape, wanted: text, fields: JSON.stringify(fields) };
    const word = context.must('common-encodes', 'the fields make a leaf', where, () =>
      context.paging.encodeLeaf(level, 0n, fields, shape),
    );
    const { lo, hi } = halvesOf(word);
    const code = context.paging.codec(level).classify(lo, hi);
    context.equal(code >> 2, compiled.index, 'common-encodes', 'the fields make this leaf', { ...where, word });
    const found = rules.toCommon(attributeFields(kind, word), features);
    for (const name of Object.keys(wanted) as (keyof CommonAttributes)[]) {
      if (lost.includes(name) || wanted[name] === undefined) continue;
      context.equal(found[name], wanted[name], 'common-round', 'what is not lost reads back the same', {
        ...where,
        word,
        attribute: name,
      });
    }
  }
}

export const commonAttributes: ConformanceCheck = defineCheck(
  'common-attributes',
  'Of the common vocabulary, in all combinations, what a format does not call lost reads back as it was asked for.',
  (context) => {
    if (context.paging.format.common === undefined) return;
    const kinds = leafKinds(context.paging);
    const page = kinds.slice(0, 1);
    const shareabilities = [undefined, 'none', 'inner', 'outer'];
    for (const memory of memoryKinds(context)) {
      for (let bits = 0; bits < 1 << BOOLEANS.length; bits++) {
        const wanted: Record<string, string | boolean> = { memory };
        BOOLEANS.forEach((name, at) => {
          wanted[name] = ((bits >> at) & 1) === 1;
        });
        const shareability = shareabilities[context.random.below(4)];
        if (shareability !== undefined) wanted.shareability = shareability;
        checkCommon(context, context.random.once(16) ? kinds : page, wanted);
      }
    }
    // Not everything asked for: what is left open must not disturb what is not.
    for (let round = context.rounds(60); round > 0; round--) {
      const wanted: Record<string, string | boolean> = {};
      for (const name of BOOLEANS) if (context.random.once(2)) wanted[name] = context.random.once(2);
      if (context.random.once(3)) wanted.memory = context.random.pick(memoryKinds(context));
      checkCommon(context, page, wanted);
    }
  },
);
