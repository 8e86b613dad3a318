/**
 * Checking several layouts of one kernel together: one kernel image runs in whatever mode the hardware has, so what the
 * compiler builds in must hold in all of them.
 */
import { hex } from './address.ts';
import { createShadow } from './kasan.ts';
import type { Layout } from './layout.ts';
import { checkLayout } from './layout-check.ts';
import type { Finding, LayoutRules, ShadowRule } from './layout-rules.ts';
import { shadowBytes } from './layout-shadow.ts';
import { rangeCovers, rangesOverlap } from './range.ts';

/** A layout with its rules. */
export interface RuledLayout {
  readonly layout: Layout;
  readonly rules: LayoutRules;
}

/** What another layout's offset would do to this one. */
function misplaced({ layout, rules }: RuledLayout, offset: bigint, from: string): Finding {
  const rule = rules.shadow as ShadowRule;
  const { wordBits, regions, name } = layout;
  const high = rules.addressable?.at(-1) ?? { start: 0n, end: 1n << BigInt(wordBits) };
  const range = shadowBytes(createShadow({ scale: rule.scale, offset, wordBits }), high);
  const hit = regions.filter((region) => region.name !== rule.region && rangesOverlap(region, range));
  const exists = rules.addressable === undefined || rules.addressable.some((each) => rangeCovers(each, range));
  const over = hit.length === 0 ? `not where ${rule.region} is` : `over ${hit.map((region) => region.name).join(', ')}`;
  const place = exists ? over : `where ${name} has no addresses`;
  return {
    rule: 'one-shadow-offset',
    severity: 'error',
    layout: name,
    regions: [rule.region, ...hit.map((region) => region.name)],
    message: `the shadow offset of ${from} does not serve ${name}: it puts the shadow at ${hex(range.start)} to ${hex(range.end)}, ${place}`,
    values: { offset, wanted: rule.offset, start: range.start, end: range.end },
  };
}

/**
 * Is one shadow offset right in all layouts? Code is compiled with one.
 * @returns one `info` finding if it is; an error for every layout that the first layout's offset does not serve
 */
export function checkShadowOffsets(set: readonly RuledLayout[]): Finding[] {
  const shadowed = set.filter(({ rules }) => rules.shadow !== undefined);
  const [first, ...others] = shadowed;
  if (first === undefined || others.length === 0) return [];
  const { offset, scale } = first.rules.shadow as ShadowRule;
  const wrong = others.filter(({ rules }) => rules.shadow?.offset !== offset || rules.shadow.scale !== scale);
  if (wrong.length > 0) return wrong.map((each) => misplaced(each, offset, first.layout.name));
  const names = shadowed.map(({ layout }) => layout.name).join(', ');
  return [
    {
      rule: 'one-shadow-offset',
      severity: 'info',
      layout: names,
      regions: [],
      message: `one shadow offset, ${hex(offset)}, serves ${names}`,
      values: { offset },
    },
  ];
}

/** Checks each layout, and then what all must have in common. */
export function checkLayouts(set: readonly RuledLayout[]): Finding[] {
  return [...set.flatMap(({ layout, rules }) => checkLayout(layout, rules)), ...checkShadowOffsets(set)];
}
