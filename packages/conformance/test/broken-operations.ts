/** What is wrong with a paging so that operations on tables, or ways to look at them, go wrong. */

import { address, type Broken, compiledLeaf, lie, onlyPages, patch, shapes, subject, tampered } from './broken.ts';

/** By check. */
export const brokenOperations: Readonly<Record<string, readonly Broken[]>> = {
  'translate-agreement': [
    {
      what: 'leaves are read at another address',
      rule: 'translate',
      subject: () =>
        tampered((paging) => {
          const { address } = compiledLeaf(paging, 1);
          const low = address.low.bind(address);
          // Only in valid entries: whether an address can be held is asked without them.
          patch(address, { low: (lo: number, hi: number) => low((lo & 1) === 1 ? lo ^ 0x20_0000 : lo, hi) });
        }),
    },
    {
      what: 'reasons come in another order',
      rule: 'reasons',
      subject: () =>
        tampered((paging) => {
          const codec = paging.codec(2);
          const reasons = codec.reasons.bind(codec);
          patch(codec, { reasons: (lo: number, hi: number) => [...reasons(lo, hi)].reverse() });
        }),
    },
  ],
  'folded-names': [
    {
      what: 'a name was built with the shift of another level',
      subject: () => subject({}, { folding: { offset: 're-index', built: { pte: { shift: 13 } } } }),
    },
    {
      what: 'a folded name owns the word',
      subject: () =>
        tampered(({ geometry }) =>
          patch(geometry, { names: { ...geometry.names, pud: { ...geometry.names.pmd, name: 'pud' } } }),
        ),
    },
  ],
  'leaf-mappings': [
    { what: 'large leaves are never made', subject: () => tampered(onlyPages) },
    { what: 'another address is stored', subject: () => tampered((paging) => lie(compiledLeaf(paging, 0), 20)) },
  ],
  'run-entries': [
    {
      what: 'entries that should store their own address store that of the run',
      subject: () => subject({ shapes: shapes('part', () => address({ entryLo: 16, addressLo: 16, bits: 32 })) }),
    },
    {
      what: 'an entry of a run decodes to the page',
      subject: () =>
        tampered((paging) => {
          const run = paging.codec(0).leaves.find(({ runEntries }) => runEntries > 1);
          patch(run ?? {}, { sharedAddress: true });
        }),
    },
  ],
  'run-edits': [
    {
      what: 'a run has an attribute that its entries alone cannot say',
      subject: () =>
        subject(
          {
            shapes: shapes('part', ({ fields }) => ({
              fields: fields.map((field) => (field.name === 'd' ? { ...field, name: 'hot' } : field)),
            })),
          },
          {},
          { attributes: [{ w: 1 }, (leaf) => (leaf.runEntries > 1 ? { hot: 1 } : { d: 1 })] },
        ),
    },
    {
      what: 'entries that leave a run get another address',
      subject: () => tampered((paging) => lie(compiledLeaf(paging, 0), 13)),
    },
  ],
  'leaf-choice': [
    { what: 'large leaves are never chosen', rule: 'plan-best', subject: () => tampered(onlyPages) },
    {
      what: 'a leaf is thought to be smaller than it is',
      subject: () =>
        tampered((paging) => {
          const choices = paging.leafChoices.map((choice) =>
            choice.leafBytes === 1n << 21n ? { ...choice, leafBytes: 1n << 20n } : choice,
          );
          patch(paging, { leafChoices: choices });
        }),
    },
  ],
  'known-regressions': [
    { what: 'large leaves are never made', rule: 'fixed-entries', subject: () => tampered(onlyPages) },
    { what: 'another address is stored', subject: () => tampered((paging) => lie(compiledLeaf(paging, 0), 14)) },
  ],
  'each-size-once': [{ what: 'large leaves are never made', rule: 'once-size', subject: () => tampered(onlyPages) }],
  'table-to-leaf': [{ what: 'large leaves are never made', subject: () => tampered(onlyPages) }],
  'whole-leaf': [{ what: 'large leaves are never made', subject: () => tampered(onlyPages) }],
  refusals: [
    {
      what: 'no address is too high',
      rule: 'refused',
      subject: () => tampered((paging) => patch(paging, { checkAddress: () => {} })),
    },
    {
      what: 'nothing is refused because leaves look empty',
      rule: 'refused',
      subject: () =>
        tampered((paging) => {
          for (const codec of paging.levels) {
            const classify = codec.classify.bind(codec);
            patch(codec, {
              classify: (lo: number, hi: number) =>
                (classify(lo, hi) & 3) === 2 && lo >>> 12 !== 0 ? 0 : classify(lo, hi),
            });
          }
        }),
    },
  ],
  'dry-allocator': [
    {
      what: 'pointers lead past the table',
      subject: () =>
        tampered((paging) => {
          const { table } = paging.codec(1);
          if (table !== undefined) lie(table, 12);
        }),
    },
  ],
  operations: [
    { what: 'another address is stored', subject: () => tampered((paging) => lie(compiledLeaf(paging, 1), 30)) },
    {
      what: 'tables limit what lies below them, and the subject does not know',
      rule: 'mapped-effective',
      subject: () =>
        subject({
          // What sets nothing keeps nothing, and the other way round: no pointer is without effect.
          shapes: shapes('table', () => ({
            effects: [
              { field: 'nx', on: 'x', op: 'or' },
              { field: 'nx', on: 'w', op: 'and' },
            ],
          })),
        }),
    },
  ],
  'keep-existing': [
    { what: 'another address is stored', subject: () => tampered((paging) => lie(compiledLeaf(paging, 1), 30)) },
  ],
  invalidations: [
    {
      what: 'strides are those of another level',
      subject: () =>
        tampered((paging) => {
          for (const codec of paging.levels) patch(codec, { level: { ...codec.level } });
          for (const level of paging.geometry.levels) patch(level, { entrySpan: level.entrySpan / 2 });
        }),
    },
  ],
};
