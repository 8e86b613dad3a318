/**
 * Checking tables: what the hardware refuses, what is dangerous, what is only worth knowing. A table is looked through
 * once for each set of effects that it stands under, however many entries share it; what is found in it is reported at
 * the first place where it was met.
 */
import { sizeText, TWO_64 } from './address.ts';
import { checkAliases, checkWritable, type MappedFrames } from './check-frames.ts';
import { CheckReport, chosenRules } from './check-report.ts';
import type { TableFinding } from './check-rules.ts';
import { RunCheck } from './check-runs.ts';
import { CheckedTables } from './check-tables.ts';
import { join } from './compiled.ts';
import type { Effect } from './effective.ts';
import { ArgumentError } from './errors.ts';
import { leafAddressAt } from './leaf-address.ts';
import { Folder } from './leaf-folder.ts';
import type { MappedRange } from './leaves.ts';
import { looksOf } from './looks.ts';
import { type AddressSpace, type Root, type Stretch, stretches, type VirtRange } from './space.ts';
import { NO_EFFECTS } from './table-effects.ts';
import { type Action, type Cursor, SKIP, shapeAt, traverse, type Visitor } from './traverse.ts';

/** What is checked. */
export interface CheckOptions {
  /** Names of the rules to look for. Not supplied: all that are not optional. */
  readonly rules?: readonly string[];
  /** Names of rules not to look for. Not supplied: none. */
  readonly ignore?: readonly string[];
  /** Most tables that there may be. Not supplied: any number. */
  readonly maxTables?: number;
  /** Only tables and leaves of this range, half-open. Not supplied: everything. */
  readonly range?: VirtRange;
}

/** The outcome of a check. */
export interface TableCheck {
  /** By root in rising order of addresses, then what concerns tables as memory. */
  readonly findings: readonly TableFinding[];
  /** Tables that were met, each counted once. */
  readonly tables: number;
  /** Bytes of all of them. */
  readonly tableBytes: bigint;
}

/** The check of what lies under one root. */
class RootCheck implements Visitor {
  readonly #root: Root;
  readonly #report: CheckReport;
  readonly #tables: CheckedTables;
  readonly #runs: RunCheck;
  readonly #folder: Folder;
  readonly #frames: MappedFrames[];
  readonly #stack: (readonly Effect[])[] = [];
  /** The tables on the way down, by level. */
  readonly #path: number[] = [];
  /** Does nothing keep users out? Then the leaves are for guests, whose own tables say what may be done with them. */
  readonly #guests: boolean;
  #effects = NO_EFFECTS;
  #lastSlot = 0;

  constructor(
    { memory }: AddressSpace,
    root: Root,
    report: CheckReport,
    tables: CheckedTables,
    frames: MappedFrames[],
  ) {
    this.#root = root;
    this.#report = report;
    this.#tables = tables;
    this.#frames = frames;
    this.#runs = new RunCheck(memory, root, report);
    this.#folder = new Folder(root, (range) => this.#judge(range), {});
    const { format, features } = root.paging;
    this.#guests = format.common?.fromCommon({ user: false }, features).lost.includes('user') ?? false;
    this.#path[root.paging.geometry.root.level] = root.address;
  }

  /** To be called after the traversal of each stretch. */
  finish(): void {
    this.#folder.close();
  }

  bulk(cursor: Cursor): number {
    const took = this.#folder.follow(cursor, this.#effects);
    if (took === 0) return cursor.zeros();
    this.#lastSlot = cursor.slot + (took - 1) * this.#root.paging.format.entryBytes;
    return took;
  }

