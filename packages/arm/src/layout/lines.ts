/**
 * A layout as kernels up to v5.0 printed it at boot. Later ones print nothing; the regions are still the same.
 * Source: Linux 4.19 arch/arm/mm/init.c (`mem_init`).
 */
import { hex, type Layout, regionNamed } from '@pagefold/core';

type Unit = 'kB' | 'MB';

/** Labels in the kernel's order, the region that each shows, and the unit that it always uses. */
const ROWS: readonly (readonly [label: string, region: string, unit: Unit])[] = [
  ['vector', 'vectors', 'kB'],
  ['kasan', 'kasan_shadow', 'MB'],
  ['fixmap', 'fixmap', 'kB'],
  ['vmalloc', 'vmalloc', 'MB'],
  ['lowmem', 'linear', 'MB'],
  ['pkmap', 'pkmap', 'MB'],
  ['modules', 'modules', 'MB'],
];

/** The header, and a line for each region. The vectors show their first page alone, as the kernel had it. */
export function armLayoutLines(layout: Layout): string[] {
  const lines = ROWS.flatMap(([label, name, unit]) => {
    const region = regionNamed(layout, name);
    if (region === undefined) return [];
    const end = name === 'vectors' ? region.start + 0x1000n : region.end;
    const size = `${(end - region.start) >> (unit === 'kB' ? 10n : 20n)}`.padStart(4);
    return [`    ${label.padEnd(7)} : ${hex(region.start, 8)} - ${hex(end, 8)}   (${size} ${unit})`];
  });
  return ['Virtual kernel memory layout:', ...lines];
}
