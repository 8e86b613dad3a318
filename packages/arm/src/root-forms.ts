/** The kinds of roots that memory can be searched for. */
import { ArgumentError, type OptionValues, type RootForm } from '@pagefold/core';
import { isLpae } from './regime.ts';

/** TTBCR with EAE and nothing else: long descriptors, all of the address space under TTBR0. */
const LONG = 1n << 31n;

const FORMS: readonly RootForm[] = [
  { label: 'short descriptors', options: (address) => ({ ttbr0: address }) },
  { label: 'long descriptors', options: (address) => ({ ttbcr: LONG, ttbr0: address }) },
];

/**
 * Both formats, or the one that `--ttbcr` selects; roots of the whole address space.
 * @throws ArgumentError `search-root` if the options name a root or split the address space
 */
export function armRootForms({ ttbcr, ttbr0, ttbr1 }: OptionValues): readonly RootForm[] {
  if (ttbr0 !== undefined || ttbr1 !== undefined) {
    throw new ArgumentError('search-root', 'a search is for roots: give no TTBR0 and no TTBR1');
  }
  if (typeof ttbcr !== 'bigint') return FORMS;
  if (ttbcr !== 0n && ttbcr !== LONG) {
    throw new ArgumentError('search-root', 'only roots of the whole address space are found: TTBCR is 0 or EAE alone', {
      ttbcr,
    });
  }
  return FORMS.filter((_, i) => (i === 1) === isLpae(ttbcr));
}
