import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkLayout,
  checkLayouts,
  checkShadowOffsets,
  type Finding,
  type Layout,
  type LayoutRules,
  type Region,
  regionNamed,
  regionsAt,
  sortRegions,
  usedPart,
  worstSeverity,
} from '../src/index.ts';

const region = (name: string, start: bigint, end: bigint, more: Partial<Region> = {}): Region => ({
  name,
  start,
  end,
  purpose: name,
  ...more,
});

const layout = (...regions: Region[]): Layout => ({
  name: 'toy',
  profile: 'test',
  title: 'toy',
  wordBits: 32,
  regions,
  facts: {},
});

const heard = (findings: readonly Finding[]): string[] =>
  findings.map(({ severity, rule, regions }) => `${severity} ${rule} ${regions.join('+')}`);

describe('layout', () => {
  const inner = region('inner', 0x2000n, 0x3000n, { within: ['outer'] });
  const toy = layout(region('outer', 0x1000n, 0x4000n), inner, region('high', 0x8000n, 1n << 32n));

  it('finds regions by name and by address', () => {
    expect(regionNamed(toy, 'inner')).toBe(inner);
    expect(regionNamed(toy, 'none')).toBeUndefined();
    expect(regionsAt(toy, 0x2fffn).map(({ name }) => name)).toEqual(['outer', 'inner']);
    expect(regionsAt(toy, 0x4000n)).toEqual([]);
    expect(regionsAt(toy, 0xffff_ffffn).map(({ name }) => name)).toEqual(['high']);
  });

  it('sorts by start and keeps the order of equals', () => {
    const sorted = sortRegions([region('b', 5n, 9n), region('a', 1n, 2n), region('c', 5n, 6n)]);
    expect(sorted.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('knows what of a region is used', () => {
    expect(usedPart(region('a', 1n, 9n))).toEqual({ start: 1n, end: 9n });
    expect(usedPart(region('a', 1n, 9n, { growing: true }))).toEqual({ start: 1n, end: 2n });
    expect(usedPart(region('a', 1n, 9n, { growing: true, usedTo: 5n }))).toEqual({ start: 1n, end: 5n });
    expect(usedPart(region('a', 1n, 9n, { growing: true, usedTo: 50n }))).toEqual({ start: 1n, end: 9n });
  });
});

describe('checkLayout', () => {
  it('finds nothing in a sound layout', () => {
    const a = region('a', 0n, 0x1000n);
    expect(checkLayout(layout(a, region('b', 0x1000n, 1n << 32n)), { pageBytes: 0x1000n })).toEqual([]);
    expect(worstSeverity([])).toBeUndefined();
  });

  it('finds bounds that are none and names that come twice', () => {
    const findings = checkLayout(
      layout(region('a', 4n, 4n), region('b', 0n, (1n << 32n) + 1n), region('c', 8n, 16n), region('c', 16n, 32n)),
    );
    expect(heard(findings)).toEqual(['error bounds b', 'error bounds a', 'error duplicate-name c']);
    expect(findings[0]?.values).toEqual({ start: 0n, end: (1n << 32n) + 1n });
  });

  it('finds overlaps, unless one lies in the other on purpose', () => {
    const outer = region('outer', 0x1000n, 0x4000n);
    expect(heard(checkLayout(layout(outer, region('x', 0x3000n, 0x5000n))))).toEqual(['error overlap outer+x']);
    expect(heard(checkLayout(layout(outer, region('x', 0x3000n, 0x4000n, { within: ['outer'] }))))).toEqual([]);
    const sticking = region('x', 0x3000n, 0x5000n, { within: ['outer'] });
    expect(heard(checkLayout(layout(outer, sticking)))).toEqual(['error inside x+outer']);
  });

  it('finds the same overlaps and gaps as counting byte by byte', () => {
    const piece = fc.record({ start: fc.integer({ min: 0, max: 40 }), bytes: fc.integer({ min: 1, max: 12 }) });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        const regions = pieces.map(({ start, bytes }, index) =>
          region(`r${index}`, BigInt(start), BigInt(start + bytes)),
        );
        const at = Array.from({ length: 64 }, (_, byte) =>
          regions.filter(({ start, end }) => byte >= start && byte < end).map(({ name }) => name),
        );
        const pairs = new Set(at.flatMap((names) => names.flatMap((a) => names.map((b) => [a, b].sort().join('+')))));
        for (const { name } of regions) pairs.delete(`${name}+${name}`);
        const used = at.flatMap((names, byte) => (names.length > 0 ? [byte] : []));
        const gaps = used.filter((byte, index) => index > 0 && used[index - 1] !== byte - 1).length;
        const findings = checkLayout(layout(...regions));
        const said = findings
          .filter(({ rule }) => rule === 'overlap')
          .map((each) => [...each.regions].sort().join('+'));
        expect(new Set(said)).toEqual(pairs);
        expect(findings.filter(({ rule }) => rule === 'gap')).toHaveLength(gaps);
      }),
    );
  });

  it('takes a limit that reaches too far for a warning, until something is there', () => {
    const fixed = region('fixed', 0x8000n, 0x9000n);
    const grown = (usedTo?: bigint) =>
      checkLayout(
        layout(
          region('grown', 0x1000n, 0xa000n, { growing: true, ...(usedTo === undefined ? {} : { usedTo }) }),
          fixed,
        ),
      );
    expect(heard(grown())).toEqual(['warning overlap grown+fixed']);
    expect(grown()[0]?.message).toContain('on paper: grown has only a limit there');
    expect(heard(grown(0x8000n))).toEqual(['warning overlap grown+fixed']);
    expect(heard(grown(0x8001n))).toEqual(['error overlap grown+fixed']);
    expect(grown(0x8800n)[0]?.values).toEqual({ start: 0x8000n, end: 0x8800n, bytes: 0x800n });
    expect(heard(grown(0xb000n))).toEqual(['error overlap grown+fixed', 'warning too-small grown']);
    const under = region('under', 0n, 0x1001n);
    expect(heard(checkLayout(layout(under, region('grown', 0x1000n, 0x9000n, { growing: true }))))).toEqual([
      'error overlap under+grown',
    ]);
  });

  it('finds edges that are not aligned, and addresses that do not exist', () => {
    const rules: LayoutRules = {
      pageBytes: 0x1000n,
      addressable: [
        { start: 0n, end: 0x10000n },
        { start: 0xffff0000n, end: 1n << 32n },
      ],
      alignment: [
        { region: 'a', bytes: 0x4000n, why: 'it must' },
        { region: 'b', bytes: 0x4000n, edge: 'both', why: 'it must' },
        { region: 'none', bytes: 0x4000n, why: 'it must' },
      ],
    };
    const findings = checkLayout(layout(region('a', 0x1000n, 0x1800n), region('b', 0x4000n, 0x11000n)), rules);
    expect(heard(findings)).toEqual([
      'error page-aligned a',
      'error canonical b',
      'error aligned a',
      'error aligned b',
    ]);
    expect(findings[3]?.values).toEqual({ end: 0x11000n, multiple: 0x4000n });
  });

  it('finds a wrong order, code out of reach, and what crosses a boundary', () => {
    const toy = layout(
      region('b', 0n, 0x1000n),
      region('a', 0x1000n, 0x2000n),
      region('code', 0x7000n, 0x9000n, { growing: true, usedTo: 0x7800n }),
    );
    const rules: LayoutRules = {
      order: ['a', 'none', 'b'],
      reach: [
        { regions: ['b', 'code'], bytes: 0x7000n, why: 'jumps are short' },
        { regions: ['a', 'code'], bytes: 0x6800n, why: 'jumps are short' },
      ],
      unbroken: [
        { region: 'code', bytes: 0x8000n, why: 'one table' },
        { region: 'a', bytes: 0x1000n, why: 'one table' },
      ],
    };
    const said = checkLayout(toy, rules).filter(({ severity }) => severity === 'error');
    expect(heard(said)).toEqual(['error order a+b', 'error reach b+code']);
    const longer = layout(region('code', 0x7000n, 0x9000n, { growing: true, usedTo: 0x8001n }));
    expect(heard(checkLayout(longer, rules))).toEqual(['error unbroken code']);
  });

  it('tells gaps inside what can be addressed, not across', () => {
    const halves: LayoutRules = {
      addressable: [
        { start: 0n, end: 0x10000n },
        { start: 0xffff0000n, end: 1n << 32n },
      ],
    };
    const toy = layout(
      region('user', 0n, 0x10000n),
      region('x', 0xffff1000n, 0xffff4000n),
      region('in', 0xffff1000n, 0xffff2000n, { within: ['x'] }),
      region('y', 0xffff5000n, 0xffff6000n),
    );
    const findings = checkLayout(toy, halves);
    expect(heard(findings)).toEqual(['info gap x+y']);
    expect(findings[0]?.values).toEqual({ start: 0xffff4000n, end: 0xffff5000n, bytes: 0x1000n });
  });
});

