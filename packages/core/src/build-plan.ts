/**
 * How many tables some regions take, and of which region each is: worked out from the leaves, without any memory. What
 * costs time is the number of regions, not their size.
 */
import { sizeText } from './address.ts';
import { attributesOf, checkRegions, forRegion, partsOf, type RegionRequest } from './build-regions.ts';
import { ArgumentError } from './errors.ts';
import { usableSizes } from './fill.ts';
import type { CommonAttributes } from './format.ts';
import { planLeaves } from './leaf-plan.ts';
import { SparseMemory } from './memory.ts';
import type { LeafChoice } from './paging.ts';
import { type AddressSpace, createSpace, type Root, type RootDescription } from './space.ts';

/** Tables of one level under one root. */
export interface LevelPlan {
  /** Label of the root. */
  readonly root: string;
  /** Level from the leaves. */
  readonly level: number;
  readonly hardwareLevel: number;
  readonly name: string;
  readonly tables: number;
  /** Bytes of all of them. */
  readonly bytes: bigint;
}

/** What one region takes. */
export interface RegionPlan {
  readonly name: string;
  /** Tables that no region before it in the list needs; these sum up to all but the roots. */
  readonly tables: number;
  /** Tables that no other region needs: so many fewer without it. */
  readonly own: number;
  /** Leaves by size, the largest first. `count` counts translations: a run is one. */
  readonly leaves: readonly { readonly leaf: LeafChoice; readonly count: number }[];
  /** Names of common attributes that the format cannot express, or not exactly. */
  readonly lost: readonly (keyof CommonAttributes)[];
}

/** What all regions take. */
export interface BuildPlan {
  /** Tables, roots included. */
  readonly tables: number;
  /** Bytes of all tables. */
  readonly tableBytes: bigint;
  /** By root and level, from the root down. */
  readonly levels: readonly LevelPlan[];
  /** In the order in which they were given. */
  readonly regions: readonly RegionPlan[];
}

/** Tables of one level, by their number in the address space: half-open, sorted, neither overlapping nor touching. */
type Numbers = { readonly from: number; readonly to: number }[];

/** Tables by root and level. */
export type TableSet = ReadonlyMap<string, Numbers>;

function join(all: Numbers): Numbers {
  const sorted = [...all].sort((a, b) => a.from - b.from);
  const joined: { from: number; to: number }[] = [];
  for (const { from, to } of sorted) {
    const last = joined[joined.length - 1];
    if (last === undefined || from > last.to) joined.push({ from, to });
    else last.to = Math.max(last.to, to);
  }
  return joined;
}

/** All tables of some sets. */
export function unionOf(sets: readonly TableSet[]): TableSet {
  const all = new Map<string, Numbers>();
  for (const set of sets) {
    for (const [key, numbers] of set) {
      const known = all.get(key);
      if (known === undefined) all.set(key, [...numbers]);
      else known.push(...numbers);
    }
  }
  return new Map([...all].map(([key, numbers]) => [key, join(numbers)]));
}

function shared(numbers: Numbers, from: number, to: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] as Numbers[number]).to > from) high = middle;
    else low = middle + 1;
  }
  let count = 0;
  for (let i = low; i < numbers.length && (numbers[i] as Numbers[number]).from < to; i++) {
    const other = numbers[i] as Numbers[number];
    count += Math.min(other.to, to) - Math.max(other.from, from);
  }
  return count;
}

/** How many tables of a set are not in another. */
export function countNew(set: TableSet, others: TableSet): number {
  let count = 0;
  for (const [key, numbers] of set) {
    const known = others.get(key) ?? [];
    for (const { from, to } of numbers) count += to - from - shared(known, from, to);
  }
  return count;
}

/** What one region is made of. */
export interface RegionNeeds {
  readonly tables: TableSet;
  readonly leaves: RegionPlan['leaves'];
  readonly lost: RegionPlan['lost'];
}

/** Leaves and tables of a region in an address space whose tables are empty. */
function needsIn(space: AddressSpace, region: RegionRequest): RegionNeeds {
  const tables = new Map<string, Numbers>();
  const leaves = new Map<LeafChoice, number>();
  const lost = new Set<keyof CommonAttributes>();
  for (const { stretch, pa } of partsOf(space, region)) {
    const { root, start, end } = stretch;
    const { paging } = root;
    const bytes = end - start;
    paging.checkAddress(pa, paging.pageBytes);
    paging.checkAddress(pa + BigInt(bytes) - paging.pageBytes, paging.pageBytes);
    const wanted = attributesOf(region, paging);
    for (const name of wanted.lost) lost.add(name);
    const rows = planLeaves(usableSizes(paging, region.maxLeafBytes, region.runs ?? true), start, Number(pa), bytes);
    if (rows === undefined) {
      const limit = sizeText(region.maxLeafBytes ?? 0n);
      throw new ArgumentError('map-size', `no leaf of at most ${limit} fits the region`, { va: start, pa, bytes });
    }
    for (const { va, size, count } of rows) {
      const { attributes } = wanted;
      paging.leafBits(size.compiled, typeof attributes === 'function' ? attributes(size.choice) : attributes);
      leaves.set(size.choice, (leaves.get(size.choice) ?? 0) + count);
      noteTables(tables, space.roots.indexOf(root), root, size.level, va, va + count * size.leafBytes);
    }
    checkPointers(root, region, tables);
  }
  const sorted = [...leaves].sort(([a], [b]) => Number(b.leafBytes - a.leafBytes));
  return {
    tables: new Map([...tables].map(([key, numbers]) => [key, join(numbers)])),
    leaves: sorted.map(([leaf, count]) => ({ leaf, count })),
    lost: [...lost],
  };
}

