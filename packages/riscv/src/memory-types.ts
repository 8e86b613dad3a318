/**
 * Memory types as Linux puts them into entries, and who puts them there.
 *
 * With Svpbmt normal memory is 0, so an entry without type bits is right. On T-Head cores normal memory has bits of its
 * own, which constructors therefore add unless a type was asked for; Linux 6.12 does so for pte, pmd and pgd entries and
 * in `pte_modify`, not for pud and p4d. Source: Linux 6.12 arch/riscv/include/asm/pgtable-64.h, asm/errata_list.h.
 */
import { ArgumentError, type TableName } from '@pagefold/core';
import { riscvCommon } from './attributes.ts';
import { entryBits, entryMask } from './entry-bits.ts';
import type { MemoryTypes } from './linux-config.ts';

/** Linux's three types: normal memory, not cached (write-combining), device. */
export type MemoryTypeName = 'pma' | 'nc' | 'io';

/** What the common vocabulary calls them. */
const COMMON: Readonly<Record<MemoryTypeName, string>> = { pma: 'normal', nc: 'uncached', io: 'device' };

/** Fields that hold the type, and the feature of the format that defines them. */
const FIELDS: Readonly<Record<Exclude<MemoryTypes, 'none'>, { readonly feature: string; readonly names: string[] }>> = {
  svpbmt: { feature: 'svpbmt', names: ['pbmt'] },
  thead: { feature: 'xtheadmae', names: ['so', 'c', 'b', 'sh', 'sec'] },
};

/** All bits that hold a type (`_PAGE_MTMASK`). 0 without types. */
export function memoryTypeMask(types: MemoryTypes): bigint {
  if (types === 'none') return 0n;
  return FIELDS[types].names.reduce((mask, name) => mask | entryMask(64, name), 0n);
}

/** The bits of one type. 0 without types, where nothing can be asked for. */
export function memoryTypeBits(types: MemoryTypes, name: MemoryTypeName): bigint {
  if (types === 'none') return 0n;
  const { feature, names } = FIELDS[types];
  const { fields } = riscvCommon.fromCommon({ memory: COMMON[name] }, new Set([feature]));
  return entryBits(64, Object.fromEntries(names.map((field) => [field, fields[field] ?? 0])));
}

/** The type that an entry has; `undefined` if its bits are none of Linux's three. Without types always `pma`. */
export function memoryTypeOf(types: MemoryTypes, entry: bigint): MemoryTypeName | undefined {
  const bits = entry & memoryTypeMask(types);
  return (['pma', 'nc', 'io'] as const).find((name) => memoryTypeBits(types, name) === bits);
}

/** Names whose constructors leave the type bits as they are. */
const UNTYPED: readonly TableName[] = ['pud', 'p4d'];

/** Protection bits with the type of normal memory added if T-Head needs one and none was asked for. */
export function withDefaultType(types: MemoryTypes, prot: bigint): bigint {
  return types === 'thead' && (prot & memoryTypeMask(types)) === 0n ? prot | memoryTypeBits(types, 'pma') : prot;
}

/**
 * What Linux's constructor of a name (`pfn_pte`, `pfn_pmd`, `pfn_pud`, `pfn_p4d`, `pfn_pgd`) makes, 64-bit.
 * @param pfn page number, below 2^44
 * @param prot protection bits
 * @throws ArgumentError `entry-pfn` if the page number does not fit
 */
export function makeEntry(name: TableName, pfn: bigint, prot: bigint, types: MemoryTypes = 'none'): bigint {
  const mask = entryMask(64, 'ppn');
  const address = pfn * (mask & -mask);
  if (pfn < 0n || (address & ~mask) !== 0n) {
    throw new ArgumentError('entry-pfn', 'a page number has 44 bits', { pfn });
  }
  return address | (UNTYPED.includes(name) ? prot : withDefaultType(types, prot));
}
