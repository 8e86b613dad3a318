/** Guards of tables: memory that two tables would share, and one table that stands in two places. */
import { OverlapError } from './errors.ts';
import type { AddressSpace } from './space.ts';
import { type Cursor, SKIP, traverse } from './traverse.ts';

/** Tables are looked up by the pages of this size that they touch; smaller ones share a page. */
const BUCKET = 4096;

/** Memory that tables occupy. Most allocators count upwards: then nothing has to be looked for. */
export class OccupiedMemory {
  /** Starts and ends in turn. */
  readonly #edges: number[] = [];
  #highest = 0;
  /** By page: where in the list the ranges stand that touch it. */
  #buckets: Map<number, number[]> | undefined;

  /** @returns false if part of the range is occupied; it is not taken then */
  take(start: number, bytes: number): boolean {
    const end = start + bytes;
    if (start >= this.#highest) {
      this.#highest = end;
    } else {
      if (this.#touches(start, end)) return false;
      this.#highest = Math.max(this.#highest, end);
    }
    this.#edges.push(start, end);
    if (this.#buckets !== undefined) this.#sort(this.#buckets, this.#edges.length - 2);
    return true;
  }

  #touches(start: number, end: number): boolean {
    if (this.#buckets === undefined) {
      this.#buckets = new Map();
      for (let at = 0; at < this.#edges.length; at += 2) this.#sort(this.#buckets, at);
    }
    for (let page = Math.floor(start / BUCKET); page * BUCKET < end; page++) {
      const there = this.#buckets.get(page) ?? [];
      if (there.some((at) => (this.#edges[at] as number) < end && (this.#edges[at + 1] as number) > start)) return true;
    }
    return false;
  }

  #sort(buckets: Map<number, number[]>, at: number): void {
    const end = this.#edges[at + 1] as number;
    for (let page = Math.floor((this.#edges[at] as number) / BUCKET); page * BUCKET < end; page++) {
      const there = buckets.get(page);
      if (there === undefined) buckets.set(page, [at]);
      else there.push(at);
    }
  }
}

/** A list of this many tables is searched faster than a map is made. */
const FEW = 8;

/**
 * Tables that a change writes into, each with the first address that it covers. Writing into a table that is linked
 * twice would change what the other link maps, too.
 */
export class EnteredTables {
  /** Table and address in turn, so many as are counted. There is room for what a page takes: it seldom has to grow. */
  readonly #list: number[] = [
    Number.NaN,
    Number.NaN,
    Number.NaN,
    Number.NaN,
    Number.NaN,
    Number.NaN,
    Number.NaN,
    Number.NaN,
    Number.NaN,
    Number.NaN,
  ];
  #length = 0;
  #map: Map<number, number> | undefined;

  /** Roots are entered from the start: nothing may lead back into one. */
  constructor({ roots }: AddressSpace) {
    for (const { address } of roots) this.#note(address, Number.NaN);
  }

  #known(address: number): number | undefined {
    if (this.#map !== undefined) return this.#map.get(address);
    for (let at = 0; at < this.#length; at += 2) if (this.#list[at] === address) return this.#list[at + 1];
    return undefined;
  }

  /**
   * Notes that the table below a cursor is entered.
   * @throws OverlapError `shared-table` if it was entered at another address before
   */
  enter(cursor: Cursor): void {
    const { below: table, entryVa: va } = cursor;
    const known = this.#known(table);
    if (known === va) return;
    if (known === undefined) {
      this.#note(table, va);
      return;
    }
    const what = 'a table in the way is linked twice: changing it would map other addresses';
    throw new OverlapError('shared-table', what, { va, table, slot: cursor.slot });
  }

  #note(address: number, va: number): void {
    if (this.#map === undefined && this.#length === FEW * 2) {
      this.#map = new Map();
      for (let at = 0; at < this.#length; at += 2)
        this.#map.set(this.#list[at] as number, this.#list[at + 1] as number);
    }
    if (this.#map !== undefined) {
      this.#map.set(address, va);
      return;
    }
    this.#list[this.#length] = address;
    this.#list[this.#length + 1] = va;
    this.#length += 2;
  }
}

/**
 * Which of these tables an address space still reaches. Each table is looked through once, and those of level 0, which
 * link nothing, never.
 */
export function stillReached(space: AddressSpace, tables: ReadonlySet<number>): ReadonlySet<number> {
  const reached = new Set<number>();
  for (const root of space.roots) {
    if (root.fault !== undefined) continue;
    const seen = new Set<number>();
    for (const range of root.ranges) {
      traverse(
        space.memory,
        { root, ...range },
        {
          table(cursor) {
            const address = cursor.below;
            if (tables.has(address)) reached.add(address);
            if (cursor.level === 1 || seen.has(address)) return SKIP;
            seen.add(address);
            return undefined;
          },
          missing: () => undefined,
        },
      );
    }
  }
  return reached;
}
