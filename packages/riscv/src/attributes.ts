/**
 * RISC-V leaf fields in the vocabulary that all formats share.
 * Memory types: RISC-V ISA Volume II, "Svpbmt"; T-Head values as in Linux 6.12 asm/pgtable-64.h.
 */
import type { AttributeRules, CommonAttributes } from '@pagefold/core';

/** T-Head types as (so, c, b, sh): normal 0111, not cached 0011, device 1001. */
const THEAD = {
  normal: { so: 0, c: 1, b: 1, sh: 1 },
  uncached: { so: 0, c: 0, b: 1, sh: 1 },
  device: { so: 1, c: 0, b: 0, sh: 1 },
} as const;

const PBMT = ['normal', 'uncached', 'device', 'reserved'] as const;

/** The mapping both ways. Shareability does not exist; without Svpbmt or T-Head types all memory is `normal`. */
export const riscvCommon: AttributeRules = {
  toCommon(leaf, features): CommonAttributes {
    let memory: string = 'normal';
    if (features.has('xtheadmae')) {
      const found = Object.entries(THEAD).find(
        ([, type]) => type.so === leaf.so && type.c === leaf.c && type.b === leaf.b,
      );
      memory = found?.[0] ?? 'other';
    } else {
      memory = PBMT[leaf.pbmt ?? 0] as string;
    }
    return {
      read: leaf.r === 1,
      write: leaf.w === 1,
      execute: leaf.x === 1,
      user: leaf.u === 1,
      global: leaf.g === 1,
      accessed: leaf.a === 1,
      dirty: leaf.d === 1,
      memory,
    };
  },
  fromCommon(wanted, features) {
    const lost: (keyof CommonAttributes)[] = [];
    const write = wanted.write ?? false;
    // W without R is reserved, so a writable leaf is readable whether that was wanted or not.
    if (write && wanted.read === false) lost.push('read');
    const read = (wanted.read ?? true) || write;
    const execute = wanted.execute ?? false;
    const fields: Record<string, number> = {
      r: Number(read || !execute),
      w: Number(write),
      x: Number(execute),
      u: Number(wanted.user ?? false),
      g: Number(wanted.global ?? false),
      a: Number(wanted.accessed ?? true),
      d: Number(wanted.dirty ?? write),
    };
    if (!read && !execute) lost.push('read');
    const memory = wanted.memory ?? 'normal';
    if (features.has('xtheadmae')) {
      const type = THEAD[memory as keyof typeof THEAD];
      if (type === undefined) lost.push('memory');
      Object.assign(fields, type ?? THEAD.normal);
    } else if (features.has('svpbmt') && ['normal', 'uncached', 'device'].includes(memory)) {
      fields.pbmt = PBMT.indexOf(memory as (typeof PBMT)[number]);
    } else if (memory !== 'normal') {
      lost.push('memory');
    }
    if (wanted.shareability !== undefined) lost.push('shareability');
    return { fields, lost };
  },
};
