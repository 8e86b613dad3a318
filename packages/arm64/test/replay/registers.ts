/** Replays of the groups about register values. */
import { decodeRegister } from '@pagefold/core';
import {
  kvmVtcr,
  LINUX_MEMORY_ATTRIBUTES,
  LINUX_MEMORY_INDEX,
  linuxMair,
  linuxTcr,
  linuxTtbr,
  tableBase,
  ttbr0El1,
} from '../../src/index.ts';
import { granuleIn, type Json, knowsMembers, numberIn, sameMembers, wordIn } from './compare.ts';

/** `registers.tcr`: what `__cpu_setup` programs. */
export function tcr(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, [
    'granule',
    'vaBits',
    'vaBitsActual',
    'parange',
    'hwAF',
    'randomizeBase',
    'mte',
    'kasan',
    'tcr',
    'note',
  ]);
  const note = String(expected.note ?? '');
  const stage = note.startsWith('secondary') || note === '' ? 'running' : note.startsWith('boot') ? 'boot' : undefined;
  if (stage === undefined) throw new Error(`no replay for ${note}`);
  const granule = granuleIn(expected);
  const vaBits = Number(expected.vaBits);
  const tagging = expected.mte === null ? {} : { tagging: wordIn(expected, 'mte', ['mte', 'hw_tags']) };
  const value = linuxTcr(
    { granule, vaBits, ...(granule === '64K' && vaBits === 52 ? { paBits: 52 as const } : {}) },
    {
      actualBits: Number(expected.vaBitsActual),
      physicalBits: Number(expected.parange),
      accessFlag: expected.hwAF === true,
      randomizeBase: expected.randomizeBase === true,
      softwareTags: expected.kasan === 'sw_tags',
      stage,
      ...tagging,
    },
  );
  sameMembers({ tcr: value }, expected, ['tcr']);
}

/** `registers.ttbr`: both ways. */
export function ttbr(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['paBits', 'pa', 'asid', 'cnp', 'ttbr']);
  const paBits = Number(expected.paBits) === 52 ? 52 : 48;
  const root = numberIn(expected, 'pa');
  const value = linuxTtbr({ root, asid: Number(expected.asid), cnp: expected.cnp === 1 }, paBits);
  const fields = decodeRegister(ttbr0El1, value);
  sameMembers(
    { ttbr: value, pa: tableBase(value, 1, paBits === 52), asid: Number(fields.asid), cnp: Number(fields.cnp) },
    expected,
    ['ttbr', 'pa', 'asid', 'cnp'],
  );
}

/** `registers.vtcr`. */
export function vtcr(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['granule', 'ipaBits', 'paBits', 'lpa2', 'vmid16', 'vtcr']);
  const value = kvmVtcr({
    granule: granuleIn(expected),
    ipaBits: Number(expected.ipaBits),
    physicalBits: Number(expected.paBits),
    lpa2: expected.lpa2 === true,
    vmid16: expected.vmid16 === true,
  });
  sameMembers({ vtcr: value }, expected, ['vtcr']);
}

/** `registers.mair`. */
export function mair(record: unknown): void {
  const expected = record as Json;
  sameMembers(
    {
      MAIR_EL1_boot: linuxMair(),
      MAIR_EL1_mte: linuxMair(true),
      index: LINUX_MEMORY_INDEX,
      attr: Object.fromEntries(Object.entries(LINUX_MEMORY_ATTRIBUTES).map(([name, byte]) => [name, BigInt(byte)])),
    },
    expected,
  );
}
