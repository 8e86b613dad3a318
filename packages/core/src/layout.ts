/**
 * Layouts: which pieces an operating system cuts its virtual address space into. A layout is plain data; what makes one
 * good is data too (see `LayoutRules`), so that checks know no architecture.
 */
import type { AddressRange } from './range.ts';

/** One piece of an address space. */
export interface Region extends AddressRange<bigint> {
  /** One word, unique in its layout: `vmalloc`. */
  readonly name: string;
  /** Exclusive; at most 2^wordBits. */
  readonly end: bigint;
  /** What it is for, in a few words. */
  readonly purpose: string;
  /** What sort of region it is, for pictures and filters: `user`, `linear`, `shadow`, `kernel`. */
  readonly kind?: string;
  /** Names of regions that it lies in on purpose. Not supplied: it shares its addresses with no other. */
  readonly within?: readonly string[];
  /**
   * It is filled from its start as far as is needed, so `end` is only a limit. What lies above {@link usedTo} exists on
   * paper. Not supplied: all of it counts as used.
   */
  readonly growing?: boolean;
  /** How far a growing region is filled, exclusive. May lie above `end`: then it cannot hold what it should. */
  readonly usedTo?: bigint;
  /** How its place follows from other numbers, as text: `VMALLOC_START - VMEMMAP_SIZE`. */
  readonly formula?: string;
}

/** The address space of one kernel in one mode. */
export interface Layout {
  /** The architecture's name, for tools that look up its rules. Not supplied: none is known. */
  readonly arch?: string;
  /** The mode or configuration in one word: `sv48`. */
  readonly name: string;
  /** Whose layout it is: a release, a range of releases, a proposal. */
  readonly profile: string;
  /** One line for people. */
  readonly title: string;
  /** Bits of the machine's address word. */
  readonly wordBits: 32 | 64;
  /** In rising order of their starts. */
  readonly regions: readonly Region[];
  /** Numbers that belong to the layout but are no regions, under the names that its source gives them. */
  readonly facts: Readonly<Record<string, bigint>>;
}

/** Regions in rising order of their starts; those that start together stay in the order given. */
export function sortRegions(regions: readonly Region[]): Region[] {
  return [...regions].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
}

/** A region by its name. */
export function regionNamed(layout: Layout, name: string): Region | undefined {
  return layout.regions.find((region) => region.name === name);
}

/** All regions that hold an address, in the order of the layout: what lies inside another comes after it. */
export function regionsAt(layout: Layout, address: bigint): Region[] {
  return layout.regions.filter(({ start, end }) => address >= start && address < end);
}

/**
 * The part of a region that is certainly in use. Of a growing region about which nothing is known that is its first
 * byte, because it is filled from there.
 */
export function usedPart(region: Region): AddressRange<bigint> {
  const { start, end, growing = false, usedTo } = region;
  if (!growing) return { start, end };
  const filled = usedTo ?? start + 1n;
  return { start, end: filled > end ? end : filled < start + 1n ? start + 1n : filled };
}
