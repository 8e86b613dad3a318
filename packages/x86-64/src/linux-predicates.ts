/**
 * What Linux's tests say of raw entries. They differ from the hardware where software has a use for entries that are
 * not present: PROT_NONE pages (the global bit without P) and huge pages under change (PS without P) are present to
 * Linux, and the page numbers of all such entries are stored inverted, against speculation past the missing P.
 * Source: Linux 6.12 arch/x86/include/asm/pgtable.h, asm/pgtable-invert.h. That the tests of a name above a folded one
 * are constant is core's business (`createNames`).
 */
import type { NamePredicates, TableName } from '@pagefold/core';
import { ERRATUM_MASK, linuxX86Bits, PTE_PFN_MASK } from './linux-bits.ts';
import { LINUX_X86_PROTECTIONS } from './linux-protections.ts';

/** A test of a raw entry. */
export type X86EntryTest = (entry: bigint) => boolean;

/** What a kernel was built with, and what it found. */
export interface X86LinuxConfig {
  /** MITIGATION_PAGE_TABLE_ISOLATION is built in: NX in pointers is no sign of corruption. Not supplied: yes. */
  readonly isolation?: boolean;
  /** Shadow stacks are in use: read-only and dirty means a shadow stack, which is writable. Not supplied: no. */
  readonly shadowStack?: boolean;
}

/** Tests of pte entries. */
export interface X86PtePredicates extends Required<NamePredicates> {
  readonly write: X86EntryTest;
  readonly exec: X86EntryTest;
  readonly dirty: X86EntryTest;
  readonly young: X86EntryTest;
  readonly global: X86EntryTest;
  readonly special: X86EntryTest;
  readonly devmap: X86EntryTest;
  /** A page that nobody may touch, or that waits for a NUMA hint. */
  readonly protnone: X86EntryTest;
  /** `pte_pfn`: the page number, of entries that are not present inverted back. */
  pfn(entry: bigint): bigint;
}

/** The tests of one kernel by name; core's `createNames` takes them as `predicates`. */
export interface X86LinuxPredicates extends Readonly<Record<Exclude<TableName, 'pte'>, Required<NamePredicates>>> {
  readonly pte: X86PtePredicates;
}

const any =
  (names: string): X86EntryTest =>
  (entry) =>
    (entry & linuxX86Bits(names)) !== 0n;

const none: X86EntryTest = (entry) => (entry & ~ERRATUM_MASK) === 0n;
const never: X86EntryTest = () => false;

/** Bits of a pmd or pud entry that are no address; which they are depends on PSE (`pmd_flags`, `pud_flags`). */
function flagsOf(entry: bigint, shift: number): bigint {
  const large = (entry & linuxX86Bits('PSE')) !== 0n;
  return entry & ~(large ? PTE_PFN_MASK & ~((1n << BigInt(shift)) - 1n) : PTE_PFN_MASK);
}

/** `pte_pfn` and its relatives: the mask of the page number, after undoing the inversion. */
function pageNumber(entry: bigint): bigint {
  const inverted = entry !== 0n && (entry & linuxX86Bits('PRESENT')) === 0n;
  return ((inverted ? ~entry : entry) & PTE_PFN_MASK) >> 12n;
}

/** The tests of a kernel. */
export function linuxX86Predicates({ isolation = true, shadowStack = false }: X86LinuxConfig = {}): X86LinuxPredicates {
  const table = LINUX_X86_PROTECTIONS.KERNPG_TABLE;
  const ignored = linuxX86Bits(isolation ? 'USER NX' : 'USER');
  const present = any('PRESENT');
  const ptePresent = any('PRESENT PROTNONE');
  const shadow: X86EntryTest = (entry) => shadowStack && (entry & linuxX86Bits('RW DIRTY')) === linuxX86Bits('DIRTY');
  return {
    pte: {
      none,
      present: ptePresent,
      bad: never,
      leaf: ptePresent,
      write: (entry) => any('RW')(entry) || shadow(entry),
      exec: (entry) => !any('NX')(entry),
      dirty: any('DIRTY SAVED_DIRTY'),
      young: any('ACCESSED'),
      global: any('GLOBAL'),
      special: any('SPECIAL'),
      devmap: any('DEVMAP'),
      protnone: (entry) => !present(entry) && any('PROTNONE')(entry),
      pfn: pageNumber,
    },
    pmd: {
      none,
      present: any('PRESENT PROTNONE PSE'),
      leaf: any('PSE'),
      bad: (entry) => (flagsOf(entry, 21) & ~linuxX86Bits('USER ACCESSED')) !== (table & ~linuxX86Bits('ACCESSED')),
    },
    pud: {
      none,
      present,
      leaf: any('PSE'),
      bad: (entry) => (flagsOf(entry, 30) & ~(table | linuxX86Bits('USER'))) !== 0n,
    },
    p4d: { none, present, leaf: never, bad: (entry) => (entry & ~PTE_PFN_MASK & ~(table | ignored)) !== 0n },
    pgd: {
      none: (entry) => entry === 0n,
      present,
      leaf: never,
      bad: (entry) => (entry & ~PTE_PFN_MASK & ~ignored) !== table,
    },
  };
}
