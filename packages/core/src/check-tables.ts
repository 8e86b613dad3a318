/** The tables that a check meets: which are new, which are reached twice, which lie across each other. */
import type { TableFrame } from './check-frames.ts';
import type { CheckReport } from './check-report.ts';
import { join } from './compiled.ts';
import type { Effect } from './effective.ts';
import type { Root } from './space.ts';
import type { Cursor } from './traverse.ts';

/** A table that was met. */
interface Met extends TableFrame {
  readonly root: Root;
  /** Level, from the leaves, of the table. */
  readonly level: number;
  /** The virtual addresses that it covers at its first place. */
  readonly start: number;
  readonly end: number;
  /** The first entry that points to it; `undefined` for a root. */
  readonly slot: number | undefined;
  readonly entry: bigint | undefined;
  /** Every entry that points to it; a root counts as one. */
  readonly slots: Set<number>;
  readonly levels: Set<number>;
}

/** Stands for the register that points to a root. */
const NO_SLOT = -1;

/** All tables under the roots of an address space. */
export class CheckedTables {
  readonly #report: CheckReport;
  readonly #met = new Map<string, Met>();
  readonly #seen = new Map<Root, Set<string>>();
  readonly #effects = new Map<readonly Effect[], string>();

  constructor(report: CheckReport) {
    this.#report = report;
  }

  /** Notes a root. */
  meetRoot(root: Root): void {
    const { level, tableBytes } = root.paging.geometry.root;
    const [{ start, end } = { start: 0, end: 0 }] = root.ranges;
    this.#note({
      root,
      address: root.address,
      bytes: tableBytes,
      level,
      start,
      end,
      slot: undefined,
      entry: undefined,
    });
  }

  /** Notes a table that an entry points to. */
  meet(root: Root, cursor: Cursor, address: number): void {
    const { slot, va: start, end } = cursor;
    const { level, tableBytes: bytes } = root.paging.codec(cursor.level - 1).level;
    const entry = BigInt.asUintN(root.paging.format.entryBytes * 8, join(cursor.lo, cursor.hi));
    this.#note({ root, address, bytes, level, start, end, slot, entry });
  }

  /**
   * Is a table to be looked through, because it was not yet, under this root and with these effects?
   * @param cursor on the entry that points to it
   * @param effects what that entry and those above do to leaves
   */
  isNew(root: Root, cursor: Cursor, address: number, effects: readonly Effect[]): boolean {
    const { entryVa, span } = cursor;
    const seen = this.#seen.get(root) ?? new Set();
    this.#seen.set(root, seen);
    const key = `${cursor.level}:${address}:${this.#textOf(effects)}`;
    if (seen.has(key)) return false;
    // A table of which the root translates only a part may be met again in full.
    if (cursor.va === entryVa && cursor.end === entryVa + span) seen.add(key);
    return true;
  }

  #textOf(effects: readonly Effect[]): string {
    let text = this.#effects.get(effects);
    if (text === undefined) {
      text = effects.map(({ on, op, value }) => `${on} ${op} ${value}`).join();
      this.#effects.set(effects, text);
    }
    return text;
  }

  #note(found: Omit<Met, 'slots' | 'levels'>): void {
    const { address, bytes, level, slot = NO_SLOT } = found;
    const key = `${address}:${bytes}`;
    const known = this.#met.get(key);
    if (known === undefined) {
      this.#met.set(key, { ...found, slots: new Set([slot]), levels: new Set([level]) });
      return;
    }
    known.slots.add(slot);
    known.levels.add(level);
  }

  /**
   * Reports what concerns tables as such.
   * @returns all tables, by address; of those at one address the largest first
   */
  finish(): readonly TableFrame[] {
    const list = [...this.#met.values()].sort((a, b) => a.address - b.address || b.bytes - a.bytes);
    let reach: Met | undefined;
    for (const met of list) {
      this.#shared(met);
      if (reach !== undefined && met.address < reach.address + reach.bytes) {
        this.#say('table-overlap', met, { table: BigInt(met.address), other: BigInt(reach.address) });
      }
      if (reach === undefined || met.address + met.bytes > reach.address + reach.bytes) reach = met;
    }
    return list;
  }

  #shared(met: Met): void {
    const { slots, levels, address } = met;
    if (levels.size > 1) {
      this.#say('table-levels', met, { table: BigInt(address), levels: [...levels].sort((a, b) => a - b).join(' ') });
    }
    if (slots.size > 1) {
      this.#say(
        'shared-table',
        met,
        { table: BigInt(address), links: slots.size },
        `${slots.size} entries point to one table`,
      );
    }
  }

  #say(
    rule: 'table-overlap' | 'table-levels' | 'shared-table',
    { root, start, end, level, slot, entry, address }: Met,
    values: Record<string, bigint | number | string>,
    message?: string,
  ): void {
    // The finding is about the entry that points to the table, one level above it.
    const at = slot === undefined ? level : level + 1;
    this.#report.add(rule, {
      ...{ root, start, end, level: at, slot, entry, values, kind: String(address) },
      ...(message === undefined ? {} : { message }),
    });
  }
}
