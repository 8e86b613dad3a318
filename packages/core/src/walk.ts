/**
 * Following one address through the tables: with a full trace (`walk`), for the answer alone (`translate`), or judging
 * an access (`access`). All three are one descent; faults are values and carry the architecture's own name and code.
 */
import { type PhysAddr, phys, TWO_64, type VirtAddr } from './address.ts';
import { checkBigints } from './bigints.ts';
import { descend, faultOf } from './descend.ts';
import type { Effect } from './effective.ts';
import { ArgumentError } from './errors.ts';
import type { AccessRequest, CommonAttributes, FaultEvent, FieldValues } from './format.ts';
import { TABLE } from './level-codec.ts';
import { writeWord } from './memory.ts';
import type { DecodedEntry } from './paging.ts';
import type { AddressSpace } from './space.ts';
import { shapeAt } from './traverse.ts';

/** One table visited on the way. */
export interface WalkStep {
  /** Level from the leaves. */
  readonly level: number;
  /** The hardware's number of the level. */
  readonly hardwareLevel: number;
  /** The level's name: `PMD`. */
  readonly name: string;
  /** Physical address of the table. */
  readonly table: PhysAddr;
  /** Index of the entry in it. */
  readonly index: number;
  /** Physical address of the entry. */
  readonly slot: PhysAddr;
  /** The entry as it stands in memory; `undefined` where there is no memory. */
  readonly entry: bigint | undefined;
  /** The entry, decoded. */
  readonly decoded: DecodedEntry | undefined;
  /** What this table entry and those above it do to every leaf below. */
  readonly effects: readonly Effect[];
  /** A leaf's fields after those effects; `undefined` for other entries. */
  readonly effective: FieldValues | undefined;
}

/** An address that is mapped. */
export interface Mapped {
  readonly mapped: true;
  readonly va: VirtAddr;
  readonly pa: PhysAddr;
  /** Level, from the leaves, of the leaf. */
  readonly level: number;
  /** The hardware's number of that level. */
  readonly hardwareLevel: number;
  /** Bytes of the translation: of the entry, or of the run it belongs to. */
  readonly leafBytes: bigint;
  /** Name of the leaf's shape. */
  readonly shape: string;
  /** Physical address of the leaf's entry. */
  readonly slot: PhysAddr;
  /** The leaf's entry. */
  readonly entry: bigint;
  /** The leaf's fields after the effects of the tables above it. */
  readonly fields: FieldValues;
  /** The same in the common vocabulary, if the format speaks it. */
  readonly common: CommonAttributes | undefined;
  /** Label of the root that was used. */
  readonly root: string;
}

/** A fault of the modelled hardware. */
export interface Fault {
  readonly mapped: false;
  readonly va: VirtAddr;
  /** The architecture's name: `page_fault`. */
  readonly type: string;
  /** The architecture's code, if it has one. */
  readonly code: number | undefined;
  /** Why, in the format's words; the first in checking order. */
  readonly reason: string;
  /** All reasons, in checking order. */
  readonly reasons: readonly string[];
  /** What kind of check failed. */
  readonly stage: FaultEvent['stage'];
  /** Level, from the leaves, of the entry; `undefined` if none was read. */
  readonly level: number | undefined;
  /** The level as the hardware reports it. */
  readonly hardwareLevel: number | undefined;
  /** Physical address of the entry. */
  readonly slot: PhysAddr | undefined;
  /** The entry. */
  readonly entry: bigint | undefined;
}

/** What became of an address. */
export type Translation = Mapped | Fault;

/** A walk with everything that was seen. */
export interface Walk {
  readonly va: VirtAddr;
  /** Label of the root, or `undefined` if no root translates the address. */
  readonly root: string | undefined;
  readonly steps: readonly WalkStep[];
  readonly outcome: Translation;
}

/** The virtual address as the machine's word holds it. */
function checked(space: AddressSpace, va: bigint): VirtAddr {
  if (typeof va !== 'bigint') checkBigints({ va });
  if (va < 0n || va >= TWO_64) throw new ArgumentError('va', 'a virtual address has 64 bits', { va });
  if (space.roots.length === 0) throw new ArgumentError('no-root', 'an address space needs a root');
  return va as VirtAddr;
}

/** In whose name faults are reported if nobody says. */
const SUPERVISOR_READ: AccessRequest = { kind: 'read', privilege: 'supervisor' };

