/**
 * How Linux flushes a range on the hart itself: page by page, or everything.
 * Source: Linux 6.12 arch/riscv/mm/tlbflush.c, asm/tlbflush.h; v6.1 the same file.
 */
import { ArgumentError, TABLE_NAMES } from '@pagefold/core';
import { type LinuxVersion, sinceVersion } from './linux-config.ts';
import { type RiscvMode, riscvPaging } from './modes.ts';
import { type Sfence, sfenceText } from './tlb.ts';

/** `tlb_flush_all_threshold`: a range of more pages is flushed as a whole. */
export const FLUSH_ALL_THRESHOLD = 64;

/** A range to be flushed. */
export interface FlushRequest {
  /** First address. */
  readonly start: bigint;
  /** Bytes; all ones (2^64 - 1, on RV32 2^32 - 1) means everything. */
  readonly size: bigint;
  /** Bytes from one translation to the next. */
  readonly stride: bigint;
  /** Address space, if it is known. */
  readonly asid?: number | undefined;
}

/** Which machine and kernel flush. */
export interface FlushOptions {
  /** Not supplied: v6.12. */
  readonly version?: LinuxVersion;
  /** Bits of an address. Not supplied: 64. */
  readonly xlen?: 32 | 64;
  /**
   * SiFive erratum CIP-1200: fences with an address or an ASID do not work there, and each is replaced by the full form.
   * Not supplied: no.
   */
  readonly cip1200?: boolean;
}

/** What is done. */
export interface FlushDecision {
  /** One fence for an address, several, or one without an address. */
  readonly op: 'page' | 'pages' | 'all';
  /** Form of the instruction, as {@link sfenceText} writes it. */
  readonly insn: string;
  /** The fences, in their order. */
  readonly fences: readonly Sfence[];
}

/**
 * `local_flush_tlb_range_asid`: what Linux executes for a range.
 *
 * Before v6.12 there was no threshold: one page, or everything.
 * @throws ArgumentError `flush-stride` if the stride is not positive or the size negative
 */
export function linuxFlushRange(request: FlushRequest, options: FlushOptions = {}): FlushDecision {
  const { start, size, stride, asid } = request;
  const { version = 'v6.12', xlen = 64, cip1200 = false } = options;
  if (stride <= 0n || size < 0n) {
    throw new ArgumentError('flush-stride', 'a flush needs a positive stride and a size', { size, stride });
  }
  const fence = (va: bigint | undefined): Sfence =>
    cip1200 ? { va: undefined, asid: undefined } : { va: va === undefined ? va : BigInt.asUintN(xlen, va), asid };
  const decide = (op: FlushDecision['op'], fences: readonly Sfence[]): FlushDecision => {
    return { op, insn: sfenceText(fences[0] ?? fence(undefined)), fences };
  };
  if (size <= stride) return decide('page', [fence(start)]);
  const count = (size + stride - 1n) / stride;
  const threshold = sinceVersion(version, 'v6.12') ? FLUSH_ALL_THRESHOLD : 0;
  if (size === BigInt.asUintN(xlen, -1n) || count > threshold) return decide('all', [fence(undefined)]);
  return decide(
    'pages',
    Array.from({ length: Number(count) }, (_, i) => fence(start + BigInt(i) * stride)),
  );
}

/**
 * The stride for pages of a size that hugetlb handed out: with Svnapot every page of a run has to be named, so it is the
 * largest level that is not larger than the page; without, the page.
 */
export function hugetlbFlushStride(mode: RiscvMode, pageBytes: bigint, svnapot: boolean): bigint {
  if (!svnapot) return pageBytes;
  const { names } = riscvPaging(mode).geometry;
  const sizes = TABLE_NAMES.map((name) => 1n << BigInt(names[name].shift));
  return sizes.find((size) => size <= pageBytes) ?? pageBytes;
}
