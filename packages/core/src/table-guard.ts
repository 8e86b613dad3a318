/** Guards of tables: memory that two tables would share, and one table that stands in two places. */
import { OverlapError } from './errors.ts';
import type { AddressSpace } from './space.ts';
import { SKIP, shapeAt, traverse } from './traverse.ts';

/** Tables are looked up by the pages of this size that they touch; smaller ones share a page. */
const BUCKET = 4096;

/** Memory that tables occupy. Most allocators count upwards: then nothing has to be looked for. */
export class OccupiedMemory {
  readonly #ranges: { readonly start: number; readonly end: number }[] = [];
  #highest = 0;
  #buckets: Map<number, { readonly start: number; readonly end: number }[]> | undefined;

  /** @returns false if part of the range is occupied; it is not taken then */
  take(start: number, bytes: number): boolean {
    const range = { start, end: start + bytes };
    if (start >= this.#highest) {
      this.#highest = range.end;
    } else {
      const buckets = this.#byBucket();
      for (let at = Math.floor(start / BUCKET); at * BUCKET < range.end; at++) {
        if (buckets.get(at)?.some((other) => other.start < range.end && other.end > start) === true) return false;
      }
      this.#highest = Math.max(this.#highest, range.end);
    }
    this.#ranges.push(range);
    if (this.#buckets !== undefined) addTo(this.#buckets, range);
    return true;
  }

  #byBucket(): Map<number, { readonly start: number; readonly end: number }[]> {
    if (this.#buckets === undefined) {
      this.#buckets = new Map();
      for (const range of this.#ranges) addTo(this.#buckets, range);
    }
    return this.#buckets;
  }
}

function addTo<T extends { readonly start: number; readonly end: number }>(buckets: Map<number, T[]>, range: T): void {
  for (let at = Math.floor(range.start / BUCKET); at * BUCKET < range.end; at++) {
    const there = buckets.get(at);
    if (there === undefined) buckets.set(at, [range]);
    else there.push(range);
  }
}

/** A list this short is searched faster than a map is made. */
const FEW = 8;

/**
 * Tables that a change writes into, each with the first address that it covers. Writing into a table that is linked
 * twice would change what the other link maps, too.
 */
export class EnteredTables {
  readonly #addresses: number[] = [];
  readonly #vas: number[] = [];
  #map: Map<number, number> | undefined;

  /** Roots are entered from the start: nothing may lead back into one. */
  constructor({ roots }: AddressSpace) {
    for (const { address } of roots) this.#note(address, Number.NaN);
  }

  #known(address: number): number | undefined {
    if (this.#map !== undefined) return this.#map.get(address);
    // Most are new, and to ask an array for index -1 is slow.
    const at = this.#addresses.indexOf(address);
    return at < 0 ? undefined : this.#vas[at];
  }

  /**
   * Notes that a table was entered through an entry.
   * @param address of the table
   * @param va first virtual address that the entry covers
   * @param slot of the entry, for the error
   * @throws OverlapError `shared-table` if it was entered at another address before
   */
  enter(address: number, va: number, slot: number): void {
    const known = this.#known(address);
    if (known === va) return;
    if (known === undefined) {
      this.#note(address, va);
      return;
    }
    throw new OverlapError(
      'shared-table',
      'a table in the way is linked twice: changing it would map other addresses',
      {
        va,
        table: address,
        slot,
      },
    );
  }

  #note(address: number, va: number): void {
    if (this.#map === undefined && this.#addresses.length === FEW) {
      this.#map = new Map(this.#addresses.map((known, i) => [known, this.#vas[i] as number]));
    }
    this.#addresses.push(address);
    this.#vas.push(va);
    this.#map?.set(address, va);
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
            const address = shapeAt(cursor).address.decode(cursor.lo, cursor.hi);
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
