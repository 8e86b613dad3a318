/**
 * The region of tables as one blob, from the lowest table to the end of the highest, and a manifest of what is where.
 */
import { hex, type PhysAddr, phys } from '@pagefold/core';
import { checkOption, EmitError } from './errors.ts';
import { collectTables, spacesOf, type TablePiece, type TableSource } from './tables.ts';

/** A root in a manifest. Numbers are hex text, so that it can be written as JSON as it stands. */
export interface ManifestRoot {
  readonly label: string;
  readonly address: string;
  /** Label of the root's table; absent if no table is read below this root. */
  readonly table?: string;
  /** Why every address of this root faults; absent if it translates. */
  readonly fault?: string;
  readonly format: string;
  readonly geometry: string;
}

/** A table in a manifest. */
export interface ManifestTable {
  readonly label: string;
  readonly level: number;
  readonly name: string;
  readonly address: string;
  /** Where it begins in the blob. */
  readonly offset: number;
  readonly bytes: number;
}

/** What a blob of tables holds. */
export interface TableManifest {
  /** Physical address of the first byte. */
  readonly base: string;
  /** Bytes of the blob. */
  readonly size: number;
  readonly roots: readonly ManifestRoot[];
  /** In rising order of addresses. */
  readonly tables: readonly ManifestTable[];
}

/** A blob of tables. */
export interface TableBinary {
  readonly base: PhysAddr;
  readonly bytes: Uint8Array;
  readonly manifest: TableManifest;
}

/** Options of {@link tableBinary}. */
export interface TableBinaryOptions {
  /** Most bytes that the blob may have; far apart tables would give mostly zeros. Not supplied: 256 MiB. */
  readonly maxBytes?: number;
}

const MAX_BYTES = 2 ** 28;

/** The roots of a source, each with the label of its table. */
export function rootsOf(source: TableSource, tables: readonly TablePiece[]): ManifestRoot[] {
  return spacesOf(source).flatMap(({ roots }) =>
    roots.map((root) => {
      const { paging, label, address, fault } = root;
      const table = tables.find(({ uses }) => uses.some((use) => use.root === root && use.slot === undefined));
      return {
        label,
        address: hex(address),
        ...(table === undefined ? {} : { table: table.label }),
        ...(fault === undefined ? {} : { fault }),
        format: paging.format.name,
        geometry: paging.geometry.name,
      };
    }),
  );
}

function byAddress(a: TablePiece, b: TablePiece): number {
  if (a.address !== b.address) return a.address < b.address ? -1 : 1;
  return a.bytes.length - b.bytes.length;
}

/**
 * All tables of a source as one blob, for loading at its base. Gaps between tables are zero.
 * @throws EmitError `range-large` if the blob would be larger than `maxBytes`; what {@link collectTables} throws
 */
export function tableBinary(source: TableSource, options: TableBinaryOptions = {}): TableBinary {
  const maxBytes = checkOption('maxBytes', options.maxBytes ?? MAX_BYTES, 1, Number.MAX_SAFE_INTEGER);
  const collected = collectTables(source);
  const tables = [...collected].sort(byAddress);
  const base = tables[0]?.address ?? phys(0);
  const end = tables.reduce((last, { address, bytes }) => {
    const own = address + BigInt(bytes.length);
    return own > last ? own : last;
  }, base as bigint);
  if (end - base > BigInt(maxBytes)) {
    throw new EmitError('range-large', 'the tables lie too far apart for one blob', {
      base,
      end,
      size: end - base,
      limit: maxBytes,
    });
  }
  const bytes = new Uint8Array(Number(end - base));
  for (const table of tables) bytes.set(table.bytes, Number(table.address - base));
  const manifest: TableManifest = {
    base: hex(base),
    size: bytes.length,
    roots: rootsOf(source, collected),
    tables: tables.map(({ label, level, paging, address, bytes: content }) => ({
      label,
      level,
      name: paging.codec(level).level.name,
      address: hex(address),
      offset: Number(address - base),
      bytes: content.length,
    })),
  };
  return { base, bytes, manifest };
}
