/**
 * How a kernel in construction makes tables and reaches them: before the MMU is on, through fixmap slots, through the
 * linear map. Each phase couples an allocator with a way to a table at a physical address, so that boot code reads the
 * same in all of them. Kernels of Linux 6.12 keep the same pairs of functions and swap them as the boot proceeds.
 */
import { hex, type PhysAddr, phys, type VirtAddr, virt } from './address.ts';
import type { TableAllocator, TableRequest } from './allocator.ts';
import { PagefoldError } from './errors.ts';

/** A phase was used against its rules: a slot that is taken, a pointer that has died, a switch too early. */
export class PhaseError extends PagefoldError {}

/** One way of making and reaching tables. */
export interface Phase {
  /** `early`, `fixmap`, `late`, or a name of the caller's own. */
  readonly name: string;
  /** Where new tables come from. */
  readonly allocator: TableAllocator;
  /** Levels whose table is mapped now and must be released; empty where reaching a table costs nothing. */
  readonly open: readonly number[];
  /**
   * The virtual address at which software finds a table.
   * @param table physical address of the table
   * @param level its level, from the leaves
   * @throws PhaseError if it cannot be reached now
   */
  reach(table: PhysAddr, level: number): VirtAddr;
  /** Says that the table of that level is not needed any more. Without effect if there is none. */
  release(level: number): void;
  /**
   * What an address from {@link reach} stands for now.
   * @throws PhaseError `dead-pointer` if it stands for nothing (any more)
   */
  physical(address: VirtAddr): PhysAddr;
}

/**
 * Before the MMU is on: the address of a table is its physical address.
 * @param allocator typically static tables or a bump area
 */
export function earlyPhase(allocator: TableAllocator, name = 'early'): Phase {
  return {
    name,
    allocator,
    open: [],
    reach: (table) => virt(table),
    release: () => undefined,
    physical: (address) => phys(address),
  };
}

/**
 * With a linear map: a table is found at its physical address plus a constant.
 * @param allocator typically free lists over the memory that the linear map covers
 * @param offset virtual minus physical address; the sum is taken modulo 2^64
 */
export function latePhase(allocator: TableAllocator, offset: bigint, name = 'late'): Phase {
  return {
    name,
    allocator,
    open: [],
    reach: (table) => virt(table + offset),
    release: () => undefined,
    physical: (address) => phys(BigInt.asUintN(64, address - offset)),
  };
}

/** One change of a fixmap slot. */
export interface FixmapEvent {
  readonly op: 'map' | 'unmap';
  readonly level: number;
  /** Virtual address of the slot. */
  readonly slot: VirtAddr;
  /** The page behind it. */
  readonly page: PhysAddr;
}

/** What {@link FixmapPhase} needs to know. */
export interface FixmapOptions {
  readonly allocator: TableAllocator;
  /** Virtual address of the slot for tables of each level; a level without one cannot be reached. */
  readonly slots: Readonly<Record<number, VirtAddr>>;
  /** Bytes of a slot and alignment of what it maps. Not supplied: 4096. */
  readonly pageBytes?: bigint;
  /**
   * What happens when a slot is asked for while it maps another page: `replace` unmaps that first, so that older
   * pointers of the level die; `refuse` demands a {@link Phase.release}. Not supplied: `refuse`.
   */
  readonly whenTaken?: 'replace' | 'refuse';
  /** Called on each change, to write the slot's entry and invalidate its translation. Not supplied: nothing. */
  readonly onChange?: (event: FixmapEvent) => void;
  /** Not supplied: `fixmap`. */
  readonly name?: string;
}

/** MMU on, no linear map yet: one page of each level at a time, through a slot of that level. */
export class FixmapPhase implements Phase {
  readonly name: string;
  readonly allocator: TableAllocator;
  readonly #slots: Readonly<Record<number, VirtAddr>>;
  readonly #pageBytes: bigint;
  readonly #replace: boolean;
  readonly #onChange: ((event: FixmapEvent) => void) | undefined;
  readonly #mapped = new Map<number, PhysAddr>();
  readonly #history: FixmapEvent[] = [];

  constructor(options: FixmapOptions) {
    this.name = options.name ?? 'fixmap';
    this.allocator = options.allocator;
    this.#slots = options.slots;
    this.#pageBytes = options.pageBytes ?? 4096n;
    this.#replace = options.whenTaken === 'replace';
    this.#onChange = options.onChange;
  }

