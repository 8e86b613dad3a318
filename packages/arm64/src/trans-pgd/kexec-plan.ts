/**
 * How a machine can get from one kernel to the next: with an identity map, with a copy of the linear map, or with memory
 * that was kept free from the start. Each way fails for its own reasons; the plan says which hold on a given machine.
 * Source: Linux 6.12 arch/arm64/kernel/machine_kexec.c, arch/arm64/mm/trans_pgd.c; the discussion of "arm64: MMU enabled
 * kexec relocation" named the alternatives.
 */
import { type AddressRange, higherOf, rangeCovers, rangesOverlap } from '@pagefold/core';
import { levelShift, PAGE_BITS, strideBits } from '../granule.ts';
import { placeLinearMap } from '../layout/linear-map.ts';
import { layoutBase, layoutNumbers, layoutSymbols } from '../layout/symbols.ts';
import { isLpa2Build, type LinuxBuild, levelsNeeded, paBitsOf, vaBitsMin } from '../linux-builds.ts';
import { idmapBits } from './idmap-page.ts';

/** A way from one kernel to the next. */
export type KexecWay = 'linear-map' | 'identity-map' | 'reserved-memory';

/** The machine and what is to be started on it. */
export interface KexecMachine {
  readonly build: LinuxBuild;
  /** Virtual address bits in use. Not supplied: as built. */
  readonly actualBits?: number;
  /** Physical address bits of the processor. Not supplied: 48. */
  readonly physicalBits?: number;
  /** All memory. */
  readonly memory: readonly AddressRange<bigint>[];
  /** Where the new kernel and what belongs to it must go. */
  readonly segments: readonly AddressRange<bigint>[];
  /** Where its pages have been collected. Not supplied: anywhere in memory. */
  readonly sources?: readonly AddressRange<bigint>[];
  /** The page with the code that moves things. */
  readonly relocationPage: bigint;
  /** Memory that was kept free for this. Not supplied: none. */
  readonly reserved?: AddressRange<bigint>;
  /**
   * Bits of an identity map of everything. Not supplied: as many as the kernel's own tables, which is what building it
   * with the kernel's helpers gives.
   */
  readonly identityBits?: number;
}

/** Why a way does not work. */
export interface KexecObstacle {
  /** A short word that stays the same between releases. */
  readonly rule: 'beyond-identity-map' | 'beyond-linear-map' | 'beyond-descriptors' | 'idmap-levels' | 'not-reserved';
  readonly meaning: string;
  readonly range: AddressRange<bigint>;
}

/** One way, judged. */
export interface KexecJudgement {
  readonly way: KexecWay;
  readonly works: boolean;
  readonly obstacles: readonly KexecObstacle[];
  /** What TCR.T0SZ must be while it goes on; `undefined` where tables need not change. */
  readonly t0sz: number | undefined;
  /** Levels of the identity map. */
  readonly levels: number | undefined;
  /** Tables at most: as if every page had its own entry. */
  readonly tablesAtMost: number;
}

/** All ways, those that work first, in the order in which they are to be preferred. */
export interface KexecPlan {
  readonly ways: readonly KexecJudgement[];
  /** The first that works; `undefined` if none does. */
  readonly choice: KexecWay | undefined;
}

/** Tables that ranges need if every page has an entry, root included. */
function tablesFor(build: LinuxBuild, bits: number, ranges: readonly AddressRange<bigint>[]): number {
  const levels = levelsNeeded(build.granule, bits);
  let tables = 1;
  for (let level = 0; level < levels - 1; level++) {
    const shift = BigInt(PAGE_BITS[build.granule] + strideBits(build.granule) * (level + 1));
    let last = -1n;
    for (const { start, end } of [...ranges].sort((a, b) => (a.start < b.start ? -1 : 1))) {
      const first = start >> shift > last ? start >> shift : last + 1n;
      const final = (end - 1n) >> shift;
      if (final < first) continue;
      tables += Number(final - first) + 1;
      last = final;
    }
  }
  return tables;
}

function beyond(
  ranges: readonly AddressRange<bigint>[],
  limit: bigint,
  rule: KexecObstacle['rule'],
  meaning: string,
): KexecObstacle[] {
  return ranges
    .filter(({ end }) => end > limit)
    .map(({ start, end }) => ({ rule, meaning, range: { start: start > limit ? start : limit, end } }));
}

/** Addresses that entries of this kernel cannot hold. */
function descriptorObstacles(
  { build, actualBits = build.vaBits }: KexecMachine,
  ranges: readonly AddressRange<bigint>[],
): KexecObstacle[] {
  const bits = isLpa2Build(build) && actualBits < 52 ? 48 : paBitsOf(build);
  return beyond(ranges, 1n << BigInt(bits), 'beyond-descriptors', `entries of this kernel hold ${bits} address bits`);
}

