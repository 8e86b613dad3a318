/** What each of the five names does: the implementation behind `linux-names.ts`, one class for all five. */
import { type PhysAddr, phys, type VirtAddr, virt } from './address.ts';
import type { TableRequest } from './allocator.ts';
import { ArgumentError } from './errors.ts';
import { TABLE_NAMES, type TableName } from './geometry.ts';
import { EMPTY, LEAF, MALFORMED, TABLE } from './level-codec.ts';
import type { NameHelpers, NamesOptions, ParentOf, Slot } from './linux-names.ts';
import { type Memory, readWord, writeWord } from './memory.ts';
import type { Attributes, Paging } from './paging.ts';
import { addrEnd } from './range.ts';

/** What the helpers of one tree share. */
export interface NameContext {
  readonly paging: Paging;
  readonly memory: Memory;
  readonly options: NamesOptions;
}

/** What the helpers of a name need of the name above. */
interface NameAbove {
  readonly name: TableName;
  readonly level: number;
  readonly mask: bigint;
  none(word: bigint): boolean;
  present(word: bigint): boolean;
  populate(slot: Slot, table: PhysAddr): void;
}

/** A slot in memory. */
class MemorySlot<N extends TableName> implements Slot<N> {
  readonly address: PhysAddr;
  readonly #memory: Memory;
  readonly #bytes: 4 | 8;

  constructor(address: PhysAddr, memory: Memory, bytes: 4 | 8) {
    this.address = address;
    this.#memory = memory;
    this.#bytes = bytes;
    Object.freeze(this);
  }

  load(): bigint {
    return readWord(this.#memory, this.address, this.#bytes);
  }
}

/** The helpers of one name; see {@link NameHelpers} for what each promises. */
export class NameHelper<N extends TableName> implements NameHelpers<N> {
  readonly name: N;
  readonly folded: boolean;
  readonly trivial: boolean;
  readonly level: number;
  readonly shift: number;
  readonly size: bigint;
  readonly mask: bigint;
  readonly entries: number;
  readonly tableEntries: number;
  readonly slotBytes: number;
  readonly #context: NameContext;
  readonly #above: NameAbove | undefined;
  /** Is there a name below at all? */
  readonly #last: boolean;
  /** Does the offset helper give back its parent? */
  readonly #sameSlot: boolean;
  /** Bytes of a word, and how many words make an entry of this name. */
  readonly #wordBytes: 4 | 8;
  readonly #words: number;

  constructor(name: N, context: NameContext, above: NameAbove | undefined) {
    const { paging } = context;
    const { names, folding, wordBits } = paging.geometry;
    const view = names[name];
    const below = TABLE_NAMES[TABLE_NAMES.indexOf(name) + 1];
    this.name = name;
    this.folded = view.folded;
    this.trivial = below !== undefined && names[below].folded;
    this.level = view.level;
    this.shift = view.shift;
    this.size = 1n << BigInt(view.shift);
    this.mask = BigInt.asUintN(wordBits, -this.size);
    this.entries = view.entries;
    // A count of 1 leaves nothing to look up again: such a name was folded by the headers, not at run time.
    this.#sameSlot = view.folded && (folding.offset === 'same-slot' || view.entries === 1);
    this.tableEntries = this.#sameSlot ? 1 : view.entries;
    this.#wordBytes = paging.format.entryBytes;
    this.#words = view.level > 0 ? (folding.pairs?.upperEntries ?? 1) : 1;
    this.slotBytes = this.#wordBytes * this.#words;
    this.#context = context;
    this.#above = above;
    this.#last = below === undefined;
  }

  index(va: VirtAddr | bigint): number {
    return Number((va >> BigInt(this.shift)) & BigInt(this.entries - 1));
  }

