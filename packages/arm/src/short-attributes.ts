/**
 * Short-descriptor fields in the vocabulary that all formats share. With TEX remap the type index is TEX[0]:C:B, read
 * through PRRR and NMRR; without it TEX, C and B speak for themselves.
 * Sources: DDI 0406, B3.8.2; Linux 6.12 arch/arm/include/asm/pgtable-2level.h and arch/arm/mm/proc-v7-2level.S.
 */
import type { AttributeRules, CommonAttributes } from '@pagefold/core';
import { LINUX_REMAP, memoryWord, type RemapRegisters, shortMemoryType, type TypeBits } from './memory-types.ts';
import { shortRights } from './short-access.ts';

/** TEX, C and B by the number that they make. */
function typeBits(code: number, s: number): TypeBits {
  return { tex: code >> 2, c: (code >> 1) & 1, b: code & 1, s };
}

/** TEX, C and B for a word of the vocabulary: the first code that means it; `undefined` if none does. */
function codeFor(memory: string, remap: RemapRegisters | undefined): number | undefined {
  // Without remap device memory has two codes; the shareable one comes first.
  const codes = remap === undefined ? [7, 4, 1, 0, 2, 3, 8] : [7, 4, 0, 1, 2, 3, 5];
  return codes.find((code) => memoryWord(shortMemoryType(typeBits(code, 0), remap)) === memory);
}

/** The rules for given PRRR and NMRR, which count where TEX remap is on. `normal` is write-back, write-allocate. */
export function shortCommonFor(registers: RemapRegisters): AttributeRules {
  const remapOf = (features: ReadonlySet<string>): RemapRegisters | undefined =>
    features.has('tre') ? registers : undefined;
  return {
    toCommon(leaf, features): CommonAttributes {
      const afe = features.has('afe');
      const ap = leaf.ap ?? 0;
      const rights = shortRights(ap, afe);
      const user = rights.user !== 'none';
      const right = user ? rights.user : rights.privileged;
      const bits = { tex: leaf.tex ?? 0, c: leaf.c ?? 0, b: leaf.b ?? 0, s: leaf.s ?? 0 };
      const memory = memoryWord(shortMemoryType(bits, remapOf(features)));
      return {
        read: right !== 'none',
        write: right === 'rw',
        execute: right !== 'none' && leaf.xn === 0,
        user,
        global: leaf.nG === 0,
        accessed: afe ? (ap & 1) === 1 : true,
        dirty: right === 'rw',
        memory,
        shareability: leaf.s === 1 ? 'outer' : 'none',
      };
    },
    fromCommon(wanted, features) {
      const lost: (keyof CommonAttributes)[] = [];
      const afe = features.has('afe');
      const user = wanted.user ?? false;
      const write = wanted.write ?? false;
      const read = wanted.read ?? true;
      const accessed = wanted.accessed ?? true;
      if (!read && (write || user || afe)) lost.push('read');
      if (wanted.dirty !== undefined && wanted.dirty !== write) lost.push('dirty');
      if (!afe && !accessed) lost.push('accessed');
      let ap = write ? (user ? 3 : 1) : user ? 7 : 5;
      if (!read && !write && !user && !afe) ap = 0;
      if (afe) ap = (ap & 6) | Number(accessed);
      const found = codeFor(wanted.memory ?? 'normal', remapOf(features));
      if (found === undefined) lost.push('memory');
      const { tex, c, b } = typeBits(found ?? 7, 0);
      const share = wanted.shareability ?? 'none';
      if (share !== 'none' && share !== 'outer') lost.push('shareability');
      const execute = wanted.execute ?? false;
      if (execute && !read) lost.push('execute');
      const fields = {
        ap,
        tex,
        c,
        b,
        s: Number(share !== 'none'),
        nG: Number(!(wanted.global ?? !user)),
        xn: Number(!execute),
      };
      return { fields, lost };
    },
  };
}

/** The rules for what Linux programs. */
export const shortCommon: AttributeRules = shortCommonFor(LINUX_REMAP);
