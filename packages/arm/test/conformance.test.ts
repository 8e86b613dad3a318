import { runConformance } from '@pagefold/conformance';
import { type Attributes, createPaging, type LeafChoice } from '@pagefold/core';
import { test } from 'vitest';
import { armLpae, lpaeGeometry, type ShortFeature, shortPaging } from '../src/index.ts';

/** The fields that a kind of leaf has: pages take domain, NS and PXN from the table word above them. */
function shortSet(fields: Readonly<Record<string, number>>, sectionOnly: Readonly<Record<string, number>> = {}) {
  return ({ level, shape }: LeafChoice): Attributes => {
    const { domain, ...rest } = sectionOnly;
    if (level === 0) return fields;
    // A supersection has address bits where sections have their domain.
    return { ...fields, ...rest, ...(shape === 'section' && domain !== undefined ? { domain } : {}) };
  };
}

function shortSets(features: readonly ShortFeature[]) {
  const pxn: Record<string, number> = features.includes('pxn') ? { pxn: 1 } : {};
  // Sections of another domain than 0 cannot become a supersection.
  const domain: Record<string, number> = features.includes('supersections') ? {} : { domain: 3 };
  return [
    { ap: 1, tex: 1, c: 1, b: 1, s: 1, xn: 1 },
    { ap: 3, tex: 1, c: 1, b: 1, s: 1, nG: 1 },
    { ap: 5, c: 1 },
    shortSet({ ap: 7, b: 1, xn: 1 }, { ...domain, ns: 1, ...pxn }),
  ];
}

const FEATURES: readonly (readonly ShortFeature[])[] = [
  [],
  ['pxn'],
  ['supersections'],
  ['afe'],
  ['tre'],
  ['pxn', 'supersections', 'tre'],
  ['pxn', 'supersections', 'afe', 'tre'],
];

for (const features of FEATURES) {
  const paging = shortPaging(features);
  runConformance({ name: ['short', ...features].join(' '), paging, attributes: shortSets(features) }, { test });
}

for (const n of [1, 3, 7]) {
  const features = ['pxn', 'supersections', 'tre'] as const;
  const paging = shortPaging(features, 32 - n);
  runConformance({ name: `short, TTBCR.N ${n}`, paging, attributes: shortSets(features) }, { test });
}

const LPAE_SETS: readonly Attributes[] = [
  { af: 1, sh: 3, attrIndx: 7, xn: 1 },
  { af: 1, sh: 3, attrIndx: 7, ap1: 1, nG: 1, pxn: 1, sw: 1 },
  { af: 1, attrIndx: 4, ap2: 1, xn: 1, pxn: 1 },
  { sh: 2, attrIndx: 1, ap1: 1, ap2: 1, ns: 1, sw: 8 },
];

/** Bits 63:59 and 51:40 of leaves; bits 51:40 and 11:2 of table words. */
const LEAF_IGNORED = (0x1fn << 59n) | (0xfffn << 40n);
const LPAE_IGNORED = {
  page: LEAF_IGNORED,
  block: LEAF_IGNORED,
  'contiguous-page': LEAF_IGNORED,
  'contiguous-block': LEAF_IGNORED,
  table: (0xfffn << 40n) | 0xffcn,
};

for (const upper of ['zero', 'one'] as const) {
  for (const size of [0, 1, 2, 4, 7]) {
    if (size === 0 && upper === 'one') continue;
    const paging = createPaging(armLpae, lpaeGeometry(32 - size, upper));
    runConformance(
      { name: `lpae, ${upper}, TxSZ ${size}`, paging, attributes: LPAE_SETS, ignoredBits: LPAE_IGNORED },
      { test },
    );
  }
}
