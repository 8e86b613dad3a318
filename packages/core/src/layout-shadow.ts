/** Checks of shadow memory: does the arithmetic that code was compiled with lead into the region that holds it? */
import { hex, sizeText } from './address.ts';
import { createShadow, type Shadow } from './kasan.ts';
import { type Layout, type Region, usedPart } from './layout.ts';
import type { Finding, LayoutRules, Severity, ShadowRule } from './layout-rules.ts';
import { type AddressRange, rangeCovers } from './range.ts';

/** Takes one finding. */
export type Report = (
  rule: string,
  severity: Severity,
  regions: readonly Region[],
  message: string,
  values: Finding['values'],
) => void;

/** The shadow bytes of a range, with an end of 2^wordBits instead of 0. */
export function shadowBytes(shadow: Shadow, range: AddressRange<bigint>): AddressRange<bigint> {
  const { start, end } = shadow.shadowRange(range);
  return { start, end: end === 0n ? 1n << BigInt(shadow.wordBits) : end };
}

/** The regions that must have a shadow. */
function shadowedRegions(regions: readonly Region[], rule: ShadowRule, high: AddressRange<bigint>): readonly Region[] {
  return regions.filter((region) =>
    rule.covers === undefined
      ? region.name !== rule.region && rangeCovers(high, region)
      : rule.covers.includes(region.name),
  );
}

/**
 * Checks the shadow of one layout.
 * @param region the region that holds it, if there is one
 * @param high the highest addressable range: what needs a shadow lies there
 */
export function checkShadow(
  layout: Layout,
  regions: readonly Region[],
  region: Region | undefined,
  high: AddressRange<bigint>,
  rules: LayoutRules,
  report: Report,
): void {
  const rule = rules.shadow;
  if (rule === undefined) return;
  const { scale, offset } = rule;
  if (region === undefined) {
    report('shadow-missing', 'error', [], `there is no region ${rule.region}`, { offset });
    return;
  }
  const shadow = createShadow({ scale, offset, wordBits: layout.wordBits });
  const all = shadowBytes(shadow, high);
  if (region.end !== all.end) {
    const message = `${region.name} ends at ${hex(region.end)}, but the shadow of the last address ends at ${hex(all.end)}`;
    report('shadow-end', 'error', [region], message, { end: region.end, shadowEnd: all.end, offset });
  }
  for (const each of shadowedRegions(regions, rule, high)) {
    const whole = shadowBytes(shadow, each);
    if (rangeCovers(region, whole)) continue;
    const certain = !rangeCovers(region, shadowBytes(shadow, usedPart(each)));
    const message = `the shadow of ${each.name} lies outside ${region.name}: ${hex(whole.start)} to ${hex(whole.end)}`;
    const values = { shadowStart: whole.start, shadowEnd: whole.end, start: region.start, end: region.end };
    report('shadow-covers', certain ? 'error' : 'warning', [each, region], message, values);
  }
  if (region.start < all.start) {
    const bytes = all.start - region.start;
    const message = `${sizeText(bytes)} at the start of ${region.name} are the shadow of nothing`;
    report('shadow-spare', 'info', [region], message, { start: region.start, shadowStart: all.start, bytes });
  }
  const { rootSpan } = rules;
  if (rootSpan !== undefined && region.end % rootSpan !== 0n) {
    const edge = region.end - (region.end % rootSpan);
    const others = regions.filter(({ start, end }) => start >= region.end && start < edge + rootSpan && end > start);
    if (others.length === 0) return;
    const names = others.map(({ name }) => name).join(', ');
    const message = `the last root entry of ${region.name} also maps ${names}: it needs tables of its own`;
    report('shared-entry', 'info', [region, ...others], message, { entryStart: edge, bytes: rootSpan });
  }
}
