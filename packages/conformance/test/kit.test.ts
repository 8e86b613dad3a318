import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ConformanceError, checks, runConformance } from '../src/index.ts';
import { Random, textSeed } from '../src/random.ts';
import { address, leafShapes, subject } from './broken.ts';

const wrong = subject({ shapes: leafShapes(() => address({ bits: 35 })) });

describe('a run', () => {
  test('reports every failure with its check, rule, values and seed', () => {
    const report = runConformance({ ...wrong, seed: 9 }, { checks: checks.filter(({ name }) => /^leaf/.test(name)) });
    expect(report.passed).toContain('leaf-sizes');
    const error = report.failed.find(({ check }) => check === 'leaf-entries')?.error as ConformanceError;
    expect(error).toBeInstanceOf(ConformanceError);
    expect(error).toMatchObject({ name: 'ConformanceError', check: 'leaf-entries', rule: 'leaf-reach', seed: 9 });
    expect(error.values).toEqual({ paBits: '0x30' });
    expect(error.message).toBe(
      'broken: leaf-entries: some leaf can hold every physical address (seed 9): paBits 0x30 [leaf-reach]',
    );
  });

  test('registers one test a check, which throws when it is run', () => {
    const registered = new Map<string, () => void>();
    const report = runConformance(wrong, { test: (name, body) => registered.set(name, body) });
    expect([...registered.keys()]).toEqual(checks.map(({ name }) => `broken: ${name}`));
    expect(report).toEqual({ subject: 'broken', passed: [], failed: [] });
    registered.get('broken: radix')?.();
    expect(registered.get('broken: leaf-entries')).toThrow(ConformanceError);
    expect(report.passed).toEqual(['radix']);
    expect(report.failed.map(({ check }) => check)).toEqual(['leaf-entries']);
  });

  test('says what the library threw', () => {
    const strange = subject({
      fault: () => {
        throw new TypeError('no names today');
      },
    });
    const { failed } = runConformance(strange, {
      checks: checks.filter(({ name }) => name === 'fault-totality'),
    });
    const error = failed[0]?.error as ConformanceError;
    expect(error.message).toContain('TypeError: no names today');
    expect(error.cause).toBeInstanceOf(TypeError);
  });

  test('has checks with names of their own', () => {
    expect(new Set(checks.map(({ name }) => name)).size).toBe(checks.length);
    for (const { name, meaning } of checks) {
      expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(meaning).toMatch(/\.$/);
    }
  });
});

test('the README lists every check', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const listed = [...readme.matchAll(/^- `([a-z-]+)`: [A-Z]/gm)].map(([, name]) => name);
  expect(listed).toEqual(checks.map(({ name }) => name));
});

describe('random input', () => {
  test('depends on the seed alone', () => {
    const draw = (seed: number): unknown => {
      const random = new Random(seed);
      return [random.word(), random.below(10), random.between(3, 5), random.bits(64), random.belowBig(7n ** 20n)];
    };
    expect(draw(3)).toEqual(draw(3));
    expect(draw(3)).not.toEqual(draw(4));
    expect(textSeed('radix')).not.toBe(textSeed('runs'));
  });

  test('stays within its limits and reaches them', () => {
    const random = new Random(1);
    const small = new Set(Array.from({ length: 200 }, () => random.between(-1, 1)));
    expect([...small].sort()).toEqual([-1, 0, 1]);
    const big = new Set(Array.from({ length: 200 }, () => random.belowBig(3n)));
    expect([...big].sort()).toEqual([0n, 1n, 2n]);
    for (let i = 0; i < 100; i++) expect(random.bits(9) >> 9n).toBe(0n);
    const ones = Array.from({ length: 100 }, () => random.bits(64)).reduce((all, word) => all | word, 0n);
    expect(ones).toBe((1n << 64n) - 1n);
  });
});
