import { describe, expect, it } from 'vitest';
import { phys, virt } from '../src/address.ts';
import { BumpAllocator, StaticTables } from '../src/allocators.ts';
import { createNames } from '../src/linux-names.ts';
import { Memblock } from '../src/memblock.ts';
import { SparseMemory } from '../src/memory.ts';
import { earlyPhase, type FixmapEvent, FixmapPhase, latePhase, PhaseError, PhaseSwitcher } from '../src/phases.ts';
import { toyLeaf, toyPaging } from './toy-format.ts';

function rule(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(PhaseError);
    return (error as PhaseError).rule;
  }
  return 'none';
}

const SLOTS = { 0: virt(0xffff_0000_0000_1000n), 1: virt(0xffff_0000_0000_2000n) };
const bump = () => new BumpAllocator(0x10_0000n, 0x20_0000n);

describe('early and late phases', () => {
  it('reach a table at its physical address', () => {
    const early = earlyPhase(bump());
    expect(early.reach(phys(0x8000_1000n), 2)).toBe(0x8000_1000n);
    expect(early.physical(virt(0x8000_1000n))).toBe(0x8000_1000n);
    early.release(2);
    expect(early.open).toEqual([]);
  });

  it('reach a table in the linear map, whichever way the offset points', () => {
    for (const offset of [0xffff_ffd6_0000_0000n, -0x4000_0000n]) {
      const late = latePhase(bump(), offset);
      const at = late.reach(phys(0x8000_1000n), 0);
      expect(at).toBe(BigInt.asUintN(64, 0x8000_1000n + offset));
      expect(late.physical(at)).toBe(0x8000_1000n);
    }
  });
});

describe('the fixmap phase', () => {
  it('maps one page of a level at a time and records it', () => {
    const seen: FixmapEvent[] = [];
    const fixmap = new FixmapPhase({ allocator: bump(), slots: SLOTS, onChange: (event) => seen.push(event) });
    expect(fixmap.reach(phys(0x8000_1000n), 0)).toBe(0xffff_0000_0000_1000n);
    expect(fixmap.reach(phys(0x8000_2400n), 1)).toBe(0xffff_0000_0000_2400n);
    expect(fixmap.open).toEqual([0, 1]);
    expect(fixmap.physical(virt(0xffff_0000_0000_1008n))).toBe(0x8000_1008n);
    // The same page again, even another table in it, needs no new mapping.
    expect(fixmap.reach(phys(0x8000_1800n), 0)).toBe(0xffff_0000_0000_1800n);
    expect(rule(() => fixmap.reach(phys(0x8000_3000n), 0))).toBe('slot-taken');
    expect(fixmap.physical(virt(0xffff_0000_0000_1000n))).toBe(0x8000_1000n);
    fixmap.release(0);
    fixmap.release(0);
    expect(rule(() => fixmap.physical(virt(0xffff_0000_0000_1000n)))).toBe('dead-pointer');
    expect(fixmap.reach(phys(0x8000_3000n), 0)).toBe(0xffff_0000_0000_1000n);
    expect(rule(() => fixmap.reach(phys(0x8000_3000n), 2))).toBe('no-slot');
    fixmap.release(2);
    expect(seen.map(({ op, level, page }) => [op, level, page])).toEqual([
      ['map', 0, 0x8000_1000n],
      ['map', 1, 0x8000_2000n],
      ['unmap', 0, 0x8000_1000n],
      ['map', 0, 0x8000_3000n],
    ]);
    expect(fixmap.history).toEqual(seen);
  });

  it('may replace, and then older pointers die', () => {
    const fixmap = new FixmapPhase({ allocator: bump(), slots: SLOTS, whenTaken: 'replace' });
    fixmap.reach(phys(0x1000n), 0);
    const pointer = fixmap.reach(phys(0x2000n), 0);
    expect(fixmap.physical(pointer)).toBe(0x2000n);
    expect(fixmap.history.map(({ op }) => op)).toEqual(['map', 'unmap', 'map']);
  });

  it('keeps slots larger than 4 KiB apart', () => {
    const fixmap = new FixmapPhase({ allocator: bump(), slots: { 0: virt(0x1_0000n) }, pageBytes: 0x1_0000n });
    expect(fixmap.reach(phys(0x8001_4000n), 0)).toBe(0x1_4000n);
    expect(fixmap.open).toEqual([0]);
    expect(fixmap.physical(virt(0x1_0000n))).toBe(0x8001_0000n);
  });
});

describe('switching phases', () => {
  it('goes forward only, with all slots released', () => {
    const fixmap = new FixmapPhase({ allocator: bump(), slots: SLOTS });
    const boot = new PhaseSwitcher([earlyPhase(bump()), fixmap, latePhase(bump(), 1n << 40n)]);
    expect(boot.name).toBe('early');
    expect(boot.reach(phys(0x1000n), 0)).toBe(0x1000n);
    expect(boot.enter('fixmap')).toBe(fixmap);
    boot.reach(phys(0x1000n), 0);
    expect(boot.open).toEqual([0]);
    expect(rule(() => boot.enter('late'))).toBe('slots-open');
    expect(rule(() => boot.enter('early'))).toBe('phase-order');
    expect(rule(() => boot.enter('fixmap'))).toBe('phase-order');
    expect(rule(() => boot.enter('nowhere'))).toBe('phase-order');
    boot.release(0);
    expect(boot.enter('late').name).toBe('late');
    expect(boot.physical(boot.reach(phys(0x1000n), 0))).toBe(0x1000n);
  });

  it('is an allocator that follows the phase', () => {
    const block = new Memblock({ memory: [{ start: 0x8000_0000n, end: 0x8100_0000n }] });
    const boot = new PhaseSwitcher([
      earlyPhase(new StaticTables([{ name: 'early_pmd', level: 1, addresses: [0x8020_0000n] }])),
      latePhase(block, 0n),
    ]);
    const names = createNames(new SparseMemory(), toyPaging(3), { allocator: boot.allocator });
    const root = phys(0x8010_0000n);
    const va = 0x4000_0000n;
    const pud = names.pud.offset(names.p4d.offset(names.pgd.offset(root, va), va), va);
    const pmd = names.pmd.alloc(pud, va);
    expect(pmd.address).toBe(0x8020_0000n);
    expect(() => names.pte.alloc(pmd, va)).toThrow(/static-level/);
    boot.enter('late');
    const pte = names.pte.alloc(pmd, va);
    expect(pte.address).toBe(0x80ff_f000n);
    names.pte.set(pte, toyLeaf(0x8000_0000n));
    names.pte.freeOne(names.pmd.tableAddress(pmd.load()));
    expect(block.reserved).toEqual([]);
  });

  it('needs phases with different names', () => {
    expect(rule(() => new PhaseSwitcher([]))).toBe('no-phase');
    expect(rule(() => new PhaseSwitcher([earlyPhase(bump()), earlyPhase(bump())]))).toBe('phase-twice');
  });
});
