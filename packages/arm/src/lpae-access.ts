/**
 * Permissions of long descriptors, and their fields in the vocabulary that all formats share. What an attribute index
 * means is in MAIR.
 * Sources: DDI 0406, B3.7.1; Linux 6.12 arch/arm/include/asm/pgtable-3level.h.
 */
import type { AccessRules, AttributeRules, CommonAttributes } from '@pagefold/core';
import { LINUX_MAIR, lpaeMemoryType, memoryWord } from './memory-types.ts';

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

/** The index that means a word of the vocabulary: the lowest, but the highest for normal memory, as Linux has it. */
function indexFor(memory: string, mair: bigint): number | undefined {
  const indices = [7, 0, 1, 2, 3, 4, 5, 6];
  return indices.find((index) => memoryWord(lpaeMemoryType(index, 0, mair)) === memory);
}

/** The rules for a given MAIR1:MAIR0. `normal` is write-back, write-allocate. */
export function lpaeCommonFor(mair: bigint): AttributeRules {
  return {
    toCommon(leaf): CommonAttributes {
      return {
        read: true,
        write: leaf.ap2 === 0,
        execute: leaf.xn === 0,
        user: leaf.ap1 === 1,
        global: leaf.nG === 0,
        accessed: leaf.af === 1,
        dirty: leaf.ap2 === 0,
        memory: memoryWord(lpaeMemoryType(leaf.attrIndx ?? 0, leaf.sh ?? 0, mair)),
        shareability: SHAREABILITY[leaf.sh ?? 0] as string,
      };
    },
    fromCommon(wanted) {
      const lost: (keyof CommonAttributes)[] = [];
      const write = wanted.write ?? false;
      if (wanted.read === false) lost.push('read');
      if (wanted.dirty !== undefined && wanted.dirty !== write) lost.push('dirty');
      const index = indexFor(wanted.memory ?? 'normal', mair);
      if (index === undefined) lost.push('memory');
      const share = SHAREABILITY.indexOf((wanted.shareability ?? 'inner') as (typeof SHAREABILITY)[number]);
      if (share < 0 || share === 1) lost.push('shareability');
      const user = wanted.user ?? false;
      const fields = {
        attrIndx: index ?? 7,
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
}

/** The rules for what Linux programs. */
export const lpaeCommon: AttributeRules = lpaeCommonFor(LINUX_MAIR);
