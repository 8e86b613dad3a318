/**
 * How Linux changes entries. The dirty state is spread over three bits: WRITE (the hardware's dirty bit modifier), RDONLY
 * (AP[2], clear once written) and DIRTY (software's own note); every change keeps what they say together.
 * Source: Linux 6.12 arch/arm64/include/asm/pgtable.h.
 */
import { LINUX_BITS, linuxBits } from './entry-bits.ts';
import { pteHardwareDirty, pteSoftwareDirty, pteWrite } from './linux-predicates.ts';

/** Puts an entry's hardware dirty state on record. */
function noted(entry: bigint): bigint {
  return pteHardwareDirty(entry) ? entry | LINUX_BITS.DIRTY : entry;
}

/** `pte_mkwrite`: writable; a page that was written before is writable at once, others stay clean. */
export function pteMkwrite(entry: bigint): bigint {
  const writable = entry | LINUX_BITS.WRITE;
  return pteSoftwareDirty(writable) ? writable & ~LINUX_BITS.RDONLY : writable;
}

/** `pte_mkclean`: not written since. */
export function pteMkclean(entry: bigint): bigint {
  return (entry & ~LINUX_BITS.DIRTY) | LINUX_BITS.RDONLY;
}

/** `pte_mkdirty`: written. */
export function pteMkdirty(entry: bigint): bigint {
  const dirty = entry | LINUX_BITS.DIRTY;
  return pteWrite(dirty) ? dirty & ~LINUX_BITS.RDONLY : dirty;
}

/** `pte_wrprotect`: not writable any more; that it was written is kept. */
export function pteWrprotect(entry: bigint): bigint {
  return (noted(entry) & ~LINUX_BITS.WRITE) | LINUX_BITS.RDONLY;
}

/** `pte_mkold`: not accessed since. */
export function pteMkold(entry: bigint): bigint {
  return entry & ~LINUX_BITS.AF;
}

/** `pte_mkyoung`: accessed. */
export function pteMkyoung(entry: bigint): bigint {
  return entry | LINUX_BITS.AF;
}

/** `pmd_mkinvalid`, `pte_mkinvalid`: invalid for the hardware, present for software. */
export function pteMkinvalid(entry: bigint): bigint {
  return (entry | LINUX_BITS.PRESENT_INVALID) & ~LINUX_BITS.VALID;
}

/** `pte_mkcont`: one of a contiguous group. */
export function pteMkcont(entry: bigint): bigint {
  return entry | linuxBits('CONT TYPE_MASK');
}

/** `pte_mknoncont`: standing alone. */
export function pteMknoncont(entry: bigint): bigint {
  return entry & ~LINUX_BITS.CONT;
}

/** `pte_mkspecial`: without a `struct page`. */
export function pteMkspecial(entry: bigint): bigint {
  return entry | LINUX_BITS.SPECIAL;
}

/** `pte_mkdevmap`: memory of a device with `struct page`s. */
export function pteMkdevmap(entry: bigint): bigint {
  return entry | linuxBits('DEVMAP SPECIAL');
}

/** `pmd_mkhuge`, `pud_mkhuge`: a block of a page's attributes. */
export function pmdMkhuge(entry: bigint): bigint {
  return entry & ~LINUX_BITS.TABLE_BIT;
}

/** `pte_mkuffd_wp`: write-protected for userfaultfd. */
export function pteMkuffdWp(entry: bigint): bigint {
  return pteWrprotect(entry | LINUX_BITS.UFFD_WP);
}

/** `pte_clear_uffd_wp`. */
export function pteClearUffdWp(entry: bigint): bigint {
  return entry & ~LINUX_BITS.UFFD_WP;
}

/** What {@link pteModify} takes from the new protection; everything else stays. */
export const MODIFY_MASK: bigint = linuxBits(
  'USER PXN UXN RDONLY PRESENT_INVALID VALID WRITE GP ATTRINDX_MASK PO_IDX_MASK',
);

/** `pte_modify`: another protection; address, flags of access and writing, and the group stay. */
export function pteModify(entry: bigint, prot: bigint): bigint {
  const changed = (noted(entry) & ~MODIFY_MASK) | (prot & MODIFY_MASK);
  return pteSoftwareDirty(changed) ? pteMkdirty(changed) : changed;
}
