/** Invalidations of x86-64 for tools. */
import type { FenceProvider } from '@pagefold/core';
import { invalidationText, planX86Invalidations, type X86Invalidation } from './invalidation-plan.ts';

const NAMES: Readonly<Record<X86Invalidation['kind'], string>> = {
  page: 'invlpg',
  'pcid-page': 'invpcid',
  pcid: 'invpcid',
  current: 'mov cr3',
  all: 'invpcid',
};

/** Plans for one processor; every other one that may hold the translations needs the same. */
export const x86Fences: FenceProvider = {
  options: [
    { name: 'pcid', kind: 'number', meaning: 'PCID of the address space, if it is not the current one' },
    { name: 'global', kind: 'flag', meaning: 'leaves are global' },
  ],
  entryBytes: (level) => 4096n << BigInt(9 * level),
  plan(change, { pcid, global }) {
    const steps = planX86Invalidations(change, {
      global: global === true,
      ...(typeof pcid === 'bigint' ? { pcid: Number(pcid) } : {}),
    });
    return steps.map((step) => ({
      name: NAMES[step.kind],
      ...('va' in step ? { operand: step.va, start: step.va } : {}),
      ...('pcid' in step ? { asid: BigInt(step.pcid) } : {}),
      text: invalidationText(step),
    }));
  },
};
