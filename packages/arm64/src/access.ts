/**
 * Who may do what through a leaf.
 * Source: Arm Architecture Reference Manual (DDI 0487), "Memory access control", "Hardware management of the Access
 * flag and dirty state", FEAT_PAN, FEAT_PAN3, FEAT_XNX.
 */
import type { AccessRules, AccessVerdict, FieldValues } from '@pagefold/core';

const AF = 1n << 10n;
const AP2 = 1n << 7n;
const S2AP_WRITE = 1n << 7n;

/** Judged before rights: a clear access flag that hardware does not set. */
function flagReasons(leaf: FieldValues, features: ReadonlySet<string>): string[] {
  return leaf.af === 0 && !features.has('ha') ? ['access_flag'] : [];
}

/** Does hardware manage the dirty state? Only together with the access flag. */
function managesDirty(features: ReadonlySet<string>): boolean {
  return features.has('ha') && features.has('hd');
}

/** Rights of one stage-1 leaf under some control bits. */
export interface Stage1Rights {
  readonly read: { readonly el1: boolean; readonly el0: boolean };
  readonly write: { readonly el1: boolean; readonly el0: boolean };
  readonly execute: { readonly el1: boolean; readonly el0: boolean };
}

/**
 * What a stage-1 leaf allows, PAN aside.
 * @param leaf effective fields
 * @param control hardware dirty management, write-implies-execute-never, and whether the regime has one level only
 */
export function stage1Rights(
  leaf: FieldValues,
  control: { readonly hd: boolean; readonly wxn: boolean; readonly el2: boolean },
): Stage1Rights {
  const clean = control.hd && leaf.dbm === 1;
  const writable = leaf.tableReadOnly !== 1 && (leaf.ap2 === 0 || clean);
  if (control.el2) {
    return {
      read: { el1: true, el0: false },
      write: { el1: writable, el0: false },
      execute: { el1: leaf.xn === 0 && !(control.wxn && writable), el0: false },
    };
  }
  const el0 = leaf.ap1 === 1;
  const writable0 = el0 && writable;
  return {
    read: { el1: true, el0 },
    write: { el1: writable, el0: writable0 },
    execute: {
      // What EL0 may write, EL1 never executes.
      el1: leaf.pxn === 0 && !writable0 && !(control.wxn && writable),
      el0: leaf.uxn === 0 && !(control.wxn && writable0),
    },
  };
}

/** The access check of stage 1. */
export const stage1Access: AccessRules = {
  options: [
    { name: 'wxn', meaning: 'writable implies execute never (SCTLR.WXN)', values: [false, true], section: 'SCTLR_EL1' },
    { name: 'pan', meaning: 'privileged access never (PSTATE.PAN)', values: [false, true], section: 'FEAT_PAN' },
    {
      name: 'epan',
      meaning: 'PAN counts execute-only pages too (SCTLR.EPAN)',
      values: [false, true],
      section: 'FEAT_PAN3',
    },
  ],
  check(leaf, { kind, privilege, options }, features): AccessVerdict {
    const reasons = flagReasons(leaf, features);
    const hd = managesDirty(features);
    const rights = stage1Rights(leaf, { hd, wxn: options.wxn === true, el2: features.has('el2') });
    const level = privilege === 'user' ? 'el0' : 'el1';
    if (!rights[kind][level]) reasons.push(`no_${kind}`);
    const open = rights.read.el0 || (options.epan === true && rights.execute.el0);
    if (options.pan === true && privilege === 'supervisor' && kind !== 'execute' && open)
      reasons.push('privileged_access_never');
    const dirties = kind === 'write' && hd && leaf.dbm === 1 && leaf.ap2 === 1;
    return { reasons, ...(leaf.af === 0 ? { set: AF } : {}), ...(dirties ? { clear: AP2 } : {}) };
  },
};

/** What a stage-2 leaf lets EL1 and EL0 execute. */
export function stage2Execute(leaf: FieldValues, xnx: boolean): { readonly el1: boolean; readonly el0: boolean } {
  const xn = leaf.xn ?? 0;
  if (!xnx) return { el1: xn < 2, el0: xn < 2 };
  return { el1: xn === 0 || xn === 3, el0: xn === 0 || xn === 1 };
}

/** The access check of stage 2. */
export const stage2Access: AccessRules = {
  options: [],
  check(leaf, { kind, privilege }, features): AccessVerdict {
    const reasons = flagReasons(leaf, features);
    const hd = managesDirty(features);
    const s2ap = leaf.s2ap ?? 0;
    const writable = (s2ap & 2) !== 0 || (hd && leaf.dbm === 1);
    const execute = stage2Execute(leaf, features.has('xnx'))[privilege === 'user' ? 'el0' : 'el1'];
    if (kind === 'read' && (s2ap & 1) === 0) reasons.push('no_read');
    if (kind === 'write' && !writable) reasons.push('no_write');
    // Execute never alone decides about fetches: stage 2 can be execute-only.
    if (kind === 'execute' && !execute) reasons.push('no_execute');
    const dirties = kind === 'write' && hd && leaf.dbm === 1 && (s2ap & 2) === 0;
    const set = (leaf.af === 0 ? AF : 0n) | (dirties ? S2AP_WRITE : 0n);
    return { reasons, ...(set === 0n ? {} : { set }) };
  },
};
