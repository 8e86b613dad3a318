/**
 * Mapping physical ranges with sections and pages. The rule is the kernel's, not "the largest leaf that fits": sections
 * are used for the piece of one pmd (2 MiB) as a whole, and only if both its ends and its physical address are aligned.
 * Written once against the five names: what folds differs between the formats, the code does not.
 * Source: Linux 6.12 arch/arm/mm/mmu.c (`create_mapping`, `__create_mapping`, `alloc_init_pmd`,
 * `create_36bit_mapping`).
 */
import { hex, type Slot } from '@pagefold/core';
import { EXT_NOT_GLOBAL } from '../linux-pte.ts';
import { planSupersections } from '../linux-supersections.ts';
import type { KernelTables } from './kernel-tables.ts';
import type { MemoryType } from './memory-types.ts';

/** One mapping (`struct map_desc`). */
export interface MapDescription {
  readonly va: bigint;
  readonly pa: bigint;
  readonly bytes: bigint;
  readonly type: MemoryType;
  /** Pages belong to one process. Not supplied: no. */
  readonly notGlobal?: boolean;
}

const PAGE = 0x1000n;
const FOUR_GIB = 1n << 32n;

/** Addresses wrap at 4 GiB, as in the kernel: an end of 0 is the top. */
function wrapped(va: bigint): bigint {
  return BigInt.asUintN(32, va);
}

/** Bytes from an address up to an end. */
function distance(va: bigint, end: bigint): bigint {
  return wrapped(end - va);
}

interface Piece {
  readonly tables: KernelTables;
  readonly type: MemoryType;
  readonly notGlobal: boolean;
}

/** `__map_init_section`: word by word; in the odd MiB of a pair that is the second word. */
function writeSections(
  { tables, type, notGlobal }: Piece,
  pmd: Slot<'pmd'>,
  start: bigint,
  end: bigint,
  pa: bigint,
): void {
  const bits = type.section | (notGlobal ? notGlobalSection(tables) : 0n);
  for (let done = 0n; done < distance(start, end); done += tables.sectionBytes) {
    tables.writeWord(tables.sectionSlot(pmd, start + done), (pa + done) | bits);
  }
}

/** nG of a section: bit 17, or bit 11 under long descriptors. */
function notGlobalSection({ model }: KernelTables): bigint {
  return model === 'short' ? 0x2_0000n : 0x800n;
}

function writePages(
  { tables, type, notGlobal }: Piece,
  pmd: Slot<'pmd'>,
  start: bigint,
  end: bigint,
  pa: bigint,
): void {
  let slot = tables.pteSlot(pmd, start, type.table);
  for (let done = 0n; done < distance(start, end); done += PAGE) {
    tables.setPte(slot, (pa + done) | type.pte, notGlobal ? EXT_NOT_GLOBAL : 0n);
    slot = tables.names.pte.next(slot);
  }
}

/** The pmds of one pud. With folded names that is one pmd, and its end the pud's. */
function fillPmds(piece: Piece, pud: Slot<'pud'>, start: bigint, end: bigint, pa: bigint): void {
  const { names, sectionBytes } = piece.tables;
  let [va, at, slot] = [start, pa, names.pmd.offset(pud, start)];
  do {
    const next = names.pmd.addrEnd(va, end);
    const aligned = ((va | next | at) & (sectionBytes - 1n)) === 0n;
    if (piece.type.section !== 0n && aligned) writeSections(piece, slot, va, next, at);
    else writePages(piece, slot, va, next, at);
    slot = names.pmd.next(slot);
    at += distance(va, next);
    va = next;
  } while (va !== end);
}

function fillPuds(piece: Piece, p4d: Slot<'p4d'>, start: bigint, end: bigint, pa: bigint): void {
  const { pud } = piece.tables.names;
  let [va, at, slot] = [start, pa, pud.offset(p4d, start)];
  do {
    const next = pud.addrEnd(va, end);
    fillPmds(piece, slot, va, next, at);
    at += distance(va, next);
    slot = pud.next(slot);
    va = next;
  } while (va !== end);
}

function fillP4ds(piece: Piece, pgd: Slot<'pgd'>, start: bigint, end: bigint, pa: bigint): void {
  const { p4d } = piece.tables.names;
  let [va, at, slot] = [start, pa, p4d.offset(pgd, start)];
  do {
    const next = p4d.addrEnd(va, end);
    fillPuds(piece, slot, va, next, at);
    at += distance(va, next);
    slot = p4d.next(slot);
    va = next;
  } while (va !== end);
}

/** Memory above 4 GiB under short descriptors. */
function mapSupersections(tables: KernelTables, { va, pa, bytes, type }: MapDescription): void {
  for (const { va: at, word, count } of planSupersections({ va, pa, bytes, prot: type.section, domain: type.domain })) {
    for (let i = 0n; i < BigInt(count); i++) {
      const slot = at + i * tables.sectionBytes;
      tables.writeWord(tables.sectionSlot(tables.pmdSlot(slot), slot), word);
    }
  }
}

/** Is the mapping one that the kernel drops? Then says so and why. */
function refused(tables: KernelTables, map: MapDescription): boolean {
  const { va, pa, bytes, type } = map;
  if (type.table !== 0n || ((va | pa | bytes) & (tables.sectionBytes - 1n)) === 0n) return false;
  tables.warnings.push(`BUG: map for ${hex(pa, 8)} at ${hex(va, 8)} can not be mapped using pages, ignoring.`);
  return true;
}

/**
 * Makes a mapping. Sections and pages that stand there are overwritten.
 * @returns whether it was made; what was refused is among the warnings
 * @throws ArgumentError for memory above 4 GiB that supersections cannot map; OutOfTablesError
 */
export function createMapping(tables: KernelTables, map: MapDescription): boolean {
  const start = map.va & -PAGE;
  const bytes = ((map.va & (PAGE - 1n)) + map.bytes + PAGE - 1n) & -PAGE;
  const whole = { ...map, va: start, pa: map.pa & -PAGE, bytes };
  if (tables.model === 'short' && map.pa >= FOUR_GIB) {
    mapSupersections(tables, whole);
    return true;
  }
  if (refused(tables, whole)) return false;
  const piece: Piece = { tables, type: map.type, notGlobal: map.notGlobal ?? false };
  const { pgd } = tables.names;
  const end = wrapped(start + bytes);
  let [va, pa, slot] = [start, whole.pa, pgd.offset(tables.root, start)];
  while (va !== end) {
    const next = pgd.addrEnd(va, end);
    fillP4ds(piece, slot, va, next, pa);
    pa += distance(va, next);
    slot = pgd.next(slot);
    va = next;
  }
  return true;
}
