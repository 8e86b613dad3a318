/**
 * What arm64 and its Linux demand of a layout.
 * Source: Linux 6.12 arch/arm64/mm/kasan_init.c (the checks of `kasan_early_init`), mm/mmu.c, arch/arm64/include/asm/fixmap.h.
 */
import { ArgumentError, type Layout, type LayoutRules, regionNamed } from '@pagefold/core';
import { GRANULES, levelShift, PAGE_BITS, startLevel } from '../granule.ts';
import { checkBuild, type LinuxBuild, linuxFolding } from '../linux-builds.ts';
import { layoutProfiles } from './profiles.ts';
import { KASAN_SCALE } from './shadow.ts';

/** A build and the bits that it runs with. */
export interface RunningBuild {
  readonly build: LinuxBuild;
  readonly actualBits: number;
}

/**
 * The build that a layout is for: its name.
 * @throws ArgumentError `layout-mode` if its name is none
 */
export function buildOfLayout(layout: Layout): RunningBuild {
  const [, given, bits, actual = bits] = /^(\d+k)-(\d+)(?:-on-(\d+))?$/i.exec(layout.name) ?? [];
  const granule = GRANULES.find((known) => known === given?.toUpperCase());
  if (granule === undefined) {
    throw new ArgumentError('layout-mode', 'the name of a layout reads 4K-48 or 64K-52-on-48', { name: layout.name });
  }
  const build = { granule, vaBits: Number(bits) };
  checkBuild(build);
  // Refuses bits that the build does not run with.
  linuxFolding(build, Number(actual));
  return { build, actualBits: Number(actual) };
}

/** The shadow rule, if the layout has a shadow. Without facts about it, the scale follows from how large it is. */
function shadowRule(layout: Layout, actualBits: number): Pick<LayoutRules, 'shadow'> {
  const region = regionNamed(layout, 'kasan_shadow');
  const { KASAN_SHADOW_OFFSET: fact, KASAN_SHADOW_SCALE_SHIFT: factScale } = layout.facts;
  if (region === undefined && fact === undefined) return {};
  const bytes = region === undefined ? 0n : region.end - region.start;
  const guessed = bytes === 1n << BigInt(actualBits - KASAN_SCALE.sw_tags) ? KASAN_SCALE.sw_tags : KASAN_SCALE.generic;
  const scale = factScale === undefined ? guessed : Number(factScale);
  const fromEnd = BigInt.asUintN(64, (region?.end ?? 0n) - (1n << BigInt(64 - scale)));
  return { shadow: { region: 'kasan_shadow', scale, offset: fact ?? fromEnd } };
}

const ORDER: Readonly<Record<string, readonly string[]>> = {
  'below-linear': ['kasan_shadow', 'bpf_jit', 'modules', 'vmalloc', 'fixmap', 'pci_io', 'vmemmap', 'linear'],
  'below-top': ['linear', 'kasan_shadow', 'bpf_jit', 'modules', 'vmalloc', 'fixmap', 'pci_io', 'vmemmap'],
  scaled: ['linear', 'kasan_shadow', 'bpf_jit', 'modules', 'vmalloc', 'fixmap', 'pci_io', 'vmemmap'],
  'last-gigabyte': ['linear', 'kasan_shadow', 'bpf_jit', 'modules', 'vmalloc', 'vmemmap', 'pci_io', 'fixmap'],
};

/**
 * The rules for a layout, by its name.
 * @throws ArgumentError `layout-mode` if it is none; `linux-build`, `linux-va-bits` for what never was
 */
export function arm64LayoutRules(layout: Layout): LayoutRules {
  const { build, actualBits } = buildOfLayout(layout);
  const { granule } = build;
  const half = 1n << BigInt(actualBits);
  const rootSpan = 1n << BigInt(levelShift(granule, startLevel(granule, actualBits)));
  const top = layoutProfiles.find(({ name }) => name === layout.profile)?.top;
  // The shadow is filled with whole tables: of the level below the root where the root's entries are too large.
  const shadowAlign = 1n << BigInt(levelShift(granule, granule === '64K' ? 2 : 1));
  return {
    pageBytes: 1n << BigInt(PAGE_BITS[granule]),
    addressable: [
      { start: 0n, end: half },
      { start: (1n << 64n) - half, end: 1n << 64n },
    ],
    alignment: [
      {
        region: 'kasan_shadow',
        bytes: shadowAlign < rootSpan ? shadowAlign : rootSpan,
        edge: 'both',
        why: 'early tables of the shadow are whole ones',
      },
    ],
    order: ['user', ...(top === undefined ? [] : (ORDER[top] as readonly string[]))],
    ...shadowRule(layout, actualBits),
    rootSpan,
  };
}
