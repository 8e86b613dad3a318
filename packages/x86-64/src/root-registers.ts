/** From a root to the registers that select it, and what ELF files of the machine say. */
import { ArgumentError, type OptionValues, optionNumber, type RootDescription } from '@pagefold/core';
import { LINUX_PAT } from './memory-types.ts';

/** EM_X86_64. */
export const X86_ELF = { machine: 62, bits: 64 } as const;

const CR0_PAGING = 0x8001_0001n; // PG, WP, PE
const CR4_PAE_PGE = 0xa0n;
const CR4_LA57 = 1n << 12n;
const EFER_LONG = 0x501n; // LMA, LME, SCE
const EFER_NXE = 1n << 11n;
/** Bits of CR3 that hold the root. */
const CR3_ADDRESS = 0xf_ffff_ffff_f000n;

/**
 * CR3 with the control registers that tables of this kind need; what is given stays.
 * @throws ArgumentError `one-root` unless there is exactly one
 */
export function x86RootRegisters(roots: readonly RootDescription[], values: OptionValues): Record<string, bigint> {
  const [root] = roots;
  if (root === undefined || roots.length > 1) throw new ArgumentError('one-root', 'CR3 selects one root');
  const { geometry, features } = root.paging;
  const given = (name: string): bigint | undefined => optionNumber(values, name);
  const la57 = geometry.levels.length === 5 ? CR4_LA57 : 0n;
  return {
    cr3: ((given('cr3') ?? 0n) & ~CR3_ADDRESS) | root.address,
    cr4: ((given('cr4') ?? CR4_PAE_PGE) & ~CR4_LA57) | la57,
    cr0: given('cr0') ?? CR0_PAGING,
    efer: given('efer') ?? EFER_LONG | (features.has('nx') ? EFER_NXE : 0n),
    pat: given('pat') ?? LINUX_PAT,
  };
}
