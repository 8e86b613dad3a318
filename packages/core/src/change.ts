/**
 * What a change of tables leaves the caller to do: translations to invalidate, tables that are no longer reachable.
 * Plain data; the architecture packages turn it into instructions.
 */
import { type PhysAddr, phys, type VirtAddr } from './address.ts';
import type { TableAllocator, TableRequest } from './allocator.ts';
import { toBig } from './compiled.ts';
import { ArgumentError, AttributeError } from './errors.ts';
import { SlotProbe } from './memory.ts';
import type { AddressSpace } from './space.ts';
import { OccupiedMemory, stillReached } from './table-guard.ts';

/** Why cached translations of a range may be stale. */
export type Cause =
  /** The range was not mapped before: matters only where hardware remembers that. */
  | 'installed'
  /** Another address, attribute or size than before. */
  | 'changed'
  /** Not mapped any more. */
  | 'removed';

/** Translations of one range that must be invalidated. */
export interface Invalidation {
  readonly start: VirtAddr;
  /** Exclusive; may be 2^64. */
  readonly end: bigint;
  readonly cause: Cause;
  /** Level, from the leaves, of the leaves that were cached. */
  readonly level: number;
  /** Bytes between addresses that must be named one by one: the entry size of that level. */
  readonly strideBytes: bigint;
  /** Did a table pointer change too, so that caches of upper levels must go as well? */
  readonly tables: boolean;
}

/** A table that was linked or unlinked. */
export interface TableRecord extends TableRequest {
  readonly address: PhysAddr;
}

/** The outcome of a change. */
export interface Change {
  /** What to invalidate, in rising order, neighbours joined. */
  readonly invalidate: readonly Invalidation[];
  /** Tables that were allocated and linked. */
  readonly allocated: readonly TableRecord[];
  /**
   * Tables that were unlinked and that nothing in the address space links any more. They may be reused only after the
   * invalidations are done: hand them to {@link releaseTables} then. What other address spaces link is not known here.
   */
  readonly detached: readonly TableRecord[];
  /** Leaf entries written or cleared. */
  readonly entries: number;
}

/** Gives the unlinked tables of a change back to their allocator. Call it after the invalidations were carried out. */
export function releaseTables(change: Change, allocator: TableAllocator): void {
  for (const { address, ...request } of change.detached) allocator.free(address, request);
}

/** An {@link Invalidation} in exact numbers. */
interface Noted {
  readonly start: number;
  readonly end: number;
  readonly cause: Cause;
  readonly level: number;
  readonly stride: number;
  readonly tables: boolean;
}

/** Most changes allocate and detach nothing: they share one list that says so. */
const NO_TABLES: readonly TableRecord[] = Object.freeze([]);

/** Collects a {@link Change}; joins neighbours as they come. What most changes have none of is made when it comes. */
export class ChangeLog {
  // The range that was noted last, and those before it: most changes have no others.
  #any = false;
  #start = Number.NaN;
  #end = Number.NaN;
  #cause: Cause = 'changed';
  #level = 0;
  #stride = Number.NaN;
  #tables = false;
  #before: Noted[] | undefined;
  #allocated: TableRecord[] | undefined;
  #detached: TableRecord[] | undefined;
  entries = 0;

  /** Notes a range; `start`, `end` and `stride` in exact numbers. */
  note(start: number, end: number, cause: Cause, level: number, stride: number, tables = false): void {
    if (this.#any) {
      if (this.#end === start && this.#cause === cause && this.#level === level && this.#tables === tables) {
        this.#end = end;
        return;
      }
      this.#before ??= [];
      this.#before.push(this.#last());
    }
    this.#any = true;
    this.#start = start;
    this.#end = end;
    this.#cause = cause;
    this.#level = level;
    this.#stride = stride;
    this.#tables = tables;
  }

  /** Notes a table that was allocated. */
  link(table: TableRecord): void {
    this.#allocated ??= [];
    this.#allocated.push(table);
  }

  /** Notes a table that was unlinked. */
  unlink(table: TableRecord): void {
    this.#detached ??= [];
    this.#detached.push(table);
  }