  offset(parent: ParentOf<N>, va: VirtAddr | bigint): Slot<N> {
    const above = this.#above;
    if (above === undefined) return this.#slotIn(parent as PhysAddr, va);
    const slot = parent as Slot;
    if (this.#sameSlot) return slot as Slot<N>;
    if (this.folded) return this.#slotIn(phys(slot.address - (slot.address % this.#context.paging.pageBytes)), va);
    return this.#slotIn(tableBehind(this.#context.paging, above, slot.load(), slot.address), va);
  }

  next(slot: Slot<N>): Slot<N> {
    return this.#slotAt(slot.address + BigInt(this.slotBytes));
  }

  none(word: bigint): boolean {
    if (this.trivial) return false;
    return this.#predicates?.none?.(word) ?? word === 0n;
  }

  present(word: bigint): boolean {
    if (this.trivial) return true;
    return this.#predicates?.present?.(word) ?? this.#kind(word) !== EMPTY;
  }

  bad(word: bigint): boolean {
    if (this.trivial) return false;
    return this.#predicates?.bad?.(word) ?? (this.#last ? this.#kind(word) === MALFORMED : this.#kind(word) !== TABLE);
  }

  leaf(word: bigint): boolean {
    if (this.trivial) return false;
    return this.#predicates?.leaf?.(word) ?? this.#kind(word) === LEAF;
  }

  val(slot: Slot<N>): bigint {
    return slot.load();
  }

  noneOrClearBad(slot: Slot<N>): boolean {
    if (this.trivial) return false;
    const word = slot.load();
    if (this.none(word)) return true;
    if (!this.bad(word)) return false;
    this.clearBad(slot);
    return true;
  }

  clearBad(slot: Slot<N>): void {
    if (this.trivial) return;
    // The headers that fold p4d and pud turn these two into nothing, although pud may own the top word then.
    if (this.folded && this.entries === 1 && (this.name === 'p4d' || this.name === 'pud')) return;
    this.#context.options.onBad?.(this.name, slot, slot.load());
    this.clear(slot);
  }

  clear(slot: Slot<N>): void {
    if (this.trivial) return;
    for (let word = 0; word < this.#words; word++) this.#write(slot.address + BigInt(word * this.#wordBytes), 0n);
    const twin = this.#twin(slot);
    if (twin !== undefined) this.#write(twin, 0n);
  }

  set(slot: Slot<N>, word: bigint, extra = 0n): void {
    const twin = this.#twin(slot);
    const { toHardware } = this.#context.options;
    const hardware = twin === undefined ? undefined : toHardware?.(word, extra);
    // The software word first, as kernels do: the hardware must not see an entry that software does not know.
    this.#write(slot.address, word);
    if (twin !== undefined && hardware !== undefined) this.#write(twin, hardware);
  }

  populate(slot: Slot<N>, table: PhysAddr, attributes?: Attributes): void {
    if (this.#last) {
      throw new ArgumentError('no-table-below', 'no table stands below the last name', { slot: slot.address, table });
    }
    if (this.trivial) return;
    const { paging, options } = this.#context;
    const { pairs } = paging.geometry.folding;
    const bits = attributes ?? options.tableAttributes?.[this.name] ?? 0n;
    const first = table + BigInt(pairs?.hardwareOffset ?? 0);
    const step = BigInt(paging.codec(this.level - 1).level.tableBytes);
    const words = Array.from({ length: this.#words }, (_, word) =>
      paging.encodeTable(this.level, first + step * BigInt(word), bits),
    );
    words.forEach((word, at) => {
      this.#write(slot.address + BigInt(at * this.#wordBytes), word);
    });
  }

  tableAddress(word: bigint): PhysAddr {
    return tableBehind(this.#context.paging, this, word);
  }

  allocOne(va: VirtAddr | bigint): PhysAddr | null {
    if (this.folded) return null;
    const { memory, options } = this.#context;
    const { allocator } = options;
    const request = this.#request(va);
    if (allocator === undefined) {
      throw new ArgumentError('no-allocator', 'a table is needed, but there is no allocator', {
        va,
        level: this.level,
      });
    }
    const table = allocator.allocate(request);
    try {
      fillZero(memory, table, request.bytes);
    } catch (error) {
      allocator.free(table, request);
      throw error;
    }
    return table;
  }

  freeOne(table: PhysAddr | null, va: VirtAddr | bigint = 0n): void {
    if (this.folded || table === null) return;
    this.#context.options.allocator?.free(table, this.#request(va));
  }

  alloc(parent: ParentOf<N>, va: VirtAddr | bigint): Slot<N> {
    const above = this.#above;
    if (above === undefined) return this.offset(parent, va);
    const slot = parent as Slot;
    if (above.none(slot.load())) {
      const table = this.allocOne(va);
      if (table !== null) this.#link(above, slot, table, va);
    }
    return this.offset(parent, va);
  }

  addrEnd(addr: VirtAddr | bigint, end: bigint): bigint {
    return addrEnd(addr, end, this.shift, this.#context.paging.geometry.wordBits, this.#sameSlot);
  }

  /** Links a new table, unless the allocator (it may map things itself) has filled the slot meanwhile. */
  #link(above: NameAbove, slot: Slot, table: PhysAddr, va: VirtAddr | bigint): void {
    const now = slot.load();
    // A pmd may be in use without being present (swap, migration), so there the test is for emptiness.
    if (above.name === 'pmd' ? !above.none(now) : above.present(now)) {
      this.freeOne(table, va);
      return;
    }
    try {
      above.populate(slot, table);
    } catch (error) {
      this.freeOne(table, va);
      throw error;
    }
  }

  get #predicates(): NonNullable<NamesOptions['predicates']>[TableName] {
    return this.#context.options.predicates?.[this.name];
  }

  #kind(word: bigint): number {
    return this.#context.paging.codec(this.level).classify(Number(word & 0xffff_ffffn), Number(word >> 32n)) & 3;
  }

  #slotIn(table: PhysAddr, va: VirtAddr | bigint): Slot<N> {
    return this.#slotAt(table + BigInt(this.index(va) * this.slotBytes));
  }

  #slotAt(address: bigint): Slot<N> {
    return new MemorySlot<N>(phys(address), this.#context.memory, this.#wordBytes);
  }

  /** Where the hardware's copy of a software entry stands, if there is one. */
  #twin(slot: Slot): bigint | undefined {
    const { pairs } = this.#context.paging.geometry.folding;
    return pairs === undefined || this.level > 0 ? undefined : slot.address + BigInt(pairs.hardwareOffset);
  }

