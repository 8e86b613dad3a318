/**
 * What x86-64 and its Linux demand of a layout.
 * Sources: Linux 6.12 arch/x86/mm/kaslr.c, arch/x86/include/asm/kasan.h, page_64_types.h; the code model `kernel` of the
 * System V ABI, AMD64 supplement, 3.5.1.
 */
import { ArgumentError, type Layout, type LayoutRules, regionNamed } from '@pagefold/core';
import { KASAN_SHADOW_OFFSET } from './create.ts';

const GIB = 1n << 30n;
/** Regions of the kernel's half that have no shadow of their own are the shadow itself and what EFI has to itself. */
const SHADOWED = ['guard_hole', 'ldt', 'direct', 'vmalloc', 'vmemmap', 'cpu_entry_area', 'espfix', 'image', 'modules'];

/**
 * The rules for a layout.
 * @throws ArgumentError `layout-mode` if its name says neither 4 nor 5 levels
 */
export function x86LayoutRules(layout: Layout): LayoutRules {
  const levels = /^([45])-level\b/.exec(layout.name)?.[1];
  if (levels === undefined) {
    throw new ArgumentError('layout-mode', 'the name of a layout must begin with 4-level or 5-level', {
      name: layout.name,
    });
  }
  const half = 1n << (levels === '5' ? 56n : 47n);
  const rootSpan = 1n << (levels === '5' ? 48n : 39n);
  const shadow = regionNamed(layout, 'kasan_shadow') !== undefined;
  return {
    pageBytes: 4096n,
    addressable: [
      { start: 0n, end: half },
      { start: (1n << 64n) - half, end: 1n << 64n },
    ],
    alignment: [
      { region: 'guard_hole', bytes: rootSpan, edge: 'both', why: 'it is whole entries of the root' },
      { region: 'ldt', bytes: rootSpan, edge: 'both', why: 'a program has its own entry of the root for it' },
      ...['direct', 'vmalloc', 'vmemmap'].map((region) => ({
        region,
        bytes: GIB,
        why: 'the bases are whole entries of a PUD table',
      })),
      { region: 'cpu_entry_area', bytes: 1n << 39n, edge: 'both', why: 'it has tables of its own' },
      { region: 'espfix', bytes: 1n << 39n, edge: 'both', why: 'it has tables of its own' },
    ],
    order: [
      'user',
      'guard_hole',
      'ldt',
      'direct',
      'vmalloc',
      'vmemmap',
      'kasan_shadow',
      'cpu_entry_area',
      'espfix',
      'efi',
      'image',
      'modules',
      'fixmap',
    ],
    reach: [
      { regions: ['image', 'modules'], bytes: 2n * GIB, why: 'code model kernel: all addresses lie in the top 2 GiB' },
    ],
    ...(shadow ? { shadow: { region: 'kasan_shadow', scale: 3, offset: KASAN_SHADOW_OFFSET, covers: SHADOWED } } : {}),
    rootSpan,
  };
}
