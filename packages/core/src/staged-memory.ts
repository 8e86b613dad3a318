/**
 * Memory behind a further stage of translation: addresses go through an address space of their own before they reach
 * physical memory. With it the tables of a guest, which stand at addresses that the host translates, are walked, dumped
 * and changed like any others.
 */
import { type PhysAddr, type VirtAddr, virt } from './address.ts';
import { MemoryError, ReadOnlyMemoryError } from './errors.ts';
import type { AccessRequest } from './format.ts';
import type { Memory, MemoryWindow } from './memory.ts';
import type { AddressSpace } from './space.ts';
import { access, type Fault, type Mapped, type Translation, translate } from './walk.ts';

/** Accesses that the table walker makes at the stage behind it. */
export interface StagedAccesses {
  readonly read: AccessRequest;
  readonly write: AccessRequest;
}

/** Options of {@link StagedMemory}. */
export interface StagedMemoryOptions {
  /** Judge permissions of the stage, too, by these accesses. Not supplied: whatever is mapped can be read and written. */
  readonly accesses?: StagedAccesses;
}

/** A page of the stage: a window on the memory behind it, or why there is none. */
interface StagedPage {
  readonly window: MemoryWindow | undefined;
  readonly fault: Fault | undefined;
}

/**
 * Memory whose addresses another address space translates. Windows end with the stage's pages. What was translated is
 * remembered: call {@link flush} after the stage's tables have changed.
 */
export class StagedMemory implements Memory {
  readonly stage: AddressSpace;
  readonly #accesses: StagedAccesses | undefined;
  readonly #pageBytes: number;
  readonly #pages = new Map<number, StagedPage>();
  readonly #writable = new Map<number, StagedPage>();

  /**
   * @param stage the address space that translates; its memory is the memory behind
   * @param options whether permissions count
   */
  constructor(stage: AddressSpace, options: StagedMemoryOptions = {}) {
    this.stage = stage;
    this.#accesses = options.accesses;
    // Roots may have pages of different sizes; the smallest suits them all.
    this.#pageBytes = Math.min(...stage.roots.map(({ paging }) => Number(paging.pageBytes)));
  }

  /** Forgets what was translated. */
  flush(): void {
    this.#pages.clear();
    this.#writable.clear();
  }

  /** Why an address cannot be read, if the stage says so; `undefined` also where only the memory behind is missing. */
  faultAt(address: bigint): Fault | undefined {
    return this.#page(this.#pages, Number(address), this.#accesses?.read).fault;
  }

  window(address: number): MemoryWindow | undefined {
    return this.#page(this.#pages, address, this.#accesses?.read).window;
  }

  /** @throws MemoryError where the stage maps nothing; ReadOnlyMemoryError where it forbids writes */
  writable(address: number): MemoryWindow {
    const { window, fault } = this.#page(this.#writable, address, this.#accesses?.write);
    if (fault !== undefined) {
      const refusal = fault.stage === 'access' ? ReadOnlyMemoryError : MemoryError;
      throw new refusal('staged-fault', 'the stage behind does not translate the address', {
        address,
        reason: fault.reason,
      });
    }
    if (window === undefined) throw new MemoryError('no-memory', 'no memory there', { address });
    return window;
  }

  #page(known: Map<number, StagedPage>, address: number, request: AccessRequest | undefined): StagedPage {
    const start = address - (address % this.#pageBytes);
    let page = known.get(start);
    if (page === undefined) {
      page = this.#look(start, request, known === this.#writable);
      known.set(start, page);
    }
    if (page.window === undefined) return page;
    const { base, words } = page.window;
    if (address >= base && address < base + words.length * 4) return page;
    // The memory behind is in smaller pieces than the stage's pages: this one is not remembered.
    return this.#piece(start, address, known === this.#writable);
  }

  #look(start: number, request: AccessRequest | undefined, write: boolean): StagedPage {
    const va = BigInt(start);
    const found = request === undefined ? translate(this.stage, va) : access(this.stage, va, request);
    return found.mapped ? this.#view(found.pa, start, start, write) : { window: undefined, fault: found };
  }

  #piece(start: number, address: number, write: boolean): StagedPage {
    const found = translate(this.stage, BigInt(start));
    return found.mapped ? this.#view(found.pa, start, address, write) : { window: undefined, fault: found };
  }

  /** The part of the window behind that lies in one page, under the page's own addresses. */
  #view(pa: PhysAddr, start: number, address: number, write: boolean): StagedPage {
    const shift = Number(pa) - start;
    const at = address + shift;
    const behind = write ? this.stage.memory.writable(at) : this.stage.memory.window(at);
    if (behind === undefined) return { window: undefined, fault: undefined };
    const from = Math.max(behind.base, Number(pa));
    const to = Math.min(behind.base + behind.words.length * 4, Number(pa) + this.#pageBytes);
    const words = behind.words.subarray((from - behind.base) / 4, (to - behind.base) / 4);
    return { window: { base: from - shift, words }, fault: undefined };
  }
}

/** What became of an address that goes through two stages. */
export interface StagedTranslation {
  /** What the first stage says; its `pa` is the address that the second stage translates. */
  readonly first: Translation;
  /** What the second stage says of that address, or of the slot at which the first could not go on. */
  readonly second: Translation | undefined;
  /** The physical address, if both stages translate. */
  readonly pa: PhysAddr | undefined;
  /** Where the second stage faulted: on a table of the first, on its outcome, or nowhere. */
  readonly faulted: 'first' | 'second-on-table' | 'second-on-page' | undefined;
}

/**
 * Translates through two stages.
 * @param space an address space whose memory is {@link StagedMemory}
 * @throws ArgumentError if `va` is no 64-bit number
 */
export function translateStaged(
  space: AddressSpace & { readonly memory: StagedMemory },
  va: VirtAddr | bigint,
): StagedTranslation {
  const { stage } = space.memory;
  const first = translate(space, va);
  if (!first.mapped) {
    const fault = first.slot === undefined ? undefined : space.memory.faultAt(first.slot);
    if (first.stage !== 'memory' || fault === undefined) {
      return { first, second: undefined, pa: undefined, faulted: 'first' };
    }
    return { first, second: fault, pa: undefined, faulted: 'second-on-table' };
  }
  const second: Mapped | Fault = translate(stage, virt(first.pa));
  return second.mapped
    ? { first, second, pa: second.pa, faulted: undefined }
    : { first, second, pa: undefined, faulted: 'second-on-page' };
}
