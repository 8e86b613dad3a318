import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { groups } from './replay/arm64.ts';

const file = JSON.parse(readFileSync(new URL('./vectors/arm64.json', import.meta.url), 'utf8')) as Record<
  string,
  unknown
>;

/** Groups about early boot, which may be replayed elsewhere. */
const BOOT = ['mapRange', 'createMapping', 'idmapPage'];

/** Records by group; groups inside an object are called `tlbi.va`. */
const records: Readonly<Record<string, readonly unknown[]>> = Object.fromEntries(
  Object.entries(file).flatMap(([name, value]): [string, readonly unknown[]][] => {
    if (name === 'meta') return [];
    if (Array.isArray(value)) return [[name, value]];
    return Object.entries(value as object).map(([key, each]) => [
      `${name}.${key}`,
      Array.isArray(each) ? each : [each],
    ]);
  }),
);

describe('arm64 vectors', () => {
  it('are replayed without exception', () => {
    const missing = Object.keys(records).filter((name) => !Object.hasOwn(groups, name) && !BOOT.includes(name));
    expect(missing).toEqual([]);
  });

  for (const [name, replay] of Object.entries(groups)) {
    it(name, () => {
      const cases = records[name] ?? [];
      expect(cases.length).toBeGreaterThan(0);
      const failures = cases.flatMap((record, i) => {
        try {
          replay(record, file);
          return [];
        } catch (error) {
          return [`${(record as { id?: string }).id ?? i}: ${error instanceof Error ? error.message : String(error)}`];
        }
      });
      expect(failures).toEqual([]);
    });
  }
});
