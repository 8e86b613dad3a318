/**
 * Short-descriptor fields in the vocabulary that all formats share. With TEX remap the type index is TEX[0]:C:B, read
 * as Linux programs PRRR and NMRR; without it TEX, C and B speak for themselves.
 * Sources: DDI 0406, B3.8.2; Linux 6.12 arch/arm/include/asm/pgtable-2level.h and arch/arm/mm/proc-v7-2level.S.
 */
import type { AttributeRules, CommonAttributes } from '@pagefold/core';
import { shortRights } from './short-access.ts';

/** Linux's types by TEX[0]:C:B. */
const REMAPPED = [
  'strongly-ordered',
  'uncached',
  'write-through',
  'write-back',
  'device',
  'unused',
  'unused',
  'normal',
] as const;

function plainType(tex: number, c: number, b: number): string {
  const code = (tex << 2) | (c << 1) | b;
  if (code === 0) return 'strongly-ordered';
  if (code === 1 || code === 8) return 'device';
  if (code === 4) return 'uncached';
  if (code === 7) return 'normal';
  return code >= 16 || code === 2 || code === 3 ? 'write-back' : 'reserved';
}

/** `normal` is write-back, write-allocate. */
export const shortCommon: AttributeRules = {
  toCommon(leaf, features): CommonAttributes {
    const afe = features.has('afe');
    const ap = leaf.ap ?? 0;
    const rights = shortRights(ap, afe);
    const user = rights.user !== 'none';
    const right = user ? rights.user : rights.privileged;
    const tex = leaf.tex ?? 0;
    const memory = features.has('tre')
      ? (REMAPPED[((tex & 1) << 2) | ((leaf.c ?? 0) << 1) | (leaf.b ?? 0)] as string)
      : plainType(tex, leaf.c ?? 0, leaf.b ?? 0);
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
    if (afe) ap = (ap & 6) | Number(accessed);
    const codes: Readonly<Record<string, readonly [tex: number, c: number, b: number]>> = features.has('tre')
      ? { normal: [1, 1, 1], uncached: [0, 0, 1], device: [1, 0, 0] }
      : { normal: [1, 1, 1], uncached: [1, 0, 0], device: [0, 0, 1] };
    const memory = wanted.memory ?? 'normal';
    if (codes[memory] === undefined) lost.push('memory');
    const [tex, c, b] = codes[memory] ?? [1, 1, 1];
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