describe('shadow memory', () => {
  // The upper half of 32 bits, one shadow byte for eight: 2^28 bytes that end at 0xf0000000.
  const offset = 0xf000_0000n - (1n << 29n);
  const rules: LayoutRules = {
    addressable: [
      { start: 0n, end: 1n << 31n },
      { start: 1n << 31n, end: 1n << 32n },
    ],
    shadow: { region: 'shadow', scale: 3, offset },
  };
  const all = region('all', 1n << 31n, 0xe000_0000n);
  const top = region('top', 0xf000_0000n, 1n << 32n);
  const shadow = region('shadow', 0xe000_0000n, 0xf000_0000n);

  it('accepts a region that holds the shadow of everything', () => {
    expect(heard(checkLayout(layout(all, shadow, top), rules))).toEqual([]);
    const user = region('user', 0n, 1n << 31n);
    expect(heard(checkLayout(layout(user, all, shadow, top), rules)), 'programs have no shadow').toEqual([]);
  });

  it('finds a region that is missing, too short or misplaced', () => {
    expect(heard(checkLayout(layout(all, top), rules))).toContain('error shadow-missing ');
    const late = region('shadow', 0xe000_1000n, 0xf000_0000n);
    expect(heard(checkLayout(layout(all, late, top), rules))).toContain('error shadow-covers all+shadow');
    const growing = { ...all, growing: true, usedTo: 0xd000_0000n };
    expect(heard(checkLayout(layout({ ...growing, start: 0x8001_0000n }, late, top), rules))).not.toContain(
      'error shadow-covers all+shadow',
    );
    const early = region('shadow', 0xe000_0000n, 0xefff_f000n);
    const findings = heard(checkLayout(layout(all, early, top), rules));
    expect(findings).toContain('error shadow-end shadow');
    expect(findings).toContain('error shadow-covers top+shadow');
    const named = { ...rules, shadow: { region: 'shadow', scale: 3, offset, covers: ['all'] } };
    expect(heard(checkLayout(layout(all, early, top), named))).not.toContain('error shadow-covers top+shadow');
  });

  it('tells spare bytes and shared entries', () => {
    const wide = region('shadow', 0xdff0_0000n, 0xf000_0000n);
    const short = { ...all, end: 0xdff0_0000n };
    expect(heard(checkLayout(layout(short, wide, top), { ...rules, rootSpan: 1n << 29n }))).toEqual([
      'info shadow-spare shadow',
      'info shared-entry shadow+top',
    ]);
    expect(heard(checkLayout(layout(all, shadow, top), { ...rules, rootSpan: 1n << 28n }))).toEqual([]);
  });

  it('wants one offset for all modes', () => {
    const one = { layout: { ...layout(all, shadow, top), name: 'one' }, rules };
    const two = { layout: { ...layout(all, shadow, top), name: 'two' }, rules };
    expect(heard(checkShadowOffsets([one]))).toEqual([]);
    expect(checkLayouts([one, two]).map(({ message }) => message)).toEqual([
      'one shadow offset, 0xd0000000, serves one, two',
    ]);
    const moved = {
      ...two,
      rules: { ...rules, shadow: { region: 'shadow', scale: 3, offset: offset - 0x1000_0000n } },
    };
    const [finding, ...rest] = checkShadowOffsets([moved, one]);
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({ rule: 'one-shadow-offset', severity: 'error', layout: 'one' });
    expect(finding?.regions).toEqual(['shadow', 'all']);
    expect(finding?.values).toMatchObject({ start: 0xd000_0000n, end: 0xe000_0000n });
  });
});
