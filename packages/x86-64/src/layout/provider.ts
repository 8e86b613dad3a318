/** x86-64 layouts for tools. */
import { hex, type Layout, type LayoutProvider, type LayoutValues } from '@pagefold/core';
import { x86Layout } from './create.ts';
import { x86LayoutRules } from './rules.ts';

/** Names of the markers in the kernel's own dump, by region (Linux 6.12 arch/x86/mm/dump_pagetables.c). */
const MARKERS: Readonly<Record<string, string>> = {
  ldt: 'LDT remap',
  direct: 'Low Kernel Mapping',
  vmalloc: 'vmalloc() Area',
  vmemmap: 'Vmemmap',
  kasan_shadow: 'KASAN shadow',
  cpu_entry_area: 'CPU entry Area',
  espfix: 'ESPfix Area',
  efi: 'EFI Runtime Services',
  image: 'High Kernel Mapping',
  modules: 'Modules',
};

/**
 * The kernel prints no layout at boot: its page-table dump has markers at these addresses. The one of the fixmap is left
 * out, since where that begins depends on what a build puts into it.
 */
function markerLines({ regions }: Layout): string[] {
  const markers = regions.flatMap(({ name, start, end }) => {
    const marker = MARKERS[name];
    if (marker === undefined) return [];
    const lines = [`${hex(start, 16)}  ---[ ${marker} ]---`];
    // These two have a marker at their end too.
    if (name === 'kasan_shadow') lines.push(`${hex(end, 16)}  ---[ KASAN shadow end ]---`);
    if (name === 'modules') lines.push(`${hex(end, 16)}  ---[ End Modules ]---`);
    return lines;
  });
  return [`${hex(0n, 16)}  ---[ User Space ]---`, `${hex(1n << 63n, 16)}  ---[ Kernel Space ]---`, ...markers];
}

function numberOf(values: LayoutValues, name: string): bigint | undefined {
  const value = values[name];
  return typeof value === 'bigint' ? value : undefined;
}

/** The layouts of Linux 6.12. */
export const x86Layouts: LayoutProvider = {
  options: [
    { name: 'levels', kind: 'word', meaning: 'levels of tables (not given: both)', values: ['4', '5'] },
    { name: 'kasan', kind: 'flag', meaning: 'built with KASAN' },
    {
      name: 'page-offset-base',
      kind: 'number',
      meaning: 'page_offset_base of a kernel that moved its direct map, with --levels',
    },
    { name: 'vmalloc-base', kind: 'number', meaning: 'vmalloc_base, likewise' },
    { name: 'vmemmap-base', kind: 'number', meaning: 'vmemmap_base, likewise' },
  ],
  example: '--levels 5 --kasan',
  create(values) {
    const chosen = ([4, 5] as const).filter(
      (levels) => values.levels === undefined || values.levels === String(levels),
    );
    return chosen.map((levels) =>
      x86Layout({
        levels,
        kasan: values.kasan === true,
        pageOffsetBase: numberOf(values, 'page-offset-base'),
        vmallocBase: numberOf(values, 'vmalloc-base'),
        vmemmapBase: numberOf(values, 'vmemmap-base'),
      }),
    );
  },
  lines: markerLines,
  rules: x86LayoutRules,
};
