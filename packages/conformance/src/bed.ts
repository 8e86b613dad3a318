/** A test bed: memory, one address space in it, and an allocator that watches every table. */
import {
  type AddressSpace,
  type Change,
  createSpace,
  eachTable,
  type MappedRange,
  type MapRequest,
  mappedRanges,
  map as mapRange,
  OutOfTablesError,
  type PhysAddr,
  phys,
  releaseTables,
  SparseMemory,
  type TableAllocator,
  type TableRequest,
} from '@pagefold/core';
import type { Context } from './context.ts';
import { canonicalSpans, higher, tableSpace } from './parts.ts';

/** Bytes of physical memory in which the tables of a bed stand. */
const AREA = 1n << 26n;

/** Hands out tables filled with garbage, and knows which ones are in use. */
export class Frames implements TableAllocator {
  /** Tables in use, by address. */
  readonly live: Map<bigint, TableRequest> = new Map();
  /** Further tables that may be handed out before it runs dry. */
  left: number = Number.POSITIVE_INFINITY;
  /** Accept requests of any size, from software that lays its own copies beside the tables? */
  anyRequest = false;
  readonly #context: Context;
  readonly #memory: SparseMemory;
  readonly #spare = new Map<number, bigint[]>();
  readonly #end: bigint;
  #next: bigint;

  constructor(context: Context, memory: SparseMemory) {
    const areas = higher(1n, tableSpace(context.paging) / AREA);
    this.#context = context;
    this.#memory = memory;
    this.#next = context.random.belowBig(areas) * AREA;
    this.#end = this.#next + AREA;
  }

  /** Takes memory that belongs to no request, for the root. */
  reserve(bytes: number, alignBytes: number): bigint {
    const align = BigInt(alignBytes);
    const address = (this.#next + align - 1n) & -align;
    this.#next = address + BigInt(bytes);
    if (this.#next > this.#end) throw new OutOfTablesError('bed-full', 'the test bed has no more room', { bytes });
    return address;
  }

  allocate(request: TableRequest): PhysAddr {
    this.#checkRequest(request);
    if (this.left <= 0) throw new OutOfTablesError('dry', 'the allocator was told to run dry', { va: request.va });
    this.left--;
    const address = this.#spare.get(request.bytes)?.pop() ?? this.reserve(request.bytes, request.alignBytes);
    this.live.set(address, request);
    // Whoever installs a table zeroes it: garbage shows who does not.
    for (const words of pieces(this.#memory, address, request.bytes)) words.fill(0xffff_ffff);
    return phys(address);
  }

  free(address: PhysAddr, request: TableRequest): void {
    const known = this.live.get(address);
    if (known === undefined) {
      this.#context.fail('frame-not-live', 'a table is given back that is not in use', { address, va: request.va });
    }
    if (known.bytes !== request.bytes || known.level !== request.level || known.va !== request.va) {
      this.#context.fail('frame-request', 'a table is given back as something else than it was taken for', {
        address,
        tookVa: known.va,
        gaveVa: request.va,
        tookLevel: known.level,
        gaveLevel: request.level,
      });
    }
    this.live.delete(address);
    const spare = this.#spare.get(request.bytes);
    if (spare === undefined) this.#spare.set(request.bytes, [address]);
    else spare.push(address);
  }

  /** A request must describe a table of its level that covers its address. */
  #checkRequest({ level, va, bytes, alignBytes }: TableRequest): void {
    const description = this.#context.paging.geometry.levels[level];
    const span = BigInt(description?.entries ?? 1) << BigInt(description?.shift ?? 0);
    const right =
      this.anyRequest ||
      (description?.tableBytes === bytes && description.alignBytes === alignBytes && va % span === 0n);
    if (!right) {
      this.#context.fail('frame-request', 'a table is asked for with the size or address of another level', {
        level,
        va,
        bytes,
        alignBytes,
      });
    }
  }
}

/** The words of a stretch of memory, as arrays that show it. */
function pieces(memory: SparseMemory, address: bigint, bytes: number): Uint32Array[] {
  const found: Uint32Array[] = [];
  const end = Number(address) + bytes;
  for (let at = Number(address); at < end; ) {
    const { base, words } = memory.writable(at);
    const stop = Math.min(end, base + words.length * 4);
    found.push(words.subarray((at - base) / 4, (stop - base) / 4));
    at = stop;
  }
  return found;
}

