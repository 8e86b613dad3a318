/**
 * The road that unmapping and changing attributes share: inspect everything, split at the edges, write. Only the last step
 * differs.
 */
import type { TableAllocator } from './allocator.ts';
import { type Change, ChangeLog, type TableRecord } from './change.ts';
import type { EditOptions } from './edit.ts';
import { ArgumentError, MalformedEntryError, NotMappedError, PartialLeafError } from './errors.ts';
import type { CompiledShape } from './level-codec.ts';
import { SlotProbe } from './memory.ts';
import type { Paging } from './paging.ts';
import { type AddressSpace, type Stretch, stretches, type VirtRange } from './space.ts';
import { allocateSplits, leafRange, splitEdges } from './split.ts';
import { type Cursor, shapeAt, traverse, type Visitor } from './traverse.ts';

/** A stretch as it was asked for, and widened to whole leaves. */
interface Part {
  readonly asked: Stretch;
  readonly whole: Stretch;
  /** Does a leaf lie across an end of the widened stretch? */
  readonly cut: boolean;
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
  /** @throws if a leaf cannot be changed */
  check(paging: Paging, shape: CompiledShape, lo: number, hi: number): void;
  /** Changes the leaf under a cursor. Cannot fail. */
  write(cursor: Cursor, log: ChangeLog): void;
}

/** Looks at everything that will be touched, so that nothing can fail once something was written. */
class Inspection implements Visitor {
  /** The stretch, widened to whole leaves if those are taken. */
  start: number;
  end: number;
  /** Does a leaf lie across an end? */
  across = false;
  readonly #asked: Stretch;
  readonly #partial: NonNullable<EditOptions['partial']>;
  readonly #refuseHoles: boolean;
  readonly #step: EditStep;
  readonly probe: SlotProbe;

  constructor(space: AddressSpace, asked: Stretch, { partial, holes }: EditWays, step: EditStep) {
    this.#asked = asked;
    this.#partial = partial;
    this.#refuseHoles = holes === 'refuse';
    this.#step = step;
    this.probe = new SlotProbe(space.memory);
    this.start = asked.start;
    this.end = asked.end;
  }

  leaf(cursor: Cursor): undefined {
    const compiled = shapeAt(cursor);
    const leafStart = cursor.entryVa - (cursor.index % compiled.runEntries) * cursor.span;
    const leafEnd = leafStart + compiled.leafBytes;
    const across = leafStart < this.#asked.start || leafEnd > this.#asked.end;
    if (across) this.#widen(leafStart, leafEnd);
    this.probe.prove(cursor.slot);
    // A leaf that will be split is not what gets changed: its pieces are, and splitting tells what those are.
    if (!across || this.#partial !== 'split') this.#step.check(cursor.root.paging, compiled, cursor.lo, cursor.hi);
  }

  hole(cursor: Cursor): undefined {
    if (!this.#refuseHoles) return;
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
    const { start, end } = this.#asked;
    this.across = true;
    if (this.#partial === 'refuse') {
      throw new PartialLeafError('partial-leaf', 'the range ends inside a leaf', { leafStart, leafEnd, start, end });
    }
    if (this.#partial !== 'whole') return;
    this.start = Math.min(this.start, leafStart);
    this.end = Math.max(this.end, leafEnd);
  }
}

function inspect(space: AddressSpace, asked: Stretch, ways: EditWays, step: EditStep): Part {
  const seen = new Inspection(space, asked, ways, step);
  traverse(space.memory, asked, seen);
  if (!seen.across) return { asked, whole: asked, cut: false };
  const part = { asked, whole: { ...asked, start: seen.start, end: seen.end }, cut: true };
  if (isWider(part)) {
    traverse(space.memory, part.whole, {
      leaf(cursor) {
        if (!concerned(cursor, asked)) return undefined;
        seen.probe.prove(cursor.slot);
        step.check(asked.root.paging, shapeAt(cursor), cursor.lo, cursor.hi);
        return undefined;
      },
    });
  }
  return part;
}

/** Writes what was inspected. */
class Edit implements Visitor {
  readonly #part: Part;
  readonly #wider: boolean;
  readonly #step: EditStep;
  readonly #log: ChangeLog;

  constructor(part: Part, step: EditStep, log: ChangeLog) {
    this.#part = part;
    this.#wider = isWider(part);
    this.#step = step;
    this.#log = log;
  }

  leaf(cursor: Cursor): undefined {
    if (!this.#wider || concerned(cursor, this.#part.asked)) this.#step.write(cursor, this.#log);
  }
}

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
  const parts = stretches(space, range).map((stretch) => inspect(space, stretch, ways, step));
  const cut = parts.filter((part) => part.cut);
  const tables = cut.length === 0 ? [] : allocateParts(space, cut, allocator, step);
  const log = new ChangeLog();
  for (const part of parts) {
    if (part.cut) splitEdges(space, part.whole, tables[cut.indexOf(part)] as TableRecord[], log);
    traverse(space.memory, part.whole, new Edit(part, step, log));
  }
  return log.finish();
}

/** Allocates what it takes to split the leaves across the ends of some parts. */
function allocateParts(
  space: AddressSpace,
  parts: readonly Part[],
  allocator: TableAllocator | undefined,
  step: EditStep,
): TableRecord[][] {
  const wholes = parts.map(({ whole }) => whole);
  return allocateSplits(space, wholes, allocator, (paging, shape, lo, hi) => step.check(paging, shape, lo, hi));
}
