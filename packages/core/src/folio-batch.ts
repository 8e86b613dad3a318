/** The longest run of entries of the last level that one operation may treat alike (Linux 6.12 mm/internal.h). */
import { ArgumentError } from './errors.ts';

/** An entry of the last level, as far as batches look at it. */
export interface PteState {
  /** Page frame number: physical address divided by the page size. */
  readonly pfn: number;
  readonly present: boolean;
  readonly write: boolean;
  readonly young: boolean;
  readonly dirty: boolean;
  readonly softDirty: boolean;
  /** All other bits; a batch ends where they change. */
  readonly rest: bigint;
}

/** Consecutive page frames that belong together. */
export interface Folio {
  readonly firstPfn: number;
  readonly pages: number;
}

/** Which differences do not end a batch. Write permission and young never do. */
export interface BatchOptions {
  /** Entries to look at, at most; above 0. */
  readonly max: number;
  /** Not supplied: false. */
  readonly ignoreDirty?: boolean;
  /** Not supplied: false. */
  readonly ignoreSoftDirty?: boolean;
  /**
   * How many entries from index `i` on surely continue a batch that has reached it, as with a contiguous block.
   * Not supplied: 1.
   */
  readonly hint?: (i: number) => number;
}

/** A batch, and what its entries after the first have in common. */
export interface FolioBatch {
  /** Entries in the batch, at least 1. */
  readonly nr: number;
  /** Is any entry after the first writable? */
  readonly anyWritable: boolean;
  readonly anyYoung: boolean;
  readonly anyDirty: boolean;
}

/**
 * How many entries from the first on map consecutive frames of one folio with equal bits (`folio_pte_batch`).
 * @param ptes entries; the first must be present and map a page of the folio
 * @throws ArgumentError `batch-start` if it does not, `batch-max` if `max` is not a positive integer
 */
export function folioPteBatch(ptes: readonly PteState[], folio: Folio, options: BatchOptions): FolioBatch {
  const { max, ignoreDirty = false, ignoreSoftDirty = false, hint = () => 1 } = options;
  const first = ptes[0];
  const endPfn = folio.firstPfn + folio.pages;
  if (first === undefined || !first.present || first.pfn < folio.firstPfn || first.pfn >= endPfn) {
    throw new ArgumentError('batch-start', 'a batch starts at a present entry that maps a page of its folio', {
      firstPfn: folio.firstPfn,
      pages: folio.pages,
    });
  }
  if (!Number.isInteger(max) || max < 1) {
    throw new ArgumentError('batch-max', 'a batch has at least one entry', { max: String(max) });
  }
  const limit = Math.min(max, ptes.length);
  let anyWritable = false;
  let anyYoung = false;
  let anyDirty = false;
  let i = hint(0);
  for (let pte = ptes[i]; i < limit && pte !== undefined; i += hint(i), pte = ptes[i]) {
    const same =
      pte.present &&
      pte.pfn === first.pfn + i &&
      pte.rest === first.rest &&
      (ignoreDirty || pte.dirty === first.dirty) &&
      (ignoreSoftDirty || pte.softDirty === first.softDirty);
    if (!same || pte.pfn >= endPfn) break;
    anyWritable ||= pte.write;
    anyYoung ||= pte.young;
    anyDirty ||= pte.dirty;
  }
  // A hint may reach past what was asked for.
  return { nr: Math.min(i, limit), anyWritable, anyYoung, anyDirty };
}
