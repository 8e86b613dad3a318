/**
 * Following one address through the tables: with a full trace (`walk`), for the answer alone (`translate`), or judging
 * an access (`access`). All three are one descent; faults are values and carry the architecture's own name and code.
 */
import { type PhysAddr, phys, type VirtAddr, virt } from './address.ts';
import { join } from './compiled.ts';
import { accumulateEffects, applyEffects, type Effect, numericFields } from './effective.ts';
import { ArgumentError } from './errors.ts';
import type { AccessKind, AccessRequest, CommonAttributes, FaultEvent, FieldValues } from './format.ts';
import { EMPTY, LEAF, MALFORMED } from './level-codec.ts';
import { writeWord } from './memory.ts';
import type { DecodedEntry, Paging } from './paging.ts';
import { type AddressSpace, type Root, rootFor, withoutTag } from './space.ts';
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
  access: AccessKind,
  at?: { readonly level: number; readonly slot: number; readonly entry?: bigint | undefined },
): Fault {
  const reason = reasons[0] ?? paging.format.unmatched;
  const report = paging.format.fault({ reason, stage, level: at?.level, access });
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

interface Descent {
  readonly root: Root | undefined;
  readonly outcome: Translation;
}

/** The descent that everything here shares. `see` is told of every entry on the way. */
function descend(
  space: AddressSpace,
  va: VirtAddr,
  access: AccessKind,
  see: ((cursor: Cursor, effects: readonly Effect[], entry?: bigint, effective?: FieldValues) => void) | undefined,
): Descent {
  const root = rootFor(space, va);
  const named = root ?? (space.roots[0] as Root);
  const { paging } = named;
  if (root === undefined) {
    return { root, outcome: faultOf(paging, va, 'address', [paging.format.nonCanonical], access) };
  }
  if (root.fault !== undefined) return { root, outcome: faultOf(paging, va, 'address', [root.fault], access) };
  const address = withoutTag(root, va);
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
    outcome = faultOf(paging, va, 'entry', reasons, access, at(cursor));
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
        outcome = faultOf(paging, va, 'memory', ['no_memory'], access, { level: cursor.level, slot: cursor.slot });
        return STOP;
      },
    },
  );
  return { root, outcome: outcome as Translation };
}

/**
 * Where an address leads: the physical address, or the fault. Permissions are not judged; see {@link access}.
 * @param va any 64-bit address
 * @throws ArgumentError if `va` is no 64-bit number
 */
export function translate(space: AddressSpace, va: VirtAddr | bigint): Translation {
  return descend(space, checked(space, va), 'read', undefined).outcome;
}

/**
 * Follows an address and keeps everything that was seen: each table, index, slot, entry, decoded fields, effective
 * attributes, and the exact fault.
 * @param va any 64-bit address
 * @throws ArgumentError if `va` is no 64-bit number
 */
export function walk(space: AddressSpace, va: VirtAddr | bigint): Walk {
  const steps: WalkStep[] = [];
  const address = checked(space, va);
  const { root, outcome } = descend(space, address, 'read', (cursor, effects, entry, effective) => {
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
  return { va: address, root: root?.label, steps, outcome };
}

/** An access that is allowed. */
export interface Allowed extends Mapped {
  readonly allowed: true;
  /** The leaf's entry after the hardware has set (or cleared) bits in it by itself; absent if nothing changes. */
  readonly update: { readonly slot: PhysAddr; readonly entry: bigint } | undefined;
}

/** An access that is refused, with the fault that the hardware reports. */
export interface Refused extends Fault {
  readonly allowed: false;
}

/** What an access leads to. */
export type AccessResult = Allowed | Refused;

/** Fills in the options of the access check and refuses unknown ones. */
function completeRequest(root: Root, request: AccessRequest): Required<AccessRequest> {
  const known = root.paging.format.access.options;
  const options: Record<string, string | number | boolean> = {};
  for (const { name, values } of known) options[name] = values[0] ?? 0;
  for (const [name, value] of [...Object.entries(root.control), ...Object.entries(request.options ?? {})]) {
    const option = known.find((candidate) => candidate.name === name);
    const fits = option?.values.length === 0 ? typeof value === 'number' : option?.values.includes(value) === true;
    if (!fits) {
      throw new ArgumentError('access-option', 'the access check has no such option or value', {
        option: name,
        value: String(value),
      });
    }
    options[name] = value;
  }
  return { ...request, options };
}

/**
 * Makes an access as the hardware would: walks, then judges permissions.
 * @param request what is done, by whom, under which control bits
 * @param options `apply`: also write the update (accessed, dirty) that the hardware would make. Not supplied: no.
 * @throws ArgumentError for a bad address or an unknown option
 */
export function access(
  space: AddressSpace,
  va: VirtAddr | bigint,
  request: AccessRequest,
  options: { readonly apply?: boolean } = {},
): AccessResult {
  const address = checked(space, va);
  const { root, outcome } = descend(space, address, request.kind, undefined);
  const { paging } = root ?? (space.roots[0] as Root);
  const complete = completeRequest(root ?? (space.roots[0] as Root), request);
  if (!outcome.mapped) return { ...outcome, allowed: false };
  const verdict = paging.format.access.check(outcome.fields, complete, paging.features);
  if (verdict.reasons.length > 0) {
    const fault = faultOf(paging, address, 'access', verdict.reasons, request.kind, {
      level: outcome.level,
      slot: Number(outcome.slot),
      entry: outcome.entry,
    });
    return { ...fault, allowed: false };
  }
  const after = (outcome.entry | (verdict.set ?? 0n)) & ~(verdict.clear ?? 0n);
  const update = after === outcome.entry ? undefined : { slot: outcome.slot, entry: after };
  if (options.apply === true && update !== undefined) {
    writeWord(space.memory, update.slot, update.entry, paging.format.entryBytes);
  }
  return { ...outcome, allowed: true, update };
}
