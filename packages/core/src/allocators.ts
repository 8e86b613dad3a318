/**
 * Small table allocators: a bump area, named static tables, and a free list in front of another allocator.
 *
 * None of them touches memory (see {@link TableAllocator}); each can be asked what it has handed out.
 */
import { type PhysAddr, phys, type VirtAddr } from './address.ts';
import type { TableAllocator, TableRequest } from './allocator.ts';
import { ArgumentError, OutOfTablesError } from './errors.ts';
import { type AddressRange, type PhysRange, rangeBetween, rangeContains } from './range.ts';

function checkRequest({ bytes, alignBytes }: TableRequest): void {
  if (bytes <= 0 || alignBytes <= 0 || !Number.isInteger(Math.log2(alignBytes))) {
    throw new ArgumentError('table-request', 'a table needs a size and a power of two as alignment', {
      bytes,
      alignBytes,
    });
  }
}

/** Hands out one area upwards; takes back only what it handed out last, so that a change that fails uses nothing up. */
export class BumpAllocator implements TableAllocator {
  readonly range: PhysRange;
  #next: bigint;

  /**
   * @param start first address that may be handed out
   * @param end exclusive end of the area
   * @throws ArgumentError if the area is empty
   */
  constructor(start: PhysAddr | bigint, end: bigint) {
    this.range = rangeBetween(phys(start), phys(end));
    this.#next = this.range.start;
  }

