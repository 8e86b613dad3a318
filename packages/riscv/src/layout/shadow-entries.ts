/**
 * Which table entries the KASAN shadow takes: whole ones that early boot points at shared tables, and the last ones that
 * it shares with what lies above it. Source: Linux 6.12 arch/riscv/mm/kasan_init.c (`kasan_early_populate_pgd` and the
 * functions below it).
 */
import { type KasanShadow, kasanShadow, type ShadowPlacement } from '../kasan-shadow.ts';
import { type RiscvMode, riscvGeometries } from '../modes.ts';

/** Entries of one table that lie in the shadow with all that they map. */
export interface WholeEntries {
  /** The level, as Linux calls it: `pgd`. */
  readonly name: string;
  /** Index of the first. */
  readonly first: number;
  /** Index of the last. */
  readonly last: number;
  /** The static table that the early shadow puts into them. */
  readonly pointsTo: string;
}

/** The shadow's entries in a mode. */
export interface ShadowEntries {
  readonly shadow: KasanShadow;
  /** Entries of the root. */
  readonly root: WholeEntries;
  /**
   * Tables below the root's next entry, outermost first: the shadow ends in the middle of what that entry maps. Empty if
   * the shadow ends at a root entry.
   */
  readonly partial: readonly WholeEntries[];
}

/** The name of a level. */
function nameAt(mode: RiscvMode, level: number): string {
  return (riscvGeometries[mode].levels[level]?.name ?? '').toLowerCase();
}

/**
 * The shadow's entries.
 * @param placement Not supplied: that of today
 * @throws ArgumentError `kasan-mode` where there is no KASAN
 */
export function shadowEntries(mode: RiscvMode, placement?: ShadowPlacement): ShadowEntries {
  const shadow = kasanShadow(mode, placement);
  const { levels } = riscvGeometries[mode];
  const wholeAt = (level: number, start: bigint): WholeEntries => {
    const { shift = 0, indexBits = 0 } = levels[level] ?? {};
    const indexOf = (address: bigint): number => Number(BigInt.asUintN(indexBits, address >> BigInt(shift)));
    const end = shadow.end & -(1n << BigInt(shift));
    return {
      name: nameAt(mode, level),
      first: indexOf(start),
      last: indexOf(end - 1n),
      pointsTo: `kasan_early_shadow_${nameAt(mode, level - 1)}`,
    };
  };
  const top = levels.length - 1;
  const partial: WholeEntries[] = [];
  let level = top;
  for (;;) {
    const span = 1n << BigInt(levels[level]?.shift ?? 0);
    if (shadow.end % span === 0n || level === 0) break;
    level--;
    partial.push(wholeAt(level, shadow.end & -span));
  }
  return { shadow, root: wholeAt(top, shadow.start), partial };
}
