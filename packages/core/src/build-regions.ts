/** Regions that tables are built for: what is asked, and whether it can be asked. */
import { checkBigints } from './bigints.ts';
import { ArgumentError, OverlapError, PagefoldError } from './errors.ts';
import type { CommonAttributes } from './format.ts';
import type { MapRequest } from './map.ts';
import type { Paging } from './paging.ts';
import { lowerOf } from './range.ts';
import { type AddressSpace, type Stretch, stretches } from './space.ts';

/** A part of the address space that is to be mapped. Give its attributes in one of two ways. */
export interface RegionRequest {
  /** Unique; errors and reports call it by this name. */
  readonly name: string;
  /** First virtual address, a multiple of the smallest leaf. */
  readonly va: bigint;
  /** First physical address, a multiple of the smallest leaf. */
  readonly pa: bigint;
  /** Bytes, a multiple of the smallest leaf. */
  readonly bytes: bigint;
  /** Attributes of the leaves: raw bits, fields, or a function of the leaf. */
  readonly attributes?: MapRequest['attributes'];
  /** The same in the common vocabulary, as far as the format can say it. */
  readonly common?: Partial<CommonAttributes>;
  /** Attributes of table pointers that this region is the first to need. Not supplied: those that limit nothing. */
  readonly tableAttributes?: MapRequest['tableAttributes'];
  /** Largest leaf, in bytes. Not supplied: no limit. */
  readonly maxLeafBytes?: bigint;
  /** May runs be used? Not supplied: yes. */
  readonly runs?: boolean;
}

/** Something about one region cannot be done. The rule is that of the error behind it, which is its `cause`. */
export class RegionError extends PagefoldError {
  /** Name of the region. */
  readonly region: string;

  /**
   * @param region name of the region
   * @param error what was thrown for it
   */
  constructor(region: string, error: PagefoldError) {
    const list = Object.entries(error.values).map(([name, value]) => `${name} ${value}`);
    const tail = `${list.length === 0 ? '' : `: ${list.join(', ')}`} [${error.rule}]`;
    const plain = error.message.endsWith(tail) ? error.message.slice(0, -tail.length) : error.message;
    // Regions without a name of their own are called `region 1` by those who read lists.
    super(error.rule, `${region.startsWith('region ') ? '' : 'region '}${region}: ${plain}`, error.values);
    this.region = region;
    this.cause = error;
  }
}

/** Does something for a region; errors that come of it name the region. */
export function forRegion<T>({ name }: Pick<RegionRequest, 'name'>, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof PagefoldError && !(error instanceof RegionError)) throw new RegionError(name, error);
    throw error;
  }
}

/**
 * Checks that regions have names of their own, say where they lie in bigints, and share no virtual address.
 * @throws ArgumentError `region-name`; RegionError `not-bigint`; OverlapError `region-overlap` with the names of both
 */
export function checkRegions(regions: readonly RegionRequest[]): void {
  const names = new Set<string>();
  for (const { name, va, pa, bytes } of regions) {
    if (typeof name !== 'string')
      throw new ArgumentError('region-name', 'a region needs a name', { name: typeof name });
    forRegion({ name }, () => checkBigints({ va, pa, bytes }));
    if (names.has(name)) throw new ArgumentError('region-name', 'two regions have one name', { name });
    names.add(name);
  }
  const sorted = [...regions].sort((a, b) => (a.va < b.va ? -1 : a.va > b.va ? 1 : 0));
  let last: RegionRequest | undefined;
  for (const region of sorted) {
    if (last !== undefined && region.va < last.va + last.bytes) {
      throw new OverlapError('region-overlap', `regions ${last.name} and ${region.name} overlap`, {
        start: region.va,
        end: lowerOf(region.va + region.bytes, last.va + last.bytes),
      });
    }
    last = region;
  }
}

/** The names of the common vocabulary; as an object, so that the compiler sees that none is missing. */
const COMMON: Readonly<Record<keyof CommonAttributes, true>> = {
  read: true,
  write: true,
  execute: true,
  user: true,
  global: true,
  accessed: true,
  dirty: true,
  memory: true,
  shareability: true,
};

/** A region's attributes in one format. */
export interface RegionAttributes {
  readonly attributes: MapRequest['attributes'];
  /** Names of common attributes that the format cannot express, or not exactly. */
  readonly lost: readonly (keyof CommonAttributes)[];
}

/**
 * The attributes of a region's leaves.
 * @throws ArgumentError `region-attributes` unless they are given in exactly one way, or if the format does not speak the
 *   common vocabulary; `common-attribute` for a name that is none of it
 */
export function attributesOf({ attributes, common }: RegionRequest, paging: Paging): RegionAttributes {
  if ((attributes === undefined) === (common === undefined)) {
    throw new ArgumentError('region-attributes', 'give either attributes or common attributes');
  }
  if (attributes !== undefined) return { attributes, lost: [] };
  const { format, features } = paging;
  if (format.common === undefined) {
    throw new ArgumentError('region-attributes', 'the format does not speak the common vocabulary', {
      format: format.name,
    });
  }
  // Each format looks only at the names that it knows: a mistyped one would be passed over by all.
  const unknown = Object.keys(common as object).find((name) => !Object.hasOwn(COMMON, name));
  if (unknown !== undefined) {
    throw new ArgumentError('common-attribute', `common attributes are ${Object.keys(COMMON).join(', ')}`, {
      attribute: unknown,
    });
  }
  const { fields, lost } = format.common.fromCommon(common as Partial<CommonAttributes>, features);
  return { attributes: fields, lost };
}

/** A piece of a region under one root. */
export interface RegionPart {
  readonly stretch: Stretch;
  /** Physical address that the piece begins with. */
  readonly pa: bigint;
}

/**
 * The pieces of a region, one for each root that it lies under.
 * @throws ArgumentError for a size that is none, or a range that the roots do not translate
 */
export function partsOf(space: AddressSpace, { va, pa, bytes }: RegionRequest): RegionPart[] {
  if (bytes <= 0n) throw new ArgumentError('map-bytes', 'a region needs a positive size', { bytes });
  const parts = stretches(space, { start: va, end: va + bytes });
  const first = parts[0]?.start ?? 0;
  return parts.map((stretch) => ({ stretch, pa: pa + BigInt(stretch.start - first) }));
}
