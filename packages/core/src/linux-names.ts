/**
 * The five names pgd, p4d, pud, pmd, pte over tables of two to five levels, folded at run time.
 *
 * Code written once for five names is right for every geometry, because of three promises. A folded name has no
 * tables: its offset helper gives back the slot of the name above, its alloc and free do nothing. Tests, `clear` and
 * `populate` of the name *above* a folded one are constant or do nothing: the lowest name of a folded group owns the
 * word. And a loop over a folded name runs exactly once. Facts: Linux 6.12 include/linux/pgtable.h,
 * include/asm-generic/pgtable-nop4d.h, pgtable-nopud.h, pgtable-nopmd.h; where folding happens at run time the tests of
 * the compile-time headers become tests of the geometry.
 */
import type { PhysAddr, VirtAddr } from './address.ts';
import type { TableAllocator } from './allocator.ts';
import type { Geometry, TableName } from './geometry.ts';
import type { Memory } from './memory.ts';
import { NameHelper } from './name-helpers.ts';
import type { Attributes, Paging } from './paging.ts';

declare const slotName: unique symbol;

/**
 * A slot: the place of one entry of a name, immutable. A slot carries its name in its type only, so that a forgotten
 * step does not compile; at run time the slots of folded names are one and the same object.
 */
export interface Slot<N extends TableName = TableName> {
  /** Physical address of the entry (of its first word, where a name's entry is several hardware words). */
  readonly address: PhysAddr;
  /**
   * Reads the word as it is now.
   * @throws MemoryError where there is no memory
   */
  load(): bigint;
  readonly [slotName]?: N;
}

/** The name whose slot the offset helper of a name starts from. */
export interface NameAbove {
  readonly p4d: 'pgd';
  readonly pud: 'p4d';
  readonly pmd: 'pud';
  readonly pte: 'pmd';
}

/**
 * What the offset helper of a name starts from: the slot of the name above, or for pgd the root table's address. For
 * code that loops over names (`N` left open), any of them.
 */
export type ParentOf<N extends TableName> = TableName extends N
  ? PhysAddr | Slot
  : N extends keyof NameAbove
    ? Slot<NameAbove[N]>
    : PhysAddr;

/** What a word of a name means to the kernel that is modelled, where it differs from what the format says. */
export interface NamePredicates {
  /** Not supplied: the word is 0. */
  none?(word: bigint): boolean;
  /** Not supplied: the format does not call it empty. */
  present?(word: bigint): boolean;
  /** Not supplied: it is no table pointer; for pte: it is malformed. */
  bad?(word: bigint): boolean;
  /** Not supplied: the format calls it a leaf. */
  leaf?(word: bigint): boolean;
}

/** Options of {@link createNames}. */
export interface NamesOptions {
  /** Where new tables come from. Not supplied: `alloc` and `allocOne` of real names fail. */
  readonly allocator?: TableAllocator;
  /** Tests of the modelled kernel. Not supplied: those of the format. */
  readonly predicates?: Readonly<Partial<Record<TableName, NamePredicates>>>;
  /** Further bits or fields of the table pointers that `populate` of a name writes. Not supplied: none. */
  readonly tableAttributes?: Readonly<Partial<Record<TableName, Attributes>>>;
  /**
   * Where the last level exists twice (see {@link EntryPairs}): the hardware word for a software word. `extra` is
   * handed through from `set`. Not supplied: `set` leaves the hardware word alone.
   */
  readonly toHardware?: (software: bigint, extra: bigint) => bigint;
  /** Told of each bad entry before it is cleared. Not supplied: nobody is. */
  readonly onBad?: (name: TableName, slot: Slot, word: bigint) => void;
}

/**
 * The helpers of one name, X below; the name under it is Y. "Trivial" means that Y is folded into X, so that Y (or a
 * name further down) owns the word. Words are entry values, `bigint`.
 */
export interface NameHelpers<N extends TableName = TableName> {
  readonly name: N;
  /** Has X no tables of its own? (`mm_X_folded`) */
  readonly folded: boolean;
  /** Is Y folded into X, so that the tests here are constant? */
  readonly trivial: boolean;
  /** Level, from the leaves, of the tables in which the slots of X lie. */
  readonly level: number;
  /** `X_SHIFT`, as built. */
  readonly shift: number;
  /** `X_SIZE`: bytes that one entry covers. */
  readonly size: bigint;
  /** `X_MASK`: the address bits above them, in the machine word. */
  readonly mask: bigint;
  /** `PTRS_PER_X`, as built: may be large for a folded name. Loops use {@link tableEntries} or {@link addrEnd}. */
  readonly entries: number;
  /** Slots that a loop over one table may visit: 1 for a name that repeats the slot above. */
  readonly tableEntries: number;
  /** Bytes from one slot to the next. */
  readonly slotBytes: number;

