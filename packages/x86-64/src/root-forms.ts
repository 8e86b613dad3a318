/** The kinds of roots that memory can be searched for. */
import { ArgumentError, type OptionValues, type RootForm } from '@pagefold/core';

/**
 * Four and five levels, or what `--levels` says.
 * @throws ArgumentError `search-root` if the options name a root
 */
export function x86RootForms({ cr3, cr4, levels }: OptionValues): readonly RootForm[] {
  if (cr3 !== undefined || cr4 !== undefined) {
    throw new ArgumentError('search-root', 'a search is for roots: give no CR3 and no CR4, at most the levels');
  }
  return ['4', '5']
    .filter((known) => levels === undefined || known === levels)
    .map((known) => ({
      label: `${known} levels`,
      options: (address) => ({ levels: known, cr3: address }),
    }));
}
