/**
 * A TLB in software, for emulators: what one privilege may do, page by page, found again without a walk and without a
 * BigInt. Permissions are judged, and accessed and dirty bits set, when a page is met first, by {@link access}.
 *
 * One object stands for one address space seen with one privilege under one set of control bits: an emulator keeps as many
 * as it has of those (an ASID, user and supervisor, SUM on and off) and picks one when the machine's state changes.
 */
import type { AccessOptionValues } from './access-options.ts';
import type { VirtAddr } from './address.ts';
import { checkBigints } from './bigints.ts';
import type { Change, Invalidation } from './change.ts';
import { join } from './compiled.ts';
import { ArgumentError } from './errors.ts';
import type { AccessKind, Privilege } from './format.ts';
import { rangeBetween, rangeOfSize } from './range.ts';
import type { AddressSpace } from './space.ts';
import { access, type Refused } from './walk.ts';

/** How a {@link Tlb} is made. */
export interface TlbOptions {
  /** In whose name accesses are made. */
  readonly privilege: Privilege;
  /** Control bits of the access check. Not supplied: those of the roots. */
  readonly options?: AccessOptionValues;
  /** Pages that are remembered for each kind of access: a power of two up to 2^24. Not supplied: 1024. */
  readonly entries?: number;
  /** Write accessed and dirty bits, as hardware that manages them does? Not supplied: yes. */
  readonly apply?: boolean;
}

const PAGE_BITS = 12;
/** Pages are told apart by numbers of 52 bits: exact in a double. */
const PAGES_BELOW_4G = 2 ** (32 - PAGE_BITS);
const NO_PAGE = -1;
/** Three kinds of them take 48 bytes an entry: more than this is a mistake. */
const MOST_ENTRIES = 2 ** 24;
/** With more pages than this to forget, looking through all entries is faster. */
const FEW_PAGES = 64;

/** Pages of one kind of access: direct-mapped. */
class Pages {
  readonly tags: Float64Array;
  readonly frames: Float64Array;
  /** log2 of the pages in the leaf that the page is a piece of. */
  readonly orders: Uint8Array;

  constructor(entries: number) {
    this.tags = new Float64Array(entries).fill(NO_PAGE);
    this.frames = new Float64Array(entries);
    this.orders = new Uint8Array(entries);
  }
}

/** See the head of this file. */
export class Tlb {
  readonly #space: AddressSpace;
  readonly #options: TlbOptions;
  readonly #mask: number;
  readonly #pages: Readonly<Record<AccessKind, Pages>>;
  #fault: Refused | undefined;
  /** The highest order of what was remembered since the last flush. */
  #highest = 0;

  /** @throws ArgumentError `tlb-entries` if their number is no power of two up to 2^24 */
  constructor(space: AddressSpace, options: TlbOptions) {
    const { entries = 1024 } = options;
    if (!(entries >= 1 && entries <= MOST_ENTRIES && Number.isInteger(Math.log2(entries)))) {
      throw new ArgumentError('tlb-entries', 'a TLB has a power of two of entries, up to 2^24', { entries });
    }
    this.#space = space;
    this.#options = options;
    this.#mask = entries - 1;
    this.#pages = { read: new Pages(entries), write: new Pages(entries), execute: new Pages(entries) };
  }

  /** Why the last access was refused; `undefined` if none was yet. */
  get fault(): Refused | undefined {
    return this.#fault;
  }

  /**
   * Where a read goes.
   * @param lo bits 31:0 of the virtual address, of either sign
   * @param hi bits 63:32
   * @returns the physical address of the 4 KiB frame, an exact number below 2^56 (add `lo & 0xfff`), or -1 if the access
   *   is refused: {@link fault} says why
   * @throws as {@link access} does, for options that the access check does not have
   */
  read(lo: number, hi: number): number {
    return this.#find(this.#pages.read, 'read', lo, hi);
  }

  /** Where a write goes; see {@link read}. */
  write(lo: number, hi: number): number {
    return this.#find(this.#pages.write, 'write', lo, hi);
  }

