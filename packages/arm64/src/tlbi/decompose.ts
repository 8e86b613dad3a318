/**
 * How Linux cuts a range of addresses into invalidations. Ranges of pages come in four sizes of units; every range
 * operation covers an even number of pages, so an odd page takes an operation of its own.
 * Source: Linux 6.12 arch/arm64/include/asm/tlbflush.h (`__flush_tlb_range_op`); v5.9 to v6.7 the same file.
 */
import { ArgumentError } from '@pagefold/core';
import { type Granule, PAGE_BITS, strideBits } from '../granule.ts';
import {
  MAX_RANGE_PAGES,
  rangePages,
  rangeStartBits,
  SCALE_PAGES,
  type TlbiConfig,
  tlbiIpa,
  tlbiRange,
  tlbiVa,
} from './operands.ts';

/** One invalidation: of one address, or of a range. */
export interface TlbiStep {
  readonly op: 'va' | 'range';
  readonly start: bigint;
  /** Pages that it takes off the range. */
  readonly pages: number;
  readonly operand: bigint;
  /** Ranges only. */
  readonly scale?: number;
  readonly num?: number;
}

/** What is to be cut. */
export interface TlbiRequest {
  readonly start: bigint;
  /** Pages of the granule. */
  readonly pages: number;
  /** Bytes between the addresses that are named one by one. Not supplied: a page. */
  readonly strideBytes?: bigint;
  /** Not supplied: 0. */
  readonly asid?: number;
  /** Hardware level of the leaves. Not supplied: not known. */
  readonly level?: number | undefined;
}

/** With what means. */
export interface TlbiMeans extends TlbiConfig {
  /** FEAT_TLBIRANGE. Not supplied: yes. */
  readonly range?: boolean;
  /** The largest units first (since v6.8), or the smallest (v5.9 to v6.7). Not supplied: `descending`. */
  readonly algorithm?: 'ascending' | 'descending';
  /** Intermediate addresses of stage 2 instead of virtual ones. Not supplied: no. */
  readonly stage2?: boolean;
}

/**
 * The largest `num` of a scale that fits into so many pages; -1 if none does. Counting up, the smaller scales have taken
 * what is not a multiple, and 31 cannot come out.
 */
function numFor(pages: number, scale: number, algorithm: 'ascending' | 'descending'): number {
  const units = Math.floor(pages / (SCALE_PAGES[scale] as number));
  return (algorithm === 'ascending' ? units % 32 : Math.min(units, 32)) - 1;
}

/**
 * Cuts a range.
 * @throws ArgumentError `tlbi-pages` if there are none, or more than one range could take (then everything is flushed);
 *   `tlbi-stride` if the stride is no multiple of a page
 */
export function decomposeTlbi(request: TlbiRequest, means: TlbiMeans): TlbiStep[] {
  const { granule, lpa2 = false, range = true, algorithm = 'descending', stage2 = false } = means;
  const pageBits = BigInt(PAGE_BITS[granule]);
  const { asid = 0, level, strideBytes = 1n << pageBits } = request;
  if (!Number.isSafeInteger(request.pages) || request.pages < 1 || request.pages > MAX_RANGE_PAGES) {
    throw new ArgumentError('tlbi-pages', 'a range has 1 to 2^21 pages', { pages: String(request.pages) });
  }
  const stridePages = Number(strideBytes >> pageBits);
  if (stridePages < 1 || strideBytes % (1n << pageBits) !== 0n) {
    throw new ArgumentError('tlbi-stride', 'a stride is a number of pages', { strideBytes });
  }
  const steps: TlbiStep[] = [];
  let start = request.start;
  let pages = request.pages;
  let scale = algorithm === 'ascending' ? 0 : 3;
  const single = (): boolean => {
    if (!range) return true;
    if (algorithm === 'ascending') return pages % 2 === 1 || scale > 3;
    return pages === 1 || scale < 0 || (lpa2 && start % (1n << BigInt(rangeStartBits(means))) !== 0n);
  };
  while (pages > 0) {
    if (single()) {
      const operand = stage2 ? tlbiIpa({ ipa: start, level }, means) : tlbiVa({ va: start, asid, level }, means);
      steps.push({ op: 'va', start, pages: Math.min(stridePages, pages), operand });
      start = BigInt.asUintN(64, start + strideBytes);
      pages -= stridePages;
      continue;
    }
    const num = numFor(pages, scale, algorithm);
    if (num >= 0) {
      const taken = rangePages(scale, num);
      const operand = tlbiRange({ va: start, scale, num, asid, level }, means);
      steps.push({ op: 'range', start, pages: taken, operand, scale, num });
      start = BigInt.asUintN(64, start + (BigInt(taken) << pageBits));
      pages -= taken;
    }
    scale += algorithm === 'ascending' ? 1 : -1;
  }
  return steps;
}

/** Entries of a whole table: more single invalidations than that cost more than they save. */
export function maxSingleOps(granule: Granule): number {
  return 2 ** strideBits(granule);
}

/** A range of a program's addresses. */
export interface UserFlush {
  readonly granule: Granule;
  /** Start rounded down and end rounded up to the stride. */
  readonly bytes: bigint;
  readonly strideBytes: bigint;
  /** FEAT_TLBIRANGE. */
  readonly range: boolean;
  /** Before v6.9 a range of exactly the largest size was too much already. Not supplied: no. */
  readonly beforeV69?: boolean;
}

/** Does Linux flush all of a program's translations instead of a range? */
export function flushesWholeProgram({ granule, bytes, strideBytes, range, beforeV69 = false }: UserFlush): boolean {
  if (!range && bytes >= BigInt(maxSingleOps(granule)) * strideBytes) return true;
  const pages = bytes >> BigInt(PAGE_BITS[granule]);
  return pages > BigInt(MAX_RANGE_PAGES - (beforeV69 ? 1 : 0));
}

/** Does Linux flush all translations instead of a range of the kernel's? It goes page by page there, also with ranges. */
export function flushesWholeKernel(granule: Granule, bytes: bigint): boolean {
  return bytes > BigInt(maxSingleOps(granule)) << BigInt(PAGE_BITS[granule]);
}

/** What a batch of unmapping cleared; see {@link gatheredLevel}. */
export interface Gathered {
  readonly ptes?: boolean;
  readonly pmds?: boolean;
  readonly puds?: boolean;
  readonly p4ds?: boolean;
  readonly freedTables?: boolean;
}

/** The level hint of a batch (`tlb_get_level`): known if one kind of entry was cleared and no table was freed. */
export function gatheredLevel(cleared: Gathered): number | undefined {
  const kinds = [cleared.p4ds, cleared.puds, cleared.pmds, cleared.ptes];
  const levels = kinds.flatMap((kind, level) => (kind === true ? [level] : []));
  return cleared.freedTables === true || levels.length !== 1 ? undefined : levels[0];
}
