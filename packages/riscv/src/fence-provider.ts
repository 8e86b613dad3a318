/** Fences of RISC-V for tools. */
import { type FenceProvider, hex } from '@pagefold/core';
import { planFences } from './fence-plan.ts';
import { RISCV_MODES } from './modes.ts';
import { type Sfence, sfenceText } from './tlb.ts';

/** Plans for the local hart, as the ISA asks. */
export const riscvFences: FenceProvider = {
  options: [
    { name: 'asid', kind: 'number', meaning: 'address space (not given: all)' },
    { name: 'global', kind: 'flag', meaning: 'entries on the path are global' },
    { name: 'svvptc', kind: 'flag', meaning: 'entries that become valid are seen without a fence' },
    {
      name: 'mode',
      kind: 'word',
      meaning: 'translation mode: Sv32 has narrower ASIDs and larger tables (not given: any of RV64)',
      values: RISCV_MODES,
    },
  ],
  entryBytes: (level, { mode }) => 4096n << BigInt((mode === 'sv32' ? 10 : 9) * level),
  plan(change, values) {
    const { asid } = values;
    const plan = planFences(change, {
      global: values.global === true,
      svvptc: values.svvptc === true,
      asidBits: values.mode === 'sv32' ? 9 : 16,
      ...(typeof asid === 'bigint' ? { asid: Number(asid) } : {}),
    });
    return plan.fences.map((fence) => ({
      name: 'sfence.vma',
      ...(fence.va === undefined ? {} : { operand: fence.va, start: fence.va }),
      ...(fence.asid === undefined ? {} : { asid: BigInt(fence.asid) }),
      text: fenceText(fence),
    }));
  },
};

/** A fence with the values of its operands. */
function fenceText(fence: Sfence): string {
  const { va, asid } = fence;
  const values = [...(va === undefined ? [] : [hex(va)]), ...(asid === undefined ? [] : [`asid ${asid}`])];
  return values.length === 0 ? sfenceText(fence) : `${sfenceText(fence)}  // ${values.join(', ')}`;
}
