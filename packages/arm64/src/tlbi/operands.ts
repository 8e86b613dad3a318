/**
 * Operands of TLB invalidation instructions. The formats are registers in core's sense, so operands can be explained.
 *
 * By address the unit is 4 KiB whatever the granule is. By range it is the granule, and with LPA2 64 KiB.
 * Sources: Arm Architecture Reference Manual (DDI 0487), section C5.5 (TLBI VAE1, IPAS2E1, RVAE1), FEAT_TTL, FEAT_TLBIRANGE;
 * Linux 6.12 arch/arm64/include/asm/tlbflush.h.
 */
import { ArgumentError, decodeRegister, encodeRegister, type RegisterFormat } from '@pagefold/core';
import { type Granule, PAGE_BITS } from '../granule.ts';

const SECTION = 'C5.5';
const ASID = { name: 'asid', bits: [[63, 48]], meaning: 'address space identifier', section: SECTION } as const;
const TTL_VALUES = Object.fromEntries(
  ['4K', '16K', '64K'].flatMap((granule, i) =>
    [0, 1, 2, 3].map((level): [number, string] => [(i + 1) * 4 + level, `${granule}, level ${level}`]),
  ),
);
const TTL = {
  name: 'ttl',
  bits: [[47, 44]],
  meaning: 'granule and level of the leaf; 0 to 3: any',
  values: TTL_VALUES,
  section: SECTION,
} as const;

/** The operand of invalidation by virtual address. */
export const tlbiVaFormat: RegisterFormat = {
  name: 'tlbi_va',
  bits: 64,
  title: 'operand of TLBI by virtual address',
  section: SECTION,
  fields: [
    ASID,
    TTL,
    { name: 'va', bits: [[43, 0]], meaning: 'bits 55:12 of the address, whatever the granule', section: SECTION },
  ],
};

/** The operand of invalidation by intermediate address, for stage 2. */
export const tlbiIpaFormat: RegisterFormat = {
  name: 'tlbi_ipa',
  bits: 64,
  title: 'operand of TLBI by intermediate physical address',
  section: SECTION,
  fields: [
    { name: 'ns', bits: [[63, 63]], meaning: 'non-secure', section: SECTION },
    TTL,
    { name: 'ipa', bits: [[39, 0]], meaning: 'bits 51:12 of the address, whatever the granule', section: SECTION },
  ],
};

/** The operand of invalidation by range. */
export const tlbiRangeFormat: RegisterFormat = {
  name: 'tlbi_range',
  bits: 64,
  title: 'operand of TLBI by range of addresses',
  section: SECTION,
  fields: [
    ASID,
    { name: 'tg', bits: [[47, 46]], meaning: 'granule', values: { 1: '4K', 2: '16K', 3: '64K' }, section: SECTION },
    { name: 'scale', bits: [[45, 44]], meaning: 'unit of num: 2, 64, 2048 or 65536 pages', section: SECTION },
    { name: 'num', bits: [[43, 39]], meaning: 'units minus one', section: SECTION },
    { name: 'ttl', bits: [[38, 37]], meaning: 'level of the leaves; 0: any', section: SECTION },
    { name: 'baddr', bits: [[36, 0]], meaning: 'start in pages, with LPA2 in 64 KiB', section: SECTION },
  ],
};

/** Values of TTL[3:2] and TG. */
const GRANULE_CODE: Readonly<Record<Granule, number>> = { '4K': 1, '16K': 2, '64K': 3 };

/** A hardware level as a hint; without FEAT_TTL, and for levels that have no encoding, there is none. */
function hint(granule: Granule, level: number | undefined, supported: boolean): number {
  if (!supported || level === undefined || level < 0 || level > 3) return 0;
  return GRANULE_CODE[granule] * 4 + level;
}

/** What all operands depend on. */
export interface TlbiConfig {
  readonly granule: Granule;
  /** FEAT_TTL: hints are understood. Not supplied: yes. */
  readonly ttl?: boolean;
  /** 52-bit descriptors are in use (TCR.DS); changes the unit of ranges. Not supplied: no. */
  readonly lpa2?: boolean;
}

