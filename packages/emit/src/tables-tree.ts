/**
 * The tree of tables as it is drawn: entries folded into rows, tables that look alike drawn once, everything within
 * limits. What two tables look like is compared without addresses.
 */
import {
  type AddressSpace,
  accumulateEffects,
  applyEffects,
  type CompiledShape,
  type Effect,
  EMPTY,
  explainEntry,
  hex,
  KIND_NAMES,
  type Kind,
  LEAF,
  numericFields,
  type Paging,
  type Root,
  sizeText,
  TABLE,
  type VirtAddr,
} from '@pagefold/core';
import { fieldsText } from './describe.ts';
import { collectTables, entriesOf, entryVa, type TablePiece } from './tables.ts';

/** What the colour of a leaf says. */
export interface Permissions {
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  readonly user: boolean;
}

/** Adjacent entries of a table that look alike. */
export interface TreeRow {
  readonly first: number;
  readonly last: number;
  readonly kind: Kind;
  /** What they mean, in a few words. */
  readonly text: string;
  /** Of leaves, in formats that speak the common vocabulary. */
  readonly permissions: Permissions | undefined;
  /** The table that stands for those below, if it is drawn. */
  child: TreeTable | undefined;
}

/** A table that is drawn. */
export interface TreeTable {
  readonly label: string;
  readonly level: number;
  readonly name: string;
  readonly address: bigint;
  /** First virtual address that it covers; `undefined` for a root. */
  readonly from: string | undefined;
  readonly inMemory: boolean;
  readonly rows: readonly TreeRow[];
  /** Rows that there is no room for. */
  readonly more: number;
}

/** A tree with what was left out of it. */
export interface TableTree {
  readonly roots: readonly TreeTable[];
  /** Tables in all. */
  readonly total: number;
  /** Tables that are drawn. */
  readonly drawn: number;
}

/** How much is drawn. */
export interface TreeLimits {
  readonly maxTables: number;
  readonly maxRows: number;
}

/** Adjacent entries that look alike, before they are put into words. */
interface Run {
  readonly first: number;
  last: number;
  readonly key: string;
  readonly entry: bigint;
  readonly kind: number;
  readonly compiled: CompiledShape | undefined;
  /** First entry's address, and whether the further ones continue it or repeat it. */
  readonly address: number;
  follows: boolean;
  repeats: boolean;
}

/** A drawn table with the work that is still to be done below it. */
interface Pending {
  readonly root: Root;
  readonly level: number;
  readonly address: bigint;
  readonly va: VirtAddr;
  readonly rootTable: boolean;
  readonly effects: readonly Effect[];
  link(table: TreeTable): void;
}

/** Tables of one address space by address and size, their runs and looks. */
class Looks {
  readonly #tables = new Map<string, TablePiece>();
  readonly #runs = new Map<string, readonly Run[]>();
  readonly #numbers = new Map<string, number>();
  readonly #looks = new Map<string, number>();

  constructor(tables: readonly TablePiece[]) {
    for (const table of tables) this.#tables.set(`${table.address}:${table.bytes.length}`, table);
  }

  table(paging: Paging, level: number, address: bigint): TablePiece | undefined {
    return this.#tables.get(`${address}:${paging.codec(level).level.tableBytes}`);
  }

  /** A number that is the same for tables that look alike, at one level. */
  look(paging: Paging, level: number, address: bigint): number {
    const key = `${level}:${address}`;
    const known = this.#looks.get(key);
    if (known !== undefined) return known;
    const runs = this.runs(paging, level, address);
    const text = `${level};${runs?.map(({ first, last, key: own }) => `${first}-${last}:${own}`).join(';') ?? 'none'}`;
    const number = this.#numbers.get(text) ?? this.#numbers.size;
    this.#numbers.set(text, number);
    this.#looks.set(key, number);
    return number;
  }

  /** The folded entries of a table; `undefined` if it lies outside memory. */
  runs(paging: Paging, level: number, address: bigint): readonly Run[] | undefined {
    const key = `${level}:${address}`;
    const known = this.#runs.get(key);
    const table = this.table(paging, level, address);
    if (known !== undefined || table === undefined) return known;
    const runs: Run[] = [];
    entriesOf({ bytes: table.bytes, paging }).forEach((entry, index) => {
      this.#add(runs, paging, level, entry, index);
    });
    this.#runs.set(key, runs);
    return runs;
  }

  #add(runs: Run[], paging: Paging, level: number, entry: bigint, index: number): void {
    const codec = paging.codec(level);
    const lo = Number(entry & 0xffff_ffffn);
    const hi = Number(entry >> 32n);
    const code = codec.classify(lo, hi);
    const kind = code & 3;
    const compiled = codec.shapes[code >> 2];
    const addressed = compiled !== undefined && (kind === TABLE || kind === LEAF);
    const address = addressed ? compiled.address.decode(lo, hi) : 0;
    let key = `${code}:${addressed ? entry & ~compiled.address.mask : kind === EMPTY ? entry !== 0n : entry}`;
    if (kind === TABLE) key += `>${this.look(paging, level - 1, BigInt(address))}`;
    const run = runs[runs.length - 1];
    if (run === undefined || run.key !== key) {
      runs.push({ first: index, last: index, key, entry, kind, compiled, address, follows: true, repeats: true });
      return;
    }
    run.last = index;
    const step = run.compiled?.sharedAddress === true ? run.compiled.leafBytes : codec.level.entrySpan;
    const stride = run.compiled?.sharedAddress === true ? run.compiled.runEntries : 1;
    run.follows &&= address === run.address + Math.floor((index - run.first) / stride) * step;
    run.repeats &&= address === run.address;
  }
}

