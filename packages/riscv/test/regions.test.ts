/** Regions with common attributes: what is mistyped is refused, not mapped without. */
import { planTables, RegionError } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import { riscvPaging } from '../src/index.ts';

describe('regions in the common vocabulary', () => {
  const roots = [{ paging: riscvPaging('sv39'), address: 0x8000_0000n }];
  const region = { name: 'ram', va: 0n, pa: 0x9000_0000n, bytes: 0x1000n };

  it('are refused with a name that is none of it', () => {
    const common = { writable: true } as object;
    const act = (): unknown => planTables(roots, [{ ...region, common }]);
    expect(act).toThrow(RegionError);
    expect(act).toThrow(/^region ram: common attributes are read, write, .*: attribute writable \[common-attribute\]$/);
    expect(planTables(roots, [{ ...region, common: { write: true } }]).tables).toBe(3);
  });

  it('are called by their name once', () => {
    expect(() => planTables(roots, [{ ...region, name: 'region 1', va: 1n, common: {} }])).toThrow(
      /^region 1: a range/,
    );
  });
});
