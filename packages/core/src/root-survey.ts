/** The fine sieve of the search for roots: everything below a candidate is looked through. */
import { leafAddressAt } from './leaf-address.ts';
import { looksOf } from './looks.ts';
import type { Memory } from './memory.ts';
import type { Paging } from './paging.ts';
import type { SearchedMemory } from './searched-memory.ts';
import { createSpace, type Root } from './space.ts';
import { NO_EFFECTS } from './table-effects.ts';
import { type Cursor, SKIP, STOP, shapeAt, traverse, type Visitor } from './traverse.ts';

/** A table that a candidate reaches. */
export interface SurveyedTable {
  readonly start: number;
  readonly bytes: number;
  /** Level from the leaves. */
  readonly level: number;
}

/** What lies below a candidate. */
export interface RootSurvey {
  readonly address: number;
  readonly rootBytes: number;
  /** Tables, the root first, each once. */
  readonly tables: readonly SurveyedTable[];
  /** Entries that map memory. */
  readonly leaves: number;
  /** Those of them that map memory which is searched. */
  readonly leavesWithin: number;
  /** Is the root's own memory mapped? */
  readonly mapsItself: boolean;
  /** Is there a leaf that users may access? */
  readonly users: boolean;
}

/** Looks through candidates of one paging. */
export class Surveyor {
  readonly #memory: Memory;
  readonly #paging: Paging;
  /** One root for all candidates: what belongs to a root is made once. */
  readonly #root: { -readonly [key in keyof Root]: Root[key] };
  /** Addresses of what turned out to be no tables, by level: any candidate that points to one is none. */
  readonly #wrong: readonly Set<number>[];
  readonly #searched: SearchedMemory;

  constructor(memory: Memory, paging: Paging, searched: SearchedMemory) {
    this.#memory = memory;
    this.#searched = searched;
    this.#paging = paging;
    this.#root = { ...(createSpace(memory, { paging, address: 0n }).roots[0] as Root) };
    this.#wrong = paging.levels.map(() => new Set());
  }

  /**
   * What lies below a root; `undefined` if it cannot be one.
   * @param address aligned as a root of this paging
   */
  survey(address: number): RootSurvey | undefined {
    const root = this.#root;
    root.address = address;
    const visit = new Visit(this.#paging, address, this.#searched, this.#wrong);
    if (!root.ranges.every((range) => traverse(this.#memory, { root, ...range }, visit))) return undefined;
    // Nothing but leaves, or nothing but pointers, is found by chance now and then.
    if (visit.leaves === 0 || (visit.tables.length === 1 && !visit.mapsItself)) return undefined;
    const { tables, leaves, leavesWithin, mapsItself, users } = visit;
    const { tableBytes: rootBytes } = this.#paging.geometry.root;
    return { address, rootBytes, tables, leaves, leavesWithin, mapsItself, users };
  }
}

class Visit implements Visitor {
  readonly tables: SurveyedTable[];
  leaves = 0;
  leavesWithin = 0;
  mapsItself = false;
  users = false;
  readonly #paging: Paging;
  readonly #root: number;
  readonly #wrong: readonly Set<number>[];
  readonly #seen: readonly Set<number>[];
  /** The tables on the way down, by level. */
  readonly #path: number[] = [];
  readonly #searched: SearchedMemory;

  constructor(paging: Paging, root: number, searched: SearchedMemory, wrong: readonly Set<number>[]) {
    this.#paging = paging;
    this.#searched = searched;
    this.#root = root;
    this.#wrong = wrong;
    this.#seen = paging.levels.map(() => new Set());
    const { level, tableBytes: bytes } = paging.geometry.root;
    this.tables = [{ start: root, bytes, level }];
  }

  table(cursor: Cursor): typeof SKIP | typeof STOP | undefined {
    const address = shapeAt(cursor).address.decode(cursor.lo, cursor.hi);
    const level = cursor.level - 1;
    if (this.#wrong[level]?.has(address) === true) return this.#refuse(cursor.level);
    const seen = this.#seen[level];
    if (seen?.has(address) === true) return SKIP;
    seen?.add(address);
    this.#path[level] = address;
    this.tables.push({ start: address, bytes: this.#paging.codec(level).level.tableBytes, level });
    return undefined;
  }

  leaf(cursor: Cursor): undefined {
    const compiled = shapeAt(cursor);
    this.leaves++;
    const pa = leafAddressAt(cursor, compiled);
    if (pa <= this.#root && this.#root < pa + cursor.span) this.mapsItself = true;
    if (this.#searched.touches(pa, pa + cursor.span)) this.leavesWithin++;
    if (this.users) return;
    const { common } = looksOf(this.#paging).of(compiled, cursor.lo, cursor.hi, NO_EFFECTS);
    this.users = common?.user === true;
  }

  malformed({ level }: Cursor): typeof STOP {
    return this.#refuse(level);
  }

  missing({ level }: Cursor): typeof STOP {
    return this.#refuse(level);
  }

  /** Remembers the table of a level, and those above it, as no tables. */
  #refuse(level: number): typeof STOP {
    for (let at = level; at < this.#wrong.length - 1; at++) this.#wrong[at]?.add(this.#path[at] as number);
    return STOP;
  }
}
