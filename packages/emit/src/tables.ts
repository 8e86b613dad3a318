/**
 * The tables of address spaces as pieces of memory, each with everything that is known of its use.
 *
 * Core's `eachTable` calls back for every link; a table that many entries share (an early shadow, say) is looked
 * through again below each of them. Here every table is looked through once for each level it serves at.
 */
import {
  type AddressSpace,
  type Cursor,
  type Memory,
  type Paging,
  type PhysAddr,
  phys,
  type Root,
  SKIP,
  traverse,
  type VirtAddr,
  virt,
} from '@pagefold/core';
import { checkPower, EmitError } from './errors.ts';
import { type MemoryPiece, readPieces } from './pieces.ts';

/** Whose tables are meant: one address space, or several over the same memory. */
export type TableSource = AddressSpace | readonly AddressSpace[];

/** One place where a table is used: a root register, or an entry of another table. */
export interface TableUse {
  readonly root: Root;
  /** Level of the table, from the leaves. */
  readonly level: number;
  /** First virtual address that the table covers; for a root the first that it translates. */
  readonly va: VirtAddr;
  /** Physical address of the entry that points to it; `undefined` for a root. */
  readonly slot: PhysAddr | undefined;
}

/** A table with its bytes. */
export interface TablePiece extends MemoryPiece {
  readonly address: PhysAddr;
  /** Unique among the tables collected together: `kernel.PGD`, `kernel.PMD.0`. */
  readonly label: string;
  readonly paging: Paging;
  /** Level from the leaves; where the table serves at several, the first that was met. */
  readonly level: number;
  /** Alignment that the table needs. */
  readonly alignBytes: number;
  /** Its uses, in the order in which they were met: the first names the table. */
  readonly uses: readonly [TableUse, ...TableUse[]];
}

/** Options of {@link collectTables}. */
export interface CollectOptions {
  /** What if a table lies outside memory, wholly or in part: `refuse`, or `skip` it. Not supplied: `refuse`. */
  readonly missing?: 'refuse' | 'skip';
}

/** A table that was met. */
interface Met {
  readonly address: number;
  readonly bytes: number;
  readonly uses: TableUse[];
}

/** The address spaces of a source. */
export function spacesOf(source: TableSource): readonly AddressSpace[] {
  return Array.isArray(source) ? (source as readonly AddressSpace[]) : [source as AddressSpace];
}

/**
 * The memory that all address spaces of a source share.
 * @throws EmitError `memory-differs` if they do not, or if there is none
 */
export function memoryOf(source: TableSource): Memory {
  const [first, ...rest] = spacesOf(source);
  if (first === undefined || rest.some(({ memory }) => memory !== first.memory)) {
    throw new EmitError('memory-differs', 'tables that are written together must stand in one memory');
  }
  return first.memory;
}

/** Is the whole span of the entry traversed, not just the part that the root translates? */
function isWhole(cursor: Cursor): boolean {
  return cursor.va === cursor.entryVa && cursor.end === cursor.entryVa + cursor.span;
}

/** Follows one root; `seen` holds what was looked through before. */
function follow(memory: Memory, root: Root, seen: Set<string>, meet: (address: number, use: TableUse) => void): void {
  const { geometry } = root.paging;
  const start = virt(BigInt(root.ranges[0]?.start ?? 0));
  meet(root.address, { root, level: geometry.root.level, va: start, slot: undefined });
  for (const range of root.ranges) {
    traverse(
      memory,
      { root, ...range },
      {
        table(cursor) {
          const level = cursor.level - 1;
          const address = cursor.below;
          meet(address, { root, level, va: virt(BigInt(cursor.entryVa)), slot: phys(cursor.slot) });
          const key = `${level}:${address}`;
          if (seen.has(key)) return SKIP;
          if (isWhole(cursor)) seen.add(key);
          return undefined;
        },
        missing: () => undefined,
      },
    );
  }
}

/** Every table of a source, in the order of meeting: roots first, parents before children, rising addresses. */
function meetTables(source: TableSource): Met[] {
  const memory = memoryOf(source);
  const met = new Map<string, Met>();
  const noted = new Set<string>();
  const seen = new Map<Paging, Set<string>>();
  for (const { roots } of spacesOf(source)) {
    for (const root of roots) {
      // Nothing is read below a root that faults by itself.
      if (root.fault !== undefined) continue;
      const before = seen.get(root.paging) ?? new Set<string>();
      seen.set(root.paging, before);
      follow(memory, root, before, (address, use) => {
        const bytes = root.paging.codec(use.level).level.tableBytes;
        const key = `${address}:${bytes}`;
        const link = `${key}:${use.level}:${use.slot ?? root.label}`;
        if (noted.has(link)) return;
        noted.add(link);
        const known = met.get(key);
        if (known === undefined) met.set(key, { address, bytes, uses: [use] });
        else known.uses.push(use);
      });
    }
  }
  return [...met.values()];
}