  table(cursor: Cursor): Action | undefined {
    const compiled = shapeAt(cursor);
    const level = cursor.level - 1;
    const address = compiled.address.decode(cursor.lo, cursor.hi);
    const below = looksOf(this.#root.paging).tables.below(compiled, cursor.lo, cursor.hi, this.#effects);
    this.#tables.meet(this.#root, cursor, address);
    for (let above = cursor.level; above < this.#path.length; above++) {
      if (this.#path[above] !== address) continue;
      this.#folder.close();
      this.#report.add('table-loop', {
        ...this.#at(cursor),
        values: { table: BigInt(address) },
        kind: String(address),
      });
      return SKIP;
    }
    if (!this.#tables.isNew(this.#root, cursor, address, below)) return SKIP;
    this.#path[level] = address;
    this.#stack.push(this.#effects);
    this.#effects = below;
    return undefined;
  }

  leave(): undefined {
    this.#effects = this.#stack.pop() ?? NO_EFFECTS;
  }

  leaf(cursor: Cursor): undefined {
    const compiled = shapeAt(cursor);
    const pa = leafAddressAt(cursor, compiled);
    const { va, end, level } = cursor;
    this.#folder.add(compiled, level, { va, end, pa, entries: 1 }, cursor, this.#effects);
    this.#lastSlot = cursor.slot;
  }

  malformed(cursor: Cursor): undefined {
    this.#folder.close();
    const reasons = cursor.codec.reasons(cursor.lo, cursor.hi).join(' ');
    this.#report.add('malformed', {
      ...this.#at(cursor),
      message: `the hardware refuses the entry: ${reasons.replaceAll(' ', ', ')}`,
      values: { reasons },
      kind: `${cursor.level} ${reasons}`,
    });
  }

  missing(cursor: Cursor): undefined {
    this.#folder.close();
    this.#report.add('no-memory', { ...this.#at(cursor), end: cursor.tableEnd, entry: undefined });
  }

  #at(cursor: Cursor): { root: Root; start: number; end: number; level: number; slot: number; entry: bigint } {
    const { va: start, end, level, slot } = cursor;
    const entry = BigInt.asUintN(this.#root.paging.format.entryBytes * 8, join(cursor.lo, cursor.hi));
    return { root: this.#root, start, end, level, slot, entry };
  }

  /** Judges equal leaves that continue each other. */
  #judge(range: MappedRange): void {
    this.#runs.check(range, this.#lastSlot);
    const { common, level, entry } = range;
    const start = Number(range.start);
    const at = { root: this.#root, start, end: Number(range.end), level, slot: Number(range.slot), entry };
    if (common !== undefined) {
      const { write, execute, user, memory } = common;
      const who = this.#guests ? 'guests' : user ? 'users' : 'the supervisor';
      if (write && execute) {
        const message = `${who} can write and execute it`;
        const severity = this.#guests ? { severity: 'info' as const } : {};
        this.#report.add('write-execute', { ...at, ...severity, message, values: { who }, kind: who });
      }
      if (execute && memory === 'device') this.#report.add('device-execute', at);
    }
    if (
      !this.#guests &&
      this.#report.wants('both-execute') &&
      this.#executes(range, 'user') &&
      this.#executes(range, 'supervisor')
    ) {
      this.#report.add('both-execute', at);
    }
    const wanted = common?.write === true || this.#report.wants('memory-alias');
    if (common === undefined || !wanted) return;
    const pa = Number(range.pa);
    const bytes = Number(range.repeats ? range.leafBytes : range.end - range.start);
    const { slot } = at;
    const leaves = range.repeats ? range.entries : 1;
    const { user, memory, write } = common;
    this.#frames.push({
      root: this.#root,
      pa,
      end: pa + bytes,
      va: start,
      leaves,
      level,
      slot,
      entry,
      user,
      memory,
      write,
    });
  }

  #executes({ fields }: MappedRange, privilege: 'user' | 'supervisor'): boolean {
    const { format, features } = this.#root.paging;
    const request = { kind: 'execute', privilege, options: this.#root.options } as const;
    return format.access.check(fields, request, features).reasons.length === 0;
  }
}

/**
 * Checks the tables of an address space. Reads every table once for each set of effects above it.
 * @throws ArgumentError `check-rule` for an unknown rule, `max-tables` for a limit that is none, or for a range that is
 *   none
 */
export function checkTables(space: AddressSpace, options: CheckOptions = {}): TableCheck {
  const { maxTables, range = { start: 0n, end: TWO_64 } } = options;
  const report = new CheckReport(chosenRules(options.rules, options.ignore));
  const tables = new CheckedTables(report);
  if (maxTables !== undefined && !(Number.isInteger(maxTables) && maxTables >= 0)) {
    throw new ArgumentError('max-tables', 'a limit of tables is a whole number from 0', { maxTables });
  }
  const frames: MappedFrames[] = [];
  const checks = new Map<Root, RootCheck>();
  for (const stretch of stretches(space, range, true)) checkStretch(space, stretch, { report, tables, frames, checks });
  const list = tables.finish();
  const alone = list.filter(({ address }, i) => address !== list[i - 1]?.address);
  checkWritable(
    report,
    alone,
    frames.filter(({ write }) => write),
  );
  if (report.wants('memory-alias')) checkAliases(report, frames);
  const tableBytes = alone.reduce((sum, { bytes }) => sum + BigInt(bytes), 0n);
  const [first] = space.roots;
  if (maxTables !== undefined && alone.length > maxTables && first !== undefined) {
    const { level } = first.paging.geometry.root;
    const message = `there are ${alone.length} tables (${sizeText(tableBytes)}), ${maxTables} are allowed`;
    const values = { tables: alone.length, limit: maxTables };
    const start = first.ranges[0]?.start ?? 0;
    report.add('too-many-tables', { root: first, start, end: first.ranges[0]?.end ?? start, level, message, values });
  }
  return { findings: report.findings, tables: alone.length, tableBytes };
}

interface Work {
  readonly report: CheckReport;
  readonly tables: CheckedTables;
  readonly frames: MappedFrames[];
  readonly checks: Map<Root, RootCheck>;
}

function checkStretch(space: AddressSpace, stretch: Stretch, { report, tables, frames, checks }: Work): void {
  const { root } = stretch;
  let check = checks.get(root);
  if (check === undefined) {
    tables.meetRoot(root);
    check = new RootCheck(space, root, report, tables, frames);
    checks.set(root, check);
  }
  traverse(space.memory, stretch, check);
  check.finish();
}
