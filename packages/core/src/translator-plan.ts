/**
 * What a translator must know of an address space, as plain integers: how addresses are cut into regions, where among a
 * region's entries an address has its own, which bits of an entry must be zero, and if they are, how to read the address
 * of the leaf that it is. Loads from a few arrays replace all looking into objects.
 */
import { LEAF, type LevelCodec, LOW_BITS } from './level-codec.ts';
import type { AddressSpace, Root } from './space.ts';

/** A region is at most 2 GiB, so that its number and the indices in it can be taken from the halves of an address. */
const MAX_REGION_BITS = 31;

/** Where the fields of a `Turn` and of a shape's offset stand in the record of a leaf. */
export const BY = 0;
export const LOW_FROM_LO = 1;
export const LOW_FROM_HI = 2;
export const HIGH_FROM_LO = 3;
export const HIGH_FROM_HI = 4;
export const OFFSET_LO = 5;
export const OFFSET_HI = 6;
const RECORD = 7;

/** Instead of the index of a leaf's record: the word is no leaf, or one whose address takes more than one turn. */
export const NO_LEAF = -1;

/** Each reach has so many bits of codes: four integers for each value of a word's low bits. */
export const CODE_BITS: number = LOW_BITS + 2;

/** The low bits of a word. */
export const LOW_MASK: number = (1 << LOW_BITS) - 1;

/** One level of one root, as a region meets it. */
export interface Reach {
  readonly codec: LevelCodec;
  /** How far an address is shifted and what is kept to give the index of an entry among those of its region. */
  readonly shift: number;
  readonly mask: number;
  /** 1 where entries have two words, else 0. */
  readonly wordShift: number;
}

/** A root, and the number of the reach of its level 0; those of upper levels follow. */
export interface RootReach {
  readonly root: Root;
  readonly firstReach: number;
}

/** What a translator works from. */
export interface TranslatorPlan {
  /** A region has 2 to this power bytes: what one last-level table covers, the smallest of them if the roots differ. */
  readonly regionBits: number;
  readonly roots: readonly RootReach[];
  readonly reaches: readonly Reach[];
  /** As `LevelCodec.codes`, reach by reach, with the index of a leaf's record (or {@link NO_LEAF}) for the code. */
  readonly codes: Int32Array;
  /** The records of the leaves. */
  readonly leaves: Int32Array;
}

/** Makes the plan for an address space. */
export function planTranslator({ roots }: AddressSpace): TranslatorPlan {
  const tables = roots.map(({ paging }) => paging.codec(0).level);
  const regionBits = Math.min(MAX_REGION_BITS, ...tables.map(({ shift, indexBits }) => shift + indexBits));
  const reaches: Reach[] = [];
  const rootReaches = roots.map((root) => {
    const firstReach = reaches.length;
    const wordShift = root.paging.format.entryBytes === 8 ? 1 : 0;
    for (const codec of root.paging.levels) {
      const { shift } = codec.level;
      // An entry of an upper level covers whole regions: it is the only one, its index in the region is 0.
      const mask = shift >= regionBits ? 0 : (1 << (regionBits - shift)) - 1;
      reaches.push({ codec, shift: shift >= regionBits ? 0 : shift, mask, wordShift });
    }
    return { root, firstReach };
  });
  const codes = new Int32Array(reaches.length << CODE_BITS);
  const leaves: number[] = [];
  reaches.forEach(({ codec }, number) => {
    codes.set(codesOf(codec, leaves), number << CODE_BITS);
  });
  return { regionBits, roots: rootReaches, reaches, codes, leaves: Int32Array.from(leaves) };
}

/** The codes of a codec with indices of records, which are added. */
function codesOf({ codes, shapes }: LevelCodec, leaves: number[]): Int32Array {
  const records = shapes.map(({ kind, address: { turn }, offset }) => {
    if (kind !== LEAF || turn === undefined) return NO_LEAF;
    const { by, lowFromLo, lowFromHi, highFromLo, highFromHi } = turn;
    return leaves.push(by, lowFromLo, lowFromHi, highFromLo, highFromHi, offset.lo, offset.hi) - RECORD;
  });
  return codes.map((code, i) => {
    if (i % 4 !== 2) return code;
    return (code & 3) === LEAF ? (records[code >> 2] ?? NO_LEAF) : NO_LEAF;
  });
}