  /** `X_index`: bits of the address that select an entry; also for folded names, by the constants as built. */
  index(va: VirtAddr | bigint): number;
  /**
   * `X_offset`: the slot for an address. For a folded name the parent itself, whatever the address; where the geometry
   * looks up again, the slot of X's own index in the page of the parent.
   * @throws ArgumentError `not-a-table` if the parent's word points to no table; MemoryError where there is no memory
   */
  offset(parent: ParentOf<N>, va: VirtAddr | bigint): Slot<N>;
  /** The slot after this one (`xp++`); meaningful only within a table. */
  next(slot: Slot<N>): Slot<N>;

  /** `X_none`: is the word empty? Trivial: false. */
  none(word: bigint): boolean;
  /** `X_present`. Trivial: true. */
  present(word: bigint): boolean;
  /** `X_bad`: is it something else than a table pointer? Trivial: false. */
  bad(word: bigint): boolean;
  /** `X_leaf`: does it map memory? Trivial: false. */
  leaf(word: bigint): boolean;
  /** `X_val`: the word in the slot. Names that share a slot read the same. */
  val(slot: Slot<N>): bigint;
  /**
   * `X_none_or_clear_bad`: true for an empty word; clears a bad one and answers true; otherwise, and always if
   * trivial, false.
   */
  noneOrClearBad(slot: Slot<N>): boolean;
  /**
   * `X_clear_bad`: reports a bad word and clears it. Does nothing if trivial; nor for p4d and pud folded by the
   * headers (count 1), where Linux 6.12 mm/pgtable-generic.c has no such function and the word stays.
   */
  clearBad(slot: Slot<N>): void;

  /** `X_clear`: empties the entry, all its words and a hardware twin. Trivial: nothing. */
  clear(slot: Slot<N>): void;
  /**
   * `set_X`: stores a word; also if trivial, because it forwards down to the owner of the same word. An entry of
   * several hardware words gets only its first one set.
   * @param extra handed to {@link NamesOptions.toHardware} together with the word
   * @throws MemoryError if the word does not fit an entry
   */
  set(slot: Slot<N>, word: bigint, extra?: bigint): void;
  /**
   * `X_populate`: lets the entry point to a table of the next level. Trivial: nothing.
   * @param attributes further bits or fields. Not supplied: those of {@link NamesOptions.tableAttributes}
   * @throws ArgumentError `no-table-below` for pte; AttributeError if the address cannot stand in an entry
   */
  populate(slot: Slot<N>, table: PhysAddr, attributes?: Attributes): void;
  /**
   * `X_pgtable`, `X_page`: address of the next *real* table, whoever owns the word.
   * @throws ArgumentError `not-a-table` if the word points to none
   */
  tableAddress(word: bigint): PhysAddr;

  /**
   * `X_alloc_one`: one zeroed table of X, not linked yet; `null`, never an error, if X is folded.
   * @throws OutOfTablesError from the allocator; ArgumentError `no-allocator`
   */
  allocOne(va: VirtAddr | bigint): PhysAddr | null;
  /** `X_free`: gives a table of X back. Nothing if X is folded or the table is `null`. */
  freeOne(table: PhysAddr | null, va?: VirtAddr | bigint): void;
  /**
   * `X_alloc`: the slot for an address; if the parent is empty, first allocates and links a table of X. On failure
   * nothing has changed. For pgd the same as {@link offset}: the root exists.
   */
  alloc(parent: ParentOf<N>, va: VirtAddr | bigint): Slot<N>;

  /** `X_addr_end`: end of a loop's step; 0 is the top. A name that repeats the slot above takes one step. */
  addrEnd(addr: VirtAddr | bigint, end: bigint): bigint;
}

/** The helpers of all five names. Made by {@link createNames}. */
export interface LinuxNames {
  readonly pgd: NameHelpers<'pgd'>;
  readonly p4d: NameHelpers<'p4d'>;
  readonly pud: NameHelpers<'pud'>;
  readonly pmd: NameHelpers<'pmd'>;
  readonly pte: NameHelpers<'pte'>;
  /** The same by name, for code that runs over names; which slot belongs to which name is then not checked. */
  byName(name: TableName): NameHelpers;
  readonly paging: Paging;
  readonly geometry: Geometry;
  readonly memory: Memory;
}

/**
 * The five names over the tables of a paging.
 * @param paging says which names fold and what words mean
 * @param memory where the tables stand
 */
export function createNames(memory: Memory, paging: Paging, options: NamesOptions = {}): LinuxNames {
  const context = { paging, memory, options };
  const pgd = new NameHelper<'pgd'>('pgd', context, undefined);
  const p4d = new NameHelper<'p4d'>('p4d', context, pgd);
  const pud = new NameHelper<'pud'>('pud', context, p4d);
  const pmd = new NameHelper<'pmd'>('pmd', context, pud);
  const pte = new NameHelper<'pte'>('pte', context, pmd);
  const all = { pgd, p4d, pud, pmd, pte };
  return { ...all, byName: (name) => all[name] as NameHelpers, paging, geometry: paging.geometry, memory };
}