  /** Takes back what was noted as detached although another entry of the space still links it. */
  keepReached(space: AddressSpace): void {
    if (this.#detached === undefined) return;
    const reached = stillReached(space, new Set(this.#detached.map(({ address }) => Number(address))));
    if (reached.size === 0) return;
    this.#detached = this.#detached.filter(({ address }) => !reached.has(Number(address)));
  }

  /** The finished change: steps may note their ranges in any order, the change has them in rising order. */
  finish(): Change {
    return {
      invalidate: this.#before === undefined && this.#any ? [this.#only()] : this.#inOrder().map(finished),
      allocated: this.#allocated ?? NO_TABLES,
      detached: this.#detached ?? NO_TABLES,
      entries: this.entries,
    };
  }

  #last(): Noted {
    return {
      start: this.#start,
      end: this.#end,
      cause: this.#cause,
      level: this.#level,
      stride: this.#stride,
      tables: this.#tables,
    };
  }

  /** What was noted, if that is one range. */
  #only(): Invalidation {
    return invalidation(this.#start, this.#end, this.#cause, this.#level, this.#stride, this.#tables);
  }

  #noted(): Noted[] {
    return this.#any ? [...(this.#before ?? []), this.#last()] : [];
  }

  #inOrder(): readonly Noted[] {
    const noted = this.#noted();
    for (let i = 1; i < noted.length; i++) {
      if ((noted[i - 1] as Noted).start <= (noted[i] as Noted).start) continue;
      const sorted = new ChangeLog();
      for (const { start, end, cause, level, stride, tables } of noted.sort((a, b) => a.start - b.start)) {
        sorted.note(start, end, cause, level, stride, tables);
      }
      return sorted.#noted();
    }
    return noted;
  }
}

function finished({ start, end, cause, level, stride, tables }: Noted): Invalidation {
  return invalidation(start, end, cause, level, stride, tables);
}

function invalidation(
  start: number,
  end: number,
  cause: Cause,
  level: number,
  stride: number,
  tables: boolean,
): Invalidation {
  return { start: toBig(start) as VirtAddr, end: toBig(end), cause, level, strideBytes: strideBig(stride), tables };
}

// Strides are few, and the next one is mostly the same again.
let lastStride = 0;
let lastStrideBig = 0n;

function strideBig(stride: number): bigint {
  if (stride !== lastStride) {
    lastStride = stride;
    lastStrideBig = toBig(stride);
  }
  return lastStrideBig;
}

/** A table that an operation is going to need: its level and the first address it covers. */
export interface TableNeed {
  readonly level: number;
  readonly va: number;
}

/**
 * Allocates tables in the order in which they will be linked, all or none, and zeroes nothing yet.
 * @param missing what to throw if there is no allocator
 * @throws whatever the allocator throws, after giving back what it had handed out; MemoryError if a table would lie
 *   outside memory
 */
export function allocateAll(
  space: AddressSpace,
  { paging }: AddressSpace['roots'][number],
  needs: Iterable<TableNeed>,
  allocator: TableAllocator | undefined,
  missing: () => Error,
): TableRecord[] {
  const records: TableRecord[] = [];
  if (allocator === undefined) throw missing();
  // A table inside a root, or one for two places, would make the tables point into themselves.
  const occupied = new OccupiedMemory();
  for (const root of space.roots) occupied.take(root.address, root.paging.geometry.root.tableBytes);
  const probe = new SlotProbe(space.memory);
  try {
    for (const { level, va: start } of needs) {
      const { tableBytes: bytes, alignBytes } = paging.codec(level).level;
      const va = toBig(start) as VirtAddr;
      const address = phys(allocator.allocate({ level, va, bytes, alignBytes }));
      const first = Number(address);
      records.push({ level, va, bytes, alignBytes, address });
      paging.checkAddress(address, BigInt(alignBytes));
      const pointer = paging.codec(level + 1).table;
      if (pointer === undefined || !paging.canHold(pointer, first)) {
        throw new AttributeError('physical-address', 'a table pointer cannot hold that address', { address, level });
      }
      if (!occupied.take(first, bytes)) {
        // It is somebody's already: not ours to give back.
        records.pop();
        throw new ArgumentError('table-twice', 'the allocator handed out a table that is in use', { address, level });
      }
      probe.prove(first, bytes);
    }
  } catch (error) {
    for (const { address, ...request } of records.reverse()) allocator.free(address, request);
    throw error;
  }
  return records;
}

/** Fills a table with zeros. */
export function zeroTable(space: AddressSpace, address: number, bytes: number): void {
  for (let at = address; at < address + bytes; ) {
    const window = space.memory.writable(at);
    const limit = Math.min(window.base + window.words.length * 4, address + bytes);
    window.words.fill(0, (at - window.base) >> 2, (limit - window.base) >> 2);
    at = limit;
  }
}
