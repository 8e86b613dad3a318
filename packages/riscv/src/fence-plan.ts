/**
 * From a change of tables to the fences that make it visible on this hart.
 * Source: RISC-V ISA Volume II, "Supervisor Memory-Management Fence Instruction" and "Svvptc"; the threshold as in Linux
 * 6.12 arch/riscv/mm/tlbflush.c.
 */
import { ArgumentError, type Change, type Invalidation } from '@pagefold/core';
import { FLUSH_ALL_THRESHOLD } from './linux-flush.ts';
import type { Sfence } from './tlb.ts';

/** What is known about the translations that change. */
export interface FencePlanOptions {
  /** Address space that they belong to. Not supplied: unknown, so every fence is for all of them. */
  readonly asid?: number;
  /** Bits that an ASID has at most. Not supplied: 16; RV32 has 9. */
  readonly asidBits?: number;
  /** Is or was one of them global, by its own G or that of a table above? Then an ASID does not reach it. Not supplied: no. */
  readonly global?: boolean;
  /** Most fences with an address; what would need more is one fence without. Not supplied: 64, as Linux. */
  readonly threshold?: number;
  /**
   * Svvptc: entries that become valid are seen soon without a fence. Without it hardware may remember that an entry was
   * invalid. Not supplied: absent.
   */
  readonly svvptc?: boolean;
}

/** The fences for a change. */
export interface FencePlan {
  /** How far they reach: `page` one address, `range` several, `asid` one address space, `all` everything. */
  readonly scope: 'none' | 'page' | 'range' | 'asid' | 'all';
  /**
   * Why all addresses are fenced: a table pointer changed (rs1 must be x0), or there are more addresses than the
   * threshold allows. `undefined` if addresses are named or nothing is to be done.
   */
  readonly why: 'tables' | 'threshold' | undefined;
  /** The fences, in rising order of addresses. */
  readonly fences: readonly Sfence[];
}

/** More fences than this in one answer are a mistake. */
const MOST_FENCES = 2 ** 24;

/** Leaves that a range named one by one would take. */
function countOf({ start, end, strideBytes }: Invalidation): bigint {
  return (end - start + strideBytes - 1n) / strideBytes;
}

/**
 * Plans the fences for a change. Other harts need the same, by whatever means they are reached.
 *
 * Tables that were linked count as changed pointers, because the invalid pointer may have been remembered (Linux takes
 * the risk of a spurious fault there and fences pages only).
 * @param change the outcome of an operation of core
 * @throws ArgumentError `fence-threshold`, `fence-asid` if the ASID is none
 */
export function planFences(
  change: Pick<Change, 'invalidate' | 'allocated'>,
  options: FencePlanOptions = {},
): FencePlan {
  const { global = false, threshold = FLUSH_ALL_THRESHOLD, svvptc = false, asidBits = 16 } = options;
  if (!Number.isInteger(threshold) || threshold < 0 || threshold > MOST_FENCES) {
    throw new ArgumentError('fence-threshold', 'the threshold must be an integer from 0 to 2^24', { threshold });
  }
  if (
    options.asid !== undefined &&
    !(Number.isInteger(options.asid) && options.asid >= 0 && options.asid < 2 ** asidBits)
  ) {
    throw new ArgumentError('fence-asid', `an ASID has at most ${asidBits} bits`, { asid: options.asid });
  }
  const asid = global ? undefined : options.asid;
  const stale = change.invalidate.filter(({ cause, tables }) => !svvptc || cause !== 'installed' || tables);
  const linked = !svvptc && change.allocated.length > 0;
  const whole = (why: 'tables' | 'threshold'): FencePlan => {
    return { scope: asid === undefined ? 'all' : 'asid', why, fences: [{ va: undefined, asid }] };
  };
  if (linked || stale.some(({ tables }) => tables)) return whole('tables');
  const count = stale.reduce((sum, each) => sum + countOf(each), 0n);
  if (count > BigInt(threshold)) return whole('threshold');
  const fences = stale.flatMap((each) =>
    Array.from({ length: Number(countOf(each)) }, (_, i) => ({ va: each.start + BigInt(i) * each.strideBytes, asid })),
  );
  return { scope: count === 0n ? 'none' : count === 1n ? 'page' : 'range', why: undefined, fences };
}