  /** The first address not handed out yet. */
  get next(): PhysAddr {
    return phys(this.#next);
  }

  /** @throws OutOfTablesError `bump-exhausted` if the table would pass the end; nothing is used up then */
  allocate(request: TableRequest): PhysAddr {
    checkRequest(request);
    const align = BigInt(request.alignBytes);
    const address = (this.#next + align - 1n) & -align;
    const end = address + BigInt(request.bytes);
    if (end > this.range.end) {
      throw new OutOfTablesError('bump-exhausted', 'the area for tables is used up', {
        next: this.#next,
        bytes: request.bytes,
        end: this.range.end,
        level: request.level,
        va: request.va,
      });
    }
    this.#next = end;
    return phys(address);
  }

  /** Takes back the table that was handed out last; any other stays used. */
  free(address: PhysAddr, { bytes }: TableRequest): void {
    if (address >= this.range.start && address + BigInt(bytes) === this.#next) this.#next = address;
  }
}

/** Static tables of one level, as a kernel image reserves them. */
export interface StaticPool {
  /** What the image calls it, for errors. */
  readonly name: string;
  /** Level, from the leaves, of the tables. */
  readonly level: number;
  /** Their addresses, in the order in which they are handed out. */
  readonly addresses: readonly (PhysAddr | bigint)[];
  /** Tables may only serve these virtual addresses. Not supplied: all. */
  readonly covers?: AddressRange;
}

/**
 * Hands out the static tables of a kernel image, pool by pool in the order given; takes back only the one of a pool that
 * it handed out last.
 */
export class StaticTables implements TableAllocator {
  readonly #pools: readonly { readonly pool: StaticPool; used: number }[];

  /**
   * @param pools what there is; several pools of one level are used one after the other
   * @throws ArgumentError `static-twice` if an address appears twice
   */
  constructor(pools: readonly StaticPool[]) {
    const seen = new Set<bigint>();
    for (const address of pools.flatMap(({ addresses }) => addresses)) {
      if (seen.has(address)) throw new ArgumentError('static-twice', 'a static table is listed twice', { address });
      seen.add(address);
    }
    this.#pools = pools.map((pool) => ({ pool, used: 0 }));
  }

  /** Tables of a level that are still there, whatever addresses they may serve. */
  left(level: number): number {
    return this.#pools
      .filter(({ pool }) => pool.level === level)
      .reduce((sum, { pool, used }) => sum + pool.addresses.length - used, 0);
  }

  /**
   * @throws OutOfTablesError `static-level` if no pool has tables of that level, `static-range` if none may serve that
   *   address, `static-exhausted` if all are used, `static-align` if the next one is not aligned as asked
   */
  allocate(request: TableRequest): PhysAddr {
    checkRequest(request);
    const { level, va } = request;
    const ofLevel = this.#pools.filter(({ pool }) => pool.level === level);
    const able = ofLevel.filter(({ pool }) => pool.covers === undefined || rangeContains(pool.covers, va));
    const found = able.find(({ pool, used }) => used < pool.addresses.length);
    const fail = (rule: string, message: string, more: Record<string, bigint | string> = {}): never => {
      throw new OutOfTablesError(rule, message, { level, va, ...more });
    };
    if (ofLevel.length === 0) return fail('static-level', 'there are no static tables of that level');
    const pools = ofLevel.map(({ pool }) => pool.name).join(' ');
    if (able.length === 0) return fail('static-range', 'no static table may serve that address', { pools });
    if (found === undefined) return fail('static-exhausted', 'all static tables of that level are used', { pools });
    const address = phys(found.pool.addresses[found.used] as bigint);
    if (address % BigInt(request.alignBytes) !== 0n) {
      return fail('static-align', 'a static table is not aligned as its level needs', {
        pool: found.pool.name,
        address,
      });
    }
    found.used++;
    return address;
  }

  /** Takes back the table of its pool that was handed out last; any other stays used. */
  free(address: PhysAddr): void {
    const found = this.#pools.find(({ pool, used }) => used > 0 && pool.addresses[used - 1] === address);
    if (found !== undefined) found.used--;
  }
}

/** Reuses freed tables of the same size, the last one first; asks another allocator when it has none. */
export class FreeListAllocator implements TableAllocator {
  readonly #inner: TableAllocator | undefined;
  readonly #lists = new Map<number, PhysAddr[]>();
  readonly #free = new Set<bigint>();

  /** @param inner where new tables come from. Not supplied: only what was freed is handed out. */
  constructor(inner?: TableAllocator) {
    this.#inner = inner;
  }

  /** Freed tables of a size, the next one to be reused last. */
  available(bytes: number): readonly PhysAddr[] {
    return [...(this.#lists.get(bytes) ?? [])];
  }

  /** @throws OutOfTablesError `free-list-empty` if nothing fits and there is no other allocator; or what that throws */
  allocate(request: TableRequest): PhysAddr {
    checkRequest(request);
    const list = this.#lists.get(request.bytes) ?? [];
    const align = BigInt(request.alignBytes);
    for (let i = list.length - 1; i >= 0; i--) {
      const address = list[i] as PhysAddr;
      if (address % align !== 0n) continue;
      list.splice(i, 1);
      this.#free.delete(address);
      return address;
    }
    if (this.#inner !== undefined) return this.#inner.allocate(request);
    throw new OutOfTablesError('free-list-empty', 'no freed table fits', {
      bytes: request.bytes,
      alignBytes: request.alignBytes,
      level: request.level,
      va: request.va,
    });
  }

  /** @throws ArgumentError `double-free` if the table is free already */
  free(address: PhysAddr, request: TableRequest): void {
    checkRequest(request);
    if (this.#free.has(address)) {
      throw new ArgumentError('double-free', 'a table is freed twice', { address, level: request.level });
    }
    this.#free.add(address);
    const list = this.#lists.get(request.bytes);
    if (list === undefined) this.#lists.set(request.bytes, [address]);
    else list.push(address);
  }
}

/** One table that an allocator handed out or took back. */
export interface AllocationEvent {
  readonly op: 'allocate' | 'free';
  readonly address: PhysAddr;
  readonly level: number;
  readonly va: VirtAddr;
}

/** Passes everything on to another allocator and keeps a record of it. */
export class RecordingAllocator implements TableAllocator {
  readonly #inner: TableAllocator;
  readonly #events: AllocationEvent[] = [];

  /** @param inner the allocator that does the work */
  constructor(inner: TableAllocator) {
    this.#inner = inner;
  }

  /** What happened, in order. */
  get events(): readonly AllocationEvent[] {
    return this.#events;
  }

  allocate(request: TableRequest): PhysAddr {
    const address = this.#inner.allocate(request);
    this.#events.push({ op: 'allocate', address, level: request.level, va: request.va });
    return address;
  }

  free(address: PhysAddr, request: TableRequest): void {
    this.#inner.free(address, request);
    this.#events.push({ op: 'free', address, level: request.level, va: request.va });
  }
}
