/**
 * One node of a flattened device tree, and the typed reading of its properties.
 *
 * Facts: Devicetree Specification v0.4, chapters 2 (values, standard properties) and 5 (the encoding).
 */
import { hex } from '@pagefold/core';
import { ImageError } from './errors.ts';

/** One entry of a `reg` property. */
export interface DtbReg {
  /** The address, `#address-cells` of the parent long. */
  readonly address: bigint;
  /** The length, `#size-cells` of the parent long; 0 where that is 0. */
  readonly size: bigint;
}

/** Defaults where a parent does not say (section 2.3.5). */
const ADDRESS_CELLS = 2;
const SIZE_CELLS = 1;

const decoder = new TextDecoder('utf-8', { fatal: true });

/** A node. Property readers give `undefined` where the property is missing and throw where its form is wrong. */
export class DtbNode {
  /** Name with the unit address, `memory@80000000`; empty for the root. */
  readonly name: string;
  /** The node that holds this one; `undefined` for the root. */
  readonly parent: DtbNode | undefined;
  /** Raw values by name, in the order of the tree. They are views: do not write. */
  readonly properties: ReadonlyMap<string, Uint8Array>;
  /** Child nodes, in the order of the tree. */
  readonly children: readonly DtbNode[];

  /** Made by `parseDtb`. */
  constructor(
    name: string,
    parent: DtbNode | undefined,
    properties: ReadonlyMap<string, Uint8Array>,
    children: readonly DtbNode[],
  ) {
    this.name = name;
    this.parent = parent;
    this.properties = properties;
    this.children = children;
  }

  /** Full path, `/cpus/cpu@0`; `/` for the root. */
  get path(): string {
    if (this.parent === undefined) return '/';
    return `${this.parent.parent === undefined ? '' : this.parent.path}/${this.name}`;
  }

  /** Name without the unit address. */
  get baseName(): string {
    return this.name.replace(/@.*$/s, '');
  }

  /** Whether the node may be used: `status` is missing, `okay` or `ok` (section 2.3.4; the last as in Linux). */
  get enabled(): boolean {
    const status = this.string('status');
    return status === undefined || status === 'okay' || status === 'ok';
  }

  /**
   * The child of a name. A name without unit address also finds the first child that has one.
   */
  child(name: string): DtbNode | undefined {
    return (
      this.children.find((node) => node.name === name) ??
      (name.includes('@') ? undefined : this.children.find((node) => node.baseName === name))
    );
  }

  /** Whether a property exists; for those that carry no value. */
  has(property: string): boolean {
    return this.properties.has(property);
  }

  /**
   * A text.
   * @throws ImageError `dtb-property` unless it is exactly one text with a NUL behind it, in UTF-8
   */
  string(property: string): string | undefined {
    const list = this.strings(property);
    if (list === undefined) return undefined;
    const [text, second] = list;
    if (text === undefined || second !== undefined) throw this.#wrong(property, 'one text');
    return text;
  }

  /**
   * A list of texts.
   * @throws ImageError `dtb-property` unless each has a NUL behind it, in UTF-8
   */
  strings(property: string): readonly string[] | undefined {
    const value = this.properties.get(property);
    if (value === undefined) return undefined;
    if (value.length === 0 || value.at(-1) !== 0) throw this.#wrong(property, 'text');
    try {
      return decoder.decode(value.subarray(0, -1)).split('\0');
    } catch {
      throw this.#wrong(property, 'text');
    }
  }

  /**
   * One 32-bit cell.
   * @throws ImageError `dtb-property` unless it has four bytes
   */
  u32(property: string): number | undefined {
    const cells = this.cells(property);
    if (cells === undefined) return undefined;
    const [cell, second] = cells;
    if (cell === undefined || second !== undefined) throw this.#wrong(property, 'one cell');
    return cell;
  }

  /**
   * A number of one or two cells, most significant first.
   * @throws ImageError `dtb-property` unless it has four or eight bytes
   */
  u64(property: string): bigint | undefined {
    const cells = this.cells(property);
    if (cells === undefined) return undefined;
    if (cells.length !== 1 && cells.length !== 2) throw this.#wrong(property, 'one or two cells');
    return join(cells);
  }

  /**
   * All 32-bit cells.
   * @throws ImageError `dtb-property` unless the length is a multiple of four
   */
  cells(property: string): readonly number[] | undefined {
    const value = this.properties.get(property);
    if (value === undefined) return undefined;
    if (value.length % 4 !== 0) throw this.#wrong(property, 'cells');
    const data = new DataView(value.buffer, value.byteOffset, value.byteLength);
    return Array.from({ length: value.length / 4 }, (_, i) => data.getUint32(4 * i));
  }

  /**
   * Addresses and lengths, by the parent's `#address-cells` and `#size-cells` (2 and 1 where it has none).
   * @param property `reg`, or another property of the same form
   * @throws ImageError `dtb-property` unless it is a whole number of entries, of at most 4 cells each part
   */
  reg(property = 'reg'): readonly DtbReg[] | undefined {
    const cells = this.cells(property);
    if (cells === undefined) return undefined;
    const addressCells = this.parent?.u32('#address-cells') ?? ADDRESS_CELLS;
    const sizeCells = this.parent?.u32('#size-cells') ?? SIZE_CELLS;
    const entry = addressCells + sizeCells;
    if (addressCells > 4 || sizeCells > 4 || entry === 0 || cells.length % entry !== 0) {
      throw this.#wrong(property, `entries of ${addressCells} and ${sizeCells} cells`);
    }
    return Array.from({ length: cells.length / entry }, (_, i) => ({
      address: join(cells.slice(i * entry, i * entry + addressCells)),
      size: join(cells.slice(i * entry + addressCells, (i + 1) * entry)),
    }));
  }

  #wrong(property: string, form: string): ImageError {
    const length = hex(this.properties.get(property)?.length ?? 0);
    return new ImageError('dtb-property', `a property does not hold ${form}`, { node: this.path, property, length });
  }
}

/** Cells as one number, most significant first. */
function join(cells: readonly number[]): bigint {
  return cells.reduce((value, cell) => (value << 32n) | BigInt(cell), 0n);
}
