/** Fences of RISC-V for tools. */
import { type FenceProvider, hex } from '@pagefold/core';
import { planFences } from './fence-plan.ts';
import { sfenceText } from './tlb.ts';

/** Plans for the local hart, as the ISA asks. */
export const riscvFences: FenceProvider = {
  options: [
    { name: 'asid', kind: 'number', meaning: 'address space (not given: all)' },
    { name: 'global', kind: 'flag', meaning: 'entries on the path are global' },
    { name: 'svvptc', kind: 'flag', meaning: 'entries that become valid are seen without a fence' },
  ],
  entryBytes: (level) => 4096n << BigInt(9 * level),
  plan(change, values) {
    const { asid } = values;
    const plan = planFences(change, {
      global: values.global === true,
      svvptc: values.svvptc === true,
      ...(typeof asid === 'bigint' ? { asid: Number(asid) } : {}),
    });
    return plan.fences.map((fence) => ({
      name: 'sfence.vma',
      ...(fence.va === undefined ? {} : { operand: fence.va, start: fence.va }),
      text: fence.va === undefined ? sfenceText(fence) : `${sfenceText(fence)}  // ${hex(fence.va)}`,
    }));
  },
};
