/**
 * Who may do what through a leaf, and what a refused access is called.
 * Source: RISC-V ISA Volume II, "Virtual Address Translation Process" steps 5 to 9; "sstatus" (SUM, MXR); "scause".
 */
import type { AccessKind, AccessRules, FaultEvent, FaultReport } from '@pagefold/core';

const D_BIT = 1n << 7n;
const A_BIT = 1n << 6n;

/** The access check of all modes. Options: `sum`, `mxr` (sstatus bits) and `ad` (Svade faults, Svadu sets bits). */
export const riscvAccess: AccessRules = {
  options: [
    { name: 'sum', meaning: 'supervisor may access user pages', values: [false, true], section: 'sstatus' },
    { name: 'mxr', meaning: 'executable pages are readable', values: [false, true], section: 'sstatus' },
    {
      name: 'ad',
      meaning: 'a clear A or D bit faults (svade) or is set by hardware (svadu)',
      values: ['svade', 'svadu'],
      section: 'Svade, Svadu',
    },
  ],
  check(leaf, { kind, privilege, options }) {
    const reasons: string[] = [];
    if (privilege === 'user' && leaf.u === 0) reasons.push('user_page_required');
    // A supervisor never executes user pages; SUM opens them to loads and stores only.
    if (privilege === 'supervisor' && leaf.u === 1 && (kind === 'execute' || options.sum !== true)) {
      reasons.push('supervisor_on_user_page');
    }
    if (kind === 'read' && leaf.r === 0 && !(options.mxr === true && leaf.x === 1)) reasons.push('no_read');
    if (kind === 'write' && leaf.w === 0) reasons.push('no_write');
    if (kind === 'execute' && leaf.x === 0) reasons.push('no_execute');
    // A and D are looked at only for an access that is permitted, A before D.
    if (reasons.length > 0) return { reasons };
    const wantsA = leaf.a === 0;
    const wantsD = kind === 'write' && leaf.d === 0;
    if (options.ad === 'svade') return { reasons: wantsA ? ['a_clear'] : wantsD ? ['d_clear'] : [] };
    return { reasons, set: (wantsA ? A_BIT : 0n) | (wantsD ? D_BIT : 0n) };
  },
};

/** scause codes of page faults, by access. AMOs and store-conditionals count as writes. */
const PAGE_FAULT: Readonly<Record<AccessKind, number>> = { execute: 12, read: 13, write: 15 };
/** scause codes of access faults: no memory where an entry should be. */
const ACCESS_FAULT: Readonly<Record<AccessKind, number>> = { execute: 1, read: 5, write: 7 };

/** Everything is a page fault of the access's own kind, except memory that is not there. */
export function riscvFault({ stage, request: { kind } }: FaultEvent): FaultReport {
  return stage === 'memory'
    ? { type: 'access_fault', code: ACCESS_FAULT[kind] }
    : { type: 'page_fault', code: PAGE_FAULT[kind] };
}
