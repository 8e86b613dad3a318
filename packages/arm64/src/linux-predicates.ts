/**
 * What Linux's tests say of raw entries. They look at a few bits and take no notice of reserved encodings, and they know
 * a kind of entry that the hardware does not: present-invalid (bit 0 clear, bit 11 set), which is how PROT_NONE pages
 * and huge pages under change stand in the tables.
 * Source: Linux 6.12 arch/arm64/include/asm/pgtable.h.
 */
import type { NamePredicates, TableName } from '@pagefold/core';
import { LINUX_BITS, linuxBits } from './entry-bits.ts';
import type { Granule } from './granule.ts';
import { memoryIndexBits } from './linux-protections.ts';

/** A test of a raw entry. */
export type EntryTest = (entry: bigint) => boolean;

const any =
  (mask: bigint): EntryTest =>
  (entry) =>
    (entry & mask) !== 0n;

/** Is the whole word 0? */
export const pteNone: EntryTest = (entry) => entry === 0n;
/** Does the hardware take it for an entry at all? */
export const pteValid: EntryTest = any(LINUX_BITS.VALID);
/** Invalid for the hardware, present for software. */
export const ptePresentInvalid: EntryTest = (entry) =>
  (entry & linuxBits('VALID PRESENT_INVALID')) === LINUX_BITS.PRESENT_INVALID;
/** Valid, or invalid only for the hardware. */
export const ptePresent: EntryTest = (entry) => pteValid(entry) || ptePresentInvalid(entry);
/** May programs access it? */
export const pteUser: EntryTest = any(LINUX_BITS.USER);
/** Is it read-only for the hardware (with the dirty bit modifier: clean)? */
export const pteReadOnly: EntryTest = any(LINUX_BITS.RDONLY);
/** May it be written, clean or not? */
export const pteWrite: EntryTest = any(LINUX_BITS.WRITE);
/** Did software note a write? */
export const pteSoftwareDirty: EntryTest = any(LINUX_BITS.DIRTY);
/** Does the hardware's state say that it was written? */
export const pteHardwareDirty: EntryTest = (entry) => pteWrite(entry) && !pteReadOnly(entry);
/** Was it written, by either account? */
export const pteDirty: EntryTest = (entry) => pteSoftwareDirty(entry) || pteHardwareDirty(entry);
/** Was it accessed? */
export const pteYoung: EntryTest = any(LINUX_BITS.AF);
/** Is it one of a contiguous group? */
export const pteCont: EntryTest = any(LINUX_BITS.CONT);
/** Does no `struct page` belong to it? */
export const pteSpecial: EntryTest = any(LINUX_BITS.SPECIAL);
/** Is it memory of a device with `struct page`s? */
export const pteDevmap: EntryTest = any(LINUX_BITS.DEVMAP);
/** Is it write-protected for userfaultfd? */
export const pteUffdWp: EntryTest = any(LINUX_BITS.UFFD_WP);
/** May programs execute it? */
export const pteUserExec: EntryTest = (entry) => (entry & LINUX_BITS.UXN) === 0n;
/** Is it memory with tags? */
export const pteTagged: EntryTest = (entry) => (entry & LINUX_BITS.ATTRINDX_MASK) === memoryIndexBits('NORMAL_TAGGED');
/**
 * Is it a page that nobody may touch? All three parts are needed: huge pages under change are present-invalid too.
 */
export const pteProtNone: EntryTest = (entry) => ptePresentInvalid(entry) && !pteUser(entry) && !pteUserExec(entry);

/** What every test says of an entry. */
export interface EntryTests {
  readonly none: boolean;
  readonly valid: boolean;
  readonly presentInvalid: boolean;
  readonly present: boolean;
  readonly user: boolean;
  readonly rdonly: boolean;
  readonly write: boolean;
  readonly swDirty: boolean;
  readonly hwDirty: boolean;
  readonly dirty: boolean;
  readonly young: boolean;
  readonly cont: boolean;
  readonly special: boolean;
  readonly devmap: boolean;
  readonly uffdWp: boolean;
  readonly userExec: boolean;
  readonly tagged: boolean;
  readonly protnone: boolean;
}

/** Asks every test. */
export function entryTests(entry: bigint): EntryTests {
  return {
    none: pteNone(entry),
    valid: pteValid(entry),
    presentInvalid: ptePresentInvalid(entry),
    present: ptePresent(entry),
    user: pteUser(entry),
    rdonly: pteReadOnly(entry),
    write: pteWrite(entry),
    swDirty: pteSoftwareDirty(entry),
    hwDirty: pteHardwareDirty(entry),
    dirty: pteDirty(entry),
    young: pteYoung(entry),
    cont: pteCont(entry),
    special: pteSpecial(entry),
    devmap: pteDevmap(entry),
    uffdWp: pteUffdWp(entry),
    userExec: pteUserExec(entry),
    tagged: pteTagged(entry),
    protnone: pteProtNone(entry),
  };
}

const isTable: EntryTest = (entry) => (entry & LINUX_BITS.TYPE_MASK) === LINUX_BITS.TYPE_MASK;
const neither: EntryTest = () => false;

/**
 * The tests by name, for core's `createNames`; each name is judged on its own, that names above a folded one answer
 * constants is core's business.
 * @param granule with 64K pages a pud is never a leaf for Linux
 * @param levels levels that the kernel was built with; below three a pud is never a leaf
 */
export function linuxPredicates(granule: Granule, levels = 4): Readonly<Record<TableName, Required<NamePredicates>>> {
  const none = pteNone;
  const bad: EntryTest = (entry) => !isTable(entry);
  const leaf: EntryTest = (entry) => ptePresent(entry) && !isTable(entry);
  const upper = { none, present: (entry: bigint) => !none(entry), bad, leaf: neither };
  const pudLeaf = granule === '64K' || levels < 3 ? neither : leaf;
  return {
    pgd: upper,
    p4d: upper,
    pud: { none, present: ptePresent, bad, leaf: pudLeaf },
    pmd: { none, present: ptePresent, bad, leaf },
    pte: { none, present: ptePresent, bad: neither, leaf: ptePresent },
  };
}