/** All table words at one time. */
export type Snapshot = ReadonlyMap<bigint, Uint32Array>;

/** Memory with one address space in it. */
export class Bed {
  readonly memory: SparseMemory = new SparseMemory();
  readonly frames: Frames;
  readonly space: AddressSpace;
  /** Physical address of the root table. */
  readonly root: bigint;
  readonly #context: Context;

  constructor(context: Context) {
    const { root } = context.paging.geometry;
    this.#context = context;
    this.frames = new Frames(context, this.memory);
    this.root = this.frames.reserve(root.tableBytes, root.alignBytes);
    this.space = createSpace(this.memory, { paging: context.paging, address: this.root });
  }

  /** Maps, with this bed's allocator and table attributes. */
  map(request: Omit<MapRequest, 'allocator' | 'tableAttributes'>): Change {
    const { tableAttributes } = this.#context.subject;
    const pointers = tableAttributes === undefined ? {} : { tableAttributes };
    return mapRange(this.space, { ...request, ...pointers, allocator: this.frames });
  }

  /** Gives the tables that a change unlinked back to the allocator. */
  release(change: Change): Change {
    releaseTables(change, this.frames);
    return change;
  }

  /** Reads a word of a table. */
  read(slot: bigint): bigint {
    const { base, words } = this.memory.writable(Number(slot));
    const at = (Number(slot) - base) / 4;
    const lo = BigInt(words[at] ?? 0);
    return this.#context.paging.format.entryBytes === 4 ? lo : lo | (BigInt(words[at + 1] ?? 0) << 32n);
  }

  /** Writes a word of a table, behind the back of everyone. */
  write(slot: bigint, word: bigint): void {
    const { base, words } = this.memory.writable(Number(slot));
    const at = (Number(slot) - base) / 4;
    words[at] = Number(word & 0xffff_ffffn);
    if (this.#context.paging.format.entryBytes === 8) words[at + 1] = Number(word >> 32n);
  }

  /** Everything that is mapped, equal neighbours joined. */
  ranges(): MappedRange[] {
    return canonicalSpans(this.#context.paging).flatMap((span) => mappedRanges(this.space, span));
  }

  /** Copies all tables. */
  snapshot(): Snapshot {
    const tables = new Map<bigint, Uint32Array>();
    const { tableBytes } = this.#context.paging.geometry.root;
    for (const [address, bytes] of [
      [this.root, tableBytes] as const,
      ...[...this.frames.live].map(([at, request]) => [at, request.bytes] as const),
    ]) {
      const copy = new Uint32Array(bytes / 4);
      let at = 0;
      for (const words of pieces(this.memory, address, bytes)) {
        copy.set(words, at);
        at += words.length;
      }
      tables.set(address, copy);
    }
    return tables;
  }

  /** Fails unless the tables in use and all their words are those of a snapshot. */
  mustEqual(before: Snapshot, what: string): void {
    const after = this.snapshot();
    this.#context.equal(after.size, before.size, 'failure-frames', `${what} must not change which tables are in use`);
    for (const [address, words] of before) {
      const now = after.get(address);
      if (now === undefined) {
        this.#context.fail('failure-frames', `${what} must not change which tables are in use`, { table: address });
      }
      const at = words.findIndex((word, i) => word !== now[i]);
      if (at < 0) continue;
      this.#context.fail('failure-memory', `${what} must leave every table word as it was`, {
        address: address + BigInt(at * 4),
        before: words[at] as number,
        after: now[at] as number,
      });
    }
  }

  /** Fails unless the tables that are linked are exactly those that the allocator handed out and did not get back. */
  mustOwnTables(what: string): void {
    const linked = new Set<bigint>();
    const whole = canonicalSpans(this.#context.paging);
    for (const span of whole) {
      eachTable(this.space, span, ({ address, slot, va, level }) => {
        if (slot === undefined) return;
        if (!this.frames.live.has(address)) {
          this.#context.fail('frame-lost', `after ${what} a table is linked that is not allocated`, {
            address,
            va,
            level,
          });
        }
        if (linked.has(address)) {
          this.#context.fail('frame-twice', `after ${what} a table is linked twice`, { address, va, level });
        }
        linked.add(address);
      });
    }
    for (const [address, { va, level }] of this.frames.live) {
      if (linked.has(address)) continue;
      this.#context.fail('frame-leak', `after ${what} a table is allocated that nothing points to`, {
        address,
        va,
        level,
      });
    }
  }
}
