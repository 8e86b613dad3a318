/**
 * The dump of kernel page tables as the kernel prints it. Source: Linux 6.12 arch/arm64/mm/ptdump.c, mm/ptdump.c.
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
import { LINUX_BITS, type LinuxBit } from '../entry-bits.ts';
import { memoryIndexBits } from '../linux-protections.ts';
import type { LinuxMemoryType } from '../memory-types.ts';

/** A column: printed one way if the bit is set, the other way if not. */
type Column = readonly [bit: LinuxBit, set: string, clear: string];

const COLUMNS: readonly Column[] = [
  ['VALID', ' ', 'F'],
  ['USER', 'USR', '   '],
  ['RDONLY', 'ro', 'RW'],
  ['PXN', 'NX', 'x '],
  ['SHARED', 'SHD', '   '],
  ['AF', 'AF', '  '],
  ['NG', 'NG', '  '],
  ['CONT', 'CON', '   '],
  ['TABLE_BIT', '   ', 'BLK'],
  ['UXN', 'UXN', '   '],
  ['GP', 'GP', '  '],
];

const MEMORY: readonly (readonly [type: LinuxMemoryType, text: string])[] = [
  ['DEVICE_nGnRnE', 'DEVICE/nGnRnE'],
  ['DEVICE_nGnRE', 'DEVICE/nGnRE'],
  ['NORMAL_NC', 'MEM/NORMAL-NC'],
  ['NORMAL', 'MEM/NORMAL'],
  ['NORMAL_TAGGED', 'MEM/NORMAL-TAGGED'],
];

/** The bits of an entry that the dump prints: a line ends where they change. */
export const PTDUMP_MASK: bigint = COLUMNS.reduce((mask, [bit]) => mask | LINUX_BITS[bit], LINUX_BITS.ATTRINDX_MASK);

/** A line of the dump. */
export interface PtdumpLine {
  readonly start: bigint;
  /** Exclusive; the last line of a dump ends at 0. */
  readonly end: bigint;
  /** Level from the pages. */
  readonly level: number;
  /** Entry bits; those that have no column do not matter. 0 where nothing is mapped. */
  readonly bits: bigint;
}

/** A line as the kernel prints it, without its line break. Where nothing is mapped there are no columns. */
export function ptdumpText(paging: Paging, { start, end, level, bits }: PtdumpLine): string {
  const size = dumpSize(BigInt.asUintN(64, end - start));
  const head = `${hex(start, 16)}-${hex(end, 16)}   ${size.padStart(10)} ${paging.codec(level).level.name}`;
  if ((bits & PTDUMP_MASK) === 0n) return head;
  const columns = COLUMNS.map(([bit, set, clear]) => ((bits & LINUX_BITS[bit]) === LINUX_BITS[bit] ? set : clear));
  const memory = MEMORY.filter(([type]) => (bits & LINUX_BITS.ATTRINDX_MASK) === memoryIndexBits(type));
  return [head, ...columns, ...memory.map(([, text]) => text)].join(' ');
}

/** What a dump needs besides a root. */
export interface PtdumpOptions extends NoteEntriesOptions {
  /** Not supplied: none. */
  readonly markers?: readonly AddressMarker[];
}

/** What a dump found. */
export interface PtdumpResult {
  /** Lines as the kernel prints them, markers among them. */
  readonly lines: readonly string[];
  /** Pages that the kernel may write and execute, and those that programs might execute (`check_wx`). */
  readonly writableExecutable: bigint;
  readonly userExecutable: bigint;
}

/** A run ends at a marker; one marker while a run ends and one more after every note; holes are printed too. */
const STYLE: NotePageStyle = { recordsFirst: true, markers: 'change-plus-one', printsUnmapped: true };

/**
 * Dumps a root.
 * @throws ArgumentError `marker-order`; MemoryError if a table lies outside memory
 */
export function ptdump(memory: Memory, description: RootDescription, options: PtdumpOptions = {}): PtdumpResult {
  const { paging } = description;
  const notes = new NotePage({
    style: STYLE,
    markers: options.markers ?? [],
    pageBytes: paging.pageBytes,
    tallies: [
      { name: 'wx', test: (prot) => (prot & (LINUX_BITS.RDONLY | LINUX_BITS.PXN)) === 0n },
      { name: 'uxn', test: (prot) => (prot & LINUX_BITS.UXN) === 0n },
    ],
  });
  noteEntries(memory, description, options, (addr, level, word) => {
    notes.note({ addr, level, prot: word & PTDUMP_MASK });
  });
  const lines = notes.finish().map((line) => {
    if ('marker' in line) return `---[ ${line.marker} ]---`;
    const [start, end] = line.range;
    return ptdumpText(paging, { start, end, level: line.level, bits: line.prot });
  });
  const [wx, uxn] = notes.tallies;
  return { lines, writableExecutable: wx?.pages ?? 0n, userExecutable: uxn?.pages ?? 0n };
}
