/** The kinds of roots that memory can be searched for. */
import { ArgumentError, type OptionValues, optionNumber, type RootForm } from '@pagefold/core';
import { GRANULES, type Granule } from './granule.ts';

/** Bits of a range that kernels are built with, by granule (Linux 6.12 arch/arm64/Kconfig, ARM64_VA_BITS). */
const BITS: Readonly<Record<Granule, readonly bigint[]>> = {
  '4K': [39n, 48n, 52n],
  '16K': [36n, 47n, 48n, 52n],
  '64K': [42n, 48n, 52n],
};

/** Registers that name a root, or say more than a search can know. */
const REGISTERS = ['ttbr0', 'ttbr1', 'tcr', 'vttbr', 'vtcr', 'el2'] as const;

/** A base as TTBR holds it: with 52-bit descriptors bits 51:48 of the address stand in 5:2. */
function baseOf(address: bigint): bigint {
  return (address & 0xffff_ffff_ffffn) | ((address >> 48n) << 2n);
}

/**
 * Roots of stage 1 with the granules and sizes that Linux has, or those of `--granule` and `--va-bits`. One that maps
 * nothing for users is taken for one of the upper range.
 * @throws ArgumentError `search-root` if the options name a root
 */
export function arm64RootForms(values: OptionValues): readonly RootForm[] {
  const given = REGISTERS.find((name) => values[name] !== undefined);
  if (given !== undefined) {
    throw new ArgumentError('search-root', `a search is for roots: no --${given}, at most --granule and --va-bits`);
  }
  const bits = optionNumber(values, 'va-bits');
  return GRANULES.filter((granule) => values.granule === undefined || granule === values.granule).flatMap((granule) =>
    (bits === undefined ? BITS[granule] : [bits]).map(
      (size): RootForm => ({
        label: `${granule} pages, ${size} bits`,
        options: (address, users) => ({
          granule,
          'va-bits': size,
          [users ? 'ttbr0' : 'ttbr1']: baseOf(address),
        }),
      }),
    ),
  );
}
