/** The architectures that the command knows. Another one is another line here. */
import { arm } from '@pagefold/arm';
import { arm64 } from '@pagefold/arm64';
import type { Architecture } from '@pagefold/core';
import { riscv } from '@pagefold/riscv';
import { x86 } from '@pagefold/x86-64';
import { UsageError } from './errors.ts';

/** All of them, in the order of help texts. */
export const architectures: readonly Architecture[] = [riscv, arm64, arm, x86];

/**
 * An architecture by its name or an alias.
 * @param what where the name comes from, for the message
 * @throws UsageError if there is none
 */
export function architectureNamed(name: string, what = '--arch'): Architecture {
  const wanted = name.toLowerCase();
  const found = architectures.find((arch) => arch.name === wanted || arch.aliases.includes(wanted));
  if (found === undefined) {
    throw new UsageError(`${what}: '${name}' is not one of ${architectures.map((arch) => arch.name).join(', ')}`);
  }
  return found;
}
