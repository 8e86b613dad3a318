/** The tables of the guide on layouts are what the code computes. */
import { readFileSync } from 'node:fs';
import { createShadow, hex, regionNamed, sizeText } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  KASAN_SCALE,
  layoutProfiles,
  modePolicies,
  type ReleaseRange,
  RISCV_MODES,
  type RiscvMode,
  riscvGeometries,
  riscvLayout,
  shadowEntries,
} from '../src/index.ts';

const guide = readFileSync(new URL('../../../docs/guide/layouts.md', import.meta.url), 'utf8');

const row = (...cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(...head), row(...head.map(() => '---')), ...rows.map((cells) => row(...cells))].join('\n');

/** Modes with a kernel half of their own. */
const WIDE = ['sv39', 'sv48', 'sv57'] as const;

function newest(): string {
  const layouts = RISCV_MODES.map((mode) => riscvLayout({ mode, kasan: mode !== 'sv32' }));
  const names = [
    'user',
    'fixmap',
    'pci_io',
    'vmemmap',
    'vmalloc',
    'linear',
    'kasan_shadow',
    'modules',
    'bpf_jit',
    'kernel',
  ];
  const cell = (region: ReturnType<typeof regionNamed>): string =>
    region === undefined ? '' : `${hex(region.start)}, ${sizeText(region.end - region.start)}`;
  const rows = names.map((name) => [name, ...layouts.map((layout) => cell(regionNamed(layout, name)))]);
  return table(['region', ...RISCV_MODES], rows);
}

function bottom(): string {
  const rows = WIDE.map((mode) => {
    const half = 1n << BigInt(riscvGeometries[mode].vaBits - 1);
    const start = (1n << 64n) - half;
    const end = start + half / 8n;
    const offset = end - (1n << 61n);
    // What the arithmetic makes of the first address of the kernel half must be the first byte of the shadow.
    expect(createShadow({ scale: KASAN_SCALE, offset }).shadowOf(start)).toBe(start);
    return [mode, hex(start), hex(end), hex(offset)];
  });
  return table(['mode', 'bottom of the kernel half', 'end of a shadow from there', 'offset'], rows);
}

function shadow(): string {
  const rows = WIDE.map((mode) => {
    const { shadow: place, root, partial } = shadowEntries(mode);
    const whole = `${root.first} to ${root.last}`;
    const shared = partial.length === 0 ? 'none' : `${root.last + 1}`;
    return [mode, hex(place.start), hex(place.end), hex(place.shadow.offset), whole, shared];
  });
  return table(['mode', 'start', 'end', 'offset', 'whole root entries', 'shared root entry'], rows);
}

function releasesText(releases: readonly ReleaseRange[]): string {
  if (releases.length === 0) return 'none';
  const one = ({ from, to, patch }: ReleaseRange): string => {
    if (patch !== undefined) return `from ${from}.${patch}`;
    return to === undefined ? `from ${from}` : to === from ? from : `${from} to ${to}`;
  };
  return releases.map(one).join(', ');
}

function profiles(): string {
  const rows = layoutProfiles.map((profile) => {
    const offsets = Object.entries(profile.pageOffset).map(([mode, offset]) => `${mode} ${hex(offset)}`);
    const mode = (Object.keys(profile.pageOffset) as RiscvMode[])[0] ?? 'sv39';
    const layout = riscvLayout({ mode, profile, kasan: mode !== 'sv32' });
    const shadowEnd = regionNamed(layout, 'kasan_shadow')?.end;
    return [
      profile.name,
      releasesText(profile.releases),
      offsets.join(', '),
      hex(layout.facts.kernel_link_addr ?? 0n),
      sizeText(profile.fixmapBytes[mode === 'sv32' ? 32 : 64]),
      shadowEnd === undefined ? '' : hex(shadowEnd),
      profile.title,
    ];
  });
  return table(['profile', 'releases', 'PAGE_OFFSET', 'kernel', 'fixmap', 'shadow ends', 'what changed'], rows);
}

function policies(): string {
  const rows = modePolicies.map(({ name, releases, largest, commandLine, deviceTree, checksAddress, title }) => [
    name,
    releasesText(releases),
    largest,
    commandLine ? 'yes' : 'no',
    deviceTree.replaceAll('-', ' '),
    checksAddress ? 'yes' : 'no',
    title,
  ]);
  return table(['rules', 'releases', 'starts at', 'command line', 'mmu-type', 'checks the address', ''], rows);
}

describe('guide on layouts', () => {
  it.each(Object.entries({ newest, bottom, shadow, profiles, policies }))('table %s', (name, make) => {
    const [, shown] = new RegExp(`<!-- table: ${name} -->\n([^]*?)\n?<!-- end -->`).exec(guide) ?? [];
    expect(shown).toBe(make());
  });
});
