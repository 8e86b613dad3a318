/**
 * Leaf fields in the vocabulary that all formats share. Memory types: `normal` is write-back, `uncached`
 * write-combining, `device` UC- or UC (Linux's ioremap takes UC-); the other two are called by their own names.
 * Sources: Intel SDM vol. 3A, section 5.6 (rights), 5.9 (memory typing); Linux 6.12 arch/x86/mm/ioremap.c.
 */
import type { AttributeRules, CommonAttributes } from '@pagefold/core';
import { memoryTypes, patFields, patIndex, type X86MemoryType } from './memory-types.ts';

const NAMES: Readonly<Record<X86MemoryType, string>> = {
  WB: 'normal',
  WC: 'uncached',
  'UC-': 'device',
  UC: 'device',
  WT: 'write-through',
  WP: 'write-protected',
};

/** The type that is looked for in the PAT first, where two have one name. */
const PREFERRED: Readonly<Record<string, X86MemoryType>> = {
  normal: 'WB',
  uncached: 'WC',
  device: 'UC-',
  'write-through': 'WT',
  'write-protected': 'WP',
};

/**
 * The mapping both ways.
 * @param pat the PAT register
 */
export function x86Attributes(pat: bigint): AttributeRules {
  const types = memoryTypes(pat);
  return {
    toCommon(leaf, features): CommonAttributes {
      return {
        // Present is readable: nothing forbids reading but protection keys, which are no attribute of the leaf alone.
        read: true,
        write: leaf.rw === 1,
        execute: !(features.has('nx') && leaf.nx === 1),
        user: leaf.us === 1,
        global: leaf.g === 1,
        accessed: leaf.a === 1,
        dirty: leaf.d === 1,
        memory: NAMES[types[patIndex(leaf)] ?? 'UC'],
      };
    },
    fromCommon(wanted, features) {
      const lost: (keyof CommonAttributes)[] = [];
      const { write = false, execute = false, user = false, memory = 'normal' } = wanted;
      if (wanted.read === false) lost.push('read');
      if (!execute && !features.has('nx')) lost.push('execute');
      if (wanted.shareability !== undefined) lost.push('shareability');
      const type = PREFERRED[memory];
      const exact = type === undefined ? -1 : types.indexOf(type);
      const index = exact >= 0 ? exact : types.findIndex((each) => NAMES[each] === memory);
      if (index < 0) lost.push('memory');
      return {
        fields: {
          rw: Number(write),
          us: Number(user),
          g: Number(wanted.global ?? false),
          a: Number(wanted.accessed ?? true),
          d: Number(wanted.dirty ?? write),
          ...(features.has('nx') ? { nx: Number(!execute) } : {}),
          ...patFields(Math.max(index, 0)),
        },
        lost,
      };
    },
  };
}
