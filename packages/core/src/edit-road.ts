/**
 * The road that unmapping and changing attributes share: inspect everything, split at the edges, write. Only the last step
 * differs.
 */
import type { TableAllocator } from './allocator.ts';
import { type Cause, type Change, ChangeLog, type TableRecord } from './change.ts';
import type { EditOptions } from './edit.ts';
import { ArgumentError, MalformedEntryError, NotMappedError, PartialLeafError } from './errors.ts';
import type { CompiledShape } from './level-codec.ts';
import { SlotProbe } from './memory.ts';
import type { Paging } from './paging.ts';
import { type AddressSpace, type Stretch, stretches, type VirtRange } from './space.ts';
import { allocateSplits, leafRange, splitEdges } from './split.ts';
import { type Action, type Cursor, SKIP, shapeAt, traverse, type Visitor } from './traverse.ts';

/** A stretch as it was asked for, and what was seen there. */
interface Part {
  readonly asked: Stretch;
  /** The stretch, widened to whole leaves. */
  readonly whole: Stretch;
  /** Does a leaf lie across an end of the stretch that was asked for? */
  readonly cut: boolean;
  /** Level and address of a table that all of the stretch lies in, if one was met: writing can begin there. */
  readonly footLevel: number | undefined;
  readonly foot: number | undefined;
}

function isWider({ asked, whole }: Part): boolean {
  return whole.start < asked.start || whole.end > asked.end;
}

/** Does the leaf under a cursor map something that was asked for? */
function concerned(cursor: Cursor, asked: Stretch): boolean {
  const { start, end } = leafRange(cursor);
  return start < asked.end && end > asked.start;
}

/** How an edit treats edges and holes, all said. */
export type EditWays = Required<Pick<EditOptions, 'partial' | 'holes'>>;

/** What an edit does: a check of every leaf that will be changed, then the change. */
export interface EditStep {
  /** Why what was cached of a leaf is stale then. */
  readonly cause: Cause;
  /** @throws if a leaf cannot be changed */
  check(paging: Paging, shape: CompiledShape, lo: number, hi: number): void;
  /** Changes the leaf under a cursor. Cannot fail. */
  write(cursor: Cursor, log: ChangeLog): void;
  /**
   * How many entries from a cursor on, at most `most`, are leaves to which the same is done as to the one that the cursor
   * read last, so that what was checked of that one holds for them.
   */
  row(cursor: Cursor, most: number): number;
  /** Changes so many. Cannot fail. */
  writeRow(cursor: Cursor, slots: number, log: ChangeLog): void;
}

/** Does the edited range cover all that the entry under a cursor covers? */
function isWhole(cursor: Cursor): boolean {
  return cursor.va === cursor.entryVa && cursor.end === cursor.entryVa + cursor.span;
}

/**
 * Tables that were dealt with from end to end, by level. Kernels link one table many times (a shadow of terabytes is a
 * handful of them): to come again by another way finds nothing new.
 */
class DoneTables<T> {
  readonly #levels: Map<number, T>[] = [];

  /** What was noted of the table below an entry. */
  at(cursor: Cursor): T | undefined {
    return this.#levels[cursor.level]?.get(cursor.below);
  }

  note(cursor: Cursor, what: T): void {
    const known = this.#levels[cursor.level] ?? new Map<number, T>();
    this.#levels[cursor.level] = known;
    known.set(cursor.below, what);
  }
}

/**
 * Where a row may go on: behind a leaf that was dealt with by itself, or behind the row so far. Its cursor still holds
 * that leaf (or one like it) then, also where the next slot is the first of the next table. Rows of holes are passed
 * over, too.
 */
class RowPlace {
  #va = Number.NaN;
  #level = 0;
  #inHole = false;

  /** A hole was passed over: where there is one there are more. */
  hole(): void {
    this.#inHole = true;
  }

  /** How many slots from a cursor on are holes like the one before. */
  holes(cursor: Cursor): number {
    if (!this.#inHole) return 0;
    this.#inHole = false;
    return cursor.zeros();
  }

  /** A leaf was dealt with: what follows may be like it. Runs are dealt with entry by entry. */
  follow(cursor: Cursor): void {
    if (shapeAt(cursor).runEntries > 1) return;
    this.#va = cursor.entryVa + cursor.span;
    this.#level = cursor.level;
  }

  /** Does a cursor stand where a row may go on? */
  here(cursor: Cursor): boolean {
    return cursor.entryVa === this.#va && cursor.level === this.#level;
  }

  /** So many slots from a cursor on belong to the row. */
  take(cursor: Cursor, slots: number): void {
    this.#va += slots * cursor.span;
  }
}

/** How many entries from a cursor on end within the traversed range and at or below an address. */
function wholeSlots(cursor: Cursor, end: number): number {
  return Math.floor((Math.min(cursor.tableEnd, end) - cursor.entryVa) / cursor.span);
}

/** Looks at everything that will be touched, so that nothing can fail once something was written. */
class Inspection implements Visitor, Part {
  readonly asked: Stretch;
  whole: Stretch;
  cut = false;
  footLevel: number | undefined;
  foot: number | undefined;
  readonly #partial: EditWays['partial'];
  readonly #refuseHoles: boolean;
  readonly #step: EditStep;
  readonly #probe: SlotProbe;
  readonly #entryBytes: number;
  readonly #place = new RowPlace();
  #done: DoneTables<true> | undefined;

