/** RISC-V layouts for tools. */
import type { AddressRange, LayoutProvider, LayoutValues } from '@pagefold/core';
import { RISCV_MODES, type RiscvMode } from '../modes.ts';
import { riscvLayout } from './create.ts';
import { VM_LAYOUT_HEADER, vmLayoutLines } from './lines.ts';
import { findLayoutProfile, layoutProfiles, newestProfile } from './profiles.ts';
import { riscvLayoutRules } from './rules.ts';

function numberOf(values: LayoutValues, name: string): bigint | undefined {
  const value = values[name];
  return typeof value === 'bigint' ? value : undefined;
}

function wordOf(values: LayoutValues, name: string): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
}

/** Modes to show when none is asked for: all of the profile's 64-bit modes, which one kernel must serve together. */
function modesFor(values: LayoutValues): readonly RiscvMode[] {
  const wanted = wordOf(values, 'mode');
  if (wanted !== undefined) return [wanted as RiscvMode];
  const { pageOffset } = findLayoutProfile(wordOf(values, 'profile') ?? newestProfile.name);
  const has = RISCV_MODES.filter((mode) => pageOffset[mode] !== undefined);
  const wide = has.filter((mode) => mode !== 'sv32');
  return wide.length === 0 ? has : wide;
}

/** The layouts of all profiles. */
export const riscvLayouts: LayoutProvider = {
  options: [
    {
      name: 'mode',
      kind: 'word',
      meaning: 'translation mode (not given: all 64-bit modes of the profile)',
      values: RISCV_MODES,
    },
    {
      name: 'profile',
      kind: 'word',
      meaning: `release such as 5.10, v6.1, 6.1.y or 6.12.107, or one of ${layoutProfiles.map(({ name }) => `'${name}'`).join(', ')} (not given: ${newestProfile.name})`,
    },
    { name: 'kasan', kind: 'flag', meaning: 'built with KASAN' },
    { name: 'kernel-start', kind: 'number', meaning: 'where the kernel runs, _start (not given: where it is linked)' },
    { name: 'kernel-end', kind: 'number', meaning: '_end (not given: 32M above the start)' },
    { name: 'kernel-pa', kind: 'number', meaning: 'physical address of _start (not given: 2M into memory; RV32 4M)' },
    { name: 'memory', kind: 'ranges', meaning: 'physical memory' },
    { name: 'struct-page', kind: 'size', meaning: 'bytes of struct page (not given: 64; RV32 32)' },
  ],
  example: '--mode sv48 --kasan --memory 0x80000000+4G',
  create(values) {
    const profile = wordOf(values, 'profile');
    const [kernelStart, kernelEnd, kernelPhys, structPageBytes] = [
      'kernel-start',
      'kernel-end',
      'kernel-pa',
      'struct-page',
    ].map((name) => numberOf(values, name));
    const memory = Array.isArray(values.memory) ? (values.memory as readonly AddressRange<bigint>[]) : undefined;
    return modesFor(values).map((mode) =>
      riscvLayout({
        mode,
        kasan: values.kasan === true,
        ...(profile === undefined ? {} : { profile }),
        ...(kernelStart === undefined ? {} : { kernelStart }),
        ...(kernelEnd === undefined ? {} : { kernelEnd }),
        ...(kernelPhys === undefined ? {} : { kernelPhys }),
        ...(structPageBytes === undefined ? {} : { structPageBytes }),
        ...(memory === undefined ? {} : { memory }),
      }),
    );
  },
  lines: (layout) => [VM_LAYOUT_HEADER, ...vmLayoutLines(layout)],
  rules: riscvLayoutRules,
};