function judged(
  way: KexecWay,
  obstacles: readonly KexecObstacle[],
  more: Pick<KexecJudgement, 't0sz' | 'levels' | 'tablesAtMost'>,
): KexecJudgement {
  return { way, works: obstacles.length === 0, obstacles, ...more };
}

function touched(machine: KexecMachine): AddressRange<bigint>[] {
  const { build, relocationPage } = machine;
  const page = { start: relocationPage, end: relocationPage + (1n << BigInt(PAGE_BITS[build.granule])) };
  return [...machine.segments, ...(machine.sources ?? machine.memory), page];
}

/** Everything at its own address: the tables must reach as far up as memory does. */
function identityMap(machine: KexecMachine): KexecJudgement {
  const { build, actualBits = build.vaBits, identityBits = actualBits } = machine;
  const ranges = touched(machine);
  const levels = levelsNeeded(build.granule, identityBits);
  const meaning = `an identity map of ${levels} levels reaches ${identityBits} bits`;
  const limit = 1n << BigInt(identityBits);
  const obstacles = [...beyond(ranges, limit, 'beyond-identity-map', meaning), ...descriptorObstacles(machine, ranges)];
  const inside = ranges.filter(({ end }) => end <= limit);
  return judged('identity-map', obstacles, {
    t0sz: 64 - identityBits,
    levels,
    tablesAtMost: tablesFor(build, identityBits, inside),
  });
}

/** A copy of the linear map, and an identity map of one page for the moment of the jump. */
function linearMap(machine: KexecMachine): KexecJudgement {
  const { build, actualBits = build.vaBits, physicalBits = 48, memory, relocationPage } = machine;
  const base = layoutBase({ build, actualBits });
  const placed = placeLinearMap(base, { memory, physicalBits });
  const { linearStart, linearSize } = layoutNumbers(base, layoutSymbols(base));
  const bits = idmapBits(relocationPage);
  const levels = levelsNeeded(build.granule, bits);
  const reach = { start: placed.base, end: placed.base + linearSize };
  const ranges = [...machine.segments, ...(machine.sources ?? [])];
  const obstacles: KexecObstacle[] = ranges
    .filter((range) => !placed.memory.some((bank) => rangeCovers(bank, range)))
    .map((range) => ({
      rule: 'beyond-linear-map',
      meaning: rangesOverlap(reach, range)
        ? 'that is no memory of this kernel'
        : 'the linear map does not reach there: the kernel has given that memory up',
      range,
    }));
  const page = { start: relocationPage, end: relocationPage + (1n << BigInt(PAGE_BITS[build.granule])) };
  if (levels > 4) {
    obstacles.push({
      rule: 'idmap-levels',
      meaning: 'the identity map of one page has four levels at most',
      range: page,
    });
  }
  obstacles.push(...descriptorObstacles(machine, [page]));
  const linear = placed.memory.map(({ start, end }) => ({
    start: start - placed.base + linearStart,
    end: end - placed.base + linearStart,
  }));
  return judged('linear-map', obstacles, {
    t0sz: 64 - bits,
    levels,
    tablesAtMost: tablesFor(build, actualBits, linear) + levels,
  });
}

/** Nothing moves: everything was put where it has to be. */
function reservedMemory({ segments, reserved }: KexecMachine): KexecJudgement {
  const outside = segments.filter((range) => reserved === undefined || !rangeCovers(reserved, range));
  const meaning =
    reserved === undefined ? 'no memory was kept free' : 'that lies outside the memory that was kept free';
  const obstacles = outside.map((range): KexecObstacle => ({ rule: 'not-reserved', meaning, range }));
  return judged('reserved-memory', obstacles, { t0sz: undefined, levels: undefined, tablesAtMost: 0 });
}

/** The bits of an identity map that reaches all of a machine's memory, if tables of any number of levels were made. */
export function identityBitsFor({ build, memory }: Pick<KexecMachine, 'build' | 'memory'>): number {
  const end = memory.reduce((most, range) => higherOf(most, range.end), 1n);
  const needed = (end - 1n).toString(2).length;
  // A whole table more on top, or a larger root: whatever the next usual size is.
  return [vaBitsMin(build), 48, 52].find((bits) => bits >= needed && bits > levelShift(build.granule, 2)) ?? 52;
}

/** Judges all ways. The linear map goes first, as Linux does; memory kept free before an identity map. */
export function planKexec(machine: KexecMachine): KexecPlan {
  const ways = [linearMap(machine), reservedMemory(machine), identityMap(machine)];
  const sorted = [...ways.filter(({ works }) => works), ...ways.filter(({ works }) => !works)];
  return { ways: sorted, choice: sorted.find(({ works }) => works)?.way };
}
