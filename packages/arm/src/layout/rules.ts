/**
 * What 32-bit Arm and its Linux demand of a layout.
 * Sources: Linux 6.12 arch/arm/include/asm/memory.h, kasan_def.h; arch/arm/mm/mmu.c, kasan_init.c.
 */
import { ArgumentError, type Layout, type LayoutRules, regionNamed } from '@pagefold/core';
import { FIXED, PMD_BYTES } from './numbers.ts';

/** Regions that have shadow: everything above user space but the shadow itself. */
const SHADOWED = ['modules', 'pkmap', 'linear', 'vmalloc', 'fdt', 'fixmap', 'vectors'] as const;

/** The shadow rule, if there is a shadow: from the fact, or from where the region ends. */
function shadowRule(layout: Layout): Pick<LayoutRules, 'shadow'> {
  const region = regionNamed(layout, 'kasan_shadow');
  const fact = layout.facts.KASAN_SHADOW_OFFSET;
  if (region === undefined && fact === undefined) return {};
  const fromEnd = BigInt.asUintN(32, (region?.end ?? 0n) - (1n << BigInt(32 - FIXED.shadowScale)));
  const offset = fact ?? fromEnd;
  return { shadow: { region: 'kasan_shadow', scale: FIXED.shadowScale, offset, covers: SHADOWED } };
}

/**
 * The rules for a layout.
 * @throws ArgumentError `layout-mode` if its name says neither `short` nor `lpae`
 */
export function armLayoutRules(layout: Layout): LayoutRules {
  const lpae = /^lpae\b/i.test(layout.name);
  if (!lpae && !/^short\b/i.test(layout.name)) {
    throw new ArgumentError('layout-mode', 'the name of a layout must begin with short or lpae', { name: layout.name });
  }
  const rootSpan = lpae ? 1n << 30n : PMD_BYTES;
  return {
    pageBytes: 4096n,
    alignment: [
      {
        region: 'linear',
        bytes: lpae ? rootSpan : 1n << 24n,
        why: 'PAGE_OFFSET begins with whole entries of the root',
      },
      { region: 'vmalloc', bytes: PMD_BYTES, why: 'tables are kept apart from lowmem' },
      { region: 'modules', bytes: PMD_BYTES, why: 'it begins with a table of its own' },
      { region: 'fdt', bytes: PMD_BYTES, edge: 'both', why: 'sections map the device tree' },
      { region: 'kasan_shadow', bytes: PMD_BYTES, edge: 'both', why: 'the early shadow takes whole entries' },
    ],
    order: ['user', 'kasan_shadow', 'modules', 'pkmap', 'linear', 'vmalloc', 'fdt', 'fixmap', 'vectors'],
    ...(lpae
      ? {
          unbroken: [
            { region: 'kasan_shadow', bytes: rootSpan, why: 'one second-level table is copied while it is built' },
          ],
        }
      : {}),
    ...shadowRule(layout),
    rootSpan,
  };
}