  #write(address: bigint, word: bigint): void {
    writeWord(this.#context.memory, phys(address), word, this.#wordBytes);
  }

  /** What a table of this name needs. */
  #request(va: VirtAddr | bigint): TableRequest {
    const { geometry } = this.#context.paging;
    const { tableBytes, alignBytes } = this.#context.paging.codec(this.level).level;
    const { pairs } = geometry.folding;
    const paged = pairs !== undefined && this.level === 0;
    const bytes = paged ? pairs.pageBytes : tableBytes;
    return {
      level: this.level,
      va: virt(this.#above === undefined ? BigInt(geometry.ranges[0]?.start ?? 0) : va & this.#above.mask),
      bytes,
      alignBytes: paged ? pairs.pageBytes : alignBytes,
    };
  }
}

/** The table that a word of a name points to, as software sees it. */
function tableBehind(
  paging: Paging,
  { name, level }: { readonly name: TableName; readonly level: number },
  word: bigint,
  slot?: PhysAddr,
): PhysAddr {
  const { kind, address } = paging.decode(level, word);
  if (kind !== 'table' || address === undefined) {
    const where = slot === undefined ? {} : { slot };
    throw new ArgumentError('not-a-table', `the ${name} points to no table`, { ...where, word, kind });
  }
  const { pairs } = paging.geometry.folding;
  // The hardware's pointer leads into the page of both tables; the software's table is where the page begins.
  return phys(pairs === undefined ? address : address - (address % BigInt(pairs.pageBytes)));
}

/** Zeroes a table, window by window; throws before the first write if part of it is no memory. */
function fillZero(memory: Memory, table: PhysAddr, bytes: number): void {
  const start = Number(table);
  const pieces: Uint32Array[] = [];
  for (let at = start; at < start + bytes; ) {
    const { base, words } = memory.writable(at);
    const to = Math.min(base + words.length * 4, start + bytes);
    pieces.push(words.subarray((at - base) / 4, (to - base) / 4));
    at = to;
  }
  for (const piece of pieces) piece.fill(0);
}