/** Permissions as letters, with what else people look for. */
export function permissionText({ read, write, execute, user }: Permissions): string {
  return `${read ? 'r' : '-'}${write ? 'w' : '-'}${execute ? 'x' : '-'}${user ? ' user' : ''}`;
}

function leafText(paging: Paging, level: number, run: Run, permissions: Permissions | undefined): string {
  const { compiled, first, last, address } = run;
  const entries = last - first + 1;
  const leafBytes = compiled?.leafBytes ?? 0;
  const runEntries = compiled?.runEntries ?? 1;
  const whole = entries % runEntries === 0;
  const count = whole ? entries / runEntries : entries;
  const what = whole ? sizeText(leafBytes) : `entries of ${sizeText(leafBytes)}`;
  const said =
    permissions === undefined
      ? fieldsText(paging, level, explainEntry(paging, level, run.entry))
      : permissionText(permissions);
  const where =
    run.follows || entries === 1 ? `at ${hex(address)}` : run.repeats ? `all at ${hex(address)}` : 'scattered';
  return `${count === 1 ? '' : `${count} × `}${what} ${said} ${where}`;
}

function rowText(paging: Paging, level: number, run: Run, permissions: Permissions | undefined): string {
  const count = run.last - run.first + 1;
  if (run.kind === LEAF) return leafText(paging, level, run, permissions);
  if (run.kind === TABLE) {
    const { name } = paging.codec(level - 1).level;
    if (count === 1) return `${name} at ${hex(run.address)}`;
    return run.repeats ? `${count} × the same ${name} at ${hex(run.address)}` : `${count} × ${name}, all alike`;
  }
  const { reasons } = explainEntry(paging, level, run.entry);
  if (run.kind === EMPTY) return run.entry === 0n ? 'empty' : 'empty, not zero';
  return `malformed: ${reasons[0]?.reason ?? ''}`;
}

function permissionsOf(paging: Paging, run: Run, effects: readonly Effect[]): Permissions | undefined {
  if (run.kind !== LEAF || run.compiled === undefined) return undefined;
  const fields = applyEffects(numericFields(run.compiled, run.entry), effects);
  return paging.format.common?.toCommon(fields, paging.features);
}

/** Puts one table into words and notes what is to be drawn below it. */
function drawTable(looks: Looks, pending: Pending, maxRows: number, queue: Pending[]): TreeTable {
  const { root, level, address, va, effects, rootTable } = pending;
  const { paging } = root;
  const { name } = paging.codec(level).level;
  const runs = looks.runs(paging, level, address);
  const shown = runs === undefined || runs.length <= maxRows ? (runs ?? []) : runs.slice(0, maxRows - 1);
  const rows = shown.map((run): TreeRow => {
    const permissions = permissionsOf(paging, run, effects);
    const kind = KIND_NAMES[run.kind] as Kind;
    const text = rowText(paging, level, run, permissions);
    const row: TreeRow = { first: run.first, last: run.last, kind, text, permissions, child: undefined };
    if (run.kind === TABLE && run.compiled !== undefined) {
      const use = { root, level, va, slot: rootTable ? undefined : 0n } as Parameters<typeof entryVa>[0];
      queue.push({
        root,
        level: level - 1,
        address: BigInt(run.address),
        va: entryVa(use, run.first) ?? va,
        rootTable: false,
        effects: accumulateEffects(run.compiled, run.entry, effects),
        link: (table) => {
          row.child = table;
        },
      });
    }
    return row;
  });
  return {
    label: looks.table(paging, level, address)?.label ?? `${root.label}.${name}`,
    level,
    name,
    address,
    from: rootTable ? undefined : hex(va, paging.geometry.wordBits / 4),
    inMemory: runs !== undefined,
    rows,
    more: (runs?.length ?? 0) - shown.length,
  };
}

/**
 * Builds the tree of an address space, upper levels first, until the limit is reached. A table that was drawn already is
 * linked again, not drawn again, unless the tables above it change its leaves.
 */
export function tableTree(space: AddressSpace, { maxTables, maxRows }: TreeLimits): TableTree {
  const tables = collectTables(space, { missing: 'skip' });
  const looks = new Map<Paging, Looks>();
  const roots: TreeTable[] = [];
  const drawnBefore = new Map<string, TreeTable>();
  const walked = space.roots.filter(({ fault }) => fault === undefined);
  const queue: Pending[] = walked.map((root) => ({
    root,
    level: root.paging.geometry.root.level,
    address: BigInt(root.address),
    va: BigInt(root.ranges[0]?.start ?? 0) as VirtAddr,
    rootTable: true,
    effects: [],
    link: (table: TreeTable) => {
      roots.push(table);
    },
  }));
  let drawn = 0;
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { root, level, address, effects } = next;
    const key = `${root.label}:${level}:${address}:${effects.map(({ on, op, value }) => `${on}${op}${value}`).join()}`;
    const before = drawnBefore.get(key);
    if (before === undefined && drawn >= maxTables) continue;
    const own = looks.get(root.paging) ?? new Looks(tables);
    looks.set(root.paging, own);
    const table = before ?? drawTable(own, next, maxRows, queue);
    if (before === undefined) drawn++;
    drawnBefore.set(key, table);
    next.link(table);
  }
  return { roots, total: tables.length, drawn };
}
