/**
 * Memory types: TEX, C and B by themselves; through PRRR and NMRR; and attribute indices through MAIR0 and MAIR1.
 * Sources: DDI 0406, B3.8.2 "Short-descriptor format memory region attributes, without TEX remap", B3.8.3 "... with TEX
 * remap", B3.8.5 "Long-descriptor format memory region attributes", B4.1.104 MAIRn; Linux 6.12
 * arch/arm/mm/proc-v7-2level.S, proc-v7-3level.S.
 */

/** Cacheability under short descriptors: none, write-back write-allocate, write-through, write-back. */
export type ShortCache = 'nc' | 'wbwa' | 'wt' | 'wb';

/** What short descriptors say about memory. */
export interface ShortMemoryType {
  readonly type: 'strongly-ordered' | 'device' | 'normal' | 'reserved' | 'impdef';
  /** Of normal memory. */
  readonly inner?: ShortCache;
  /** Of normal memory. */
  readonly outer?: ShortCache;
  /** Not of what is reserved or implementation defined. */
  readonly shareable?: boolean;
  /** Of shareable normal memory with TEX remap: is it shareable among the inner domain only? */
  readonly innerShareableOnly?: boolean;
}

/** The bits of a leaf that say its type. */
export interface TypeBits {
  readonly tex: number;
  readonly c: number;
  readonly b: number;
  readonly s: number;
}

/** PRRR and NMRR. */
export interface RemapRegisters {
  readonly prrr: bigint;
  readonly nmrr: bigint;
}

/** What Linux programs into PRRR and NMRR. */
export const LINUX_REMAP: RemapRegisters = { prrr: 0xff0a_81a8n, nmrr: 0x40e0_40e0n };

/** What Linux programs into MAIR1:MAIR0. */
export const LINUX_MAIR: bigint = 0xff00_0004_eeaa_4400n;

const CACHES: readonly ShortCache[] = ['nc', 'wbwa', 'wt', 'wb'];

function at(register: bigint, lo: number, bits: number): number {
  return Number((register >> BigInt(lo)) & ((1n << BigInt(bits)) - 1n));
}

const cache = (code: number): ShortCache => CACHES[code & 3] as ShortCache;

/** TEX, C and B without remap. */
function plainType({ tex, c, b, s }: TypeBits): ShortMemoryType {
  const shareable = s === 1;
  const normal = (outer: ShortCache, inner: ShortCache): ShortMemoryType => ({
    type: 'normal',
    inner,
    outer,
    shareable,
  });
  if (tex >= 4) return normal(cache(tex), cache((c << 1) | b));
  switch ((tex << 2) | (c << 1) | b) {
    case 0:
      return { type: 'strongly-ordered', shareable: true };
    case 1:
      return { type: 'device', shareable: true };
    case 2:
      return normal('wt', 'wt');
    case 3:
      return normal('wb', 'wb');
    case 4:
      return normal('nc', 'nc');
    case 6:
      return { type: 'impdef' };
    case 7:
      return normal('wbwa', 'wbwa');
    case 8:
      return { type: 'device', shareable: false };
    default:
      return { type: 'reserved' };
  }
}

/** Types by PRRR.TRn. */
const PRIMARY = ['strongly-ordered', 'device', 'normal', 'reserved'] as const;

/** TEX[0], C and B through PRRR and NMRR. */
function remappedType({ tex, c, b, s }: TypeBits, { prrr, nmrr }: RemapRegisters): ShortMemoryType {
  const n = ((tex & 1) << 2) | (c << 1) | b;
  if (n === 6) return { type: 'impdef' };
  const type = PRIMARY[at(prrr, 2 * n, 2)] as (typeof PRIMARY)[number];
  if (type === 'reserved') return { type };
  if (type === 'strongly-ordered') return { type, shareable: true };
  if (type === 'device') return { type, shareable: at(prrr, 16 + s, 1) === 1 };
  const shareable = at(prrr, 18 + s, 1) === 1;
  return {
    type,
    inner: cache(at(nmrr, 2 * n, 2)),
    outer: cache(at(nmrr, 2 * n + 16, 2)),
    shareable,
    ...(shareable ? { innerShareableOnly: at(prrr, 24 + n, 1) === 1 } : {}),
  };
}

/**
 * The memory type of a short-descriptor leaf.
 * @param remap PRRR and NMRR if SCTLR.TRE is set; `undefined` if it is clear
 */
export function shortMemoryType(bits: TypeBits, remap: RemapRegisters | undefined): ShortMemoryType {
  return remap === undefined ? plainType(bits) : remappedType(bits, remap);
}

/** What long descriptors say about memory. */
export interface LpaeMemoryType {
  readonly type: 'strongly-ordered' | 'device' | 'normal' | 'reserved';
  /** Of normal memory: `nc`, `wt` or `wb` with `-ra` and `-wa`, or `-transient`. */
  readonly outer?: string;
  readonly inner?: string;
  /** Of normal memory. */
  readonly sh?: 'none' | 'reserved' | 'outer' | 'inner';
}

/** Half a byte of MAIR for normal memory. Bits 1:0 are read- and write-allocation. */
function policy(nibble: number): string {
  if (nibble === 4) return 'nc';
  const through = (nibble & 4) === 0;
  const word = through ? 'wt' : 'wb';
  if (nibble < 8) return `${word}-transient`;
  return `${word}${(nibble & 2) === 0 ? '' : '-ra'}${(nibble & 1) === 0 ? '' : '-wa'}`;
}

const SHARES = ['none', 'reserved', 'outer', 'inner'] as const;

/**
 * The memory type of a long-descriptor leaf.
 * @param index AttrIndx
 * @param sh SH[1:0]
 * @param mair MAIR1:MAIR0, 64 bits
 */
export function lpaeMemoryType(index: number, sh: number, mair: bigint): LpaeMemoryType {
  const byte = at(mair, 8 * index, 8);
  const [outer, inner] = [byte >> 4, byte & 15];
  if (outer === 0) return { type: inner === 0 ? 'strongly-ordered' : inner === 4 ? 'device' : 'reserved' };
  if (inner === 0) return { type: 'reserved' };
  return { type: 'normal', outer: policy(outer), inner: policy(inner), sh: SHARES[sh & 3] ?? 'none' };
}

/** Policies in the vocabulary that all formats share; `normal` is write-back, write-allocate. */
const WORDS: Readonly<Record<string, string>> = {
  nc: 'uncached',
  wt: 'write-through',
  'wt-ra': 'write-through',
  'wt-ra-wa': 'write-through',
  wb: 'write-back',
  'wb-ra': 'write-back',
  wbwa: 'normal',
  'wb-ra-wa': 'normal',
};

/** A memory type as one word (or a few, where caches differ). */
export function memoryWord({ type, inner, outer }: ShortMemoryType | LpaeMemoryType): string {
  if (type === 'impdef') return 'implementation defined';
  if (type !== 'normal' || inner === undefined || outer === undefined) return type;
  const [into, out] = [WORDS[inner] ?? inner, WORDS[outer] ?? outer];
  return into === out ? into : `outer ${out}, inner ${into}`;
}