/** Names tables `root.LEVEL` and `root.LEVEL.n`. */
class Labels {
  readonly #used = new Set<string>();
  readonly #next = new Map<string, number>();

  take({ root, level, slot }: TableUse): string {
    const base = `${root.label}.${root.paging.codec(level).level.name}`;
    let label = base;
    if (slot !== undefined || this.#used.has(base)) {
      let n = this.#next.get(base) ?? 0;
      while (this.#used.has(`${base}.${n}`)) n++;
      this.#next.set(base, n + 1);
      label = `${base}.${n}`;
    }
    this.#used.add(label);
    return label;
  }
}

/**
 * The tables that are reachable from the roots, each once, with its bytes.
 * @param source one address space, or several over the same memory (a process and the kernel, say)
 * @returns roots first, parents before children, in rising order of the addresses they cover
 * @throws EmitError `no-memory` if a table lies outside memory; `memory-differs`
 */
export function collectTables(source: TableSource, options: CollectOptions = {}): TablePiece[] {
  const memory = memoryOf(source);
  const labels = new Labels();
  const tables: TablePiece[] = [];
  for (const { address, bytes, uses } of meetTables(source)) {
    const [use, ...others] = uses as [TableUse, ...TableUse[]];
    const { paging } = use.root;
    const label = labels.take(use);
    const range = tableRange(address, bytes);
    const [piece] = readPieces(memory, [range], { missing: 'skip' });
    const offset = address - Number(range.start);
    if (piece === undefined || piece.address !== range.start || piece.bytes.length < offset + bytes) {
      if (options.missing === 'skip') continue;
      throw new EmitError('no-memory', `table ${label} lies outside memory`, { address, bytes });
    }
    const { alignBytes } = paging.codec(use.level).level;
    const content = piece.bytes.subarray(offset, offset + bytes);
    tables.push({
      label,
      address: phys(address),
      bytes: content,
      paging,
      level: use.level,
      alignBytes,
      uses: [use, ...others],
    });
  }
  return tables;
}

/** The aligned groups of `granule` bytes that hold a table. */
function tableRange(address: number, bytes: number, granule = 8): { start: bigint; end: bigint } {
  const start = Math.floor(address / granule) * granule;
  return { start: BigInt(start), end: BigInt(Math.ceil((address + bytes) / granule) * granule) };
}

/** Options of {@link tablePages}. */
export interface TablePagesOptions {
  /**
   * Unit in which memory is taken: a power of two, 8 to 2^30. What shares a page with a small table comes along as it
   * stands; 8 takes the tables alone. Not supplied: 4096.
   */
  readonly pageBytes?: number;
}

/**
 * The pages that hold tables, consecutive pages as one piece: what a core file of page tables is made of. Where a page
 * has no memory, nothing is made up.
 * @throws EmitError `option`, `memory-differs`
 */
export function tablePages(source: TableSource, options: TablePagesOptions = {}): MemoryPiece[] {
  const pageBytes = checkPower('pageBytes', options.pageBytes ?? 4096, 8, 2 ** 30);
  const ranges = meetTables(source).map(({ address, bytes }) => tableRange(address, bytes, pageBytes));
  return readPieces(memoryOf(source), ranges, { missing: 'skip' });
}

/**
 * The first virtual address that an entry of a table covers in one of its uses; `undefined` if the root translates no
 * such address.
 */
export function entryVa({ root, level, va, slot }: TableUse, index: number): VirtAddr | undefined {
  const { entries, entrySpan } = root.paging.codec(level).level;
  const offset = BigInt(index) * BigInt(entrySpan);
  if (slot !== undefined) return virt(va + offset);
  const tableSpan = BigInt(entries) * BigInt(entrySpan);
  for (const { start, end } of root.ranges) {
    const at = BigInt(start) - (BigInt(start) % tableSpan) + offset;
    if (at < BigInt(end) && at + BigInt(entrySpan) > BigInt(start)) return virt(at);
  }
  return undefined;
}

/** The entries of a table, by index. */
export function entriesOf({ bytes, paging }: Pick<TablePiece, 'bytes' | 'paging'>): bigint[] {
  const { entryBytes } = paging.format;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / entryBytes }, (_, index) =>
    entryBytes === 8 ? view.getBigUint64(index * 8, true) : BigInt(view.getUint32(index * 4, true)),
  );
}
