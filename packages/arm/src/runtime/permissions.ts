/**
 * Changing what the kernel may do with its own pages: sections once after boot, pages of modules and `vmalloc` any
 * time. Sources: Linux 6.12 arch/arm/mm/init.c (`set_section_perms`, `section_update`), pageattr.c.
 */
import { ArgumentError, type VirtAddr, virt } from '@pagefold/core';
import type { KernelTables } from '../boot/kernel-tables.ts';
import { sectionBits } from '../boot/memory-types.ts';
import { type ArmAddresses, FIXED } from '../layout/numbers.ts';
import { linuxMask } from '../linux-pte.ts';

/** A range of sections and what it becomes. */
export interface SectionPermission {
  readonly name: string;
  readonly start: bigint;
  readonly end: bigint;
  readonly change: 'nx' | 'ro';
}

/** Where the parts of the kernel begin. */
export interface KernelParts {
  readonly stext: bigint;
  readonly rodata: bigint;
  readonly initBegin: bigint;
  readonly sdata: bigint;
}

/** What strict kernels change: first who may execute, then who may write. */
export function sectionPermissions(pageOffset: bigint, parts: KernelParts): readonly SectionPermission[] {
  return [
    { name: 'pre-text NX', start: pageOffset, end: parts.stext, change: 'nx' },
    { name: 'init NX', start: parts.initBegin, end: parts.sdata, change: 'nx' },
    { name: 'rodata NX', start: parts.rodata, end: parts.initBegin, change: 'nx' },
    { name: 'text/rodata RO', start: parts.stext, end: parts.initBegin, change: 'ro' },
  ];
}

/**
 * Carries changes out in one root.
 * @param undo give the right to write back (for tracing); executing stays forbidden
 * @returns names of those that were skipped because a boundary is no section's
 */
export function setSectionPermissions(
  tables: KernelTables,
  permissions: readonly SectionPermission[],
  undo = false,
): string[] {
  const { model, sectionBytes } = tables;
  const { xn, readOnly, apWrite } = sectionBits(model);
  const skipped: string[] = [];
  for (const { name, start, end, change } of permissions) {
    if (start % sectionBytes !== 0n || end % sectionBytes !== 0n) {
      skipped.push(name);
      continue;
    }
    const mask = change === 'nx' ? xn : readOnly;
    const value = change === 'nx' ? xn : undo ? apWrite : readOnly;
    for (let va = start; va < end; va += sectionBytes) {
      const slot = tables.sectionSlot(tables.pmdSlot(va), va);
      tables.writeWord(slot, (tables.readWord(slot) & ~mask) | value);
    }
  }
  return skipped;
}

/** What `set_memory_*` can make of pages. */
export type MemoryChange = 'ro' | 'rw' | 'nx' | 'x' | 'valid' | 'invalid';

const CHANGES: Readonly<Record<MemoryChange, readonly [field: string, set: boolean]>> = {
  ro: ['rdonly', true],
  rw: ['rdonly', false],
  nx: ['xn', true],
  x: ['xn', false],
  valid: ['valid', true],
  invalid: ['valid', false],
};

/** What must be flushed from the TLB. */
export interface KernelFlush {
  readonly start: VirtAddr;
  readonly end: bigint;
}

/**
 * Changes pages of the kernel (`set_memory_ro` and its like).
 * @returns the range to be flushed; `undefined` if there were no pages
 * @throws ArgumentError `memory-range` if the range is not wholly in modules or `vmalloc` (the kernel's -EINVAL; making
 *   valid or invalid is not checked), `memory-section` if a section stands there; then nothing has changed
 */
export function setMemory(
  tables: KernelTables,
  addresses: ArmAddresses,
  change: MemoryChange,
  va: bigint,
  pages: number,
): KernelFlush | undefined {
  const start = va & ~0xfffn;
  const end = start + 0x1000n * BigInt(pages);
  if (pages === 0) return undefined;
  const [field, set] = CHANGES[change];
  const areas = [addresses.modules, { start: addresses.vmallocStart, end: FIXED.vmallocEnd }];
  if (field !== 'valid' && !areas.some((area) => start >= area.start && end <= area.end)) {
    throw new ArgumentError('memory-range', 'only pages of modules and vmalloc can be changed', { start, end });
  }
  const { pmd, pte } = tables.names;
  const slots = Array.from({ length: pages }, (_, i) => {
    const at = start + 0x1000n * BigInt(i);
    const above = tables.pmdSlot(at);
    if (pmd.none(above.load()) || pmd.leaf(above.load())) {
      throw new ArgumentError('memory-section', 'there is no table of pages', { va: at, pmd: above.load() });
    }
    return pte.offset(above, at);
  });
  const mask = field === 'valid' ? 1n : linuxMask(tables.model, field);
  for (const slot of slots) tables.setPte(slot, set ? slot.load() | mask : slot.load() & ~mask);
  return { start: virt(start), end };
}
