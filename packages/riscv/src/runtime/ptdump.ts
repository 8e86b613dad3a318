/**
 * The dump of kernel page tables as the kernel prints it: one line for neighbours of one level with one protection.
 * Source: Linux 6.12 arch/riscv/mm/ptdump.c, mm/ptdump.c.
 */
import {
  type AddressMarker,
  dumpSize,
  hex,
  type Memory,
  type NoteEntriesOptions,
  NotePage,
  type NotePageStyle,
  noteEntries,
  type Paging,
  type RootDescription,
} from '@pagefold/core';
import type { KernelAddresses } from '../boot/addresses.ts';
import type { KernelMap } from '../boot/kernel-map.ts';
import { entryMask, type Xlen } from '../entry-bits.ts';

/** One column: a field, what stands for 0, and what for another value. */
interface Column {
  readonly field: string;
  readonly clear: string;
  text(value: bigint): string;
}

function letter(field: string): Column {
  return { field, clear: '.', text: () => field.toUpperCase() };
}

const MEMORY_TYPES: Readonly<Record<string, string>> = { 1: 'NC', 2: 'IO' };
const LOW: readonly Column[] = [
  { field: 'rsw', clear: '  ..  ', text: (value) => `RSW(${value})` },
  ...['d', 'a', 'g', 'u', 'x', 'w', 'r', 'v'].map(letter),
];
const COLUMNS: Readonly<Record<Xlen, readonly Column[]>> = {
  32: LOW,
  64: [
    letter('n'),
    { field: 'pbmt', clear: '  ..  ', text: (value) => `MT(${MEMORY_TYPES[String(value)] ?? '??'})` },
    ...LOW,
  ],
};

function xlenOf(paging: Paging): Xlen {
  return paging.geometry.wordBits;
}

/** The bits of an entry that the dump prints: a line ends where they change. */
export function ptdumpMask(paging: Paging): bigint {
  const xlen = xlenOf(paging);
  return COLUMNS[xlen].reduce((mask, { field }) => mask | entryMask(xlen, field), 0n);
}

/** The value of a field in a word. */
function fieldValue(xlen: Xlen, field: string, word: bigint): bigint {
  const mask = entryMask(xlen, field);
  return (word & mask) / (mask & -mask);
}

/** One line of the dump, without its line break. */
export interface PtdumpLine {
  readonly start: bigint;
  /** Exclusive; the last line of a dump ends at 0. */
  readonly end: bigint;
  /** Physical address of the start. */
  readonly pa: bigint;
  /** Level from the leaves. */
  readonly level: number;
  /** Entry bits; those that have no column do not matter. */
  readonly bits: bigint;
}

/** A line as the kernel prints it. */
export function ptdumpText(paging: Paging, { start, end, pa, level, bits }: PtdumpLine): string {
  const xlen = xlenOf(paging);
  const digits = xlen / 4;
  const size = dumpSize(BigInt.asUintN(xlen, end - start)).padStart(10);
  const name = paging.codec(level).level.name;
  const columns = COLUMNS[xlen].map(({ field, clear, text }) => {
    const value = fieldValue(xlen, field, bits);
    return value === 0n ? clear : text(value);
  });
  const range = `${hex(start, digits)}-${hex(end, digits)}`;
  return `${range}    ${hex(pa, digits)} ${size} ${[name, ...columns].join(' ')}`;
}

const STYLE: NotePageStyle = { recordsFirst: true, markers: 'all-passed', printsUnmapped: false };

/**
 * The markers of a kernel: where regions begin and end.
 * @param kasan is the shadow marked too?
 */
export function ptdumpMarkers(addresses: KernelAddresses, kernelMap: KernelMap, kasan = false): AddressMarker[] {
  const { fixmap, vmemmap, vmalloc, pageOffset, shadow } = addresses;
  const markers: AddressMarker[] = [
    { at: fixmap.start, name: 'Fixmap start' },
    { at: fixmap.end, name: 'Fixmap end' },
    { at: fixmap.end, name: 'PCI I/O start' },
    { at: vmemmap.start, name: 'PCI I/O end' },
    { at: vmemmap.start, name: 'vmemmap start' },
    { at: vmemmap.end, name: 'vmemmap end' },
    { at: vmalloc.start, name: 'vmalloc() area' },
    { at: vmalloc.end, name: 'vmalloc() end' },
    { at: pageOffset, name: 'Linear mapping' },
  ];
  if (kasan && shadow !== undefined) {
    markers.push({ at: shadow.start, name: 'Kasan shadow start' }, { at: shadow.end, name: 'Kasan shadow end' });
  }
  if (addresses.xlen === 64) {
    // The area of modules ends where the kernel begins and reaches 2 GiB down from the kernel's end.
    const end = (kernelMap.virtAddr + kernelMap.size + 4095n) & -4096n;
    markers.push(
      { at: end - 0x8000_0000n, name: 'Modules/BPF mapping' },
      { at: kernelMap.virtAddr, name: 'Kernel mapping' },
    );
  }
  return markers;
}

/** What {@link ptdump} needs besides a root. */
export interface PtdumpOptions extends NoteEntriesOptions {
  /** Not supplied: none. */
  readonly markers?: readonly AddressMarker[];
}

/** What a dump found. */
export interface PtdumpResult {
  /** Lines as the kernel prints them, markers among them. */
  readonly lines: readonly string[];
  /** Pages of 4 KiB that are writable and executable at once, and the first of them. */
  readonly writableExecutable: { readonly pages: bigint; readonly first: bigint | undefined };
}

/**
 * Dumps the kernel half of a root.
 * @throws ArgumentError `marker-order`; MemoryError if a table lies outside memory
 */
export function ptdump(memory: Memory, description: RootDescription, options: PtdumpOptions = {}): PtdumpResult {
  const { paging } = description;
  const xlen = xlenOf(paging);
  const mask = ptdumpMask(paging);
  const wx = entryMask(xlen, 'w') | entryMask(xlen, 'x');
  const notes = new NotePage({
    style: { ...STYLE, wordBits: xlen },
    markers: options.markers ?? [],
    tallies: [{ name: 'wx', test: (prot) => (prot & wx) === wx }],
  });
  noteEntries(memory, description, options, (addr, level, word) => {
    notes.note({ addr, level, prot: word & mask, detail: pageOf(word, xlen) });
  });
  const lines = notes.finish().map((line) => {
    if ('marker' in line) return `---[ ${line.marker} ]---`;
    const [first, end] = line.range;
    return ptdumpText(paging, { start: first, end, pa: line.detail ?? 0n, level: line.level, bits: line.prot });
  });
  const [tally] = notes.tallies;
  return { lines, writableExecutable: { pages: tally?.pages ?? 0n, first: tally?.first } };
}

/** The page that an entry names, whatever it is. */
function pageOf(entry: bigint, xlen: Xlen): bigint {
  return fieldValue(xlen, 'ppn', entry) << 12n;
}
