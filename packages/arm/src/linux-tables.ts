/**
 * Linux's three real names on 32-bit Arm: what the kernel asks of a pmd, how tables are linked, and the helpers of core
 * set up for both formats.
 * Sources: Linux 6.12 arch/arm/include/asm/pgtable-2level.h, pgtable-3level.h, pgtable.h, pgalloc.h.
 */
import {
  createNames,
  createPaging,
  type LinuxNames,
  type Memory,
  type NamePredicates,
  type NamesOptions,
  type Paging,
  type TableAllocator,
  type TableName,
} from '@pagefold/core';
import { lpaeGeometry } from './geometry.ts';
import { hardwarePte, type PteModel } from './linux-hardware.ts';
import { type LinuxModel, ptePresent } from './linux-pte.ts';
import { armLpae } from './lpae-format.ts';
import { type ShortFeature, shortPaging } from './regime.ts';

/** Domains as Linux numbers them. With 36-bit I/O (supersections) the first two meanings trade places. */
export const DOMAINS = { kernel: 0, user: 1, io: 2, vectors: 3 } as const;

/** Tests of entries by name. */
export type ArmPredicates = Readonly<Partial<Record<TableName, NamePredicates>>>;

const isSection = (word: bigint): boolean => (word & 2n) !== 0n;
const isEmpty = (word: bigint): boolean => word === 0n;

/** Short descriptors: only the first word of a pair is looked at, and a section is "bad". */
const SHORT_PREDICATES: ArmPredicates = {
  pmd: { none: isEmpty, present: (word) => word !== 0n, leaf: isSection, bad: isSection },
  pte: { none: isEmpty, present: (word) => ptePresent('short', word) },
};

const LPAE_PREDICATES: ArmPredicates = {
  pud: { none: isEmpty, present: (word) => word !== 0n, bad: (word) => (word & 2n) === 0n },
  pmd: {
    none: isEmpty,
    present: (word) => (word & 1n) === 1n,
    leaf: (word) => (word & 3n) === 1n,
    bad: (word) => (word & 2n) === 0n,
  },
  pte: { none: isEmpty, present: (word) => ptePresent('lpae', word) },
};

/** The kernel's tests of words, by name. */
export function linuxPredicates(model: LinuxModel): ArmPredicates {
  return model === 'short' ? SHORT_PREDICATES : LPAE_PREDICATES;
}

/**
 * Does the second word of a pair hold a section? The kernel asks only in its dump: everywhere else a pair is its first
 * word, and a section in the odd MiB alone cannot be seen.
 */
export function secondWordIsLeaf(word1: bigint): boolean {
  return isSection(word1);
}

/** Bit 4 of a table word: v5 needs it set, later processors ignore it, and Linux always sets it. */
const BIT4 = 0x10n;
const PXN_TABLE = 0x4n;

/** Whose table it is. */
export type TableUse = 'kernel' | 'user' | 'vectors';

/**
 * The bits that `pmd_populate` puts into table words (`_PAGE_KERNEL_TABLE`, `_PAGE_USER_TABLE`).
 * @param pxn short descriptors: has the processor PXN? Users' tables then have it
 */
export function tableProtection(model: LinuxModel, use: TableUse, pxn = true): bigint {
  if (model === 'lpae') return 3n;
  return (BigInt(DOMAINS[use]) << 5n) | BIT4 | (use === 'user' && pxn ? PXN_TABLE : 0n) | 1n;
}

/** What {@link createArmNames} needs to know. */
export interface ArmNamesOptions extends Pick<NamesOptions, 'onBad'> {
  readonly allocator?: TableAllocator;
  /** Whose code stores page entries. Not supplied: v7. */
  readonly pteModel?: PteModel;
  /** Bits of new table words. Not supplied: those of kernel tables. */
  readonly tableBits?: bigint;
  /** Features of short descriptors. Not supplied: PXN, supersections and TEX remap. */
  readonly features?: Iterable<ShortFeature>;
}

/** The full tree of a kernel: one root for all 4 GiB. */
export function linuxPaging(model: LinuxModel, features?: Iterable<ShortFeature>): Paging {
  if (model === 'lpae') return createPaging(armLpae, lpaeGeometry());
  return shortPaging(features);
}

/**
 * The five names over tables of a 32-bit Arm kernel. Under short descriptors `set` of a page entry takes Linux's word
 * and stores both; under long descriptors pass words through {@link hardwarePte} first.
 */
export function createArmNames(model: LinuxModel, memory: Memory, options: ArmNamesOptions = {}): LinuxNames {
  const bits = options.tableBits ?? tableProtection(model, 'kernel');
  const pteModel = options.pteModel ?? 'v7-short';
  return createNames(memory, linuxPaging(model, options.features), {
    predicates: linuxPredicates(model),
    tableAttributes: { pmd: bits },
    ...(model === 'short' ? { toHardware: (linux, extra) => hardwarePte(pteModel, linux, extra) } : {}),
    ...(options.allocator === undefined ? {} : { allocator: options.allocator }),
    ...(options.onBad === undefined ? {} : { onBad: options.onBad }),
  });
}
