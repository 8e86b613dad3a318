/**
 * What may be done to live entries, and how entries are copied into transitional tables.
 * Sources: Linux 6.12 arch/arm64/mm/mmu.c (`pgattr_change_is_safe`), arch/arm64/mm/trans_pgd.c.
 */
import { LINUX_BITS, linuxBits, valueAt } from './entry-bits.ts';
import { type AddressConfig, linuxAddress } from './linux-addresses.ts';
import { pteNone, pteValid } from './linux-predicates.ts';
import { pteMkwrite } from './linux-transitions.ts';
import { LINUX_MEMORY_INDEX } from './memory-types.ts';

/** Why a live entry may not change in place. */
export type UnsafeChange = 'address' | 'contiguous' | 'becomes-global' | 'attributes';

/** Bits that may change at any time: permissions of EL1, nG, and the bits of software. */
const FREE = linuxBits('PXN RDONLY WRITE NG DIRTY SPECIAL DEVMAP UFFD_WP') | (1n << 63n);
const NORMAL: readonly number[] = [LINUX_MEMORY_INDEX.NORMAL, LINUX_MEMORY_INDEX.NORMAL_TAGGED];

/** May the memory type change? Only between normal memory with and without tags. */
function freeTypes(before: bigint, after: bigint): bigint {
  const types = [before, after].map((entry) => valueAt(LINUX_BITS.ATTRINDX_MASK, entry));
  return types.every((type) => NORMAL.includes(type)) ? LINUX_BITS.ATTRINDX_MASK : 0n;
}

/**
 * May a live entry change from one word to another without break-before-make?
 * @returns why not, or `undefined` if it may
 */
export function unsafeChange(
  before: bigint,
  after: bigint,
  config: AddressConfig = { granule: '4K' },
): UnsafeChange | undefined {
  // Creating and removing are always allowed.
  if (!pteValid(before) || !pteValid(after)) return undefined;
  if (linuxAddress(before, config) !== linuxAddress(after, config)) return 'address';
  // Not even a word that stays the same may be written again.
  if (((before | after) & LINUX_BITS.CONT) !== 0n) return 'contiguous';
  if ((before & ~after & LINUX_BITS.NG) !== 0n) return 'becomes-global';
  return ((before ^ after) & ~(FREE | freeTypes(before, after))) === 0n ? undefined : 'attributes';
}

/** `pgattr_change_is_safe`: see {@link unsafeChange}. */
export function isSafeChange(before: bigint, after: bigint, config?: AddressConfig): boolean {
  return unsafeChange(before, after, config) === undefined;
}

/**
 * An entry as it is copied into the tables of hibernation and kexec: everything becomes writable, and pages that were
 * taken out of the linear map come back.
 * @param hardwareLevel 3 for pages, 2 and 1 for blocks
 */
export function transitionalCopy(entry: bigint, hardwareLevel: number): bigint {
  if (pteNone(entry)) return entry;
  if (hardwareLevel < 3) return entry & ~LINUX_BITS.RDONLY;
  return pteMkwrite(entry) | LINUX_BITS.VALID;
}