const keyOf = (root: number, level: number): string => `${root}:${level}`;

/** Notes the tables on the way to some leaves; the root is there anyway. */
function noteTables(
  tables: Map<string, Numbers>,
  index: number,
  { paging }: Root,
  leafLevel: number,
  va: number,
  end: number,
): void {
  for (let level = leafLevel; level < paging.geometry.root.level; level++) {
    const { entrySpan, entries } = paging.codec(level).level;
    const span = entrySpan * entries;
    const found = { from: Math.floor(va / span), to: Math.ceil(end / span) };
    const known = tables.get(keyOf(index, level));
    if (known === undefined) tables.set(keyOf(index, level), [found]);
    else known.push(found);
  }
}

/** Can the pointers to the region's tables have the attributes that are wanted of them? */
function checkPointers(
  { paging }: Root,
  { tableAttributes }: RegionRequest,
  tables: ReadonlyMap<string, unknown>,
): void {
  if (tableAttributes === undefined || tables.size === 0) return;
  for (const { level, table } of paging.levels.map((codec) => ({ level: codec.level.level, table: codec.table }))) {
    if (table === undefined) continue;
    paging.tableBits(table, typeof tableAttributes === 'function' ? tableAttributes(level) : tableAttributes);
  }
}

/** What plans regions under some roots, one by one. */
export class RegionPlanner {
  readonly #space: AddressSpace;

  /**
   * @throws ArgumentError `root-fault` if a root's registers are impossible; what {@link createSpace} throws
   */
  constructor(roots: RootDescription | readonly RootDescription[]) {
    this.#space = createSpace(new SparseMemory([]), roots);
    for (const { label, fault } of this.#space.roots) {
      if (fault === undefined) continue;
      throw new ArgumentError('root-fault', `nothing is translated by root ${label}`, { fault });
    }
  }

  /** @throws RegionError if the region cannot be mapped */
  needs(region: RegionRequest): RegionNeeds {
    return forRegion(region, () => needsIn(this.#space, region));
  }

  /** What some regions take together. */
  plan(regions: readonly RegionRequest[]): BuildPlan {
    const needs = regions.map((region) => this.needs(region));
    const all = unionOf(needs.map(({ tables }) => tables));
    const levels = this.#space.roots.flatMap((root, index) => levelsOf(root, index, all));
    return {
      tables: levels.reduce((sum, { tables }) => sum + tables, 0),
      tableBytes: levels.reduce((sum, { bytes }) => sum + bytes, 0n),
      levels,
      regions: regionPlans(regions, needs),
    };
  }
}

function levelsOf({ paging, label }: Root, index: number, all: TableSet): LevelPlan[] {
  const top = paging.geometry.root.level;
  return [...paging.geometry.levels].reverse().map(({ level, hardware, name, tableBytes }) => {
    const numbers = all.get(keyOf(index, level)) ?? [];
    const tables = level === top ? 1 : numbers.reduce((sum, { from, to }) => sum + to - from, 0);
    return { root: label, level, hardwareLevel: hardware, name, tables, bytes: BigInt(tables) * BigInt(tableBytes) };
  });
}

function regionPlans(regions: readonly RegionRequest[], needs: readonly RegionNeeds[]): RegionPlan[] {
  let before: TableSet = new Map();
  return regions.map(({ name }, i) => {
    const { tables, leaves, lost } = needs[i] as RegionNeeds;
    const added = countNew(tables, before);
    before = unionOf([before, tables]);
    const others = unionOf(needs.filter((_, other) => other !== i).map((each) => each.tables));
    return { name, tables: added, own: countNew(tables, others), leaves, lost };
  });
}

/**
 * What tables for some regions take. Nothing is written, and no memory is needed: the addresses of the roots do not
 * matter.
 * @param roots where the regions lie; one or several
 * @throws ArgumentError `region-name`, `root-fault`; OverlapError `region-overlap`; RegionError if a region cannot be mapped
 */
export function planTables(
  roots: RootDescription | readonly RootDescription[],
  regions: readonly RegionRequest[],
): BuildPlan {
  checkRegions(regions);
  return new RegionPlanner(roots).plan(regions);
}
