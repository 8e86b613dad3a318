/**
 * The one descent behind `translate`, `walk` and `access`: from the root to whatever answers for an address. Simulators
 * ask for millions of addresses, so nothing is made on the way but the answer.
 */
import { withAccessOptions } from './access-options.ts';
import { type PhysAddr, phys, type VirtAddr } from './address.ts';
import { floorMultiple, join, maskedHalves, toBig } from './compiled.ts';
import type { Effect } from './effective.ts';
import { ArgumentError } from './errors.ts';
import type { AccessRequest, FaultEvent, FieldValues } from './format.ts';
import { type Looks, looksOf } from './looks.ts';
import type { Paging } from './paging.ts';
import { type AddressSpace, pageOf, placeOf, type Root } from './space.ts';
import { NO_EFFECTS } from './table-effects.ts';
import { type Cursor, STOP, shapeAt, traverse, type Visitor } from './traverse.ts';
import type { Fault, Translation } from './walk.ts';

/** Makes a fault out of what was found. */
export function faultOf(
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

/** An entry on the way, as the descent shows it. */
export type See = (cursor: Cursor, effects: readonly Effect[], entry?: bigint, effective?: FieldValues) => void;

/** What a descent found. */
export interface Descent {
  /** The root that was used; the first one if none translates the address. */
  readonly root: Root;
  /** Does that root translate the address? */
  readonly translated: boolean;
  /** The request with every option filled in. */
  readonly request: Required<AccessRequest>;
  readonly outcome: Translation;
}

/** The callbacks of a descent. */
class Finder implements Visitor {
  outcome: Translation | undefined;
  readonly #va: VirtAddr;
  /** The address without its tag. */
  readonly #address: bigint;
  readonly #paging: Paging;
  readonly #request: Required<AccessRequest>;
  readonly #see: See | undefined;
  readonly #looks: Looks;
  #effects = NO_EFFECTS;

  constructor(va: VirtAddr, address: bigint, paging: Paging, request: Required<AccessRequest>, see: See | undefined) {
    this.#va = va;
    this.#address = address;
    this.#paging = paging;
    this.#request = request;
    this.#see = see;
    this.#looks = looksOf(paging);
  }

  table(cursor: Cursor): undefined {
    this.#effects = this.#looks.tables.below(shapeAt(cursor), cursor.lo, cursor.hi, this.#effects);
    this.#see?.(cursor, this.#effects, join(cursor.lo, cursor.hi));
  }

  leaf(cursor: Cursor): typeof STOP {
    const { lo, hi, root } = cursor;
    const compiled = shapeAt(cursor);
    const entry = join(lo, hi);
    const { fields, common } = this.#looks.of(compiled, lo, hi, this.#effects);
    this.#see?.(cursor, this.#effects, entry, fields);
    const { address } = compiled;
    const offset = maskedHalves(this.#address, compiled.offset);
    this.outcome = {
      mapped: true,
      va: this.#va,
      pa: join(address.low(lo, hi) | offset.lo, address.high(lo, hi) | offset.hi) as PhysAddr,
      level: cursor.level,
      hardwareLevel: cursor.codec.level.hardware,
      leafBytes: toBig(compiled.leafBytes),
      shape: compiled.shape.name,
      slot: toBig(cursor.slot) as PhysAddr,
      entry,
      fields,
      common,
      root: root.label,
    };
    return STOP;
  }

  hole(cursor: Cursor): typeof STOP {
    return this.#refuse(cursor);
  }

  malformed(cursor: Cursor): typeof STOP {
    return this.#refuse(cursor);
  }

  missing(cursor: Cursor): typeof STOP {
    this.#see?.(cursor, this.#effects);
    const { level, slot } = cursor;
    this.outcome = faultOf(this.#paging, this.#va, 'memory', ['no_memory'], this.#request, { level, slot });
    return STOP;
  }

  #refuse(cursor: Cursor): typeof STOP {
    const { level, slot, lo, hi } = cursor;
    const entry = join(lo, hi);
    this.#see?.(cursor, this.#effects, entry);
    const reasons = cursor.codec.reasons(lo, hi);
    this.outcome = faultOf(this.#paging, this.#va, 'entry', reasons, this.#request, { level, slot, entry });
    return STOP;
  }
}

/** @throws ArgumentError for a word that names no access or nobody */
function checkRequest(kind: string, privilege: string): void {
  if (kind !== 'read' && kind !== 'write' && kind !== 'execute') {
    throw new ArgumentError('access-kind', 'an access reads, writes or executes', { kind });
  }
  if (privilege !== 'user' && privilege !== 'supervisor') {
    throw new ArgumentError('access-privilege', 'an access is made by a user or a supervisor', { privilege });
  }
}

/**
 * Descends to what answers for an address.
 * @param see told of every entry on the way
 */
export function descend(
  space: AddressSpace,
  va: VirtAddr,
  { kind, privilege, options }: AccessRequest,
  see?: See,
): Descent {
  checkRequest(kind, privilege);
  const place = placeOf(space, va, kind);
  const root = place?.root ?? (space.roots[0] as Root);
  const { paging } = root;
  const request = { kind, privilege, options: withAccessOptions(paging.format.access, root.options, options) };
  const closed = root.closedTo?.privilege === privilege ? root.closedTo.reason : undefined;
  const reason = place === undefined ? paging.format.nonCanonical : (root.fault ?? closed);
  if (place === undefined || reason !== undefined) {
    const outcome = faultOf(paging, va, 'address', [reason ?? paging.format.nonCanonical], request);
    return { root, translated: place !== undefined, request, outcome };
  }
  const page = pageOf(root);
  const start = floorMultiple(place.address, page);
  const finder = new Finder(va, place.address, paging, request, see);
  traverse(space.memory, { root, start, end: start + page }, finder);
  return { root, translated: true, request, outcome: finder.outcome as Translation };
}