  /** Every change so far, in order. */
  get history(): readonly FixmapEvent[] {
    return this.#history;
  }

  /** Levels whose slot maps a page now, rising. */
  get open(): readonly number[] {
    return [...this.#mapped.keys()].sort((a, b) => a - b);
  }

  /**
   * Maps the page of a table at its level's slot. A table that is mapped already keeps its mapping.
   * @throws PhaseError `no-slot` if the level has none, `slot-taken` if it maps another page and may not be replaced
   */
  reach(table: PhysAddr, level: number): VirtAddr {
    const slot = this.#slots[level];
    if (slot === undefined)
      throw new PhaseError('no-slot', 'no fixmap slot serves tables of that level', { level, table });
    const offset = table % this.#pageBytes;
    const page = phys(table - offset);
    const before = this.#mapped.get(level);
    if (before !== page) {
      if (before !== undefined && !this.#replace) {
        throw new PhaseError('slot-taken', 'the slot of that level maps another table', {
          level,
          table,
          mapped: before,
        });
      }
      this.release(level);
      this.#mapped.set(level, page);
      this.#note({ op: 'map', level, slot, page });
    }
    return virt(slot + offset);
  }

  release(level: number): void {
    const page = this.#mapped.get(level);
    const slot = this.#slots[level];
    if (page === undefined || slot === undefined) return;
    this.#mapped.delete(level);
    this.#note({ op: 'unmap', level, slot, page });
  }

  physical(address: VirtAddr): PhysAddr {
    for (const [level, page] of this.#mapped) {
      const offset = address - (this.#slots[level] as bigint);
      if (offset >= 0n && offset < this.#pageBytes) return phys(page + offset);
    }
    throw new PhaseError('dead-pointer', 'no fixmap slot maps anything there', { address });
  }

  #note(event: FixmapEvent): void {
    this.#history.push(event);
    this.#onChange?.(event);
  }
}

/** Runs through phases in order, and is the current one to everybody else: allocator and {@link Phase} alike. */
export class PhaseSwitcher implements Phase, TableAllocator {
  readonly #phases: readonly Phase[];
  #index = 0;

  /**
   * @param phases in the order in which they follow each other; the first is current
   * @throws PhaseError `no-phase` if there is none, `phase-twice` if two have one name
   */
  constructor(phases: readonly Phase[]) {
    if (phases.length === 0) throw new PhaseError('no-phase', 'a boot needs at least one phase');
    const names = phases.map(({ name }) => name);
    if (new Set(names).size !== names.length) {
      throw new PhaseError('phase-twice', 'two phases have one name', { names: names.join(' ') });
    }
    this.#phases = phases;
  }

  /** The phase in force. */
  get current(): Phase {
    return this.#phases[this.#index] as Phase;
  }

  get name(): string {
    return this.current.name;
  }

  /** This object itself, so that whoever holds it follows the switches. */
  get allocator(): TableAllocator {
    return this;
  }

  get open(): readonly number[] {
    return this.current.open;
  }

  /**
   * Goes on to a later phase; pointers from {@link reach} of the one before are void.
   * @throws PhaseError `phase-order` if it is not a later one, `slots-open` if slots are still mapped
   */
  enter(name: string): Phase {
    const index = this.#phases.findIndex((phase) => phase.name === name);
    if (index <= this.#index) {
      throw new PhaseError('phase-order', 'phases follow each other in their order', { from: this.name, to: name });
    }
    const { open } = this.current;
    if (open.length !== 0) {
      throw new PhaseError('slots-open', 'tables are still mapped through slots', {
        levels: open.map((level) => hex(level)).join(' '),
        to: name,
      });
    }
    this.#index = index;
    return this.current;
  }

  reach(table: PhysAddr, level: number): VirtAddr {
    return this.current.reach(table, level);
  }

  release(level: number): void {
    this.current.release(level);
  }

  physical(address: VirtAddr): PhysAddr {
    return this.current.physical(address);
  }

  allocate(request: TableRequest): PhysAddr {
    return this.current.allocator.allocate(request);
  }

  free(address: PhysAddr, request: TableRequest): void {
    this.current.allocator.free(address, request);
  }
}
