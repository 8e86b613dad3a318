/** Replays of RISC-V test vectors: a check for one record of each group, and where the records of a group stand. */
import type { Json } from './compare.ts';
import { napot, protectionMask, protectionValue, swap, thead, vmFlagsMap } from './constants.ts';
import { geometry, pte } from './entries.ts';
import { flush, kasan, satpEncode, satpSpecial, sfence, userVa } from './machine.ts';
import { kernelCase, kernelRuns, walkCase } from './walks.ts';

/** A check of one record; `file` is the whole vector file. Throws on a mismatch. */
export type Replay = (record: unknown, file: unknown) => void;

/** One check to make. */
export interface VectorCase {
  /** The record's own name, or its place in the file. */
  readonly id: string;
  readonly record: unknown;
  /** `undefined` if nothing here can check it. */
  readonly replay: Replay | undefined;
}

/** Checks of the groups that are plain lists. */
const lists: Readonly<Record<string, Replay>> = {
  geometry,
  pte,
  user_va: userVa,
  napot,
  thead,
  swap,
  kasan_shadow: kasan,
  sfence,
  flush,
};

/** Groups that hold several lists: the check of each list, `null` for what is no list of records. */
const objects: Readonly<Record<string, Readonly<Record<string, Replay | null>>>> = {
  walk: { memories: null, cases: walkCase },
  satp: { encode: satpEncode, decode_special: satpSpecial },
  pgprot: { rule: null, values: protectionValue, masks: protectionMask, vm_flags_map: vmFlagsMap },
};

function listCases(name: string, list: readonly unknown[], replay: Replay | undefined): VectorCase[] {
  return list.map((record, i) => ({ id: String((record as Json | null)?.id ?? `${name}[${i}]`), record, replay }));
}

function objectCases(name: string, group: Json, checks: Readonly<Record<string, Replay | null>>): VectorCase[] {
  return Object.entries(group).flatMap(([key, value]) => {
    const replay = checks[key];
    if (replay === null) return [];
    // The map from VM flags is one record, although it is a list.
    if (key === 'vm_flags_map') return [{ id: `${name}.${key}`, record: { [key]: value }, replay }];
    return listCases(`${name}.${key}`, Array.isArray(value) ? value : [value], replay);
  });
}

const KERNEL_MEMBERS = ['mode', 'what', 'satp', 'root', 'word_bytes', 'ext', 'words', 'cases', 'runs'];
const KERNEL_ACCESS = ['access', 'priv', 'sum', 'mxr', 'ad'];

function kernelCases(kernels: readonly Json[]): VectorCase[] {
  return kernels.flatMap((kernel, k) => {
    const id = `kernel_walk[${k}]`;
    const cases = (kernel.cases as Json[]).map((each) => ({
      id: `${id} ${String(each.va)}`,
      record: { kernel, case: each },
    }));
    const unknown = Object.keys(kernel).filter((key) => ![...KERNEL_MEMBERS, ...KERNEL_ACCESS].includes(key));
    return [
      ...cases.map((each) => ({ ...each, replay: kernelCase as Replay })),
      { id: `${id} runs`, record: { kernel, case: kernel }, replay: kernelRuns as Replay },
      ...unknown.map((key) => ({ id: `${id} ${key}`, record: kernel[key], replay: undefined })),
    ];
  });
}

/** The groups that can be replayed, by key: from the group to the checks to make. */
export const groups: Readonly<Record<string, (group: unknown) => VectorCase[]>> = {
  ...Object.fromEntries(
    Object.entries(lists).map(([name, replay]) => [name, (group) => listCases(name, group as unknown[], replay)]),
  ),
  ...Object.fromEntries(
    Object.entries(objects).map(([name, checks]) => [name, (group) => objectCases(name, group as Json, checks)]),
  ),
  kernel_walk: (group) => kernelCases(group as Json[]),
};