/**
 * Where an address leads: the physical address, or the fault. Permissions are not judged; see {@link access}.
 * @param va any 64-bit address
 * @param request in whose name a fault is reported. Not supplied: a supervisor's read.
 * @throws ArgumentError if `va` is no 64-bit number, or for an unknown option
 */
export function translate(
  space: AddressSpace,
  va: VirtAddr | bigint,
  request: AccessRequest = SUPERVISOR_READ,
): Translation {
  return descend(space, checked(space, va), request).outcome;
}

/**
 * Follows an address and keeps everything that was seen: each table, index, slot, entry, decoded fields, effective
 * attributes, and the exact fault.
 * @param va any 64-bit address
 * @param request in whose name a fault is reported. Not supplied: a supervisor's read.
 * @throws ArgumentError if `va` is no 64-bit number, or for an unknown option
 */
export function walk(space: AddressSpace, va: VirtAddr | bigint, request: AccessRequest = SUPERVISOR_READ): Walk {
  const steps: WalkStep[] = [];
  const address = checked(space, va);
  const { root, translated, outcome } = descend(space, address, request, (cursor, effects, entry, effective) => {
    steps.push({
      level: cursor.level,
      hardwareLevel: cursor.codec.level.hardware,
      name: cursor.codec.level.name,
      table: phys(cursor.table),
      index: cursor.index,
      slot: phys(cursor.slot),
      entry,
      decoded: entry === undefined ? undefined : cursor.root.paging.decode(cursor.level, entry),
      effects,
      effective,
    });
  });
  return { va: address, root: translated ? root.label : undefined, steps, outcome };
}

/** An entry that the hardware changes by itself, and what it holds then. */
export interface EntryUpdate {
  /** Level from the leaves. */
  readonly level: number;
  readonly slot: PhysAddr;
  readonly entry: bigint;
}

/** An access that is allowed. */
export interface Allowed extends Mapped {
  readonly allowed: true;
  /**
   * Entries that the hardware changes by itself (accessed and dirty bits), in the order of the walk: table entries that
   * the format says are marked, then the leaf's.
   */
  readonly updates: readonly EntryUpdate[];
}

/** An access that is refused, with the fault that the hardware reports. */
export interface Refused extends Fault {
  readonly allowed: false;
}

/** What an access leads to. */
export type AccessResult = Allowed | Refused;

/**
 * Makes an access as the hardware would: walks, then judges permissions. What a refused access leaves behind (processors
 * may have marked table entries by then) is not said.
 * @param request what is done, by whom, under which control bits
 * @param options `apply`: also write the updates (accessed, dirty) that the hardware would make. Not supplied: no.
 * @throws ArgumentError for a bad address or an unknown option; MemoryError if an update cannot be written
 */
export function access(
  space: AddressSpace,
  va: VirtAddr | bigint,
  request: AccessRequest,
  options: { readonly apply?: boolean } = {},
): AccessResult {
  const address = checked(space, va);
  const updates: EntryUpdate[] = [];
  const note = (level: number, slot: PhysAddr, before: bigint, after: bigint): void => {
    if (after !== before) updates.push({ level, slot, entry: after });
  };
  const found = descend(space, address, request, (cursor, _, entry) => {
    if (entry === undefined || cursor.kind !== TABLE) return;
    note(cursor.level, phys(cursor.slot), entry, entry | shapeAt(cursor).marks);
  });
  const { root, outcome } = found;
  if (!outcome.mapped) return refused(outcome);
  const { paging } = root;
  const { format, features } = paging;
  const { reasons, set = 0n, clear = 0n } = format.access.check(outcome.fields, found.request, features);
  if (reasons.length > 0) {
    const { level, slot, entry } = outcome;
    const at = { level, slot: Number(slot), entry };
    return refused(faultOf(paging, address, 'access', reasons, found.request, at));
  }
  note(outcome.level, outcome.slot, outcome.entry, (outcome.entry | set) & ~clear);
  if (options.apply === true) applyUpdates(space, updates, format.entryBytes);
  // The outcome was made for this call: adding to it is several times faster than copying it.
  return Object.assign(outcome, { allowed: true as const, updates });
}

function refused(fault: Fault): Refused {
  return Object.assign(fault, { allowed: false as const });
}

/** Writes all of the updates, or none if one cannot be written. */
function applyUpdates({ memory }: AddressSpace, updates: readonly EntryUpdate[], entryBytes: 4 | 8): void {
  for (const { slot } of updates) memory.writable(Number(slot));
  for (const { slot, entry } of updates) writeWord(memory, slot, entry, entryBytes);
}
