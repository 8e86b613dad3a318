/**
 * Everything that a format or a geometry may leave out, and what then holds. One place, so that an author can read it
 * from top to bottom.
 */
import { rangesMask } from './bits.ts';
import {
  type AccessRules,
  type FaultEvent,
  type FaultReport,
  type Format,
  type MalformedRule,
  RESERVED_FIELDS,
} from './format.ts';
import type { GeometryDescription, NameFolding } from './geometry.ts';

/** If not supplied then every access to a leaf is allowed. */
const ALLOW_ALL: AccessRules = { options: [], check: () => ({ reasons: [] }) };

/** If not supplied then a fault is named after its reason and has no code. */
function reasonAsType(event: FaultEvent): FaultReport {
  return { type: event.reason };
}

/** A format with every optional member filled in; `common` alone may stay undefined. */
export interface CompleteFormat extends Required<Omit<Format, 'common' | 'rules'>>, Pick<Format, 'common'> {
  /** All rules in the order of checking, those of reserved fields among them. */
  readonly rules: readonly MalformedRule[];
}

/** The rules that reserved fields make, one for all shapes that share the field. */
function reservedRules({ shapes }: Format): MalformedRule[] {
  const rules = new Map<string, MalformedRule & { shapes: readonly string[] }>();
  for (const { kind, name: shape, fields } of shapes) {
    if (kind === 'empty') continue;
    for (const { bits, meaning, reserved, section, when } of fields) {
      if (reserved === undefined) continue;
      const key = JSON.stringify([reserved, bits, when]);
      rules.set(key, {
        reason: reserved,
        meaning,
        tests: [{ mask: rangesMask(bits), differs: 0n }],
        shapes: [...(rules.get(key)?.shapes ?? []), shape],
        ...(when === undefined ? {} : { when }),
        ...(section === undefined ? {} : { section }),
      });
    }
  }
  return [...rules.values()];
}

/** All rules of a format: those of its reserved fields where the list says, else first. */
function allRules(format: Format): readonly MalformedRule[] {
  const { rules = [] } = format;
  const listed = rules.includes(RESERVED_FIELDS) ? rules : [RESERVED_FIELDS, ...rules];
  return listed.flatMap((rule) => (rule === RESERVED_FIELDS ? reservedRules(format) : [rule as MalformedRule]));
}

/** Fills in what a format leaves out. */
export function completeFormat(format: Format): CompleteFormat {
  const leafFields = format.shapes.filter((shape) => shape.kind === 'leaf').flatMap((shape) => shape.fields);
  return {
    features: {},
    exclusive: [],
    unmatched: 'reserved_encoding',
    nonCanonical: 'non_canonical',
    attributes: [...new Set(leafFields.filter(({ reserved }) => reserved === undefined).map(({ name }) => name))],
    access: ALLOW_ALL,
    fault: reasonAsType,
    ...format,
    rules: allRules(format),
  };
}

/** If not supplied then folded names repeat the slot above them and count one entry. */
const SAME_SLOT: NameFolding = { offset: 'same-slot' };

/** A geometry description with every optional member filled in; `ignored` alone may stay undefined. */
export interface CompleteGeometry
  extends Required<Omit<GeometryDescription, 'levels' | 'ignored'>>,
    Pick<GeometryDescription, 'ignored'> {
  readonly levels: readonly Required<GeometryDescription['levels'][number]>[];
}

/** Fills in what a geometry leaves out. */
export function completeGeometry(geometry: GeometryDescription, entryBytes: number): CompleteGeometry {
  const levels = geometry.levels.map((level, index) => {
    return {
      // If not supplied then a level is called by its number, which counts from the leaves.
      hardware: index,
      name: `level ${index}`,
      leafName: '',
      // If not supplied then a table is as long as its index and aligned to its own length.
      alignBytes: 2 ** level.indexBits * entryBytes,
      ...level,
    };
  });
  return {
    title: geometry.name,
    wordBits: 64,
    upper: 'sign',
    features: [],
    folding: SAME_SLOT,
    ...geometry,
    levels,
  };
}
