/**
 * What RISC-V and its Linux demand of a layout.
 * Source: RISC-V ISA Volume II (canonical addresses); Linux 6.12 arch/riscv/mm/init.c (`setup_vm`: the checks at its
 * end), asm/pgtable.h, asm/kasan.h.
 */
import { ArgumentError, type Layout, type LayoutRules, regionNamed } from '@pagefold/core';
import { KASAN_SCALE } from '../kasan-shadow.ts';
import { RISCV_MODES, type RiscvMode, riscvGeometries } from '../modes.ts';
import { CODE_REACH, rootSpan } from './regions.ts';

/**
 * The mode that a layout is for: its name.
 * @throws ArgumentError `layout-mode` if its name is no mode
 */
export function modeOfLayout(layout: Layout): RiscvMode {
  const mode = RISCV_MODES.find((each) => each === layout.name.toLowerCase());
  if (mode !== undefined) return mode;
  throw new ArgumentError('layout-mode', `the name of a layout must be one of ${RISCV_MODES.join(', ')}`, {
    name: layout.name,
  });
}

/** The shadow rule, if the layout has a shadow: from the fact `kasan_shadow_offset`, or from where the region ends. */
function shadowRule(layout: Layout): Pick<LayoutRules, 'shadow'> {
  const region = regionNamed(layout, 'kasan_shadow');
  const fact = layout.facts.kasan_shadow_offset;
  if (region === undefined && fact === undefined) return {};
  const fromEnd = BigInt.asUintN(64, (region?.end ?? 0n) - (1n << BigInt(64 - KASAN_SCALE)));
  return { shadow: { region: 'kasan_shadow', scale: KASAN_SCALE, offset: fact ?? fromEnd } };
}

/**
 * The rules for a layout, by its mode.
 * @throws ArgumentError `layout-mode` if its name is no mode
 */
export function riscvLayoutRules(layout: Layout): LayoutRules {
  const mode = modeOfLayout(layout);
  const { vaBits, wordBits = 64 } = riscvGeometries[mode];
  const span = rootSpan(mode);
  const half = 1n << BigInt(vaBits - 1);
  const leaf = mode === 'sv32' ? span : 1n << 21n;
  return {
    pageBytes: 4096n,
    addressable:
      wordBits === 32
        ? [{ start: 0n, end: 1n << 32n }]
        : [
            { start: 0n, end: half },
            { start: (1n << 64n) - half, end: 1n << 64n },
          ],
    alignment: [
      { region: 'linear', bytes: span, why: 'PAGE_OFFSET must be a multiple of PGDIR_SIZE' },
      { region: 'kernel', bytes: leaf, why: 'the kernel is mapped with large leaves' },
      { region: 'fixmap', bytes: leaf, edge: 'both', why: 'large leaves in it map the device tree' },
      { region: 'kasan_shadow', bytes: span, why: 'the early shadow takes whole root entries' },
      { region: 'user', bytes: span, edge: 'end', why: 'PGDIR_SIZE must divide TASK_SIZE' },
    ],
    order: ['user', 'fixmap', 'pci_io', 'vmemmap', 'vmalloc', 'linear'],
    ...(wordBits === 32
      ? {}
      : {
          reach: ['modules', 'bpf_jit'].map((name) => ({
            regions: [name, 'kernel'] as const,
            bytes: CODE_REACH,
            why: 'calls between them reach 2 GiB',
          })),
          unbroken: [{ region: 'kernel', bytes: 1n << 30n, why: 'one early table maps it' }],
        }),
    ...shadowRule(layout),
    rootSpan: span,
  };
}
