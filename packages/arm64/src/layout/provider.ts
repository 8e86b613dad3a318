/** arm64 layouts for tools. */
import type { AddressRange, LayoutProvider, LayoutValues } from '@pagefold/core';
import { GRANULES, type Granule } from '../granule.ts';
import { type LinuxBuild, vaBitsMin } from '../linux-builds.ts';
import { arm64Layout } from './create.ts';
import { markerLines } from './markers.ts';
import { layoutProfiles, newestProfile } from './profiles.ts';
import { arm64LayoutRules } from './rules.ts';
import type { KasanKind } from './shadow.ts';

function numberOf(values: LayoutValues, name: string): bigint | undefined {
  const value = values[name];
  return typeof value === 'bigint' ? value : undefined;
}

function buildOf(values: LayoutValues): LinuxBuild {
  const granule = GRANULES.find((known) => known === values.granule) ?? '4K';
  const bits = numberOf(values, 'va-bits');
  const usual: Readonly<Record<Granule, number>> = { '4K': 48, '16K': 47, '64K': 52 };
  return { granule, vaBits: bits === undefined ? usual[granule] : Number(bits) };
}

function kasanOf({ kasan }: LayoutValues): KasanKind | undefined {
  if (kasan === true || kasan === 'generic') return 'generic';
  return kasan === 'sw_tags' ? 'sw_tags' : undefined;
}

/** The layouts of all profiles. */
export const arm64Layouts: LayoutProvider = {
  options: [
    {
      name: 'granule',
      kind: 'word',
      meaning: 'page size that the kernel was built for (not given: 4K)',
      values: GRANULES,
    },
    {
      name: 'va-bits',
      kind: 'number',
      meaning: 'virtual address bits that it was built for (not given: 48; with 16K 47, with 64K 52)',
    },
    {
      name: 'on-va-bits',
      kind: 'number',
      meaning: 'virtual address bits that the hardware has (not given: of a 52-bit build both cases)',
    },
    {
      name: 'profile',
      kind: 'word',
      meaning: `release such as 5.10, v6.1 or 6.12.107, or one of ${layoutProfiles.map(({ name }) => `'${name}'`).join(', ')} (not given: ${newestProfile.name})`,
    },
    {
      name: 'kasan',
      kind: 'flag',
      meaning: 'built with KASAN (alone: generic)',
      values: ['none', 'generic', 'sw_tags'],
    },
    { name: 'kernel-start', kind: 'number', meaning: 'where the kernel runs, _text (not given: KIMAGE_VADDR)' },
    { name: 'kernel-end', kind: 'number', meaning: '_end (not given: 32M above the start)' },
    { name: 'memory', kind: 'ranges', meaning: 'physical memory' },
    { name: 'struct-page', kind: 'size', meaning: 'bytes of struct page (not given: 64)' },
  ],
  example: '--granule 4K --va-bits 52 --kasan --memory 0x40000000+2G',
  create(values) {
    const build = buildOf(values);
    const given = numberOf(values, 'on-va-bits');
    const bits = given === undefined ? [...new Set([build.vaBits, vaBitsMin(build)])] : [Number(given)];
    const [kernelStart, kernelEnd, structPageBytes] = ['kernel-start', 'kernel-end', 'struct-page'].map((name) =>
      numberOf(values, name),
    );
    const memory = Array.isArray(values.memory) ? (values.memory as readonly AddressRange<bigint>[]) : undefined;
    const kasan = kasanOf(values);
    return bits.map((actualBits) =>
      arm64Layout({
        build,
        actualBits,
        ...(typeof values.profile === 'string' ? { profile: values.profile } : {}),
        ...(kasan === undefined ? {} : { kasan }),
        ...(kernelStart === undefined ? {} : { kernelStart }),
        ...(kernelEnd === undefined ? {} : { kernelEnd }),
        ...(structPageBytes === undefined ? {} : { structPageBytes }),
        ...(memory === undefined ? {} : { memory }),
      }),
    );
  },
  lines: markerLines,
  rules: arm64LayoutRules,
};