  /** Where an instruction is fetched; see {@link read}. */
  execute(lo: number, hi: number): number {
    return this.#find(this.#pages.execute, 'execute', lo, hi);
  }

  /** Forgets everything: after edits of tables by other hands, or of what the options stand for. */
  flush(): void {
    for (const { tags } of Object.values(this.#pages)) tags.fill(NO_PAGE);
    this.#highest = 0;
  }

  /**
   * Forgets the leaf that an address was in, all of it, whatever its size: what a processor does that is told to forget
   * an address (`sfence.vma` with one, `tlbi vae1`, `invlpg`). Tags in addresses count.
   * @param va any address in the leaf
   * @throws ArgumentError `not-bigint`; `range-overflow` if it is no 64-bit address
   */
  flushAddress(va: VirtAddr | bigint): void {
    checkBigints({ va });
    rangeOfSize(va, 1n);
    const page = Number(va >> 12n);
    if (this.#highest === 0) {
      this.flushRange(va, va + 1n);
      return;
    }
    for (const { tags, orders } of Object.values(this.#pages)) {
      for (let slot = 0; slot < tags.length; slot++) {
        const unit = 2 ** (orders[slot] as number);
        // Numbers of 52 bits: no bit operations. What is not remembered has page -1, in no leaf.
        if (Math.floor((tags[slot] as number) / unit) === Math.floor(page / unit)) tags[slot] = NO_PAGE;
      }
    }
  }

  /**
   * Forgets a range, half-open: its pages, and nothing beside it. A fence for one address means the whole leaf that the
   * address is in: {@link flushAddress}. Tags in addresses count: with them in use, flush everything.
   * @param end may be 2^64
   * @throws ArgumentError `not-bigint`, or as {@link rangeBetween} for a range that is none
   */
  flushRange(start: VirtAddr | bigint, end: bigint): void {
    checkBigints({ start, end });
    rangeBetween(start, end);
    const first = Number(start >> 12n);
    const last = Number((end - 1n) >> 12n);
    for (const { tags } of Object.values(this.#pages)) {
      if (last - first < FEW_PAGES) {
        for (let page = first; page <= last; page++) {
          const slot = this.#slot((page % PAGES_BELOW_4G) << PAGE_BITS, Math.floor(page / PAGES_BELOW_4G));
          if (tags[slot] === page) tags[slot] = NO_PAGE;
        }
        continue;
      }
      for (let slot = 0; slot < tags.length; slot++) {
        const page = tags[slot] as number;
        if (page >= first && page <= last) tags[slot] = NO_PAGE;
      }
    }
  }

  /** Forgets what a change of the tables made stale. What was not mapped is not remembered: it needs no flush. */
  invalidate({ invalidate }: Pick<Change, 'invalidate'>): void {
    for (const { start, end, cause } of invalidate as readonly Invalidation[]) {
      if (cause !== 'installed') this.flushRange(start, end);
    }
  }

  #slot(lo: number, hi: number): number {
    return ((lo >>> PAGE_BITS) ^ (hi << 3) ^ (hi >>> 9)) & this.#mask;
  }

  #find({ tags, frames, orders }: Pages, kind: AccessKind, lo: number, hi: number): number {
    const page = (hi >>> 0) * PAGES_BELOW_4G + (lo >>> PAGE_BITS);
    const slot = this.#slot(lo, hi);
    if (tags[slot] === page) return frames[slot] as number;
    const { privilege, options, apply = true } = this.#options;
    const request = options === undefined ? { kind, privilege } : { kind, privilege, options };
    const result = access(this.#space, join(lo, hi), request, { apply });
    if (!result.allowed) {
      this.#fault = result;
      return -1;
    }
    const frame = Number(result.pa - (result.pa & 0xfffn));
    tags[slot] = page;
    frames[slot] = frame;
    const order = Math.max(0, Math.ceil(Math.log2(Number(result.leafBytes))) - PAGE_BITS);
    orders[slot] = order;
    if (order > this.#highest) this.#highest = order;
    return frame;
  }
}
