/**
 * What Linux's tests say of raw entries. They look at a few bits and take no notice of malformation, so they often
 * disagree with the hardware; the two best known cases: a global entry whose V was cleared still counts as present
 * (`set_direct_map_invalid`), and pgd and p4d entries are never leaves.
 * Source: Linux 6.12 arch/riscv/include/asm/pgtable.h, asm/pgtable-64.h, include/linux/pgtable.h.
 */
import type { NamePredicates, TableName } from '@pagefold/core';
import { entryFlags, entryMask } from './entry-bits.ts';
import { type LinuxConfig, linuxConfig, sinceVersion } from './linux-config.ts';
import { protNoneBit } from './linux-protections.ts';
import { isNapot, napotPfn } from './napot.ts';

/** A kernel and what was built into it. */
export interface PredicateConfig extends LinuxConfig {
  /**
   * Transparent huge pages: huge pmd entries whose V is cleared during a split still count as present. Not supplied:
   * built in for RV64 since v5.17, as distributions do; Linux does not offer them for RV32.
   */
  readonly thp: boolean;
  /** Does `pte_pfn` know NAPOT entries (Svnapot present, RV64)? Not supplied: no. */
  readonly svnapot: boolean;
}

/** A test of a raw entry. */
export type EntryTest = (entry: bigint) => boolean;

/** Tests of pte entries. */
export interface PtePredicates extends NamePredicates {
  readonly none: EntryTest;
  /** V or the PROT_NONE marker. */
  readonly present: EntryTest;
  /** Present and any of R, W, X. */
  readonly huge: EntryTest;
  readonly write: EntryTest;
  readonly exec: EntryTest;
  readonly user: EntryTest;
  readonly dirty: EntryTest;
  readonly young: EntryTest;
  readonly special: EntryTest;
  /** Always false where the kernel has no such bit: RV32, and before v6.12. */
  readonly devmap: EntryTest;
  /** The PROT_NONE marker without V. */
  readonly protnone: EntryTest;
  /** `pte_pfn`: the page number; of a NAPOT entry, if known, that of the run's first page. */
  pfn(entry: bigint): bigint;
}

/** Tests of the entries of the other names. */
export interface TablePredicates extends NamePredicates {
  readonly none: EntryTest;
  readonly present: EntryTest;
  /** pmd and pud: a leaf. p4d and pgd: always false. */
  readonly leaf: EntryTest;
  /** pmd: not present, or a leaf. The others: V clear. */
  readonly bad: EntryTest;
}

/** The tests of one kernel by name; core's `createNames` takes them as `predicates`. */
export interface LinuxPredicates extends Readonly<Record<Exclude<TableName, 'pte'>, TablePredicates>> {
  readonly pte: PtePredicates;
}

/** Linux's own use of the two software bits. */
const SPECIAL = 1n;
const DEVMAP = 2n;

/**
 * The tests of a kernel, each name judged on its own. That the tests of a name above a folded one are constant is
 * core's business (`createNames`).
 * @param config what is not supplied: RV64, v6.12, no memory types, THP as said there, no Svnapot
 * @throws ArgumentError as {@link linuxConfig}
 */
export function linuxPredicates(config: Partial<PredicateConfig> = {}): LinuxPredicates {
  const complete = linuxConfig(config);
  const { xlen, version } = complete;
  const thp = config.thp ?? (xlen === 64 && sinceVersion(version, 'v5.17'));
  const any =
    (mask: bigint): EntryTest =>
    (entry) =>
      (entry & mask) !== 0n;
  const bit = (name: string): EntryTest => any(entryMask(xlen, name));
  const soft = entryMask(xlen, 'rsw');
  const unit = soft & -soft;
  const marker = protNoneBit(complete);
  const hasV = bit('v');
  const none: EntryTest = (entry) => entry === 0n;
  const executesOrAccesses = any(entryFlags(xlen, 'r w x'));
  const present = any(entryMask(xlen, 'v') | marker);
  const pmdPresent = thp ? any(entryMask(xlen, 'v') | marker | entryFlags(xlen, 'r w x')) : present;
  const ppn = entryMask(xlen, 'ppn');
  const knowsNapot = config.svnapot === true && xlen === 64;
  const hasDevmap = xlen === 64 && sinceVersion(version, 'v6.12');
  const upper: TablePredicates = { none, present: hasV, leaf: () => false, bad: (entry) => !hasV(entry) };
  return {
    pte: {
      none,
      present,
      huge: (entry) => present(entry) && executesOrAccesses(entry),
      write: bit('w'),
      exec: bit('x'),
      user: bit('u'),
      dirty: bit('d'),
      young: bit('a'),
      special: any(SPECIAL * unit),
      devmap: hasDevmap ? any(DEVMAP * unit) : () => false,
      protnone: (entry) => !hasV(entry) && (entry & marker) !== 0n,
      pfn: (entry) => (knowsNapot && isNapot(entry) ? napotPfn(entry) : (entry & ppn) / (ppn & -ppn)),
    },
    pmd: {
      none,
      present: pmdPresent,
      leaf: (entry) => pmdPresent(entry) && executesOrAccesses(entry),
      bad: (entry) => !pmdPresent(entry) || executesOrAccesses(entry),
    },
    pud: { ...upper, leaf: (entry) => hasV(entry) && executesOrAccesses(entry) },
    p4d: upper,
    pgd: upper,
  };
}