  constructor(space: AddressSpace, asked: Stretch, { partial, holes }: EditWays, step: EditStep) {
    this.asked = asked;
    this.whole = asked;
    this.#partial = partial;
    this.#refuseHoles = holes === 'refuse';
    this.#step = step;
    this.#probe = new SlotProbe(space.memory);
    this.#entryBytes = asked.root.paging.format.entryBytes;
  }

  bulk(cursor: Cursor): number {
    const holes = this.#place.holes(cursor);
    if (holes > 0 || !this.#place.here(cursor)) return holes;
    const slots = this.#step.row(cursor, wholeSlots(cursor, this.asked.end));
    this.#probe.prove(cursor.slot, slots * this.#entryBytes);
    this.#place.take(cursor, slots);
    return slots;
  }

  table(cursor: Cursor): Action | undefined {
    if (!isWhole(cursor)) return undefined;
    this.#done ??= new DoneTables();
    if (this.#done.at(cursor) === true) return SKIP;
    this.#done.note(cursor, true);
    return undefined;
  }

  leaf(cursor: Cursor): undefined {
    const { start, end } = this.asked;
    const { runEntries, leafBytes } = shapeAt(cursor);
    const leafStart = cursor.entryVa - (cursor.index & (runEntries - 1)) * cursor.span;
    const leafEnd = leafStart + leafBytes;
    const across = leafStart < start || leafEnd > end;
    if (across) this.#widen(leafStart, leafEnd);
    // A leaf that will be split is not what gets changed: its pieces are, and splitting tells what those are.
    this.inspect(cursor, !across || this.#partial !== 'split');
    if (!across) this.#place.follow(cursor);
    if (cursor.va !== start || cursor.tableEnd !== end) return;
    this.footLevel = cursor.level;
    this.foot = cursor.table;
  }

  /** Proves that a leaf can be written and, if it is what gets changed, that it can be changed so. */
  inspect(cursor: Cursor, changes: boolean): void {
    this.#probe.prove(cursor.slot);
    if (changes) this.#step.check(cursor.root.paging, shapeAt(cursor), cursor.lo, cursor.hi);
  }

  hole(cursor: Cursor): undefined {
    if (!this.#refuseHoles) {
      this.#place.hole();
      return;
    }
    throw new NotMappedError('not-mapped', 'part of the range is not mapped', { va: cursor.va, level: cursor.level });
  }

  malformed(cursor: Cursor): never {
    throw new MalformedEntryError('malformed-entry', 'a malformed entry stands in the range', {
      va: cursor.entryVa,
      level: cursor.level,
      slot: cursor.slot,
    });
  }

  #widen(leafStart: number, leafEnd: number): void {
    const { root, start, end } = this.asked;
    this.cut = true;
    if (this.#partial === 'refuse') {
      throw new PartialLeafError('partial-leaf', 'the range ends inside a leaf', { leafStart, leafEnd, start, end });
    }
    if (this.#partial !== 'whole') return;
    this.whole = { root, start: Math.min(this.whole.start, leafStart), end: Math.max(this.whole.end, leafEnd) };
  }
}

function inspect(space: AddressSpace, asked: Stretch, ways: EditWays, step: EditStep): Part {
  const part = new Inspection(space, asked, ways, step);
  traverse(space.memory, asked, part);
  if (isWider(part)) inspectWhole(space, part);
  return part;
}

/** Looks at the leaves across the ends once more: those parts of them that were not asked for will be touched, too. */
function inspectWhole(space: AddressSpace, part: Inspection): void {
  traverse(space.memory, part.whole, {
    leaf(cursor) {
      if (concerned(cursor, part.asked)) part.inspect(cursor, true);
      return undefined;
    },
  });
}

/**
 * Writes what was inspected. Where a table is linked from several places of the range, its leaves are changed when it is met
 * first; what was cached of them by way of the other links is stale all the same.
 */
class Edit implements Visitor {
  readonly #part: Part;
  readonly #wider: boolean;
  readonly #step: EditStep;
  readonly #log: ChangeLog;
  /** What is only needed where tables are met on the way. */
  #tables: EditedTables | undefined;
  /** The lowest level at which something was changed, of the table under way. */
  #finest = NOTHING_CHANGED;
  /** Up to here everything is noted as stale already. */
  #noted = Number.NEGATIVE_INFINITY;
  /** Takes the notes of what is noted already. */
  #unheard: ChangeLog | undefined;
  readonly #place = new RowPlace();

  constructor(part: Part, step: EditStep, log: ChangeLog) {
    this.#part = part;
    this.#wider = isWider(part);
    this.#step = step;
    this.#log = log;
  }

  leaf(cursor: Cursor): undefined {
    if (this.#wider && !concerned(cursor, this.#part.asked)) return;
    if (cursor.va < this.#noted) {
      this.#unheard ??= new ChangeLog();
      this.#unheard.entries = 0;
      this.#step.write(cursor, this.#unheard);
      this.#log.entries += this.#unheard.entries;
      return;
    }
    const before = this.#log.entries;
    this.#step.write(cursor, this.#log);
    if (this.#log.entries > before) this.#finest = Math.min(this.#finest, cursor.level);
    this.#place.follow(cursor);
  }

  hole(): undefined {
    this.#place.hole();
  }

  bulk(cursor: Cursor): number {
    const holes = this.#place.holes(cursor);
    if (holes > 0 || !this.#place.here(cursor) || cursor.va < this.#noted) return holes;
    const slots = this.#step.row(cursor, wholeSlots(cursor, this.#part.asked.end));
    if (slots === 0) return 0;
    const before = this.#log.entries;
    this.#step.writeRow(cursor, slots, this.#log);
    if (this.#log.entries > before) this.#finest = Math.min(this.#finest, cursor.level);
    this.#place.take(cursor, slots);
    return slots;
  }

  table(cursor: Cursor): Action | undefined {
    // Where leaves at the edges are passed over, nothing is changed from end to end.
    if (this.#wider) return undefined;
    this.#tables ??= new EditedTables();
    const { done, across, outer } = this.#tables;
    const finest = done.at(cursor);
    if (finest !== undefined) {
      if (finest !== NOTHING_CHANGED) this.#note(cursor, finest);
      return SKIP;
    }
    // Which of its leaves were changed is not remembered: all of it counts.
    const table = cursor.below * 8 + cursor.level;
    if (across.includes(table)) this.#note(cursor, 0);
    if (!isWhole(cursor)) across.push(table);
    outer.push(this.#finest);
    this.#finest = cursor.va < this.#noted ? 0 : NOTHING_CHANGED;
    return undefined;
  }

  leave(cursor: Cursor): undefined {
    if (this.#tables === undefined) return;
    const { done, outer } = this.#tables;
    if (isWhole(cursor)) done.note(cursor, this.#finest);
    this.#finest = Math.min(this.#finest, outer.pop() ?? NOTHING_CHANGED);
  }

  /** Notes the whole piece under an entry as stale, unless that was done. */
  #note(cursor: Cursor, level: number): void {
    this.#finest = Math.min(this.#finest, level);
    if (cursor.va < this.#noted) return;
    const { entrySpan } = cursor.root.paging.codec(level).level;
    this.#log.note(cursor.va, cursor.end, this.#step.cause, level, entrySpan);
    this.#noted = cursor.end;
  }
}

/** The tables that an edit goes through. */
class EditedTables {
  /** Of every table that was changed from end to end: the lowest level at which something was. */
  readonly done = new DoneTables<number>();
  /** Tables that lie across an edge of the range: only a part of each was changed. */
  readonly across: number[] = [];
  /** The lowest level at which something was changed, of the tables above the one under way. */
  readonly outer: number[] = [];
}

/** Instead of the lowest level at which something was changed. */
const NOTHING_CHANGED = Number.POSITIVE_INFINITY;

/** @throws ArgumentError for a word that is no way */
function checkWays({ partial, holes }: EditWays): void {
  if (partial !== 'split' && partial !== 'refuse' && partial !== 'whole') {
    throw new ArgumentError('edit-partial', 'a leaf across the edge is split, refused or taken whole', { partial });
  }
  if (holes !== 'skip' && holes !== 'refuse') {
    throw new ArgumentError('edit-holes', 'what is not mapped is skipped or refused', { holes });
  }
}

/** The common road: inspect all, allocate all, then split and write. */
export function edit(
  space: AddressSpace,
  range: VirtRange,
  ways: EditWays,
  allocator: TableAllocator | undefined,
  step: EditStep,
): Change {
  checkWays(ways);
  const found = stretches(space, range);
  const parts = [inspect(space, found[0] as Stretch, ways, step)];
  for (let i = 1; i < found.length; i++) parts.push(inspect(space, found[i] as Stretch, ways, step));
  let cut = false;
  for (const part of parts) cut ||= part.cut;
  const tables = cut ? allocateParts(space, parts, allocator, step) : undefined;
  const log = new ChangeLog();
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as Part;
    if (part.cut) splitEdges(space, part.whole, tables?.[i] ?? [], log);
    // Splitting puts tables below leaves and unlinks none: the foot is still where it was.
    traverse(space.memory, part.whole, new Edit(part, step, log), part.footLevel, part.foot);
  }
  return log.finish();
}

/** Allocates what it takes to split the leaves across the ends of those parts that are cut. */
function allocateParts(
  space: AddressSpace,
  parts: readonly Part[],
  allocator: TableAllocator | undefined,
  step: EditStep,
): TableRecord[][] {
  const wholes = parts.map(({ whole }) => whole);
  return allocateSplits(space, wholes, allocator, (paging, shape, lo, hi) => step.check(paging, shape, lo, hi));
}
