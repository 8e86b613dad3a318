/** Tables for a list of regions, made in memory of their own: to be written into a file, not into a machine. */
import type { PhysAddr, VirtAddr } from './address.ts';
import type { TableAllocator, TableRequest } from './allocator.ts';
import { BumpAllocator } from './allocators.ts';
import { checkBigints } from './bigints.ts';
import { type BuildPlan, RegionPlanner } from './build-plan.ts';
import { attributesOf, checkRegions, forRegion, partsOf, type RegionRequest } from './build-regions.ts';
import { ArgumentError, OutOfTablesError } from './errors.ts';
import { map } from './map.ts';
import { SparseMemory } from './memory.ts';
import { RangeSet } from './range-set.ts';
import { type AddressSpace, createSpace, type RootDescription } from './space.ts';

/** What is to be built. */
export interface BuildRequest {
  /** Where the root tables stand. */
  readonly roots: RootDescription | readonly RootDescription[];
  /** In the order of mapping, which is the order in which tables are taken. */
  readonly regions: readonly RegionRequest[];
  /** Physical addresses that further tables come from, half-open, used in this order. Roots may lie among them. */
  readonly tables: readonly { readonly start: bigint; readonly end: bigint }[];
}

/** A table that was built. */
export interface BuiltTable {
  readonly address: PhysAddr;
  /** Level from the leaves. */
  readonly level: number;
  readonly bytes: number;
  /** First virtual address that it covers. */
  readonly va: VirtAddr;
  /** The region that needed it first; `undefined` for a root. */
  readonly region: string | undefined;
}

/** Finished tables. */
export interface Built {
  /** The address space; its memory is where the tables may stand, and nothing else. */
  readonly space: AddressSpace;
  readonly plan: BuildPlan;
  /** Roots first, then in the order of allocation. */
  readonly tables: readonly BuiltTable[];
}

/** Hands out several areas, one after the other; a gap that alignment leaves in one is not come back to. */
class AreaAllocator implements TableAllocator {
  readonly #areas: readonly BumpAllocator[];

  constructor(areas: readonly { readonly start: bigint; readonly end: bigint }[]) {
    this.#areas = areas.map(({ start, end }) => new BumpAllocator(start, end));
  }

  allocate(request: TableRequest): PhysAddr {
    for (const area of this.#areas) {
      const align = BigInt(request.alignBytes);
      const address = (area.next + align - 1n) & -align;
      if (address + BigInt(request.bytes) <= area.range.end) return area.allocate(request);
    }
    throw new OutOfTablesError('area-exhausted', 'the areas for tables are used up', {
      bytes: request.bytes,
      level: request.level,
      va: request.va,
    });
  }

  free(address: PhysAddr, request: TableRequest): void {
    for (const area of this.#areas) area.free(address, request);
  }
}

/** The areas without the roots. */
function areasOf(
  { tables }: BuildRequest,
  roots: readonly { readonly start: bigint; readonly end: bigint }[],
): RangeSet[] {
  const taken = new RangeSet();
  return tables.map(({ start, end }) => {
    checkBigints({ start, end });
    if (start < 0n || start >= end || end > 1n << 56n) {
      throw new ArgumentError('table-area', 'an area for tables needs 0 <= start < end <= 2^56', { start, end });
    }
    if (taken.overlaps({ start, end })) {
      throw new ArgumentError('table-area', 'two areas for tables overlap', { start, end });
    }
    taken.add({ start, end });
    const area = new RangeSet([{ start, end }]);
    for (const root of roots) area.delete(root);
    return area;
  });
}

/** Memory for tables: the areas and the roots, in multiples of 8. */
function memoryFor(ranges: readonly { readonly start: bigint; readonly end: bigint }[]): SparseMemory {
  const all = new RangeSet();
  for (const { start, end } of ranges) {
    const first = (start + 7n) & -8n;
    const last = end & -8n;
    if (first < last) all.add({ start: first, end: last });
  }
  return new SparseMemory(all.ranges);
}

/**
 * Builds tables for a list of regions. The same request gives the same bytes. Leaves are as large as alignment, size and
 * the regions' limits allow.
 * @throws ArgumentError `region-name`, `root-fault`, `table-area`, `root-twice`; OverlapError `region-overlap` with both
 *   names; RegionError if a region cannot be mapped; OutOfTablesError `tables-short` if the areas are too small
 */
export function buildTables(request: BuildRequest): Built {
  const { regions } = request;
  checkRegions(regions);
  const plan = new RegionPlanner(request.roots).plan(regions);
  const roots = createSpace(new SparseMemory([]), request.roots).roots.map((root) => ({
    root,
    start: BigInt(root.address),
    end: BigInt(root.address + root.paging.geometry.root.tableBytes),
  }));
  const together = new RangeSet();
  for (const { root, start, end } of roots) {
    if (together.overlaps({ start, end })) {
      throw new ArgumentError('root-twice', `root ${root.label} shares memory with another`, { start, end });
    }
    together.add({ start, end });
  }
  const areas = areasOf(request, roots);
  const free = areas.flatMap(({ ranges }) => ranges);
  const room = free.reduce((sum, { start, end }) => sum + end - start, 0n);
  const needed = plan.tableBytes - roots.reduce((sum, { start, end }) => sum + end - start, 0n);
  if (room < needed) {
    throw new OutOfTablesError('tables-short', `${plan.tables - roots.length} tables are needed beside the roots`, {
      needed,
      room,
    });
  }
  const space = createSpace(memoryFor([...request.tables, ...roots]), request.roots);
  const allocator = new AreaAllocator(free);
  const tables: BuiltTable[] = space.roots.map(({ address, paging, ranges }) => ({
    address: BigInt(address) as PhysAddr,
    level: paging.geometry.root.level,
    bytes: paging.geometry.root.tableBytes,
    va: BigInt(ranges[0]?.start ?? 0) as VirtAddr,
    region: undefined,
  }));
  for (const region of regions) {
    for (const { address, level, bytes, va } of mapRegion(space, region, allocator)) {
      tables.push({ address, level, bytes, va, region: region.name });
    }
  }
  return { space, plan, tables };
}

/** Maps a region; answers the tables that it took. */
function mapRegion(
  space: AddressSpace,
  region: RegionRequest,
  allocator: TableAllocator,
): readonly Omit<BuiltTable, 'region'>[] {
  const { tableAttributes, maxLeafBytes, runs } = region;
  return forRegion(region, () =>
    partsOf(space, region).flatMap(({ stretch, pa }) => {
      const { attributes } = attributesOf(region, stretch.root.paging);
      const { allocated } = map(space, {
        va: BigInt(stretch.start),
        pa,
        bytes: BigInt(stretch.end) - BigInt(stretch.start),
        attributes,
        allocator,
        ...(tableAttributes === undefined ? {} : { tableAttributes }),
        ...(maxLeafBytes === undefined ? {} : { maxLeafBytes }),
        ...(runs === undefined ? {} : { runs }),
      });
      return allocated;
    }),
  );
}
