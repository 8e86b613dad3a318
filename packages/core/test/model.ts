/**
 * What the tests of core's operations are compared with: memory in windows as small as wanted, an allocator that keeps
 * book, a walker that reads a format's description bit by bit in BigInts (and none of core's compiled code), and a flat
 * model of what is mapped.
 */
import { type PhysAddr, phys } from '../src/address.ts';
import type { TableAllocator, TableRequest } from '../src/allocator.ts';
import type { FeatureCondition, LevelCondition } from '../src/condition.ts';
import { MemoryError, OutOfTablesError, PagefoldError, ReadOnlyMemoryError } from '../src/errors.ts';
import type { AddressPiece, BitTest, FieldValues, LeafShape, TableShape } from '../src/format.ts';
import type { Memory, MemoryWindow } from '../src/memory.ts';
import { readWord } from '../src/memory.ts';
import { type AddressSpace, createSpace, type VirtRange } from '../src/space.ts';
import type { Subject } from './formats.ts';

/** Memory in windows of a given size; some of them may be read-only. */
export class SmallMemory implements Memory {
  readonly start: number;
  readonly bytes: number;
  readonly #windowBytes: number;
  readonly #windows = new Map<number, MemoryWindow>();
  readonly #readOnly: [number, number][] = [];

  /** @param windowBytes a multiple of 8 that divides `start` and `bytes` */
  constructor(start: bigint, bytes: number, windowBytes: number) {
    this.start = Number(start);
    this.bytes = bytes;
    this.#windowBytes = windowBytes;
  }

  /** From now on this part cannot be written. */
  protect(start: bigint | number, bytes: number): void {
    this.#readOnly.push([Number(start), Number(start) + bytes]);
  }