/** One virtual address. */
export interface TlbiVa {
  readonly va: bigint;
  /** Not supplied: 0. */
  readonly asid?: number;
  /** Hardware level of the leaf. Not supplied: not known. */
  readonly level?: number | undefined;
}

/** The operand for a virtual address. */
export function tlbiVa({ va, asid = 0, level }: TlbiVa, { granule, ttl = true }: TlbiConfig): bigint {
  return encodeRegister(tlbiVaFormat, { asid, ttl: hint(granule, level, ttl), va: BigInt.asUintN(44, va >> 12n) });
}

/** One intermediate address. */
export interface TlbiIpa {
  readonly ipa: bigint;
  /** Hardware level of the leaf. Not supplied: not known. */
  readonly level?: number | undefined;
  /** Not supplied: no. */
  readonly nonSecure?: boolean;
}

/** The operand for an intermediate address. The machine is the one that VTTBR names. */
export function tlbiIpa({ ipa, level, nonSecure = false }: TlbiIpa, { granule, ttl = true }: TlbiConfig): bigint {
  return encodeRegister(tlbiIpaFormat, {
    ns: Number(nonSecure),
    ttl: hint(granule, level, ttl),
    ipa: BigInt.asUintN(40, ipa >> 12n),
  });
}

/** Pages that one unit of `num` stands for. */
export const SCALE_PAGES: readonly number[] = [2, 64, 2048, 65536];

/** Most pages of one range: `num` 31 in units of 65536. */
export const MAX_RANGE_PAGES: number = 32 * 65536;

/** Pages that a range covers: `(num + 1) * 2^(5 * scale + 1)`. */
export function rangePages(scale: number, num: number): number {
  return (num + 1) * (SCALE_PAGES[scale] ?? 0);
}

/** log2 of the unit in which a range gives its start. */
export function rangeStartBits({ granule, lpa2 = false }: TlbiConfig): number {
  return lpa2 && granule !== '64K' ? 16 : PAGE_BITS[granule];
}

/** A range. */
export interface TlbiRange {
  readonly va: bigint;
  /** 0 to 3. */
  readonly scale: number;
  /** 0 to 31. */
  readonly num: number;
  /** Not supplied: 0. */
  readonly asid?: number;
  /** Hardware level of the leaves. Not supplied: not known. */
  readonly level?: number | undefined;
}

/**
 * The operand for a range.
 * @throws ArgumentError `tlbi-range` if the start is no multiple of its unit; `register-field` if scale or num do not fit
 */
export function tlbiRange({ va, scale, num, asid = 0, level }: TlbiRange, config: TlbiConfig): bigint {
  const bits = BigInt(rangeStartBits(config));
  if (va & ((1n << bits) - 1n)) {
    throw new ArgumentError('tlbi-range', 'a range starts at a multiple of its unit', { va, unit: 1n << bits });
  }
  const known = level !== undefined && level >= 1 && level <= 3;
  return encodeRegister(tlbiRangeFormat, {
    asid,
    tg: GRANULE_CODE[config.granule],
    scale,
    num,
    ttl: known && config.ttl !== false ? level : 0,
    baddr: BigInt.asUintN(37, va >> bits),
  });
}

/**
 * The addresses that a range operand covers, as the hardware reads it.
 * @param lpa2 TCR.DS of the machine that executes it
 */
export function rangeCovered(operand: bigint, lpa2: boolean): { readonly start: bigint; readonly bytes: bigint } {
  const { tg = 0n, scale = 0n, num = 0n, baddr = 0n } = decodeRegister(tlbiRangeFormat, operand);
  const granule = (Object.keys(GRANULE_CODE) as Granule[]).find((each) => GRANULE_CODE[each] === Number(tg));
  if (granule === undefined) throw new ArgumentError('tlbi-range', 'the operand names no granule', { operand });
  const bits = BigInt(rangeStartBits({ granule, lpa2 }));
  const pages = BigInt(rangePages(Number(scale), Number(num)));
  // Bits above what the operand can hold are copies of the highest it holds.
  const start = BigInt.asUintN(64, BigInt.asIntN(37, baddr) << bits);
  return { start, bytes: pages << BigInt(PAGE_BITS[granule]) };
}
