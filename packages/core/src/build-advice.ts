/** How regions could be laid so that they take fewer tables: found by trying. */
import { countNew, RegionPlanner, type TableSet, unionOf } from './build-plan.ts';
import { checkRegions, type RegionRequest } from './build-regions.ts';
import { PagefoldError } from './errors.ts';
import type { RootDescription } from './space.ts';

/** A change of one region that saves tables. */
export interface BuildAdvice {
  /** Name of the region. */
  readonly region: string;
  /**
   * `grow`: let it begin or end at multiples of {@link alignBytes}; `move`: to virtual addresses that lie between such
   * multiples as the physical ones do; `leaves`: allow leaves of that size.
   */
  readonly kind: 'grow' | 'move' | 'leaves';
  /** Bytes of a leaf. */
  readonly alignBytes: bigint;
  /** The region as it would be. */
  readonly va: bigint;
  readonly pa: bigint;
  readonly bytes: bigint;
  /** Tables fewer than now. */
  readonly saves: number;
}

interface Trial {
  readonly kind: BuildAdvice['kind'];
  readonly region: RegionRequest;
}

const down = (value: bigint, unit: bigint): bigint => value - (value % unit);
const up = (value: bigint, unit: bigint): bigint => down(value + unit - 1n, unit);

/** A region with its edges at multiples of a size: none, one or both are not yet. */
function grown(region: RegionRequest, unit: bigint): RegionRequest[] {
  const { va, pa, bytes } = region;
  const end = va + bytes;
  const before = va % unit;
  const after = up(end, unit) - end;
  // A device page may well become the smallest block; nothing else should map more than twice of what was asked.
  return [
    ...(after > 0n ? [{ ...region, bytes: bytes + after }] : []),
    ...(before > 0n ? [{ ...region, va: va - before, pa: pa - before, bytes: bytes + before }] : []),
    ...(before > 0n && after > 0n
      ? [{ ...region, va: va - before, pa: pa - before, bytes: bytes + before + after }]
      : []),
  ];
}

function trialsOf(region: RegionRequest, unit: bigint, smallest: boolean): Trial[] {
  const { va, pa, bytes, maxLeafBytes, runs, ...rest } = region;
  const trials: Trial[] = [];
  if (maxLeafBytes !== undefined && maxLeafBytes < unit) {
    const free = { ...rest, va, pa, bytes, maxLeafBytes: unit, ...(runs === undefined ? {} : { runs }) };
    return [{ kind: 'leaves', region: free }];
  }
  if (va % unit === pa % unit) {
    for (const each of grown(region, unit)) trials.push({ kind: 'grow', region: each });
  } else {
    const near = down(va, unit) + (pa % unit);
    for (const to of [near, near + unit, near - unit]) {
      if (to >= 0n) trials.push({ kind: 'move', region: { ...region, va: to } });
    }
  }
  return trials.filter(({ region: { bytes: now } }) => smallest || now <= 2n * bytes);
}

/** Does a region share virtual addresses with another of a list? */
function overlaps(regions: readonly RegionRequest[], at: number, { va, bytes }: RegionRequest): boolean {
  return regions.some((other, i) => i !== at && other.va < va + bytes && va < other.va + other.bytes);
}

/** How many tables only this region takes; `undefined` if it cannot be mapped so. */
function costOf(planner: RegionPlanner, region: RegionRequest, others: TableSet): number | undefined {
  try {
    return countNew(planner.needs(region).tables, others);
  } catch (error) {
    if (error instanceof PagefoldError) return undefined;
    throw error;
  }
}

/**
 * Tries every region at multiples of every size of leaf above a page, and says what would save tables. Each piece of
 * advice is for itself: two of them together may save more or less than their sum. Whether there is something at the
 * physical addresses that a region would grow by is for the caller to know.
 * @returns at most one piece of advice for each region and size, those that save most first
 * @throws what `planTables` throws
 */
export function adviseTables(
  roots: RootDescription | readonly RootDescription[],
  regions: readonly RegionRequest[],
): BuildAdvice[] {
  checkRegions(regions);
  const planner = new RegionPlanner(roots);
  const sets = regions.map((region) => planner.needs(region).tables);
  const list = Array.isArray(roots) ? (roots as readonly RootDescription[]) : [roots as RootDescription];
  const leaves = list.flatMap(({ paging }) => paging.leafChoices.filter(({ level }) => level > 0));
  const units = [...new Set(leaves.filter(({ runEntries }) => runEntries === 1).map(({ leafBytes }) => leafBytes))];
  const advice: BuildAdvice[] = [];
  regions.forEach((region, at) => {
    const others = unionOf(sets.filter((_, i) => i !== at));
    const now = countNew(sets[at] as TableSet, others);
    let most = 0;
    units.forEach((unit, i) => {
      let best: BuildAdvice | undefined;
      for (const trial of trialsOf(region, unit, i === 0)) {
        if (overlaps(regions, at, trial.region)) continue;
        const saves = now - (costOf(planner, trial.region, others) ?? now);
        if (saves <= Math.max(most, best?.saves ?? 0)) continue;
        const { va, pa, bytes } = trial.region;
        best = { region: region.name, kind: trial.kind, alignBytes: unit, va, pa, bytes, saves };
      }
      // A larger size must save more than a smaller one did.
      if (best === undefined) return;
      most = best.saves;
      advice.push(best);
    });
  });
  return advice.sort((a, b) => b.saves - a.saves);
}
