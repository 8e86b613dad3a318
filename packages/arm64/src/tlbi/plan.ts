/**
 * From a change of tables to the invalidations and barriers that make it visible.
 * Sources: Arm Architecture Reference Manual (DDI 0487), "TLB maintenance requirements" (invalid entries are never
 * cached); Linux 6.12 arch/arm64/include/asm/tlbflush.h, arch/arm64/kvm/hyp/nvhe/tlb.c.
 */
import { ArgumentError, type Change, hex, type Invalidation } from '@pagefold/core';
import { hardwareLevel, PAGE_BITS } from '../granule.ts';
import { decomposeTlbi, flushesWholeKernel, flushesWholeProgram, type TlbiMeans, type TlbiStep } from './decompose.ts';
import { MAX_RANGE_PAGES } from './operands.ts';

/** One instruction. */
export interface TlbiInstruction {
  /** `tlbi vale1is`, `dsb ish`. */
  readonly name: string;
  readonly operand?: bigint;
  /** What it invalidates: first address and pages. */
  readonly start?: bigint;
  readonly pages?: number;
}

/** The plan for a change. */
export interface TlbiPlan {
  /** How far it reaches: addresses, one address space, or everything. */
  readonly scope: 'none' | 'addresses' | 'asid' | 'all';
  /** Instructions with their barriers, in order. */
  readonly instructions: readonly TlbiInstruction[];
}

/** Whose translations change, and what the machine can do. */
export interface TlbiPlanOptions extends TlbiMeans {
  /** A program's address space. Not supplied: the kernel's translations, invalidated for all address spaces. */
  readonly asid?: number;
  /**
   * Page table isolation: a program has two address spaces, an even one for the kernel (the one that is given) and the
   * odd one after it for the program itself. Not supplied: no.
   */
  readonly isolated?: boolean;
}

const BEFORE: TlbiInstruction = { name: 'dsb ishst' };
const AFTER: TlbiInstruction = { name: 'dsb ish' };
const SYNCHRONIZE: TlbiInstruction = { name: 'isb' };

function plan(scope: TlbiPlan['scope'], kernel: boolean, body: readonly TlbiInstruction[]): TlbiPlan {
  if (scope === 'none') return { scope, instructions: [] };
  return { scope, instructions: [BEFORE, ...body, AFTER, ...(kernel ? [SYNCHRONIZE] : [])] };
}

/** Invalidations that are needed: what was not mapped before is in no cache, unless a table pointer went. */
function staleOf(change: Pick<Change, 'invalidate'>): readonly Invalidation[] {
  return change.invalidate.filter(({ cause, tables }) => cause !== 'installed' || tables);
}

function cut({ start, end, level, strideBytes, tables }: Invalidation, options: TlbiPlanOptions): TlbiStep[] {
  const pageBits = BigInt(PAGE_BITS[options.granule]);
  const steps: TlbiStep[] = [];
  const most = BigInt(MAX_RANGE_PAGES) << pageBits;
  for (let at: bigint = start; at < end; at += most) {
    const bytes = end - at < most ? end - at : most;
    // Of a range under a table that went, leaves of several levels may be cached.
    const known = tables ? {} : { level: hardwareLevel(level) };
    const request = { start: at, pages: Number(bytes >> pageBits), strideBytes, asid: options.asid ?? 0, ...known };
    steps.push(...decomposeTlbi(request, options));
  }
  return steps;
}

/** The addresses as invalidated: `vale1is` and its relatives. */
function addressOps(stale: readonly Invalidation[], options: TlbiPlanOptions): TlbiInstruction[] {
  const kernel = options.asid === undefined;
  return stale.flatMap((each) =>
    cut(each, options).flatMap(({ op, start, pages, operand }) => {
      const name = `tlbi ${op === 'range' ? 'r' : ''}va${kernel ? 'a' : ''}${each.tables ? '' : 'l'}e1is`;
      const ops = [{ name, operand, start, pages }];
      // The other half of a program's pair of address spaces.
      if (!kernel && options.isolated === true) ops.push({ name, operand: operand | (1n << 48n), start, pages });
      return ops;
    }),
  );
}

/**
 * Plans the invalidations for a change of stage 1, for all processors of the machine. What becomes too much to name is
 * invalidated as a whole, as Linux does it.
 * @param change the outcome of an operation of core
 * @throws ArgumentError `tlbi-asid` if the ASID is none, or with isolation not the even one of its pair
 */
export function planTlbi(change: Pick<Change, 'invalidate'>, options: TlbiPlanOptions): TlbiPlan {
  const { granule, range = true, asid, isolated = false } = options;
  if (asid !== undefined && !(Number.isInteger(asid) && asid >= 0 && asid < 2 ** 16)) {
    throw new ArgumentError('tlbi-asid', 'an ASID has at most 16 bits', { asid });
  }
  if (isolated && asid !== undefined && asid % 2 === 1) {
    throw new ArgumentError(
      'tlbi-asid',
      'with isolation the ASID of a program is even, the odd one after it is its pair',
      {
        asid,
      },
    );
  }
  const stale = staleOf(change);
  if (stale.length === 0) return plan('none', false, []);
  if (asid === undefined) {
    const bytes = stale.reduce((sum, { start, end }) => sum + end - start, 0n);
    if (flushesWholeKernel(granule, bytes)) return plan('all', true, [{ name: 'tlbi vmalle1is' }]);
    // Linux names kernel pages one by one, even where there are ranges.
    return plan('addresses', true, addressOps(stale, { ...options, range: false }));
  }
  const whole = stale.some(({ start, end, strideBytes }) => {
    return flushesWholeProgram({ granule, bytes: end - start, strideBytes, range });
  });
  if (!whole) return plan('addresses', false, addressOps(stale, options));
  const operands = [asid, ...(isolated ? [asid | 1] : [])].map((each) => BigInt(each) << 48n);
  return plan(
    'asid',
    false,
    operands.map((operand) => ({ name: 'tlbi aside1is', operand })),
  );
}

/**
 * Plans the invalidations for a change of stage 2, executed at EL2 with the machine's VTTBR: by intermediate address, and
 * then all translations of the machine that combine both stages.
 */
export function planStage2Tlbi(change: Pick<Change, 'invalidate'>, means: TlbiMeans): TlbiPlan {
  const stale = staleOf(change);
  if (stale.length === 0) return plan('none', false, []);
  const options = { ...means, stage2: true };
  const byAddress = stale.flatMap((each) =>
    cut(each, options).map(({ op, start, pages, operand }) => ({
      name: `tlbi ${op === 'range' ? 'r' : ''}ipas2e1is`,
      operand,
      start,
      pages,
    })),
  );
  return plan('addresses', true, [...byAddress, AFTER, { name: 'tlbi vmalle1is' }]);
}

/** A plan as lines of assembly, with what each operand stands for. */
export function tlbiLines({ instructions }: TlbiPlan): string[] {
  return instructions.map(({ name, operand, start, pages }) => {
    if (operand === undefined) return name;
    const what = start === undefined ? '' : `  // ${hex(start)}, ${pages} page${pages === 1 ? '' : 's'}`;
    return `${name}, ${hex(operand, 16)}${what}`;
  });
}
