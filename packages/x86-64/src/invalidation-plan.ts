/**
 * From a change of tables to the instructions that make it visible on this processor.
 * Source: Intel SDM vol. 3A, 5.10.4 "Invalidation of TLBs and Paging-Structure Caches"; the threshold as in Linux 6.12
 * arch/x86/mm/tlb.c (`tlb_single_page_flush_ceiling`).
 */
import { ArgumentError, type Change, hex, type Invalidation } from '@pagefold/core';

/** Most pages that Linux invalidates one by one. */
export const FLUSH_CEILING = 33;

/** One instruction that invalidates. */
export type X86Invalidation =
  /** INVLPG: a page under the current PCID, global or not, and all cached table pointers of that PCID. */
  | { readonly kind: 'page'; readonly va: bigint }
  /** INVPCID type 0: what translates an address under a PCID, unless it is global. */
  | { readonly kind: 'pcid-page'; readonly va: bigint; readonly pcid: number }
  /** INVPCID type 1: everything of a PCID, unless it is global. */
  | { readonly kind: 'pcid'; readonly pcid: number }
  /** MOV to CR3 with bit 63 clear: everything of the current PCID, unless it is global. */
  | { readonly kind: 'current' }
  /** CR4.PGE toggled, or INVPCID type 2: everything of every PCID, global or not. */
  | { readonly kind: 'all' };

/** What is known about the translations that change. */
export interface X86PlanOptions {
  /** PCID that they belong to, 0 to 4095, if it is not the current one. Not supplied: the current one. */
  readonly pcid?: number;
  /** Is or was one of the leaves global? Not supplied: no. */
  readonly global?: boolean;
  /** Most pages that are invalidated one by one. Not supplied: {@link FLUSH_CEILING}. */
  readonly threshold?: number;
}

/** More instructions than this in one answer are a mistake. */
const MOST_PAGES = 2 ** 24;

/** Leaves that a range named one by one would take. */
function countOf({ start, end, strideBytes }: Invalidation): bigint {
  return (end - start + strideBytes - 1n) / strideBytes;
}

/**
 * Plans the invalidations for a change, in rising order of addresses. Every other processor that may hold the
 * translations needs the same.
 *
 * What becomes present needs nothing: absent entries are not cached (SDM 5.10.4.3). A changed table pointer needs nothing
 * beyond its pages: whatever invalidates an address drops the cached pointers on the way to it.
 * @param change the outcome of an operation of core
 * @throws ArgumentError `flush-threshold`, `pcid` if the PCID is none
 */
export function planX86Invalidations(
  change: Pick<Change, 'invalidate'>,
  options: X86PlanOptions = {},
): readonly X86Invalidation[] {
  const { pcid, global = false, threshold = FLUSH_CEILING } = options;
  if (!Number.isInteger(threshold) || threshold < 0 || threshold > MOST_PAGES) {
    throw new ArgumentError('flush-threshold', 'the threshold must be an integer from 0 to 2^24', { threshold });
  }
  if (pcid !== undefined && !(Number.isInteger(pcid) && pcid >= 0 && pcid < 4096)) {
    throw new ArgumentError('pcid', 'a PCID has 12 bits', { pcid });
  }
  const stale = change.invalidate.filter(({ cause }) => cause !== 'installed');
  const count = stale.reduce((sum, each) => sum + countOf(each), 0n);
  if (count === 0n) return [];
  // Cached pointers of another PCID are beyond INVLPG, global pages beyond INVPCID for an address.
  if (pcid !== undefined && global) return [{ kind: 'all' }];
  if (count > BigInt(threshold)) {
    if (global) return [{ kind: 'all' }];
    return [pcid === undefined ? { kind: 'current' } : { kind: 'pcid', pcid }];
  }
  return stale.flatMap((each) =>
    Array.from({ length: Number(countOf(each)) }, (_, i): X86Invalidation => {
      const va = each.start + BigInt(i) * each.strideBytes;
      return pcid === undefined ? { kind: 'page', va } : { kind: 'pcid-page', va, pcid };
    }),
  );
}

/** An instruction as assembly, with the values of its operands. */
export function invalidationText(step: X86Invalidation): string {
  switch (step.kind) {
    case 'page':
      return `invlpg [${hex(step.va)}]`;
    case 'pcid-page':
      return `invpcid 0, {pcid ${step.pcid}, ${hex(step.va)}}`;
    case 'pcid':
      return `invpcid 1, {pcid ${step.pcid}}`;
    case 'current':
      return 'mov cr3, cr3  // bit 63 clear';
    case 'all':
      return 'invpcid 2  // or CR4.PGE cleared and set';
  }
}

/** A cached translation, or a cached pointer on the way to one. */
export interface X86CachedEntry {
  /** Any address that it covers. */
  readonly va: bigint;
  /** The PCID that it was made under. */
  readonly pcid: number;
  /** Is it a leaf with G set? */
  readonly global: boolean;
  /** log2 of the bytes that it covers. */
  readonly shift: number;
  /** Is it a leaf? Otherwise a pointer to a table. */
  readonly leaf: boolean;
}

/**
 * Must an instruction drop a cached entry? It may always drop more (SDM 5.10.4.1).
 * @param current the current PCID
 */
export function mustInvalidateX86(step: X86Invalidation, entry: X86CachedEntry, current: number): boolean {
  const covers = (va: bigint): boolean => va >> BigInt(entry.shift) === entry.va >> BigInt(entry.shift);
  switch (step.kind) {
    case 'page':
      if (!entry.leaf) return entry.pcid === current;
      return covers(step.va) && (entry.global || entry.pcid === current);
    case 'pcid-page':
      return !entry.global && entry.pcid === step.pcid && covers(step.va);
    case 'pcid':
      return !entry.global && entry.pcid === step.pcid;
    case 'current':
      return !entry.global && entry.pcid === current;
    case 'all':
      return true;
  }
}
