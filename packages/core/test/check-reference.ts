/** A check of tables that is slow and plain: entry by entry, read from the format's description, page by page in BigInts. */

import { phys } from '../src/address.ts';
import { rangesMask } from '../src/bits.ts';
import type { FeatureCondition } from '../src/condition.ts';
import { accumulateEffects, applyEffects, type Effect } from '../src/effective.ts';
import type { FieldValues } from '../src/format.ts';
import { readWord } from '../src/memory.ts';
import { higherOf, lowerOf } from '../src/range.ts';
import type { Bed } from './model.ts';
import { type RefEntry, refDecode } from './model.ts';

/** A range that breaks a rule. */
export interface Broken {
  readonly rule: string;
  readonly start: bigint;
  readonly end: bigint;
}

/** What the reference finds. */
export interface ReferenceCheck {
  readonly broken: Broken[];
  /** Every table: the entries that point to it, by address. */
  readonly tables: Map<string, { readonly address: bigint; readonly bytes: bigint; readonly slots: Set<bigint> }>;
}

interface Leaf {
  readonly start: bigint;
  readonly end: bigint;
  readonly pa: bigint;
  readonly fields: FieldValues;
}

/** The check of one bed. */
class Reference {
  readonly found: ReferenceCheck = { broken: [], tables: new Map() };
  readonly #leaves: Leaf[] = [];
  readonly #seen = new Set<string>();
  readonly #bed: Bed;

  constructor(bed: Bed) {
    this.#bed = bed;
  }

  run(): ReferenceCheck {
    const { subject, root } = this.#bed;
    const { paging } = subject;
    const top = paging.geometry.root.level;
    this.#meet(root, top, -1n);
    for (const { start, end } of paging.geometry.ranges) {
      const span = this.#span(top) * BigInt(paging.codec(top).level.entries);
      const first = BigInt(start) - (BigInt(start) % span);
      this.#table(top, root, first, [], BigInt(start), BigInt(end), [root]);
    }
    this.#writable();
    return this.found;
  }

  #span(level: number): bigint {
    return BigInt(this.#bed.subject.paging.codec(level).level.entrySpan);
  }

