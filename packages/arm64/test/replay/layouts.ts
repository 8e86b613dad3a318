/** Replays of the groups about address-space layouts. */
import { regionNamed } from '@pagefold/core';
import {
  arm64Layout,
  arm64LayoutRules,
  createVaPa,
  findLayoutProfile,
  isLpa2Build,
  type KasanKind,
  layoutBase,
  layoutNumbers,
  layoutSymbols,
  memstartFor,
  pageOfStruct,
  pageStructOf,
  placeLinearMap,
  vaBitsMin,
} from '../../src/index.ts';
import { granuleIn, type Json, knowsMembers, numberIn, parsed, sameMembers, wordIn } from './compare.ts';

/** `layouts`: constants, numbers, and samples of what follows from them. */
export function layouts(record: unknown): void {
  const expected = record as Json;
  const granule = granuleIn(expected);
  const build = { granule, vaBits: Number(expected.vaBits) };
  const actualBits = Number(expected.vaBitsActual);
  const kind = wordIn(expected, 'kasan', ['none', 'generic', 'sw_tags']);
  const kasan = kind === 'none' ? {} : { kasan: kind as KasanKind };
  const structPageBytes = BigInt(Number(expected.structPage));
  const base = layoutBase({ build, actualBits, structPageBytes, ...kasan });
  const symbols = layoutSymbols(base);
  const numbers = layoutNumbers(base, symbols);
  const { symbols: wanted, samples, linearMapping, ...rest } = expected;
  const { KASAN_SHADOW_SCALE_SHIFT: scale, ...constants } = symbols;
  const names = Object.keys(wanted as Json).sort();
  sameMembers(
    { ...constants, ...(scale === undefined ? {} : { KASAN_SHADOW_SCALE_SHIFT: Number(scale) }) },
    wanted as Json,
  );
  sameMembers(
    {
      names: Object.keys(symbols)
        .filter((name) => names.includes(name))
        .sort(),
    },
    { names },
  );
  const aligned = (address: bigint | undefined): boolean => (address ?? 0n) % numbers.rootSpan === 0n;
  sameMembers(
    {
      id: expected.id,
      granule,
      vaBits: build.vaBits,
      vaBitsMin: vaBitsMin(build),
      vaBitsActual: actualBits,
      lpa2: isLpa2Build(build) && actualBits === 52,
      kasan: kind,
      structPage: Number(structPageBytes),
      ...numbers,
      ...(base.shadow === undefined
        ? {}
        : {
            shadowStartRootAligned: aligned(symbols.KASAN_SHADOW_START),
            shadowEndRootAligned: aligned(symbols.KASAN_SHADOW_END),
          }),
    },
    rest,
  );
  for (const sample of samples as Json[]) {
    const va = numberIn(sample, 'va');
    const page = pageStructOf(base, symbols, va);
    const shadow = base.shadow?.shadow.shadowOf(va);
    sameMembers({ va, page, ...(shadow === undefined ? {} : { shadow }) }, sample);
    sameMembers({ va: pageOfStruct(base, symbols, page) }, { va: va & -(1n << base.pageBits) });
  }
  for (const mapping of linearMapping as Json[]) {
    knowsMembers(mapping, ['dramStart', 'roundedBase', 'memstartAddr', 'pa', 'va']);
    const start = numberIn(mapping, 'dramStart');
    const placed = placeLinearMap(base, { memory: [{ start, end: start + (1n << 30n) }] });
    const { toVirtual, toPhysical } = createVaPa(base, placed.memstart, 0n);
    const pa = numberIn(mapping, 'pa');
    const va = toVirtual(pa);
    sameMembers({ roundedBase: placed.base, memstartAddr: placed.memstart, va, pa: toPhysical(va) }, mapping, [
      'roundedBase',
      'memstartAddr',
      'va',
      'pa',
    ]);
    sameMembers({ memstartAddr: memstartFor(base, placed.base) }, mapping, ['memstartAddr']);
  }
  // The same as a layout for tools: its regions are the constants, and it satisfies its own rules' offsets.
  const layout = arm64Layout({ build, actualBits, structPageBytes, ...kasan });
  const linear = regionNamed(layout, 'linear');
  sameMembers(
    { linearStart: linear?.start, PAGE_END: linear?.end },
    { linearStart: expected.linearStart, PAGE_END: (wanted as Json).PAGE_END },
  );
  if (base.shadow !== undefined) {
    sameMembers({ offset: arm64LayoutRules(layout).shadow?.offset }, { offset: (wanted as Json).KASAN_SHADOW_OFFSET });
  }
}

/** Profiles by the words of the vectors. */
const RELEASES: Readonly<Record<string, string>> = { 'v5.11..v6.8': 'v6.6', 'v5.4..v5.10': 'v5.4', '..v5.3': 'v5.3' };

/** `layoutHistory`: the constants that moved. */
export function layoutHistory(record: unknown): void {
  const { id: _, kernel, granule: __, vaBits, vaBitsActual, note: ___, ...wanted } = record as Json;
  const release = RELEASES[String(kernel)];
  if (release === undefined) throw new Error(`no replay for ${String(kernel)}`);
  const build = { granule: granuleIn(record as Json), vaBits: Number(vaBits) };
  const actual = vaBitsActual === undefined ? {} : { actualBits: Number(vaBitsActual) };
  const base = layoutBase({ build, profile: findLayoutProfile(release), ...actual });
  sameMembers(layoutSymbols(base) as unknown as Json, parsed(wanted) as Json);
}
