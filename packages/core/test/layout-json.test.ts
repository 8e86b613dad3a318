import { describe, expect, it } from 'vitest';
import { type Layout, layoutFromJson, layoutToJson, parseLayouts } from '../src/index.ts';

const toy: Layout = {
  arch: 'toy',
  name: 'small',
  profile: 'test',
  title: 'a toy',
  wordBits: 64,
  regions: [
    { name: 'a', start: 0n, end: 0x1000n, purpose: 'first', kind: 'user' },
    { name: 'b', start: 0x1000n, end: 1n << 64n, purpose: '', growing: true, usedTo: 0x2000n, formula: 'A_END' },
    { name: 'c', start: 0x3000n, end: 0x4000n, purpose: 'inside', within: ['b'] },
  ],
  facts: { start_of_b: 0x1000n },
};

describe('layouts as JSON', () => {
  it('come back as they went', () => {
    const text = JSON.stringify(layoutToJson(toy));
    expect(text).toContain('"end":"0x10000000000000000"');
    expect(parseLayouts(text)).toEqual([{ layout: toy, rules: {} }]);
    expect(parseLayouts(`[${text}, ${text}]`)).toHaveLength(2);
    expect(parseLayouts(JSON.stringify(layoutToJson(toy), null, 2))).toHaveLength(1);
  });

  it('may be lines, with findings between them', () => {
    const line = JSON.stringify({ type: 'layout', ...layoutToJson(toy) });
    const parsed = parseLayouts(`${line}\n{"type":"finding","rule":"gap"}\n${line}\n`);
    expect(parsed.map(({ layout }) => layout)).toEqual([toy, toy]);
  });

  it('need little', () => {
    const { layout, rules } = layoutFromJson({
      name: 'own',
      regions: [
        { name: 'late', start: '0x2000', size: 4096 },
        { name: 'early', start: '4096', end: '0x1_800' },
      ],
      rules: { pageBytes: '0x1000', shadow: { region: 'late', scale: 3, offset: '0x100' }, order: ['early', 'late'] },
    });
    expect(layout.regions.map(({ name, start, end }) => [name, start, end])).toEqual([
      ['early', 0x1000n, 0x1800n],
      ['late', 0x2000n, 0x3000n],
    ]);
    expect(layout).toMatchObject({ profile: 'own', title: 'own', wordBits: 64, facts: {} });
    expect(rules).toEqual({
      pageBytes: 0x1000n,
      shadow: { region: 'late', scale: 3, offset: 0x100n },
      order: ['early', 'late'],
    });
  });

  it('read every rule', () => {
    const { rules } = layoutFromJson({
      name: 'own',
      regions: [],
      rules: {
        addressable: [{ start: '0', end: '0x10000' }],
        alignment: [{ region: 'a', bytes: '0x1000', edge: 'both', why: 'so' }],
        reach: [{ regions: ['a', 'b'], bytes: '0x5000' }],
        unbroken: [{ region: 'a', bytes: 4096 }],
        shadow: { region: 's', scale: '3', offset: '0', covers: ['a'] },
        rootSpan: '0x40000000',
      },
    });
    expect(rules).toEqual({
      addressable: [{ start: 0n, end: 0x10000n }],
      alignment: [{ region: 'a', bytes: 0x1000n, edge: 'both', why: 'so' }],
      reach: [{ regions: ['a', 'b'], bytes: 0x5000n, why: 'the file says so' }],
      unbroken: [{ region: 'a', bytes: 0x1000n, why: 'the file says so' }],
      shadow: { region: 's', scale: 3, offset: 0n, covers: ['a'] },
      rootSpan: 0x4000_0000n,
    });
  });

  it.each([
    ['[1]', /must be an object/],
    ['{', /layout:/],
    ['{"regions":[]}', /'name' must be text/],
    ['{"name":"x"}', /'regions': must be a list/],
    ['{"name":"x","regions":[],"wordBits":16}', /'wordBits' must be 32 or 64/],
    ['{"name":"x","regions":[],"regoins":[]}', /has no member 'regoins'/],
    ['{"name":"x","regions":[{"name":"a","start":"0x0"}]}', /region 1 a: 'end' or 'size' is missing/],
    ['{"name":"x","regions":[{"name":"a","start":"zero","end":"1"}]}', /region 1 a: 'start' must be a number/],
    ['{"name":"x","regions":[{"name":"a","start":1.5,"end":"1"}]}', /'start' must be a number/],
    ['{"name":"x","regions":[{"name":"a","start":"0","end":"2","size":"1"}]}', /'size' is not 'end' minus 'start'/],
    ['{"name":"x","regions":[{"name":"a","start":"0","end":"2","whitin":["b"]}]}', /has no member 'whitin'/],
    ['{"name":"x","regions":[{"name":"a","start":"0","end":"2","within":"b"}]}', /'within': must be a list/],
    ['{"name":"x","regions":[{"name":"a","start":"0","end":"2","growing":1}]}', /'growing' must be true or false/],
    ['{"name":"x","regions":[],"rules":{"unbroken":[{"region":"a","bytes":3}]}}', /'bytes' must be a power of two/],
    ['{"name":"x","regions":[],"rules":{"pageBytes":"0"}}', /'pageBytes' must be a power of two/],
    ['{"name":"x","regions":[],"rules":{"reach":[{"regions":["a"],"bytes":3}]}}', /'regions' must be two names/],
    ['{"name":"x","regions":[],"rules":{"alignment":[{"region":"a","bytes":2,"edge":"top"}]}}', /'edge' must be start/],
    ['{"name":"x","regions":[],"facts":{"n":true}}', /'facts': 'n' must be a number/],
  ])('are refused with the place of the mistake: %s', (text, message) => {
    expect(() => parseLayouts(text)).toThrow(message);
  });
});
