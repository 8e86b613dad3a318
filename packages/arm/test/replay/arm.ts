/** Replays of 32-bit Arm test vectors: a check for one record of each group. */
import { descriptor, walkCase } from './decoding.ts';
import { geometry, geometryCase, layout, linuxPmd, linuxPte, pmdPopulate, supersection } from './linux.ts';
import { mapping } from './mapping.ts';

/** A check of one record; `file` is the whole vector file. Throws on a mismatch. */
export type Replay = (record: unknown, file: unknown) => void;

/** By group. `geometry` holds one record for each format, `tables` what `walks` refer to. */
export const groups: Readonly<Record<string, Replay>> = {
  geometry,
  geometryCases: geometryCase,
  descriptors: descriptor,
  tables: (record, file) => {
    const { id } = record as { id: string };
    const { walks } = file as { walks: readonly { tables: string }[] };
    if (!walks.some(({ tables }) => tables === id)) throw new Error('no walk uses these tables');
  },
  walks: walkCase,
  linuxPte,
  linuxPmd,
  pmdPopulate,
  supersections: supersection,
  createMapping: mapping,
  layouts: layout,
};

/** The records of a group: `geometry` is an object with one record for each format. */
export function recordsOf(name: string, group: unknown): readonly unknown[] {
  if (Array.isArray(group)) return group;
  if (name !== 'geometry') throw new Error(`the group ${name} is no list of records`);
  return Object.entries(group as object).map(([format, record]) => ({ format, ...(record as object) }));
}
