/**
 * Builds flattened device trees for the tests, token by token.
 */

/** A node: its properties by name (raw bytes, texts or cells), then its children. */
export interface TreeNode {
  readonly name?: string;
  readonly properties?: Readonly<Record<string, Uint8Array | string | readonly number[]>>;
  readonly children?: readonly TreeNode[];
}

export interface TreeOptions {
  readonly reservations?: readonly (readonly [bigint, bigint])[];
  /** Replaces the structure block, in words; the strings block is then `p`. */
  readonly structure?: readonly number[];
}

function bigEndian(words: readonly number[]): number[] {
  return words.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]);
}

function padded(bytes: readonly number[]): number[] {
  return [...bytes, ...new Array<number>((4 - (bytes.length % 4)) % 4).fill(0)];
}

/** Bytes of a text with its NUL. */
export function text(value: string): number[] {
  return [...new TextEncoder().encode(value), 0];
}

/** The structure block's tokens of a node, names going into `strings`. */
function nodeTokens(node: TreeNode, strings: number[]): number[] {
  const bytes = [...bigEndian([1]), ...padded(text(node.name ?? ''))];
  for (const [name, value] of Object.entries(node.properties ?? {})) {
    const raw = typeof value === 'string' ? text(value) : value instanceof Uint8Array ? [...value] : bigEndian(value);
    bytes.push(...bigEndian([3, raw.length, strings.length]), ...padded(raw));
    strings.push(...text(name));
  }
  for (const child of node.children ?? []) bytes.push(...nodeTokens(child, strings));
  return [...bytes, ...bigEndian([2])];
}

/** A whole tree, version 17. */
export function buildDtb(root: TreeNode, { reservations = [], structure }: TreeOptions = {}): Uint8Array {
  const strings: number[] = structure === undefined ? [] : text('p');
  const tokens = structure === undefined ? [...nodeTokens(root, strings), ...bigEndian([9])] : bigEndian(structure);
  const split = (value: bigint): number[] => [Number(value >> 32n), Number(value & 0xffff_ffffn)];
  const reserved = bigEndian(
    [...reservations, [0n, 0n] as const].flatMap(([at, size]) => [...split(at), ...split(size)]),
  );
  const structAt = 40 + reserved.length;
  const stringsAt = structAt + tokens.length;
  const total = stringsAt + strings.length;
  const header = [0xd00d_feed, total, structAt, stringsAt, 40, 17, 16, 0, strings.length, tokens.length];
  return Uint8Array.from([...bigEndian(header), ...reserved, ...tokens, ...strings]);
}
