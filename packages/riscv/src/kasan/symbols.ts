/**
 * The static tables of KASAN. A description of a kernel without KASAN has none; for trying KASAN with such a kernel they
 * are put behind its end, where a larger bss would have had them.
 */
import type { BootDescription } from '../boot/description.ts';

/** Pages that a kernel with KASAN brings along, in the order in which they are put behind its end. */
export const KASAN_PAGES = [
  'kasan_early_shadow_page',
  'kasan_early_shadow_pte',
  'kasan_early_shadow_pmd',
  'kasan_early_shadow_pud',
  'kasan_early_shadow_p4d',
  'tmp_pg_dir',
  'tmp_p4d',
  'tmp_pud',
] as const;

/** Name of one of them. */
export type KasanPage = (typeof KASAN_PAGES)[number];

const PAGE = 4096n;

/** A description with all of KASAN's pages; the same one if it has them. */
export function withKasanPages(description: BootDescription): BootDescription {
  const missing = KASAN_PAGES.filter((name) => !description.symbols.has(name));
  const end = description.symbols.get('_end');
  if (missing.length === 0 || end === undefined) return description;
  const symbols = new Map(description.symbols);
  const first = end + ((PAGE - (end % PAGE)) % PAGE);
  for (const [i, name] of missing.entries()) symbols.set(name, first + BigInt(i) * PAGE);
  symbols.set('_end', first + BigInt(missing.length) * PAGE);
  return { ...description, symbols };
}
