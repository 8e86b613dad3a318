/**
 * `pt_ops`: how tables are made and reached, before the MMU is on, without a linear map, and with one.
 * Source: Linux 6.12 arch/riscv/mm/init.c (`pt_ops_set_early`, `pt_ops_set_fixmap`, `pt_ops_set_late`).
 */
import {
  earlyPhase,
  FixmapPhase,
  FreeListAllocator,
  latePhase,
  type Phase,
  PhaseSwitcher,
  type PhysAddr,
  type StaticPool,
  StaticTables,
  type TableAllocator,
} from '@pagefold/core';
import { riscvGeometries } from '../modes.ts';
import type { KernelAddresses } from './addresses.ts';
import type { Fixmap } from './fixmap.ts';
import type { KernelMap } from './kernel-map.ts';

/** `pt_ops_set_early`, `_fixmap`, `_late`: the three ways of making and reaching tables, in their order. */
export function createPtOps(
  kernelMap: KernelMap,
  addresses: KernelAddresses,
  fixmap: Fixmap,
  allocations: TableAllocator,
  symbolPa: (name: string) => PhysAddr,
): PhaseSwitcher {
  const { virtAddr } = kernelMap;
  const pool = (name: string, level: number, bytes: bigint): StaticPool => {
    const end = virtAddr + bytes;
    const covers = { start: virtAddr, end: end < 1n << 64n ? end : 1n << 64n };
    return { name, level, addresses: [symbolPa(name)], covers: covers as NonNullable<StaticPool['covers']> };
  };
  const { pudSize, pgdirSize } = addresses;
  const root = riscvGeometries[addresses.mode].levels.length - 1;
  // One table of each level, and none for single pages: whoever needs another makes a mistake.
  const sizes = [
    ['early_pmd', 1, pudSize],
    ['early_pud', 2, pgdirSize],
    ['early_p4d', 3, pgdirSize],
  ] as const;
  const pools = sizes.filter(([, level]) => level < root).map(([name, level, bytes]) => pool(name, level, bytes));
  const late = (): Phase => latePhase(new FreeListAllocator(allocations), kernelMap.vaPaOffset);
  return new PhaseSwitcher([
    earlyPhase(new StaticTables(pools)),
    new FixmapPhase({
      allocator: allocations,
      slots: fixmap.tableSlots,
      whenTaken: 'replace',
      onChange: fixmap.onChange,
    }),
    lazyPhase('late', late),
  ]);
}

/** A phase that is made when it is first used: the place of the linear map is not known before. */
function lazyPhase(name: string, make: () => Phase): Phase {
  let made: Phase | undefined;
  const phase = (): Phase => {
    made ??= make();
    return made;
  };
  return {
    name,
    get allocator() {
      return phase().allocator;
    },
    open: [],
    reach: (table, level) => phase().reach(table, level),
    release: (level) => phase().release(level),
    physical: (address) => phase().physical(address),
  };
}
