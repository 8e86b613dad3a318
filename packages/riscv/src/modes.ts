/**
 * The translation modes: the same code with another geometry.
 * Source: RISC-V ISA Volume II, "Sv32" to "Sv57"; names and pointer counts as Linux 6.12 has them in
 * arch/riscv/include/asm/pgtable-64.h (64-bit kernels are built for five levels and fold at run time).
 */
import { ArgumentError, createPaging, type Format, type GeometryDescription, type Paging } from '@pagefold/core';
import { riscv32, riscv64 } from './format.ts';

/** Names of the modes. */
export const RISCV_MODES = ['sv32', 'sv39', 'sv48', 'sv57'] as const;

/** A translation mode. */
export type RiscvMode = (typeof RISCV_MODES)[number];

/** Extensions that change what entries mean. */
export type RiscvFeature = 'svnapot' | 'svpbmt' | 'svrsw60t59b' | 'xtheadmae';

/** What the ISA calls leaves, by level. */
const LEAF_NAMES = ['page', 'megapage', 'gigapage', 'terapage', 'petapage'] as const;
/** What Linux calls the levels of 64-bit tables, from the leaves. */
const LINUX_NAMES = ['PTE', 'PMD', 'PUD', 'P4D', 'PGD'] as const;

function geometryOf(mode: RiscvMode): GeometryDescription {
  const levels = { sv32: 2, sv39: 3, sv48: 4, sv57: 5 }[mode];
  const indexBits = mode === 'sv32' ? 10 : 9;
  const entries = 2 ** indexBits;
  return {
    name: mode,
    title: `${mode.replace('sv', 'Sv')}: ${levels} levels of ${entries} entries`,
    levels: Array.from({ length: levels }, (_, level) => ({
      shift: 12 + indexBits * level,
      indexBits,
      hardware: level,
      name: level === levels - 1 ? 'PGD' : (LINUX_NAMES[level] as string),
      leafName: LEAF_NAMES[level] as string,
    })),
    vaBits: mode === 'sv32' ? 32 : 12 + 9 * levels,
    paBits: mode === 'sv32' ? 34 : 56,
    wordBits: mode === 'sv32' ? 32 : 64,
    upper: 'sign',
    folding:
      mode === 'sv32'
        ? { offset: 'same-slot' }
        : { offset: 'same-slot', built: { p4d: { entries: 512 }, pud: { entries: 512 } } },
  };
}

/** Geometries by mode. */
export const riscvGeometries: Readonly<Record<RiscvMode, GeometryDescription>> = {
  sv32: geometryOf('sv32'),
  sv39: geometryOf('sv39'),
  sv48: geometryOf('sv48'),
  sv57: geometryOf('sv57'),
};

function checkMode(mode: RiscvMode): void {
  if (RISCV_MODES.includes(mode)) return;
  throw new ArgumentError('mode', `there is no such mode; there are ${RISCV_MODES.join(', ')}`, { mode: String(mode) });
}

/** The format of a mode's entries. */
export function riscvFormat(mode: RiscvMode): Format {
  return mode === 'sv32' ? riscv32 : riscv64;
}

/**
 * A mode, ready for use.
 * @param mode the translation mode
 * @param features extensions that are on; not supplied, none (Sv32 has none)
 * @throws ArgumentError `mode`; FormatError `unknown-feature`, or `exclusive-features` for T-Head's bits beside those that
 *   the ISA defines in their place
 */
export function riscvPaging(mode: RiscvMode, features: Iterable<RiscvFeature> = []): Paging {
  checkMode(mode);
  return createPaging(riscvFormat(mode), riscvGeometries[mode], { features });
}
