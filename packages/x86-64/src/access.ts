/**
 * Who may do what through a leaf. Shadow stacks (CR4.CET) are not modelled.
 * Sources: Intel SDM vol. 3A, section 5.6.1 "Determination of Access Rights", 5.6.2 "Protection Keys", 5.8
 * "Accessed and Dirty Flags" (4.6 and 4.8 in editions before 2024); AMD APM vol. 2, section 5.6 "Page-Protection
 * Checks".
 */
import type { AccessRequest, AccessRules, FieldValues } from '@pagefold/core';

const A_BIT = 1n << 5n;
const D_BIT = 1n << 6n;

/**
 * Does a key register forbid a data access? Two bits a key: AD forbids all of them, WD writes; a supervisor's writes
 * only while CR0.WP is set (SDM 5.6.2).
 * @param register PKRU for addresses that user mode may use, PKRS for the others
 */
export function keyForbids(register: number, key: number, write: boolean, obeysWriteDisable: boolean): boolean {
  const bits = (register >>> (2 * key)) & 3;
  return (bits & 1) !== 0 || (write && obeysWriteDisable && (bits & 2) !== 0);
}

function reasonsOf(
  leaf: FieldValues,
  { kind, privilege, options }: Required<AccessRequest>,
  features: ReadonlySet<string>,
): string[] {
  const reasons: string[] = [];
  const user = privilege === 'user';
  const userPage = leaf.us === 1;
  const writeProtect = user || options.wp === true;
  if (user && !userPage) reasons.push('supervisor_page');
  if (kind === 'execute') {
    if (!user && userPage && options.smep === true) reasons.push('smep');
    if (features.has('nx') && leaf.nx === 1) reasons.push('no_execute');
    return reasons;
  }
  // AC opens user pages to explicit accesses only; those to descriptor tables and the like are implicit.
  const opened = options.ac === true && options.implicit !== true;
  if (!user && userPage && options.smap === true && !opened) reasons.push('smap');
  if (kind === 'write' && leaf.rw === 0 && writeProtect) reasons.push('no_write');
  if (features.has('pk')) {
    const register = Number(options[userPage ? 'pkru' : 'pkrs']);
    if (keyForbids(register, leaf.pk ?? 0, kind === 'write', writeProtect)) reasons.push('protection_key');
  }
  return reasons;
}

/** The access check. `wp`, `smep`, `smap` and the key registers come with a root made from registers. */
export const x86Access: AccessRules = {
  options: [
    { name: 'wp', meaning: 'CR0.WP: supervisors obey R/W', values: [true, false], section: 'SDM 5.6.1' },
    {
      name: 'smep',
      meaning: 'CR4.SMEP: supervisors never execute user pages',
      values: [false, true],
      section: 'SDM 5.6.1',
    },
    { name: 'smap', meaning: 'CR4.SMAP: supervisors access no user data', values: [false, true], section: 'SDM 5.6.1' },
    { name: 'ac', meaning: 'EFLAGS.AC: SMAP is suspended', values: [false, true], section: 'SDM 5.6.1' },
    {
      name: 'implicit',
      meaning: 'an implicit supervisor access: AC is ignored',
      values: [false, true],
      section: 'SDM 5.6',
    },
    { name: 'pkru', meaning: 'PKRU: rights by key for user pages', values: [], section: 'SDM 5.6.2' },
    { name: 'pkrs', meaning: 'IA32_PKRS: rights by key for supervisor pages', values: [], section: 'SDM 5.6.2' },
  ],
  check(leaf, request, features) {
    const reasons = reasonsOf(leaf, request, features);
    if (reasons.length > 0) return { reasons };
    const dirties = request.kind === 'write' && leaf.d === 0;
    const set = (leaf.a === 0 ? A_BIT : 0n) | (dirties ? D_BIT : 0n);
    return { reasons, ...(set === 0n ? {} : { set }) };
  },
};
