/** Layouts of 32-bit Arm for tools. */
import type { AddressRange, LayoutProvider, LayoutValues } from '@pagefold/core';
import { type ArmLayoutOptions, armLayout } from './create.ts';
import { armLayoutLines } from './lines.ts';
import { VM_SPLITS, type VmSplit } from './numbers.ts';
import { armLayoutRules } from './rules.ts';

const FORMATS = ['short', 'lpae'] as const;

/** The format to show: short descriptors, unless the long ones were asked for by either name. */
function formatFor(values: LayoutValues): (typeof FORMATS)[number] {
  if (values.lpae === true) return 'lpae';
  return FORMATS.find((format) => format === values.mode) ?? 'short';
}

/** The layouts of Linux 6.12. */
export const armLayouts: LayoutProvider = {
  options: [
    { name: 'mode', kind: 'word', meaning: 'format of the tables (not given: short)', values: FORMATS },
    { name: 'lpae', kind: 'flag', meaning: 'long descriptors, the same as --mode lpae' },
    {
      name: 'vmsplit',
      kind: 'word',
      meaning: 'where the kernel begins (not given: 3G; lpae has no 3G_OPT)',
      values: VM_SPLITS,
    },
    { name: 'kasan', kind: 'flag', meaning: 'built with KASAN' },
    { name: 'highmem', kind: 'flag', meaning: 'built with high memory' },
    { name: 'thumb2', kind: 'flag', meaning: 'built as Thumb-2' },
    { name: 'vmalloc', kind: 'size', meaning: 'the boot argument vmalloc= (not given: 240M)' },
    { name: 'memory', kind: 'ranges', meaning: 'physical memory (not given: 1G from 0x80000000)' },
    { name: 'phys-offset', kind: 'number', meaning: 'what PAGE_OFFSET maps (not given: where memory begins)' },
  ],
  example: '--mode short --vmsplit 3G --kasan --memory 0x40000000+2G',
  create(values) {
    const memory = Array.isArray(values.memory) ? (values.memory as readonly AddressRange<bigint>[]) : undefined;
    const physOffset = values['phys-offset'];
    const options: ArmLayoutOptions = {
      kasan: values.kasan === true,
      highmem: values.highmem === true,
      thumb2: values.thumb2 === true,
      ...(typeof values.vmsplit === 'string' ? { vmsplit: values.vmsplit as VmSplit } : {}),
      ...(typeof values.vmalloc === 'bigint' ? { vmallocBytes: values.vmalloc } : {}),
      ...(typeof physOffset === 'bigint' ? { physOffset } : {}),
      ...(memory === undefined ? {} : { memory }),
    };
    return [armLayout({ ...options, lpae: formatFor(values) === 'lpae' })];
  },
  lines: armLayoutLines,
  rules: armLayoutRules,
};
