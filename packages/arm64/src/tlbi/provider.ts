/** Invalidations of arm64 for tools. */
import type { FenceProvider } from '@pagefold/core';
import { GRANULES, type Granule, PAGE_BITS, strideBits } from '../granule.ts';
import { planTlbi, tlbiLines } from './plan.ts';

function isGranule(word: unknown): word is Granule {
  return GRANULES.some((granule) => granule === word);
}

/** Plans as Linux 6.12 would, unless options say otherwise. */
export const arm64Fences: FenceProvider = {
  options: [
    { name: 'granule', kind: 'word', meaning: 'translation granule (not given: 4K)', values: GRANULES },
    { name: 'lpa2', kind: 'flag', meaning: '52-bit descriptors are in use: ranges start at 64 KiB units' },
    { name: 'single', kind: 'flag', meaning: 'the processor has no range invalidations' },
    { name: 'without-hints', kind: 'flag', meaning: 'the processor takes no level hints' },
    { name: 'ascending', kind: 'flag', meaning: 'smallest units first, as kernels before 6.8' },
    { name: 'isolated', kind: 'flag', meaning: 'page table isolation: a program has two address spaces' },
    { name: 'asid', kind: 'number', meaning: "a program's address space (not given: the kernel's translations)" },
  ],
  entryBytes(level, { granule }) {
    const chosen = isGranule(granule) ? granule : '4K';
    return 1n << BigInt(PAGE_BITS[chosen] + strideBits(chosen) * level);
  },
  plan(change, values) {
    const { granule, asid } = values;
    const plan = planTlbi(change, {
      granule: isGranule(granule) ? granule : '4K',
      lpa2: values.lpa2 === true,
      range: values.single !== true,
      ttl: values['without-hints'] !== true,
      algorithm: values.ascending === true ? 'ascending' : 'descending',
      isolated: values.isolated === true,
      ...(typeof asid === 'bigint' ? { asid: Number(asid) } : {}),
    });
    const lines = tlbiLines(plan);
    return plan.instructions.map((instruction, i) => ({ ...instruction, text: lines[i] as string }));
  },
};
