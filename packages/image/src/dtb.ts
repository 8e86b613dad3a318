/**
 * A strict reader of flattened device trees (DTB, version 17).
 *
 * Facts: Devicetree Specification v0.4, chapter 5; the limit of nesting is Linux 6.12's FDT_MAX_DEPTH.
 */
import { DtbNode } from './dtb-node.ts';
import { firstBytes, ImageError } from './errors.ts';

/** One entry of the memory reservation block. */
export interface DtbReservation {
  readonly address: bigint;
  readonly size: bigint;
}

const MAGIC = 0xd00d_feed;
const HEADER_BYTES = 40;
const VERSION = 17;
const MAX_DEPTH = 64;

const ascii = new TextDecoder();

const BEGIN_NODE = 1;
const END_NODE = 2;
const PROP = 3;
const NOP = 4;
const END = 9;

/** A device tree. */
export class Dtb {
  /** `totalsize` of the header, in bytes: what a boot loader copies. */
  readonly totalSize: number;
  /** `version` of the header, at least 17. */
  readonly version: number;
  /** `boot_cpuid_phys`: the `reg` of the CPU that boots. */
  readonly bootCpu: number;
  /** The memory reservation block, in its order, without its end mark. */
  readonly reservations: readonly DtbReservation[];
  /** The root node. */
  readonly root: DtbNode;
  readonly #phandles: ReadonlyMap<number, DtbNode>;

  /** Made by {@link parseDtb}. */
  constructor(header: DtbHeader, reservations: readonly DtbReservation[], root: DtbNode) {
    this.totalSize = header.totalSize;
    this.version = header.version;
    this.bootCpu = header.bootCpu;
    this.reservations = reservations;
    this.root = root;
    this.#phandles = collectPhandles(this.nodes());
  }

  /** All nodes, each before its children, in the order of the tree. */
  *nodes(): Generator<DtbNode, void, undefined> {
    const rest = [this.root];
    for (let node = rest.pop(); node !== undefined; node = rest.pop()) {
      yield node;
      for (let i = node.children.length; i-- > 0; ) rest.push(node.children[i] as DtbNode);
    }
  }

  /**
   * The node of a path.
   * @param path absolute, `/cpus/cpu@0`; a unit address may be left out, the first such node is then meant
   */
  find(path: string): DtbNode | undefined {
    if (!path.startsWith('/')) return undefined;
    let node: DtbNode | undefined = this.root;
    for (const name of path.split('/')) {
      if (name !== '') node = node?.child(name);
    }
    return node;
  }

  /** The node that carries a phandle. */
  byPhandle(phandle: number): DtbNode | undefined {
    return this.#phandles.get(phandle);
  }
}

/** The header of a flattened device tree, and the blocks that it names. */
export interface DtbHeader {
  /** Bytes of the whole blob. */
  readonly totalSize: number;
  readonly version: number;
  /** The physical identifier of the processor that boots. */
  readonly bootCpu: number;
  /** The structure block: big-endian tokens. */
  readonly structure: DataView;
  /** The strings block. */
  readonly strings: Uint8Array;
  /** The memory reservation block. */
  readonly reservations: DataView;
}

/** Checks the header and cuts the blocks out. */
function readHeader(bytes: Uint8Array): DtbHeader {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || data.getUint32(0) !== MAGIC) {
    throw new ImageError('dtb-magic', 'not a flattened device tree', { bytes: firstBytes(bytes) });
  }
  if (bytes.length < HEADER_BYTES) {
    throw new ImageError('dtb-truncated', 'the header of the device tree is incomplete', { size: bytes.length });
  }
  const field = (index: number): number => data.getUint32(4 * index);
  const totalSize = field(1);
  const version = field(5);
  const lastCompatible = field(6);
  if (version < VERSION || lastCompatible > VERSION) {
    const values = { version, lastCompatible };
    throw new ImageError('dtb-version', 'the device tree cannot be read as version 17', values);
  }
  if (totalSize > bytes.length) {
    const values = { totalSize, size: bytes.length };
    throw new ImageError('dtb-truncated', 'the device tree is shorter than its total size', values);
  }
  const block = (name: string, offset: number, size: number, alignment: number): DataView => {
    if (offset < HEADER_BYTES || offset % alignment !== 0 || offset + size > totalSize) {
      const values = { offset, size, totalSize };
      throw new ImageError('dtb-header', `the ${name} block is unaligned or outside the device tree`, values);
    }
    return new DataView(bytes.buffer, bytes.byteOffset + offset, size);
  };
  const strings = block('strings', field(3), field(8), 1);
  return {
    totalSize,
    version,
    bootCpu: field(7),
    structure: block('structure', field(2), field(9), 4),
    strings: new Uint8Array(strings.buffer, strings.byteOffset, strings.byteLength),
    // Its length is nowhere: it ends with an entry of zeros.
    reservations: block('reservation', field(4), Math.max(0, totalSize - field(4)), 8),
  };
}

