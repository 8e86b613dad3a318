/**
 * A walk over the five names with callbacks, as kernels walk tables that belong to no process area: leaves are reported
 * and never split. Rules: Linux 6.12 mm/pagewalk.c, `walk_page_range_novma`.
 */
import type { PhysAddr, VirtAddr } from './address.ts';
import { ArgumentError } from './errors.ts';
import { TABLE_NAMES, type TableName } from './geometry.ts';
import type { LinuxNames, NameHelpers, Slot } from './linux-names.ts';

/** What a callback for pud or pmd wants next: go below (where something is), leave it, or look at the entry again. */
export type WalkAction = 'subtree' | 'continue' | 'again';

/** State of a walk that callbacks may change. */
export interface PageWalk {
  /** Set to `subtree` before each pud and pmd callback; other callbacks' changes have no effect. */
  action: WalkAction;
}

/** Answer of a callback: 0 or nothing goes on, anything else ends the walk with that value. */
export type WalkResult = number | undefined;

/** Called for an entry that is not empty (for pte: for every entry of a table), with the piece of the range under it. */
export type EntryCallback<N extends TableName> = (
  slot: Slot<N>,
  addr: VirtAddr,
  next: bigint,
  walk: PageWalk,
) => WalkResult;

/**
 * Callbacks, all optional. A level is entered only if a callback for it or for something below exists. `next` is
 * exclusive and may be 2^64 (or 2^32 on a 32-bit machine).
 */
export interface WalkOps {
  readonly pgd?: EntryCallback<'pgd'>;
  readonly p4d?: EntryCallback<'p4d'>;
  readonly pud?: EntryCallback<'pud'>;
  readonly pmd?: EntryCallback<'pmd'>;
  readonly pte?: EntryCallback<'pte'>;
  /**
   * An empty entry above the last level. `depth` counts from the root (0 pgd, 3 pmd); for a folded name it is that of
   * the real one.
   */
  readonly hole?: (addr: VirtAddr, next: bigint, depth: number, walk: PageWalk) => WalkResult;
}

class Walker {
  readonly #names: LinuxNames;
  readonly #ops: WalkOps;
  readonly #top: bigint;
  readonly #walk: PageWalk = { action: 'subtree' };

  constructor(names: LinuxNames, ops: WalkOps) {
    this.#names = names;
    this.#ops = ops;
    this.#top = 1n << BigInt(names.geometry.wordBits);
  }

  /** Is there a callback for a name below this depth? */
  #wantsBelow(depth: number): boolean {
    return TABLE_NAMES.slice(depth + 1).some((name) => this.#ops[name] !== undefined);
  }

  /** A folded depth, moved up to the real one. */
  #realDepth(depth: number): number {
    let real = depth;
    while (this.#names[TABLE_NAMES[real] as TableName].folded) real--;
    return real;
  }

  /** An internal end, where 0 is the top, as callers see it. */
  #shown(next: bigint): bigint {
    return next === 0n ? this.#top : next;
  }

  range(depth: number, parent: PhysAddr | Slot, start: bigint, end: bigint): number {
    const name = TABLE_NAMES[depth] as TableName;
    const helper = this.#names.byName(name);
    let addr = start;
    let slot = helper.offset(parent, addr);
    do {
      const next = helper.addrEnd(addr, end);
      const result = name === 'pte' ? this.#pte(slot, addr, next) : this.#entry(depth, helper, slot, addr, next);
      if (result !== 0) return result;
      slot = helper.next(slot);
      addr = next;
    } while (addr !== end);
    return 0;
  }

  #pte(slot: Slot, addr: bigint, next: bigint): number {
    return this.#ops.pte?.(slot as Slot<'pte'>, addr as VirtAddr, this.#shown(next), this.#walk) ?? 0;
  }

  #entry(depth: number, helper: NameHelpers, slot: Slot, addr: bigint, next: bigint): number {
    const walk = this.#walk;
    const acts = helper.name === 'pud' || helper.name === 'pmd';
    const callback = this.#ops[helper.name] as EntryCallback<TableName> | undefined;
    for (;;) {
      // The upper two names are cleaned up on the way, the lower two may hold words that only their owner understands.
      if (acts ? helper.none(slot.load()) : helper.noneOrClearBad(slot)) {
        return this.#ops.hole?.(addr as VirtAddr, this.#shown(next), this.#realDepth(depth), walk) ?? 0;
      }
      walk.action = 'subtree';
      const result = callback?.(slot, addr as VirtAddr, this.#shown(next), walk) ?? 0;
      if (result !== 0) return result;
      if (!acts) break;
      // Callbacks change it behind the compiler's back.
      const action = walk.action as WalkAction;
      if (action === 'again') continue;
      const word = slot.load();
      if (action === 'continue' || helper.leaf(word) || !helper.present(word)) return 0;
      break;
    }
    return this.#wantsBelow(depth) ? this.range(depth + 1, slot, addr, next) : 0;
  }
}

/**
 * Walks the tables under a root.
 * @param root physical address of the root table
 * @param start first address
 * @param end exclusive end, up to 2^64 (2^32); 0 is refused, as at every public entry of the kernel's walkers
 * @returns 0, or the value with which a callback ended the walk
 * @throws ArgumentError `walk-range` if the range is empty or too high; MemoryError if a table lies outside memory
 */
export function walkPageRange(
  names: LinuxNames,
  root: PhysAddr,
  start: VirtAddr | bigint,
  end: bigint,
  ops: WalkOps,
): number {
  const { wordBits } = names.geometry;
  if (start >= end || start < 0n || end > 1n << BigInt(wordBits)) {
    throw new ArgumentError('walk-range', 'a walk needs 0 <= start < end within the machine word', { start, end });
  }
  return new Walker(names, ops).range(0, root, start, BigInt.asUintN(wordBits, end));
}
