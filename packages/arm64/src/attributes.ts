/**
 * Leaf fields in the vocabulary that all formats share. What an index of a stage-1 leaf means is in MAIR, not in the
 * descriptor; where nobody gives one, Linux's counts (0 and 1 normal, 2 not cached, 3 and 4 device).
 * Sources: Arm Architecture Reference Manual (DDI 0487), "Memory attribute fields"; Linux 6.12 arch/arm64/mm/proc.S.
 */
import type { AttributeRules, CommonAttributes, CommonEncoding, FieldValues } from '@pagefold/core';
import { stage1Rights, stage2Execute } from './access.ts';
import { LINUX_MAIR, memoryTypes, preferredIndex } from './memory-types.ts';

const SHAREABILITY = ['none', 'reserved', 'outer', 'inner'] as const;

function shareability(value: number | undefined): { shareability?: string } {
  return value === undefined ? {} : { shareability: SHAREABILITY[value] as string };
}

function stage1ToCommon(leaf: FieldValues, features: ReadonlySet<string>, types: readonly string[]): CommonAttributes {
  const el2 = features.has('el2');
  const rights = stage1Rights(leaf, { hd: true, wxn: false, el2 });
  const user = !el2 && (rights.read.el0 || (rights.execute.el0 && leaf.pxn === 1));
  const level = user ? 'el0' : 'el1';
  return {
    read: rights.read[level],
    write: rights.write[level],
    execute: rights.execute[level],
    user,
    global: leaf.nG === 0,
    accessed: leaf.af === 1,
    dirty: leaf.ap2 === 0,
    memory: types[leaf.attrIndx ?? 0] as string,
    ...shareability(leaf.sh),
  };
}

/**
 * Stage 1. `read`, `write` and `execute` are those of the least privileged that may use the page; `write` says that
 * software lets the page be written, `dirty` that hardware does so now.
 * @param mair MAIR: what the indices mean
 */
export function stage1Attributes(mair: bigint): AttributeRules {
  const types = memoryTypes(mair);
  return {
    toCommon: (leaf, features) => stage1ToCommon(leaf, features, types),
    fromCommon: (wanted, features) => stage1FromCommon(wanted, features, mair),
  };
}

/** Stage 1 with Linux's memory types. */
export const stage1Common: AttributeRules = stage1Attributes(LINUX_MAIR);

function stage1FromCommon(
  wanted: Partial<CommonAttributes>,
  features: ReadonlySet<string>,
  mair: bigint,
): CommonEncoding {
  const lost: (keyof CommonAttributes)[] = [];
  const el2 = features.has('el2');
  const user = wanted.user ?? false;
  const write = wanted.write ?? false;
  const execute = wanted.execute ?? false;
  const dirty = wanted.dirty ?? write;
  if (el2 && user) lost.push('user');
  // Everything is readable at EL1; at EL0 only execution can be allowed without reading.
  const executeOnly = wanted.read === false && user && execute && !write && !el2;
  if (wanted.read === false && !executeOnly) lost.push('read');
  if (dirty && !write) lost.push('dirty');
  const index = preferredIndex(mair, wanted.memory ?? 'normal');
  if (index === undefined) lost.push('memory');
  const share = SHAREABILITY.indexOf((wanted.shareability ?? 'inner') as (typeof SHAREABILITY)[number]);
  if (features.has('lpa2') ? wanted.shareability !== undefined : share < 0 || share === 1) lost.push('shareability');
  const fields: Record<string, number> = {
    attrIndx: index ?? 0,
    ap1: Number(el2 || (user && !executeOnly)),
    ap2: Number(!(write && dirty)),
    dbm: Number(write),
    af: Number(wanted.accessed ?? true),
    nG: Number(!(wanted.global ?? !user)),
  };
  if (el2) fields.xn = Number(!execute);
  else {
    fields.uxn = Number(!(user && execute));
    fields.pxn = Number(user || !execute);
  }
  if (!features.has('lpa2')) fields.sh = share < 0 || share === 1 ? 3 : share;
  return { fields, lost };
}

const DEVICE_MAX = 3;

/** Stage 2. Normal write-back, normal not cached, device; what stage 1 says is combined elsewhere. */
export const stage2Common: AttributeRules = {
  toCommon(leaf, features): CommonAttributes {
    const attr = leaf.memAttr ?? 0;
    const fwb = features.has('fwb');
    const s2ap = leaf.s2ap ?? 0;
    return {
      read: (s2ap & 1) !== 0,
      write: (s2ap & 2) !== 0 || leaf.dbm === 1,
      execute: stage2Execute(leaf, features.has('xnx')).el1,
      user: true,
      global: true,
      accessed: leaf.af === 1,
      dirty: (s2ap & 2) !== 0,
      memory:
        attr <= DEVICE_MAX ? 'device' : attr === 5 ? 'uncached' : fwb ? (attr === 6 ? 'normal' : 'stage 1') : 'normal',
      ...shareability(leaf.sh),
    };
  },
  fromCommon(wanted, features) {
    const lost: (keyof CommonAttributes)[] = [];
    if (wanted.user === false) lost.push('user');
    if (wanted.global === false) lost.push('global');
    const write = wanted.write ?? false;
    if (wanted.dirty !== undefined && wanted.dirty !== write) lost.push('dirty');
    const execute = wanted.execute ?? false;
    const read = wanted.read ?? true;
    const memory = wanted.memory ?? 'normal';
    const attrs: Readonly<Record<string, number>> = { normal: features.has('fwb') ? 6 : 15, uncached: 5, device: 1 };
    if (attrs[memory] === undefined) lost.push('memory');
    const share = SHAREABILITY.indexOf((wanted.shareability ?? 'inner') as (typeof SHAREABILITY)[number]);
    if (features.has('lpa2') ? wanted.shareability !== undefined : share < 0 || share === 1) lost.push('shareability');
    const fields: Record<string, number> = {
      memAttr: attrs[memory] ?? 15,
      s2ap: Number(read) | (Number(write) << 1),
      xn: execute ? 0 : 2,
      af: Number(wanted.accessed ?? true),
    };
    if (!features.has('lpa2')) fields.sh = share < 0 || share === 1 ? 3 : share;
    return { fields, lost };
  },
};
