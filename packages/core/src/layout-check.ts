/** Checking one layout against rules: what cannot work, what works only for now, what is worth knowing. */
import { hex, sizeText } from './address.ts';
import { type Layout, type Region, regionNamed, sortRegions, usedPart } from './layout.ts';
import type { Finding, LayoutRules, Severity } from './layout-rules.ts';
import { checkShadow, type Report } from './layout-shadow.ts';
import { type AddressRange, higherOf, intersectRanges, lowerOf, rangeCovers, rangeSize } from './range.ts';

/** Where addresses exist. */
function addressableOf(layout: Layout, rules: LayoutRules): readonly AddressRange<bigint>[] {
  const { addressable = [] } = rules;
  return addressable.length > 0 ? addressable : [{ start: 0n, end: 1n << BigInt(layout.wordBits) }];
}

/** Regions that are ranges at all; the others are reported and take no part in further checks. */
function soundRegions(layout: Layout, report: Report): Region[] {
  const top = 1n << BigInt(layout.wordBits);
  const seen = new Set<string>();
  return sortRegions(layout.regions).filter((region) => {
    const { name, start, end } = region;
    if (seen.has(name)) report('duplicate-name', 'error', [region], `there are two regions called ${name}`, {});
    seen.add(name);
    if (start >= 0n && start < end && end <= top) return true;
    const message =
      start >= end ? `${name} ends at or below its start` : `${name} leaves the ${layout.wordBits}-bit word`;
    report('bounds', 'error', [region], message, { start, end });
    return false;
  });
}

function checkPlaces(layout: Layout, regions: readonly Region[], rules: LayoutRules, report: Report): void {
  const { pageBytes = 1n } = rules;
  const addressable = addressableOf(layout, rules);
  for (const region of regions) {
    const { name, start, end, growing = false, usedTo } = region;
    if (start % pageBytes !== 0n || end % pageBytes !== 0n) {
      report('page-aligned', 'error', [region], `${name} does not begin and end at a page`, { start, end, pageBytes });
    }
    if (!addressable.some((range) => rangeCovers(range, region))) {
      const message = `${name} holds addresses that do not exist in ${layout.name} (they are not canonical)`;
      report('canonical', 'error', [region], message, { start, end });
    }
    if (growing && usedTo !== undefined && usedTo > end) {
      const message = `${name} is too small: ${sizeText(usedTo - end)} find no place in it`;
      report('too-small', 'warning', [region], message, { end, needed: usedTo });
    }
  }
  for (const { region: name, bytes, edge = 'start', why } of rules.alignment ?? []) {
    const region = regions.find((each) => each.name === name);
    if (region === undefined) continue;
    for (const which of ['start', 'end'] as const) {
      if ((edge !== which && edge !== 'both') || region[which] % bytes === 0n) continue;
      const message = `the ${which} of ${name} is no multiple of ${sizeText(bytes)}: ${why}`;
      report('aligned', 'error', [region], message, { [which]: region[which], multiple: bytes });
    }
  }
}

function isInside(region: Region, other: Region): boolean {
  return region.within?.includes(other.name) === true;
}

/** Why an overlap is only on paper: the regions of the pair that need not reach that far. */
function onPaper(pair: readonly Region[]): string {
  return pair
    .filter(({ growing = false }) => growing)
    .map(({ name, usedTo }) => (usedTo === undefined ? `${name} has only a limit there` : `${name} is not that full`))
    .join(', ');
}

function checkOverlaps(regions: readonly Region[], report: Report): void {
  regions.forEach((a, index) => {
    for (const b of regions.slice(index + 1)) {
      if (isInside(a, b) || isInside(b, a)) continue;
      const shared = intersectRanges<bigint>(a, b);
      if (shared === undefined) continue;
      const inUse = intersectRanges<bigint>(usedPart(a), usedPart(b));
      const { start, end } = inUse ?? shared;
      const values = { start, end, bytes: end - start };
      const where = `${a.name} and ${b.name} overlap in ${sizeText(end - start)} from ${hex(start)}`;
      if (inUse !== undefined) report('overlap', 'error', [a, b], where, values);
      else report('overlap', 'warning', [a, b], `${where}, on paper: ${onPaper([a, b])}`, values);
    }
  });
  for (const region of regions) {
    for (const name of region.within ?? []) {
      const outer = regions.find((each) => each.name === name);
      if (outer === undefined || rangeCovers(outer, region)) continue;
      const { start, end } = region;
      const message = `${region.name} should lie inside ${name}, and does not`;
      report('inside', 'error', [region, outer], message, { start, end, outerStart: outer.start, outerEnd: outer.end });
    }
  }
}

