/**
 * The early builder: makes the identity map and the first mapping of the kernel, before most of the kernel can run.
 * Source: Linux 6.12 arch/arm64/kernel/pi/map_range.c.
 */
import { tableMask } from '../entry-bits.ts';
import { fillTree } from './build-tree.ts';
import type { PageTree } from './page-tree.ts';

/** What the early builder maps. */
export interface MapRange {
  /** First virtual address; bits below a page are ignored, as those of `pa`. */
  readonly start: bigint;
  /** Exclusive; rounded up to a page. */
  readonly end: bigint;
  readonly pa: bigint;
  /** Attributes; 0 takes the range away. */
  readonly prot: bigint;
  /** May groups of pages be marked contiguous? Blocks never are. */
  readonly mayUseCont: boolean;
}

/** `map_range`: any level may hold blocks, and what is there already is overwritten. */
export function mapRange(tree: PageTree, { start, end, pa, prot, mayUseCont }: MapRange): void {
  const { levels, root } = tree.paging.geometry;
  const page = tree.paging.pageBytes;
  const rules = {
    blocks: levels.map(({ level }) => level).filter((level) => level > 0 && level <= root.level),
    contiguous: mayUseCont ? [0] : [],
    tableBits: tableMask('uxnTable'),
    overwrite: 'anything',
  } as const;
  fillTree(tree, rules, { va: start & -page, end: (end + page - 1n) & -page, pa: pa & -page, prot });
}
