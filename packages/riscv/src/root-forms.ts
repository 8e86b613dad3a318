/** The kinds of roots that memory can be searched for. */
import { ArgumentError, type OptionValues, type RootForm } from '@pagefold/core';
import { RISCV_MODES } from './modes.ts';

/**
 * One kind for each mode, or that of `--mode`. Sv32 is looked for only if it is asked for: it is another machine.
 * @throws ArgumentError `search-root` if the options name a root
 */
export function riscvRootForms({ satp, mode, 'root-pa': root }: OptionValues): readonly RootForm[] {
  if (satp !== undefined || root !== undefined) {
    throw new ArgumentError('search-root', 'a search is for roots: give no satp and no root, at most a mode');
  }
  return RISCV_MODES.filter((known) => (mode === undefined ? known !== 'sv32' : known === mode)).map((known) => ({
    label: known,
    options: (address) => ({ mode: known, 'root-pa': address }),
  }));
}