function checkOrder(regions: readonly Region[], rules: LayoutRules, report: Report): void {
  const wanted = (rules.order ?? []).flatMap((name) => regions.find((region) => region.name === name) ?? []);
  wanted.forEach((region, index) => {
    const before = wanted[index - 1];
    if (before === undefined || before.start < region.start) return;
    const message = `${before.name} should lie below ${region.name}`;
    report('order', 'error', [before, region], message, { below: before.start, above: region.start });
  });
  for (const { regions: names, bytes, why } of rules.reach ?? []) {
    const [a, b] = names.map((name) => regions.find((region) => region.name === name));
    if (a === undefined || b === undefined) continue;
    const [left, right] = [usedPart(a), usedPart(b)];
    const start = lowerOf(left.start, right.start);
    const end = higherOf(left.end, right.end);
    if (end - start <= bytes) continue;
    const message = `${a.name} and ${b.name} are more than ${sizeText(bytes)} from end to end: ${why}`;
    report('reach', 'error', [a, b], message, { start, end, bytes: end - start, allowed: bytes });
  }
  for (const { region: name, bytes, why } of rules.unbroken ?? []) {
    const region = regions.find((each) => each.name === name);
    if (region === undefined) continue;
    const { start, end } = usedPart(region);
    if (start / bytes === (end - 1n) / bytes) continue;
    report('unbroken', 'error', [region], `${name} crosses a multiple of ${sizeText(bytes)}: ${why}`, { start, end });
  }
}

/** Unused space between neighbours, and regions that end in the middle of what a root entry covers. */
function tellSpace(layout: Layout, regions: readonly Region[], rules: LayoutRules, report: Report): void {
  for (const range of addressableOf(layout, rules)) {
    let last: Region | undefined;
    for (const region of regions.filter((each) => rangeCovers(range, each))) {
      if (last !== undefined && region.start > last.end) {
        const gap = { start: last.end, end: region.start };
        const message = `nothing lies between ${last.name} and ${region.name}: ${sizeText(rangeSize(gap))} from ${hex(gap.start)}`;
        report('gap', 'info', [last, region], message, { ...gap, bytes: rangeSize(gap) });
      }
      if (last === undefined || region.end > last.end) last = region;
    }
  }
}

/**
 * Checks a layout. The rules say what more than the obvious is demanded: no rules, and only bounds, overlaps and gaps
 * are looked at.
 * @returns findings, errors first; a sound layout has only `info`
 */
export function checkLayout(layout: Layout, rules: LayoutRules = {}): Finding[] {
  const findings: Finding[] = [];
  const report: Report = (rule, severity, regions, message, values) => {
    findings.push({ rule, severity, layout: layout.name, regions: regions.map(({ name }) => name), message, values });
  };
  const regions = soundRegions(layout, report);
  checkPlaces(layout, regions, rules, report);
  checkOverlaps(regions, report);
  checkOrder(regions, rules, report);
  if (rules.shadow !== undefined) {
    const shadowRegion = regionNamed({ ...layout, regions }, rules.shadow.region);
    const high = addressableOf(layout, rules).at(-1) as AddressRange<bigint>;
    checkShadow(layout, regions, shadowRegion, high, rules, report);
  }
  tellSpace(layout, regions, rules, report);
  const rank: readonly Severity[] = ['error', 'warning', 'info'];
  return findings.sort((a, b) => rank.indexOf(a.severity) - rank.indexOf(b.severity));
}