function readReservations(data: DataView): DtbReservation[] {
  const reservations: DtbReservation[] = [];
  for (let at = 0; at + 16 <= data.byteLength; at += 16) {
    const address = data.getBigUint64(at);
    const size = data.getBigUint64(at + 8);
    if (address === 0n && size === 0n) return reservations;
    reservations.push({ address, size });
  }
  const values = { size: data.byteLength };
  throw new ImageError('dtb-reservations', 'the reservation block has no end mark', values);
}

/** Reads tokens of the structure block; offsets in messages count from its start. */
class Reader {
  readonly #data: DataView;
  readonly #bytes: Uint8Array;
  readonly #strings: Uint8Array;
  readonly #names = new Map<number, string>();
  at = 0;

  constructor({ structure, strings }: DtbHeader) {
    this.#data = structure;
    this.#bytes = new Uint8Array(structure.buffer, structure.byteOffset, structure.byteLength);
    this.#strings = strings;
  }

  get atEnd(): boolean {
    return this.at === this.#bytes.length;
  }

  wrong(message: string, at: number = this.at): ImageError {
    return new ImageError('dtb-structure', message, { offset: at });
  }

  cell(): number {
    if (this.at + 4 > this.#bytes.length) throw this.wrong('the structure block ends too early');
    this.at += 4;
    return this.#data.getUint32(this.at - 4);
  }

  /** The next token that is not a NOP. */
  token(): number {
    for (;;) {
      const token = this.cell();
      if (token !== NOP) return token;
    }
  }

  /** A NUL-terminated name, padded to a multiple of four. */
  nodeName(): string {
    const end = this.#bytes.indexOf(0, this.at);
    if (end < 0) throw this.wrong('a node name has no end');
    const name = checkName(this.#bytes.subarray(this.at, end), this.at);
    this.#skipTo(end + 1);
    return name;
  }

  /** Length, name offset and value of a property. */
  property(): { readonly name: string; readonly value: Uint8Array } {
    const start = this.at;
    const length = this.cell();
    const name = this.#propertyName(this.cell(), start);
    if (this.at + length > this.#bytes.length) throw this.wrong('a property ends behind the structure block', start);
    const value = this.#bytes.subarray(this.at, this.at + length);
    this.#skipTo(this.at + length);
    return { name, value };
  }

  #propertyName(offset: number, at: number): string {
    const known = this.#names.get(offset);
    if (known !== undefined) return known;
    const end = offset < this.#strings.length ? this.#strings.indexOf(0, offset) : -1;
    if (end < 0) {
      throw new ImageError('dtb-name', 'a property name is not in the strings block', { offset: at, name: offset });
    }
    const name = checkName(this.#strings.subarray(offset, end), at);
    if (name === '') throw new ImageError('dtb-name', 'a property has no name', { offset: at, name: offset });
    this.#names.set(offset, name);
    return name;
  }

  #skipTo(end: number): void {
    const aligned = Math.ceil(end / 4) * 4;
    if (aligned > this.#bytes.length) throw this.wrong('the structure block ends too early');
    this.at = aligned;
  }
}

/** Printable ASCII without a slash: wider than section 2.2.1, as real trees are, but never ambiguous in a path. */
function checkName(bytes: Uint8Array, offset: number): string {
  for (const byte of bytes) {
    if (byte > 0x20 && byte < 0x7f && byte !== 0x2f) continue;
    throw new ImageError('dtb-name', 'a name has a forbidden character', { offset, bytes: firstBytes(bytes, 32) });
  }
  return ascii.decode(bytes);
}

interface OpenNode {
  readonly node: DtbNode;
  readonly properties: Map<string, Uint8Array>;
  readonly children: DtbNode[];
  /** Names of the children so far. */
  readonly names: Set<string>;
}

function openNode(name: string, parent: DtbNode | undefined): OpenNode {
  const properties = new Map<string, Uint8Array>();
  const children: DtbNode[] = [];
  return { node: new DtbNode(name, parent, properties, children), properties, children, names: new Set() };
}

function addChild(reader: Reader, parent: OpenNode, depth: number): OpenNode {
  const at = reader.at;
  const name = reader.nodeName();
  if (name === '') throw new ImageError('dtb-name', 'a node has no name', { offset: at });
  if (depth >= MAX_DEPTH) throw new ImageError('dtb-depth', 'nodes are nested too deep', { offset: at, depth });
  if (parent.names.has(name)) {
    throw new ImageError('dtb-duplicate', 'two nodes have the same path', { offset: at, node: name });
  }
  const child = openNode(name, parent.node);
  parent.names.add(name);
  parent.children.push(child.node);
  return child;
}

function addProperty(reader: Reader, { properties, children, node }: OpenNode): void {
  const at = reader.at;
  const { name, value } = reader.property();
  if (children.length > 0) throw reader.wrong('a property stands behind a child node', at);
  if (properties.has(name)) {
    const values = { offset: at, node: node.path, property: name };
    throw new ImageError('dtb-duplicate', 'a node has the same property twice', values);
  }
  properties.set(name, value);
}

/** The structure block: one root node, then the end. No recursion, so that nesting costs no stack. */
function readStructure(reader: Reader): DtbNode {
  if (reader.token() !== BEGIN_NODE) throw reader.wrong('the tree does not begin with a node');
  const rootName = reader.nodeName();
  if (rootName !== '') throw new ImageError('dtb-name', 'the root node has a name', { node: rootName });
  const root = openNode('', undefined);
  const stack: OpenNode[] = [root];
  for (let open = stack.at(-1); open !== undefined; open = stack.at(-1)) {
    const token = reader.token();
    if (token === PROP) addProperty(reader, open);
    else if (token === BEGIN_NODE) stack.push(addChild(reader, open, stack.length));
    else if (token === END_NODE) stack.pop();
    else throw reader.wrong('an unexpected token', reader.at - 4);
  }
  if (reader.token() !== END) throw reader.wrong('the tree does not end behind the root node', reader.at - 4);
  if (!reader.atEnd) throw reader.wrong('something stands behind the end of the tree');
  return root.node;
}

/** Phandles of all nodes (section 2.3.3), under the present and the older name. */
function collectPhandles(nodes: Iterable<DtbNode>): Map<number, DtbNode> {
  const phandles = new Map<number, DtbNode>();
  for (const node of nodes) {
    const phandle = node.u32('phandle') ?? node.u32('linux,phandle');
    if (phandle === undefined) continue;
    if (phandle === 0 || phandle === 0xffff_ffff) {
      throw new ImageError('dtb-property', 'a phandle must be neither 0 nor all ones', { node: node.path, phandle });
    }
    const other = phandles.get(phandle);
    if (other !== undefined) {
      const values = { phandle, first: other.path, second: node.path };
      throw new ImageError('dtb-duplicate', 'two nodes have the same phandle', values);
    }
    phandles.set(phandle, node);
  }
  return phandles;
}

/**
 * Reads a flattened device tree. Values are views of the bytes, which must not change.
 * @param bytes the tree; what stands behind its total size is ignored
 * @throws ImageError every rule that begins with `dtb-`
 */
export function parseDtb(bytes: Uint8Array): Dtb {
  const header = readHeader(bytes);
  return new Dtb(header, readReservations(header.reservations), readStructure(new Reader(header)));
}
