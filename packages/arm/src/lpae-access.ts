/**
 * Permissions of long descriptors, and their fields in the vocabulary that all formats share. What an attribute index
 * means is in MAIR; the indices here are those that Linux programs.
 * Sources: DDI 0406, B3.7.1; Linux 6.12 arch/arm/include/asm/pgtable-3level.h.
 */
import type { AccessRules, AttributeRules, CommonAttributes } from '@pagefold/core';

/** The access check. */
export const lpaeAccess: AccessRules = {
  options: [],
  check(leaf, { kind, privilege }) {
    const reasons: string[] = [];
    if (leaf.af === 0) reasons.push('access_flag');
    const user = privilege === 'user';
    const readable = !user || leaf.ap1 === 1;
    const allowed =
      kind === 'read'
        ? readable
        : kind === 'write'
          ? readable && leaf.ap2 === 0
          : readable && leaf.xn === 0 && (user || leaf.pxn === 0);
    if (!allowed) reasons.push(`no_${kind}`);
    return { reasons };
  },
};

const SHAREABILITY = ['none', 'reserved', 'outer', 'inner'] as const;
const MEMORY = [
  'strongly-ordered',
  'uncached',
  'write-through',
  'write-back',
  'device',
  'index 5',
  'index 6',
  'normal',
] as const;

/** `normal` is write-back, write-allocate (index 7). */
export const lpaeCommon: AttributeRules = {
  toCommon(leaf): CommonAttributes {
    return {
      read: true,
      write: leaf.ap2 === 0,
      execute: leaf.xn === 0,
      user: leaf.ap1 === 1,
      global: leaf.nG === 0,
      accessed: leaf.af === 1,
      dirty: leaf.ap2 === 0,
      memory: MEMORY[leaf.attrIndx ?? 0] as string,
      shareability: SHAREABILITY[leaf.sh ?? 0] as string,
    };
  },
  fromCommon(wanted) {
    const lost: (keyof CommonAttributes)[] = [];
    const write = wanted.write ?? false;
    if (wanted.read === false) lost.push('read');
    if (wanted.dirty !== undefined && wanted.dirty !== write) lost.push('dirty');
    const memory = wanted.memory ?? 'normal';
    const index = memory === 'device' ? 4 : memory === 'uncached' ? 1 : 7;
    if (!['device', 'uncached', 'normal'].includes(memory)) lost.push('memory');
    const share = SHAREABILITY.indexOf((wanted.shareability ?? 'inner') as (typeof SHAREABILITY)[number]);
    if (share < 0 || share === 1) lost.push('shareability');
    const user = wanted.user ?? false;
    const fields = {
      attrIndx: index,
      ap1: Number(user),
      ap2: Number(!write),
      sh: share < 0 || share === 1 ? 3 : share,
      af: Number(wanted.accessed ?? true),
      nG: Number(!(wanted.global ?? !user)),
      xn: Number(!(wanted.execute ?? false)),
      pxn: Number(user),
    };
    return { fields, lost };
  },
};
