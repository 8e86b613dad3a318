/**
 * Following one address through the tables: with a full trace (`walk`), for the answer alone (`translate`), or judging
 * an access (`access`). All three are one descent; faults are values and carry the architecture's own name and code.
 */
import { withAccessOptions } from './access-options.ts';
import { type PhysAddr, phys, type VirtAddr, virt } from './address.ts';
import { join } from './compiled.ts';
import { accumulateEffects, applyEffects, type Effect, numericFields } from './effective.ts';
import { ArgumentError } from './errors.ts';
import type { AccessRequest, CommonAttributes, FaultEvent, FieldValues } from './format.ts';
import { EMPTY, LEAF, MALFORMED, TABLE } from './level-codec.ts';
import { writeWord } from './memory.ts';
import type { DecodedEntry, Paging } from './paging.ts';
import { type AddressSpace, placeOf, type Root } from './space.ts';
import { type Cursor, STOP, shapeAt, traverse } from './traverse.ts';

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

/** Makes a fault out of what was found. */
function faultOf(
  paging: Paging,
  va: VirtAddr,
  stage: FaultEvent['stage'],
  reasons: readonly string[],
  request: Required<AccessRequest>,
  at?: { readonly level: number; readonly slot: number; readonly entry?: bigint | undefined },
): Fault {
  const { format, features } = paging;
  const reason = reasons[0] ?? format.unmatched;
  const report = format.fault({ reason, reasons, stage, level: at?.level, request, features });
  return {
    mapped: false,
    va,
    type: report.type,
    code: report.code,
    reason,
    reasons,
    stage,
    level: at?.level,
    hardwareLevel: report.level ?? (at === undefined ? undefined : paging.codec(at.level).level.hardware),
    slot: at === undefined ? undefined : phys(at.slot),
    entry: at?.entry,
  };
}

/** The virtual address as the machine's word holds it. */
function checked(space: AddressSpace, va: bigint): VirtAddr {
  if (va < 0n || va >> 64n !== 0n) throw new ArgumentError('va', 'a virtual address has 64 bits', { va });
  if (space.roots.length === 0) throw new ArgumentError('no-root', 'an address space needs a root');
  return virt(va);
}

/** In whose name faults are reported if nobody says. */
const SUPERVISOR_READ: AccessRequest = { kind: 'read', privilege: 'supervisor' };

/** An entry on the way, as the descent shows it. */
type See = (cursor: Cursor, effects: readonly Effect[], entry?: bigint, effective?: FieldValues) => void;

/** What a descent found. */
interface Descent {
  /** The root that was used; the first one if none translates the address. */
  readonly root: Root;
  /** Does that root translate the address? */
  readonly translated: boolean;
  /** The request with every option filled in. */
  readonly request: Required<AccessRequest>;
  readonly outcome: Translation;
}

/** The descent that everything here shares. `see` is told of every entry on the way. */
function descend(space: AddressSpace, va: VirtAddr, { kind, privilege, options }: AccessRequest, see?: See): Descent {
  const place = placeOf(space, va, kind);
  const root = place?.root ?? (space.roots[0] as Root);
  const { paging } = root;
  const request = { kind, privilege, options: withAccessOptions(paging.format.access, root.options, options) };
  const found = (outcome: Translation): Descent => ({ root, translated: place !== undefined, request, outcome });
  const reason = place === undefined ? paging.format.nonCanonical : root.fault;
  if (place === undefined || reason !== undefined) {
    return found(faultOf(paging, va, 'address', [reason ?? paging.format.nonCanonical], request));
  }
  const { address } = place;
  const page = paging.pageBytes;
  const start = Number(address - (address % page));
  let effects: readonly Effect[] = [];
  let outcome: Translation | undefined;
  const at = (cursor: Cursor): { level: number; slot: number; entry: bigint } => ({
    level: cursor.level,
    slot: cursor.slot,
    entry: join(cursor.lo, cursor.hi),
  });
  const stop = (cursor: Cursor, kind: number): typeof STOP => {
    see?.(cursor, effects, join(cursor.lo, cursor.hi));
    const reasons = kind === LEAF ? [] : cursor.codec.reasons(cursor.lo, cursor.hi);
    outcome = faultOf(paging, va, 'entry', reasons, request, at(cursor));
    return STOP;
  };
  traverse(
    space.memory,
    { root, start, end: start + Number(page) },
    {
      table(cursor) {
        const entry = join(cursor.lo, cursor.hi);
        effects = accumulateEffects(shapeAt(cursor), entry, effects);
        see?.(cursor, effects, entry);
        return undefined;
      },
      leaf(cursor) {
        const { entry, slot } = at(cursor);
        const compiled = shapeAt(cursor);
        const effective = applyEffects(numericFields(compiled, entry), effects);
        see?.(cursor, effects, entry, effective);
        const first = compiled.address.decode(cursor.lo, cursor.hi);
        const span = BigInt(compiled.sharedAddress ? compiled.leafBytes : compiled.entryBytes);
        outcome = {
          mapped: true,
          va,
          pa: phys(BigInt(first) + (address % span)),
          level: cursor.level,
          hardwareLevel: cursor.codec.level.hardware,
          leafBytes: BigInt(compiled.leafBytes),
          shape: compiled.shape.name,
          slot: phys(slot),
          entry,
          fields: effective,
          common: paging.format.common?.toCommon(effective, paging.features),
          root: root.label,
        };
        return STOP;
      },
      hole: (cursor) => stop(cursor, EMPTY),
      malformed: (cursor) => stop(cursor, MALFORMED),
      missing(cursor) {
        see?.(cursor, effects);
        outcome = faultOf(paging, va, 'memory', ['no_memory'], request, { level: cursor.level, slot: cursor.slot });
        return STOP;
      },
    },
  );
  return found(outcome as Translation);
}

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
  if (!outcome.mapped) return { ...outcome, allowed: false };
  const { paging } = root;
  const { format, features } = paging;
  const { reasons, set = 0n, clear = 0n } = format.access.check(outcome.fields, found.request, features);
  if (reasons.length > 0) {
    const { level, slot, entry } = outcome;
    const at = { level, slot: Number(slot), entry };
    return { ...faultOf(paging, address, 'access', reasons, found.request, at), allowed: false };
  }
  note(outcome.level, outcome.slot, outcome.entry, (outcome.entry | set) & ~clear);
  if (options.apply === true) applyUpdates(space, updates, format.entryBytes);
  return { ...outcome, allowed: true, updates };
}

/** Writes all of the updates, or none if one cannot be written. */
function applyUpdates({ memory }: AddressSpace, updates: readonly EntryUpdate[], entryBytes: 4 | 8): void {
  for (const { slot } of updates) memory.writable(Number(slot));
  for (const { slot, entry } of updates) writeWord(memory, slot, entry, entryBytes);
}
