/**
 * The markers between the lines of Linux's own dump of its tables.
 * Source: Linux 6.12 arch/arm64/mm/ptdump.c.
 */
import { hex, type Layout, type Marker, regionNamed } from '@pagefold/core';

/** Regions in the order of the dump, with the words at their start and end. */
const WORDS: readonly (readonly [region: string, start: string, end: string])[] = [
  ['linear', 'Linear Mapping start', 'Linear Mapping end'],
  ['kasan_shadow', 'Kasan shadow start', 'Kasan shadow end'],
  ['modules', 'Modules start', 'Modules end'],
  ['vmalloc', 'vmalloc() area', 'vmalloc() end'],
  ['vmemmap', 'vmemmap start', 'vmemmap end'],
  ['pci_io', 'PCI I/O start', 'PCI I/O end'],
  ['fixmap', 'Fixmap start', 'Fixmap end'],
];

/** The markers of a layout. Linux prints the start of the linear map as PAGE_OFFSET, whatever bits are in use. */
export function ptdumpMarkers(layout: Layout): Marker[] {
  return WORDS.flatMap(([name, first, last]): Marker[] => {
    const region = regionNamed(layout, name);
    if (region === undefined) return [];
    const start = name === 'linear' ? (layout.facts.PAGE_OFFSET ?? region.start) : region.start;
    return [
      { at: start, name: first },
      { at: region.end, name: last },
    ];
  });
}

/** The markers as lines, in the form of Linux's dump. */
export function markerLines(layout: Layout): string[] {
  return ptdumpMarkers(layout).map(({ at, name }) => `${hex(at, 16)} ---[ ${name} ]---`);
}