  #add(rule: string, start: bigint, end: bigint): void {
    this.found.broken.push({ rule, start, end });
  }

  #meet(address: bigint, level: number, slot: bigint): void {
    const bytes = BigInt(this.#bed.subject.paging.codec(level).level.tableBytes);
    const key = `${address}:${bytes}`;
    const known = this.found.tables.get(key) ?? { address, bytes, slots: new Set<bigint>() };
    known.slots.add(slot);
    this.found.tables.set(key, known);
  }

  #read(slot: bigint): bigint | undefined {
    const { memory, subject } = this.#bed;
    if (memory.window(Number(slot - (slot % 8n))) === undefined) return undefined;
    return readWord(memory, phys(slot), subject.format.entryBytes);
  }

  #table(
    level: number,
    table: bigint,
    base: bigint,
    effects: readonly Effect[],
    from: bigint,
    to: bigint,
    path: readonly bigint[],
  ): void {
    const { subject } = this.#bed;
    const span = this.#span(level);
    const { entries } = subject.paging.codec(level).level;
    const tableEnd = base + span * BigInt(entries);
    for (let index = 0; index < entries; index++) {
      const entryVa = base + span * BigInt(index);
      const start = higherOf(entryVa, from);
      const end = lowerOf(entryVa + span, to);
      if (start >= end) continue;
      const slot = table + BigInt(index * subject.format.entryBytes);
      const entry = this.#read(slot);
      if (entry === undefined) {
        this.#add('no-memory', start, lowerOf(tableEnd, to));
        return;
      }
      const read = refDecode(subject, level, entry, index);
      if (read.kind === 'malformed') this.#add('malformed', start, end);
      if (read.kind === 'leaf') this.#leaf(level, table, index, read, effects, { entryVa, start, end });
      if (read.kind !== 'table') continue;
      const { address } = read;
      this.#meet(address, level - 1, slot);
      const codec = subject.paging.codec(level);
      const compiled = codec.shapes.find(({ shape }) => shape.name === read.shape);
      const below = compiled === undefined ? effects : accumulateEffects(compiled, entry, effects);
      if (path.includes(address)) {
        this.#add('table-loop', start, end);
        continue;
      }
      const key = `${level - 1} ${address} ${JSON.stringify(below)}`;
      if (this.#seen.has(key)) continue;
      if (start === entryVa && end === entryVa + span) this.#seen.add(key);
      this.#table(level - 1, address, entryVa, below, start, end, [...path, address]);
    }
  }

  #leaf(
    level: number,
    table: bigint,
    index: number,
    read: RefEntry,
    effects: readonly Effect[],
    { entryVa, start, end }: { entryVa: bigint; start: bigint; end: bigint },
  ): void {
    const { paging } = this.#bed.subject;
    const { format, features } = paging;
    const fields = applyEffects(this.#plainFields(level, read), effects);
    const common = format.common?.toCommon(fields, features);
    if (common?.write === true && common.execute) this.#add('write-execute', start, end);
    if (common?.execute === true && common.memory === 'device') this.#add('device-execute', start, end);
    if (common?.write === true) this.#leaves.push({ start, end, pa: read.address + start - entryVa, fields });
    this.#run(level, table, index, read, entryVa);
  }

  /** The fields that are numbers: core leaves out those that hold a part of an address. */
  #plainFields(level: number, read: RefEntry): FieldValues {
    const compiled = this.#bed.subject.paging.codec(level).leaves.find(({ shape }) => shape.name === read.shape);
    const shape = compiled?.shape;
    const pieces = shape?.kind === 'leaf' ? shape.address.filter(({ when }) => this.#on(when)) : [];
    const taken = pieces.reduce(
      (bits, { entryLo, bits: n }) => bits | (((1n << BigInt(n)) - 1n) << BigInt(entryLo)),
      0n,
    );
    const kept = (compiled?.fields ?? []).filter(({ bits }) => (rangesMask(bits) & taken) === 0n);
    return Object.fromEntries(
      kept.flatMap(({ name }) => (name in read.fields ? [[name, read.fields[name] ?? 0]] : [])),
    );
  }

  #on(when: FeatureCondition | undefined): boolean {
    const { features } = this.#bed.subject;
    const holds = (name: string): boolean =>
      name.startsWith('!') ? !features.includes(name.slice(1)) : features.includes(name);
    return (when ?? []).every((term) => [term].flat().some(holds));
  }

  #run(level: number, table: bigint, index: number, read: RefEntry, entryVa: bigint): void {
    const { subject } = this.#bed;
    const { description } = read;
    const run = description?.kind === 'leaf' ? description.run : undefined;
    if (run === undefined || description?.kind !== 'leaf') return;
    const span = this.#span(level);
    const first = index - (index % run.entries);
    const start = entryVa - span * BigInt(index - first);
    const bytes = span * BigInt(run.entries);
    const members: { entry: bigint; base: bigint }[] = [];
    for (let i = first; i < first + run.entries; i++) {
      const entry = this.#read(table + BigInt(i * subject.format.entryBytes));
      const other = entry === undefined ? undefined : refDecode(subject, level, entry, i);
      if (entry === undefined || other?.kind !== 'leaf' || other.shape !== read.shape) continue;
      members.push({ entry, base: other.address - span * BigInt(i - first) });
    }
    if (members.length < run.entries) this.#add('run-incomplete', start, start + bytes);
    const base = members[0]?.base ?? 0n;
    if (base % bytes !== 0n || members.some((member) => member.base !== base)) {
      this.#add('run-address', start, start + bytes);
    }
    const fixed = description.match.reduce((bits, test) => ('equals' in test ? bits | test.mask : bits), 0n);
    let free = 0n;
    for (const { entryLo, bits, when } of description.address) {
      if (this.#on(when)) free |= ((1n << BigInt(bits)) - 1n) << BigInt(entryLo);
    }
    free &= ~fixed;
    for (const field of description.fields) {
      if (field.acrossRun !== undefined && this.#on(field.when)) free |= rangesMask(field.bits);
    }
    if (members.some(({ entry }) => (entry & ~free) !== ((members[0]?.entry ?? 0n) & ~free))) {
      this.#add('run-attributes', start, start + bytes);
    }
  }

  /** Tables that users can write. */
  #writable(): void {
    const { format, features } = this.#bed.subject.paging;
    for (const { start, end, pa, fields } of this.#leaves) {
      if (format.common?.toCommon(fields, features).user !== true) continue;
      for (const { address, bytes } of this.found.tables.values()) {
        const from = higherOf(address, pa);
        const to = lowerOf(address + bytes, pa + (end - start));
        if (from < to) this.#add('table-user-writable', start + from - pa, start + to - pa);
      }
    }
  }
}

/** Checks the tables of a bed, slowly. */
export function referenceCheck(bed: Bed): ReferenceCheck {
  return new Reference(bed).run();
}
