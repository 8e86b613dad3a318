/**
 * Mapping devices at run time: with the largest leaves that the kernel dares to use.
 * Source: Linux 6.12 arch/arm/mm/ioremap.c (`__arm_ioremap_pfn_caller`).
 */
import { ArgumentError } from '@pagefold/core';
import { createMapping } from '../boot/create-mapping.ts';
import type { KernelTables } from '../boot/kernel-tables.ts';
import type { MemoryType } from '../boot/memory-types.ts';
import { planSupersections, SUPERSECTION_BYTES } from '../linux-supersections.ts';

/** What a mapping is made of. */
export type IoremapUnit = 'supersections' | 'sections' | 'pages';

/** A device to be mapped, whole pages. */
export interface IoremapRequest {
  readonly va: bigint;
  readonly pa: bigint;
  readonly bytes: bigint;
  readonly type: MemoryType;
}

/** A mapping that exists for ever: a device in it is not mapped again. */
export interface StaticMapping {
  readonly va: bigint;
  readonly pa: bigint;
  readonly bytes: bigint;
}

/** The address of a device in a static mapping; `undefined` if none holds it. */
export function findStatic(statics: readonly StaticMapping[], pa: bigint, bytes: bigint): bigint | undefined {
  const found = statics.find((each) => pa >= each.pa && pa + bytes <= each.pa + each.bytes);
  return found === undefined ? undefined : found.va + pa - found.pa;
}

/**
 * What a mapping will be made of. Sections are left to kernels for one processor: others could not be made to notice
 * the change of a root that they have a copy of.
 */
export function ioremapUnit({ model, cpu, names }: KernelTables, request: IoremapRequest): IoremapUnit {
  const { va, pa, bytes, type } = request;
  if (model === 'lpae' || cpu.smp) return 'pages';
  const bits = va | pa | bytes;
  const extended = cpu.arch >= 6 || cpu.family === 'xsc3';
  if (type.domain === 0 && pa >= 1n << 32n && extended && bits % SUPERSECTION_BYTES === 0n) return 'supersections';
  return bits % names.pmd.size === 0n ? 'sections' : 'pages';
}

/**
 * Maps a device.
 * @returns what it was mapped with
 * @throws ArgumentError `ioremap-reach` for addresses above 4 GiB that only supersections could map and do not fit
 */
export function ioremap(tables: KernelTables, request: IoremapRequest): IoremapUnit {
  const unit = ioremapUnit(tables, request);
  const { va, pa, bytes, type } = request;
  if (tables.model === 'short' && pa >= 1n << 32n && unit !== 'supersections') {
    throw new ArgumentError('ioremap-reach', 'above 4 GiB only whole supersections can be mapped', { va, pa, bytes });
  }
  if (unit === 'supersections') {
    for (const plan of planSupersections({ va, pa, bytes, prot: type.section, domain: type.domain })) {
      for (let i = 0n; i < BigInt(plan.count); i++) {
        const at = plan.va + i * tables.sectionBytes;
        tables.writeWord(tables.sectionSlot(tables.pmdSlot(at), at), plan.word);
      }
    }
    return unit;
  }
  createMapping(tables, { ...request, type: unit === 'pages' ? { ...type, section: 0n } : type });
  return unit;
}