  window(address: number): MemoryWindow | undefined {
    if (address < this.start || address >= this.start + this.bytes) return undefined;
    const base = address - ((address - this.start) % this.#windowBytes);
    const known = this.#windows.get(base);
    if (known !== undefined) return known;
    const window = { base, words: new Uint32Array(this.#windowBytes / 4) };
    this.#windows.set(base, window);
    return window;
  }

  writable(address: number): MemoryWindow {
    const window = this.window(address);
    if (window === undefined) throw new MemoryError('no-memory', 'no memory there', { address });
    if (this.#readOnly.some(([start, end]) => address >= start && address < end)) {
      throw new ReadOnlyMemoryError('read-only', 'cannot be written', { address });
    }
    return window;
  }

  /** Every word that is not zero, for comparing before and after. */
  snapshot(): Map<number, number> {
    const words = new Map<number, number>();
    for (const { base, words: at } of this.#windows.values()) {
      at.forEach((word, i) => {
        if (word !== 0) words.set(base + 4 * i, word);
      });
    }
    return new Map([...words].sort(([a], [b]) => a - b));
  }
}

/** An allocator that keeps book: what is live, what was asked for, what came back. */
export class Frames implements TableAllocator {
  /** Tables in use. */
  readonly live = new Map<bigint, TableRequest>();
  /** Requests, in order. */
  readonly requests: TableRequest[] = [];
  /** Addresses to hand out first, whatever they are. */
  readonly planned: bigint[] = [];
  /** How many requests still succeed. */
  left: number = Number.POSITIVE_INFINITY;
  #next: bigint;
  readonly #end: bigint;

  constructor(start: bigint, end: bigint) {
    this.#next = start;
    this.#end = end;
  }

  allocate(request: TableRequest): PhysAddr {
    this.requests.push(request);
    const align = BigInt(request.alignBytes);
    const planned = this.planned.shift();
    const address = planned ?? ((this.#next + align - 1n) / align) * align;
    const end = address + BigInt(request.bytes);
    if (this.left <= 0 || end > this.#end) throw new OutOfTablesError('frames-empty', 'no frame is left');
    this.left--;
    if (planned === undefined) this.#next = end;
    this.live.set(address, request);
    return phys(address);
  }

  free(address: PhysAddr, request: TableRequest): void {
    const known = this.live.get(address);
    if (known === undefined) throw new Error(`freed twice or never allocated: ${address.toString(16)}`);
    if (known.level !== request.level || known.va !== request.va || known.bytes !== request.bytes) {
      throw new Error(`freed as another table: ${address.toString(16)}`);
    }
    this.live.delete(address);
  }
}

/** A fresh address space of a subject, with its memory and its allocator. */
export interface Bed {
  readonly subject: Subject;
  readonly memory: SmallMemory;
  readonly frames: Frames;
  readonly space: AddressSpace;
  readonly root: bigint;
}

/** Where the beds' memory begins. */
export const BASE = 0x10_0000n;

/**
 * Makes a bed.
 * @param windowBytes bytes of a memory window
 * @param bytes bytes of memory
 */
export function bed(subject: Subject, windowBytes = 0x1_0000, bytes = 0x80_0000): Bed {
  const { tableBytes, alignBytes } = subject.paging.geometry.root;
  const memory = new SmallMemory(BASE, bytes, windowBytes);
  const align = BigInt(alignBytes);
  const root = ((BASE + align - 1n) / align) * align;
  const frames = new Frames(root + BigInt(Math.max(tableBytes, 64)), BASE + BigInt(bytes));
  return { subject, memory, frames, root, space: createSpace(memory, { paging: subject.paging, address: root }) };
}

/** What was thrown; fails if nothing was. */
export function thrownBy(run: () => unknown): PagefoldError {
  try {
    run();
  } catch (error) {
    if (error instanceof PagefoldError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** Runs something that must be refused: gives the error, and proves that no word and no frame has changed. */
export function refused({ memory, frames }: Pick<Bed, 'memory' | 'frames'>, run: () => unknown): PagefoldError {
  const words = memory.snapshot();
  const live = [...frames.live.keys()];
  const error = thrownBy(run);
  const after = memory.snapshot();
  const same = words.size === after.size && [...words].every(([at, word]) => after.get(at) === word);
  if (!same) throw new Error(`${error.message}: but memory was changed`);
  if (live.join() !== [...frames.live.keys()].join()) throw new Error(`${error.message}: but frames were lost`);
  return error;
}

const mask = (bits: number): bigint => (1n << BigInt(bits)) - 1n;
const holds = (when: FeatureCondition | undefined, on: readonly string[]): boolean =>
  (when ?? []).every((term) =>
    [term].flat().some((name) => (name.startsWith('!') ? !on.includes(name.slice(1)) : on.includes(name))),
  );
const passes = (test: BitTest, entry: bigint): boolean =>
  'equals' in test ? (entry & test.mask) === test.equals : (entry & test.mask) !== test.differs;

/** One entry, read from the description. */
export interface RefEntry {
  readonly kind: 'empty' | 'table' | 'leaf' | 'malformed';
  readonly shape: string | undefined;
  readonly reasons: readonly string[];
  /** Where a table stands, or the first byte that the entry itself maps. */
  readonly address: bigint;
  readonly leafBytes: bigint;
  readonly fields: FieldValues;
  readonly description: TableShape | LeafShape | undefined;
}

function levelOf(subject: Subject, level: number): { shift: number; indexBits: number } {
  return subject.geometry.levels[level] as { shift: number; indexBits: number };
}

function assemble(pieces: readonly AddressPiece[], on: readonly string[], entry: bigint): bigint {
  return pieces
    .filter(({ when }) => holds(when, on))
    .reduce((sum, { entryLo, addressLo, bits }) => {
      return sum | (((entry >> BigInt(entryLo)) & mask(bits)) << BigInt(addressLo));
    }, 0n);
}

/** Reads an entry at a level, from the format's description alone. `index` is where in its table it stands. */
export function refDecode(subject: Subject, level: number, entry: bigint, index: number): RefEntry {
  const { format, features: on } = subject;
  const { shift, indexBits } = levelOf(subject, level);
  const at = (levels: LevelCondition | undefined): boolean =>
    levels === undefined ||
    levels.some((one) => (typeof one === 'number' ? one === level : one.level === level && holds(one.when, on)));
  const shape = format.shapes.find(
    (one) =>
      holds(one.when, on) &&
      at(one.levels) &&
      !(one.kind === 'leaf' && (one.run?.entries ?? 1) > 2 ** indexBits) &&
      one.match.every((test) => passes(test, entry)),
  );
  const nothing = { address: 0n, leafBytes: 0n, fields: {}, description: undefined };
  if (shape === undefined) {
    return { kind: 'malformed', shape: undefined, reasons: [format.unmatched ?? 'reserved_encoding'], ...nothing };
  }
  if (shape.kind === 'empty') return { kind: 'empty', shape: shape.name, reasons: [shape.reason], ...nothing };
  const run = shape.kind === 'leaf' ? shape.run : undefined;
  const span = 1n << BigInt(shift);
  const leafBytes = span * BigInt(run?.entries ?? 1);
  const stored = shape.kind === 'table' ? 1n : run?.address === 'shared' ? leafBytes : span;
  const whole = assemble(shape.address, on, entry);
  const patterned = shape.match.reduce((bits, test) => ('equals' in test ? bits | test.mask : bits), 0n);
  const reserved = shape.fields.flatMap(({ bits, reserved: reason, when }) => {
    const zero = bits.every(([hi, lo]) => ((entry >> BigInt(lo)) & mask(hi - lo + 1)) === 0n);
    return reason === undefined || zero || !holds(when, on) ? [] : [reason];
  });
  const rules = format.rules ?? [];
  const own = rules
    .filter((rule) => rule !== 'reserved-fields')
    .filter(
      (rule) =>
        holds(rule.when, on) &&
        at(rule.levels) &&
        (rule.kinds ?? ['table', 'leaf']).includes(shape.kind) &&
        (rule.shapes?.includes(shape.name) ?? true),
    )
    .filter(({ tests }) => {
      if (tests === 'misaligned') {
        return shape.kind === 'leaf' && assemble(shape.address, on, entry & ~patterned) % stored !== 0n;
      }
      if (tests === 'address-size') return whole >> BigInt(subject.geometry.paBits) !== 0n;
      return tests.every((test) => passes(test, entry));
    })
    .map(({ reason }) => reason);
  // No test here lists rules before those of reserved fields.
  const reasons = [...reserved, ...own];
  const fields: Record<string, number> = {};
  for (const { name, bits, when } of shape.fields) {
    if (!holds(when, on)) continue;
    let value = 0n;
    for (const [hi, lo] of bits) value = (value << BigInt(hi - lo + 1)) | ((entry >> BigInt(lo)) & mask(hi - lo + 1));
    const width = bits.reduce((sum, [hi, lo]) => sum + hi - lo + 1, 0);
    if (width <= 32) fields[name] = Number(value);
  }
  const first = whole - (whole % stored);
  const part = run?.address === 'shared' ? BigInt(index % run.entries) * span : 0n;
  return {
    kind: reasons.length > 0 ? 'malformed' : shape.kind,
    shape: shape.name,
    reasons: [...new Set(reasons)],
    address: first + part,
    leafBytes,
    fields,
    description: shape,
  };
}

/** What became of an address, by the description alone. */
export type RefOutcome =
  | {
      readonly kind: 'mapped';
      readonly pa: bigint;
      readonly level: number;
      readonly shape: string;
      readonly leafBytes: bigint;
      readonly fields: FieldValues;
      readonly slot: bigint;
      readonly entry: bigint;
    }
  | { readonly kind: 'fault'; readonly reasons: readonly string[]; readonly level: number; readonly slot: bigint }
  | { readonly kind: 'outside' };

/** Is an address one that the geometry translates? Tags taken off first. */
export function refCanonical({ geometry }: Subject, va: bigint): bigint | undefined {
  const word = BigInt(geometry.wordBits ?? 64);
  if (va >> word !== 0n) return undefined;
  let plain = va;
  const [hi, lo] = geometry.ignored?.bits ?? [-1, 0];
  for (let bit = lo; bit <= hi; bit++) {
    const copy = (va >> BigInt(lo - 1)) & 1n;
    plain = (plain & ~(1n << BigInt(bit))) | (copy << BigInt(bit));
  }
  const bits = BigInt(geometry.vaBits);
  const top = plain >> bits;
  const ones = mask(Number(word - bits));
  if (geometry.vaBits === Number(word)) return plain;
  const upper = geometry.upper ?? 'sign';
  if (upper === 'zero') return top === 0n ? plain : undefined;
  if (upper === 'one') return top === ones ? plain : undefined;
  const sign = (plain >> (bits - 1n)) & 1n;
  return top === (sign === 1n ? ones : 0n) ? plain : undefined;
}

/** Follows an address through the tables, reading word by word. */
export function refWalk(subject: Subject, memory: Memory, root: bigint, va: bigint): RefOutcome {
  const plain = refCanonical(subject, va);
  if (plain === undefined) return { kind: 'outside' };
  const { entryBytes } = subject.format;
  const tables: { readonly shape: TableShape; readonly fields: FieldValues }[] = [];
  let table = root;
  for (let level = subject.geometry.levels.length - 1; ; level--) {
    const { shift, indexBits } = levelOf(subject, level);
    const index = (plain >> BigInt(shift)) & mask(indexBits);
    const slot = table + index * BigInt(entryBytes);
    if (memory.window(Number(slot)) === undefined) return { kind: 'fault', reasons: ['no_memory'], level, slot };
    const entry = readWord(memory, phys(slot), entryBytes);
    const found = refDecode(subject, level, entry, Number(index));
    if (found.kind === 'empty' || found.kind === 'malformed') {
      return { kind: 'fault', reasons: found.reasons, level, slot };
    }
    if (found.kind === 'table') {
      tables.push({ shape: found.description as TableShape, fields: found.fields });
      table = found.address;
      continue;
    }
    const fields: Record<string, number> = { ...found.fields };
    for (const { shape, fields: own } of tables) {
      for (const { field, on, op, when } of shape.effects ?? []) {
        if (!holds(when, subject.features)) continue;
        const by = own[field] ?? 0;
        const before = fields[on] ?? 0;
        fields[on] = op === 'or' ? before | by : op === 'and' ? before & by : before & ~by;
      }
    }
    const pa = found.address + (plain & mask(shift));
    const { leafBytes } = found;
    return { kind: 'mapped', pa, level, shape: found.shape as string, leafBytes, fields, slot, entry };
  }
}

/** A page of the flat model: where it leads, and what is said of it. */
export interface Page {
  readonly pa: bigint;
  readonly look: FieldValues;
}

/**
 * What is mapped, page by page. Where an address space is too large for all its pages, only some are kept: an operation
 * does the same to a page whether its neighbours are watched or not.
 */
export class Flat {
  readonly pages = new Map<bigint, Page>();
  readonly watched: readonly bigint[];

  /** @param watched page addresses */
  constructor(watched: Iterable<bigint>) {
    this.watched = [...new Set(watched)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  }

  /** Watched pages of a range. */
  in({ start, end }: VirtRange): bigint[] {
    return this.watched.filter((va) => va >= start && va < end);
  }

  map(va: bigint, pa: bigint, bytes: bigint, look: FieldValues, keep = false): void {
    for (const at of this.in({ start: va, end: va + bytes })) {
      if (!(keep && this.pages.has(at))) this.pages.set(at, { pa: pa + at - va, look });
    }
  }

  unmap(range: VirtRange): void {
    for (const at of this.in(range)) this.pages.delete(at);
  }

  protect(range: VirtRange, change: FieldValues): void {
    for (const at of this.in(range)) {
      const page = this.pages.get(at);
      if (page !== undefined) this.pages.set(at, { pa: page.pa, look: { ...page.look, ...change } });
    }
  }
}

/** Compares some pages with what the tables say to the reference walker; answers what differs. */
export function differences(
  { subject, memory, root }: Bed,
  flat: Flat,
  vas: Iterable<bigint> = flat.watched,
): string[] {
  const found: string[] = [];
  for (const va of vas) {
    const page = flat.pages.get(va);
    const got = refWalk(subject, memory, root, va);
    const where = va.toString(16);
    if (page === undefined) {
      if (got.kind === 'mapped') found.push(`${where} is mapped to ${got.pa.toString(16)}`);
      continue;
    }
    if (got.kind !== 'mapped') {
      found.push(`${where} is not mapped`);
      continue;
    }
    if (got.pa !== page.pa) found.push(`${where} leads to ${got.pa.toString(16)}, not ${page.pa.toString(16)}`);
    for (const [name, value] of Object.entries(page.look)) {
      if (got.fields[name] !== value) found.push(`${where} has ${name} ${got.fields[name]}, not ${value}`);
    }
  }
  return found;
}
