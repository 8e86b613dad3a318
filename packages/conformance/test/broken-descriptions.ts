/** What is wrong with a description, and the words and walks that show it. */
import type { Paging } from '@pagefold/core';
import {
  address,
  type Broken,
  compiledLeaf,
  FORMAT,
  leafShapes,
  lie,
  onlyPages,
  patch,
  shapes,
  subject,
  tampered,
} from './broken.ts';
import { toyAccess, toyCommon } from './toy.ts';

const nothing = { reason: 'nothing', meaning: 'nothing' };

/** By check. */
export const brokenDescriptions: Readonly<Record<string, readonly Broken[]>> = {
  radix: [
    {
      what: 'a level decodes a bit twice',
      rule: 'radix-once',
      subject: () => tampered(({ geometry }) => patch(geometry.levels[1] ?? {}, { shift: 20 })),
    },
    {
      what: 'an entry covers less than the bits below',
      rule: 'radix-span',
      subject: () => tampered(({ geometry }) => patch(geometry.levels[1] ?? {}, { entrySpan: 2 ** 20 })),
    },
    {
      what: 'fewer bits than are decoded',
      rule: 'radix-cover',
      subject: () => tampered(({ geometry }) => patch(geometry, { vaBits: 38 })),
    },
    {
      what: 'the upper half is missing',
      rule: 'ranges',
      subject: () => tampered(({ geometry }) => patch(geometry, { ranges: geometry.ranges.slice(0, 1) })),
    },
  ],
  'description-names': [
    {
      what: 'an attribute that no leaf has',
      rule: 'attribute-field',
      subject: () => subject({ attributes: ['w', 'nope'] }),
    },
    {
      what: 'two shapes of one level with one name',
      rule: 'shape-twice',
      subject: () =>
        tampered(({ levels }) => {
          const [first, second] = levels[1]?.leaves ?? [];
          patch(first ?? {}, { shape: { ...first?.shape, name: second?.shape.name } });
        }),
    },
    {
      what: 'two shapes of one name in the description',
      refused: true,
      subject: () => subject({ shapes: shapes('part', () => ({ name: 'leaf' })) }),
    },
    {
      what: 'a level that no geometry has',
      refused: true,
      subject: () => subject({ shapes: shapes('part', () => ({ levels: [0, 9] })) }),
    },
    {
      what: 'a rule for an unknown shape',
      refused: true,
      rule: 'rule-shape',
      subject: () => subject({ rules: [{ ...nothing, tests: [{ mask: 1n, equals: 0n }], shapes: ['block'] }] }),
    },
    {
      what: 'a condition on an unknown feature',
      refused: true,
      rule: 'feature-unknown',
      subject: () => subject({ rules: [{ ...nothing, tests: [{ mask: 1n, equals: 0n }], when: ['!sv_typo'] }] }),
    },
    {
      what: 'an effect of an unknown field',
      refused: true,
      rule: 'effect-field',
      subject: () => subject({ shapes: shapes('table', () => ({ effects: [{ field: 'nope', on: 'w', op: 'and' }] })) }),
    },
  ],
  'field-layout': [
    {
      what: 'two fields share a bit',
      rule: 'field-overlap',
      subject: () =>
        subject({
          shapes: leafShapes(({ fields }) => ({ fields: [...fields, { name: 'y', bits: [[2, 2]], meaning: 'y' }] })),
        }),
    },
    {
      what: 'a field in the address',
      rule: 'field-in-address',
      subject: () =>
        subject({
          shapes: leafShapes(({ fields }) => ({ fields: [...fields, { name: 'y', bits: [[40, 40]], meaning: 'y' }] })),
        }),
    },
    {
      what: 'a bit that nothing explains',
      rule: 'bits-unknown',
      subject: () =>
        subject({ shapes: leafShapes(({ fields }) => ({ fields: fields.filter(({ name }) => name !== 'sw') })) }),
    },
    {
      what: 'two pieces of an address over each other',
      rule: 'piece-overlap',
      subject: () =>
        subject({
          shapes: leafShapes(() => ({ address: [...address({}).address, { entryLo: 46, addressLo: 48, bits: 2 }] })),
        }),
    },
  ],
  'leaf-sizes': [
    {
      what: 'a run as large as its table',
      rule: 'size-whole-table',
      subject: () => subject({ shapes: shapes('part', () => ({ run: { entries: 512, address: 'own' } })) }),
    },
    {
      what: 'two leaves of one size',
      rule: 'size-twice',
      subject: () => subject({ shapes: shapes('part', () => ({ run: undefined })) }),
    },
    { what: 'leaf choices are missing', rule: 'choices', subject: () => tampered(onlyPages) },
  ],
  'leaf-entries': [
    {
      what: 'the lowest address bit is not stored',
      rule: 'leaf-pieces',
      subject: () => subject({ shapes: leafShapes(() => address({ entryLo: 13, addressLo: 13, bits: 35 })) }),
    },
    {
      what: 'the highest address bit is not stored',
      rule: 'leaf-reach',
      subject: () => subject({ shapes: leafShapes(() => address({ bits: 35 })) }),
    },
    {
      what: 'a rule refuses half of all addresses',
      rule: 'leaf-kind',
      subject: () =>
        subject({
          rules: [...(FORMAT.rules ?? []), { ...nothing, tests: [{ mask: 1n << 47n, differs: 0n }], kinds: ['leaf'] }],
        }),
    },
    {
      what: 'runs that should store their own addresses store less',
      subject: () => subject({ shapes: shapes('part', () => address({ entryLo: 16, addressLo: 16, bits: 32 })) }),
    },
    { what: 'the codec stores another address', subject: () => tampered((paging) => lie(compiledLeaf(paging, 0), 30)) },
    {
      what: 'a field is stored elsewhere',
      rule: 'leaf-field',
      subject: () =>
        tampered((paging) => {
          const encode = paging.encodeLeaf.bind(paging);
          patch(paging, {
            encodeLeaf: (...given: Parameters<Paging['encodeLeaf']>): bigint => encode(...given) ^ 4n,
          });
        }),
    },
  ],
  attributes: [
    {
      what: 'bits without a name get lost',
      rule: 'fields-again',
      subject: () =>
        subject(
          { shapes: leafShapes(({ fields }) => ({ fields: fields.filter(({ name }) => name !== 'sw') })) },
          {},
          { attributes: [0x804n] },
        ),
    },
  ],
  'common-attributes': [
    {
      what: 'write is read back from another field',
      rule: 'common-round',
      subject: () =>
        subject({
          common: { ...toyCommon, toCommon: (leaf, on) => ({ ...toyCommon.toCommon(leaf, on), write: leaf.x === 1 }) },
        }),
    },
    {
      what: 'device memory is made uncached without a word',
      rule: 'common-round',
      subject: () =>
        subject({
          common: {
            ...toyCommon,
            fromCommon: (wanted, on) => {
              const { fields, lost } = toyCommon.fromCommon(wanted, on);
              return { fields: { ...fields, mt: fields.mt === 2 ? 1 : (fields.mt ?? 0) }, lost };
            },
          },
        }),
    },
    {
      what: 'a combination is not answered',
      rule: 'common-total',
      subject: () =>
        subject({
          common: {
            ...toyCommon,
            fromCommon: (wanted, on) => {
              if (wanted.write === true && wanted.execute === true) throw new Error('never both');
              return toyCommon.fromCommon(wanted, on);
            },
          },
        }),
    },
  ],
  'table-pointers': [
    {
      what: 'pointers do not hold the lowest bit of a table address',
      rule: 'table-pieces',
      subject: () => subject({ shapes: shapes('table', () => address({ entryLo: 13, addressLo: 13, bits: 35 })) }),
    },
    {
      what: 'a rule refuses some pointers',
      rule: 'table-kind',
      subject: () =>
        subject({
          rules: [...(FORMAT.rules ?? []), { ...nothing, tests: [{ mask: 1n << 47n, differs: 0n }], kinds: ['table'] }],
        }),
    },
    {
      what: 'pointers exist at level 0',
      refused: true,
      rule: 'table-at-leaves',
      subject: () => subject({ shapes: shapes('table', () => ({ levels: undefined })) }),
    },
  ],
  classification: [
    {
      what: 'the codec is wrong about one bit',
      rule: 'kind',
      subject: () =>
        tampered((paging) => {
          const codec = paging.codec(1);
          const classify = codec.classify.bind(codec);
          patch(codec, { classify: (lo: number, hi: number) => classify(lo, hi & ~(1 << 20)) });
        }),
    },
    {
      what: 'the codec mistakes signed halves',
      rule: 'signed-halves',
      subject: () =>
        tampered((paging) => {
          const codec = paging.codec(0);
          const classify = codec.classify.bind(codec);
          patch(codec, { classify: (lo: number, hi: number) => (hi < 0 ? 0 : classify(lo, hi)) });
        }),
    },
    {
      what: 'words at level 0 are tables',
      refused: true,
      rule: 'table-at-leaves',
      subject: () => subject({ shapes: shapes('table', () => ({ levels: undefined })) }),
    },
    {
      what: 'addresses above the physical bits decode',
      rule: 'address-width',
      subject: () => subject({}, { paBits: 44 }),
    },
  ],
  'access-totality': [
    {
      what: 'the check throws',
      rule: 'access-total',
      subject: () =>
        subject({
          access: {
            ...toyAccess,
            check: (leaf, request, on) => {
              if (leaf.x === 1 && request.kind === 'write') throw new Error('undecided');
              return toyAccess.check(leaf, request, on);
            },
          },
        }),
    },
    {
      what: 'hardware turns the leaf into a table',
      rule: 'access-update',
      subject: () => subject({ access: { options: [], check: () => ({ reasons: [], set: 2n }) } }),
    },
    {
      what: 'refusals have no name',
      rule: 'access-name',
      subject: () => subject({ fault: () => ({ type: '' }) }),
    },
    {
      what: 'an update never settles',
      rule: 'access-settled',
      subject: () =>
        subject({
          access: {
            options: [],
            check: ({ a = 0 }) => ({ reasons: [], ...(a === 0 ? { set: 64n } : { clear: 64n }) }),
          },
        }),
    },
  ],
  'edge-pages': [
    {
      what: 'a table is indexed by other bits',
      subject: () =>
        tampered((paging) => {
          const codec = paging.codec(0);
          patch(codec, { level: { ...codec.level, entries: 256 } });
        }),
    },
  ],
  'canonical-addresses': [
    {
      what: 'everything is canonical',
      rule: 'non-canonical',
      subject: () => tampered(({ geometry }) => patch(geometry, { ranges: [{ start: 0, end: 2 ** 64 }] })),
    },
    {
      what: 'the top page is not canonical',
      rule: 'canonical',
      subject: () =>
        tampered(({ geometry }) => {
          const [low, high] = geometry.ranges;
          patch(geometry, { ranges: [low, { start: high?.start, end: 2 ** 64 - 4096 }] });
        }),
    },
    {
      what: 'the fault has no name',
      rule: 'fault-name',
      subject: () => subject({ fault: ({ stage }) => ({ type: stage === 'address' ? '' : 'fault' }) }),
    },
  ],
  'fault-totality': [
    {
      what: 'naming a fault throws',
      subject: () =>
        subject({
          fault: ({ reason }) => {
            if (reason === 'reserved_type') throw new Error('no name for that');
            return { type: reason };
          },
        }),
    },
    {
      what: 'a fault has no name',
      rule: 'fault-name',
      subject: () => subject({ fault: ({ reason }) => ({ type: reason === 'misaligned' ? '' : reason }) }),
    },
    {
      what: 'a walk falls through level 0',
      refused: true,
      subject: () => subject({ shapes: shapes('table', () => ({ levels: undefined })) }),
    },
  ],
};
