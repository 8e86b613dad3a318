/**
 * Everything that a format or a geometry may leave out, and what then holds. One place, so that an author can read it
 * from top to bottom.
 */
import type { AccessRules, FaultEvent, FaultReport, Format } from './format.ts';
import type { GeometryDescription, NameFolding } from './geometry.ts';

/** If not supplied then every access to a leaf is allowed. */
const ALLOW_ALL: AccessRules = { options: [], check: () => ({ reasons: [] }) };

/** If not supplied then a fault is named after its reason and has no code. */
function reasonAsType(event: FaultEvent): FaultReport {
  return { type: event.reason };
}

/** A format with every optional member filled in; `common` alone may stay undefined. */
export type CompleteFormat = Required<Omit<Format, 'common'>> & Pick<Format, 'common'>;

/** Fills in what a format leaves out. */
export function completeFormat(format: Format): CompleteFormat {
  const leafFields = format.shapes.filter((shape) => shape.kind === 'leaf').flatMap((shape) => shape.fields);
  return {
    features: {},
    rules: [],
    unmatched: 'reserved_encoding',
    nonCanonical: 'non_canonical',
    attributes: [...new Set(leafFields.map((field) => field.name))],
    access: ALLOW_ALL,
    fault: reasonAsType,
    ...format,
  };
}

/** If not supplied then folded names repeat the slot above them and count one entry. */
const SAME_SLOT: NameFolding = { offset: 'same-slot' };

/** A geometry description with every optional member filled in. */
export type CompleteGeometry = Required<Omit<GeometryDescription, 'levels'>> & {
  readonly levels: readonly Required<GeometryDescription['levels'][number]>[];
};

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
    ignoredTopBits: 0,
    features: [],
    folding: SAME_SLOT,
    ...geometry,
    levels,
  };
}
