/**
 * Tables as a document for JSON: roots, tables with every entry that is not zero, and what is mapped. Numbers that may
 * not fit a double are hex text; the order is that of the tables, so equal tables give equal text.
 */
import { type CommonAttributes, explainEntry, type FieldValues, hex, mappedRanges, TWO_64 } from '@pagefold/core';
import { type ManifestRoot, rootsOf } from './binary.ts';
import { isBlank } from './describe.ts';
import { collectTables, entriesOf, entryVa, spacesOf, type TablePiece, type TableSource } from './tables.ts';

/** One entry that is not zero. */
export interface EntryDocument {
  readonly index: number;
  readonly entry: string;
  readonly kind: string;
  /** First virtual address that it covers, in the table's first use; `null` if the root translates none. */
  readonly va: string | null;
  /** Name of its shape; absent if it fits none. */
  readonly shape?: string;
  /** Where it leads: the next table, or the first byte of the leaf. */
  readonly address?: string;
  /** Label of the next table, if it is among the tables. */
  readonly table?: string;
  /** Bytes of the translation. */
  readonly leafBytes?: string;
  /** Why it is empty or malformed. */
  readonly reasons?: readonly string[];
  /** Fields that are not zero, by name, as hex text. */
  readonly fields: Readonly<Record<string, string>>;
}

/** One table. */
export interface TableDocument {
  readonly label: string;
  readonly level: number;
  readonly hardwareLevel: number;
  readonly name: string;
  readonly address: string;
  readonly bytes: number;
  /** Entries that point to it; `null` stands for a root. */
  readonly slots: readonly (string | null)[];
  readonly entries: readonly EntryDocument[];
}

/** One range of equal leaves that continue each other. */
export interface RangeDocument {
  readonly root: string;
  readonly start: string;
  /** Exclusive. */
  readonly end: string;
  readonly pa: string;
  readonly level: number;
  readonly name: string;
  readonly shape: string;
  readonly leafBytes: string;
  readonly entries: number;
  /** Fields of the leaves after the effects of the tables above them. */
  readonly fields: FieldValues;
  readonly common?: CommonAttributes;
}

/** Everything about the tables of a source. */
export interface TablesDocument {
  readonly roots: readonly ManifestRoot[];
  readonly tables: readonly TableDocument[];
  /** What is mapped, by address space; absent if it was not asked for. */
  readonly mapped?: readonly (readonly RangeDocument[])[];
}

/** Options of {@link tablesDocument}. */
export interface TablesDocumentOptions {
  /**
   * List what is mapped? A table that many entries share is counted below each of them, so this can be long.
   * Not supplied: yes.
   */
  readonly mapped?: boolean;
}

function entryDocument(
  table: TablePiece,
  index: number,
  entry: bigint,
  names: ReadonlyMap<bigint, string>,
): EntryDocument {
  const { paging, level, uses } = table;
  const { kind, shape, address, leafBytes, reasons, fields } = explainEntry(paging, level, entry);
  const digits = paging.geometry.wordBits / 4;
  const va = entryVa(uses[0], index);
  const next = kind === 'table' && address !== undefined ? names.get(address) : undefined;
  return {
    index,
    entry: hex(entry, paging.format.entryBytes * 2),
    kind,
    va: va === undefined ? null : hex(va, digits),
    ...(shape === undefined ? {} : { shape }),
    ...(address === undefined ? {} : { address: hex(address) }),
    ...(next === undefined ? {} : { table: next }),
    ...(leafBytes === undefined ? {} : { leafBytes: hex(leafBytes) }),
    ...(reasons.length === 0 ? {} : { reasons: reasons.map(({ reason }) => reason) }),
    fields: Object.fromEntries(fields.filter(({ value }) => value !== 0n).map(({ name, value }) => [name, hex(value)])),
  };
}

function tableDocument(table: TablePiece, names: ReadonlyMap<bigint, string>): TableDocument {
  const { label, level, paging, address, bytes, uses } = table;
  const { name, hardware } = paging.codec(level).level;
  return {
    label,
    level,
    hardwareLevel: hardware,
    name,
    address: hex(address),
    bytes: bytes.length,
    slots: uses.map(({ slot }) => (slot === undefined ? null : hex(slot))),
    entries: entriesOf(table).flatMap((entry, index) =>
      isBlank(entry) ? [] : [entryDocument(table, index, entry, names)],
    ),
  };
}

function rangeDocuments(source: TableSource): RangeDocument[][] {
  return spacesOf(source).map((space) =>
    mappedRanges(space, { start: 0n, end: TWO_64 }).map((range) => {
      const digits = (space.roots.find(({ label }) => label === range.root)?.paging.geometry.wordBits ?? 64) / 4;
      return {
        root: range.root,
        start: hex(range.start, digits),
        end: hex(range.end, digits),
        pa: hex(range.pa),
        level: range.level,
        name: range.name,
        shape: range.shape,
        leafBytes: hex(range.leafBytes),
        entries: range.entries,
        fields: range.fields,
        ...(range.common === undefined ? {} : { common: range.common }),
      };
    }),
  );
}

/**
 * The tables of a source as plain data.
 * @throws EmitError what {@link collectTables} throws
 */
export function tablesDocument(source: TableSource, options: TablesDocumentOptions = {}): TablesDocument {
  const tables = collectTables(source);
  const names = new Map(tables.map(({ address, label }) => [address as bigint, label]));
  return {
    roots: rootsOf(source, tables),
    tables: tables.map((table) => tableDocument(table, names)),
    ...(options.mapped === false ? {} : { mapped: rangeDocuments(source) }),
  };
}

/** {@link tablesDocument} as text, indented by one space, with a newline at the end. */
export function tablesJson(source: TableSource, options: TablesDocumentOptions = {}): string {
  return `${JSON.stringify(tablesDocument(source, options), null, 1)}\n`;
}
