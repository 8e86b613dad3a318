/** Rebuilding the early tables of a capture from its description alone, and comparing them with the real ones. */
import { existsSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { architectureNamed } from '@pagefold/cli';
import {
  type Architecture,
  type BootResult,
  type Capture,
  createSpace,
  hex,
  leaves,
  type MappedRange,
  type Memory,
  type ReachableTable,
  type RootDescription,
  reachableTables,
} from '@pagefold/core';
import { machineFromDtb, parseDtb } from '@pagefold/image';
import { openImage } from '@pagefold/image/node';

/** How far one root was rebuilt. */
export interface Rebuilt {
  readonly root: string;
  /** What was compared: `tables byte-identical`, `leaves identical`. */
  readonly what: string;
  readonly agreed: number;
  readonly total: number;
  readonly differences: readonly string[];
}

const ALL = { start: 0n, end: 1n << 64n };

/** The 32-bit word at a physical address; `undefined` where there is no memory. */
function word(memory: Memory, at: number): number | undefined {
  const window = memory.window(at);
  return window === undefined ? undefined : window.words[(at - window.base) / 4];
}

/** The first word in which two memories differ within a table. */
function firstDifference(ours: Memory, theirs: Memory, table: ReachableTable): string | undefined {
  const start = Number(table.address);
  for (let at = start; at < start + table.bytes; at += 4) {
    const [a, b] = [word(ours, at), word(theirs, at)];
    if (a !== b) return `word ${hex(at)} is ${hex(a ?? 0)}, the kernel has ${hex(b ?? 0)}`;
  }
  return undefined;
}

/** Every table that either side reaches must be reached by both, at the same place and level, with the same bytes. */
function compareTables(ours: Memory, theirs: Memory, root: RootDescription): Rebuilt {
  const key = ({ level, address }: ReachableTable): string => `level ${level} at ${hex(address)}`;
  const mine = new Set(reachableTables(ours, [root]).map(key));
  const real = reachableTables(theirs, [root]);
  const differences = real.flatMap((table) => {
    const where = `table of ${key(table)} (${hex(table.va)})`;
    if (!mine.delete(key(table))) return [`${where}: not rebuilt`];
    const difference = firstDifference(ours, theirs, table);
    return difference === undefined ? [] : [`${where}: ${difference}`];
  });
  const extra = [...mine].map((each) => `table of ${each}: the kernel has none`);
  return {
    root: root.label ?? 'root',
    what: 'tables byte-identical',
    agreed: real.length - differences.length,
    total: real.length + extra.length,
    differences: [...differences, ...extra],
  };
}

/** Everything that is in a leaf: where, what, how large, with which bits. */
function leafText({ start, pa, level, bits, leafBytes }: MappedRange): string {
  return `${hex(start)} -> ${hex(pa)} level ${level} size ${hex(leafBytes)} bits ${hex(bits)}`;
}

function compareLeaves(ours: Memory, theirs: Memory, root: RootDescription): Rebuilt {
  const mine = new Set(leaves(createSpace(ours, root), ALL).map(leafText));
  const real = leaves(createSpace(theirs, root), ALL).map(leafText);
  const missing = real.filter((leaf) => !mine.delete(leaf));
  return {
    root: root.label ?? 'root',
    what: 'leaves identical',
    agreed: real.length - missing.length,
    total: real.length + mine.size,
    differences: [...missing.map((leaf) => `missing ${leaf}`), ...[...mine].map((leaf) => `extra ${leaf}`)],
  };
}

/** The roots of the capture must stand where ours do. */
function compareRoot(
  result: BootResult,
  arch: Architecture,
  capture: Capture,
  description: Capture,
  theirs: Memory,
  label: string,
): Rebuilt[] {
  const [real] = arch.captureRoots(capture, label, {});
  const mine = result.roots.find((root) => root.label === label);
  if (real === undefined || mine === undefined || real.address !== mine.address) {
    const ours = mine === undefined ? 'no such root' : hex(mine.address);
    const difference = `rebuilt ${ours}, the kernel has ${hex(real?.address ?? 0n)}`;
    return [{ root: label, what: 'root', agreed: 0, total: 1, differences: [difference] }];
  }
  const agreement = compareLeaves(result.memory, theirs, mine);
  // Tables of the image whose place the description does not name can stand anywhere: only what they map counts.
  const symbols = (description.kernel as { readonly symbols?: object } | undefined)?.symbols ?? {};
  const placed = result.tables.every(({ symbol, roots }) => {
    return symbol === undefined || !roots.includes(label) || Object.hasOwn(symbols, symbol);
  });
  return placed ? [compareTables(result.memory, theirs, mine), agreement] : [agreement];
}

/** Roots of a capture that hardware could walk: those of base registers with the MMU off are none. */
function walkedRoots(capture: Capture): string[] {
  const roots = Object.entries(capture.roots as Record<string, { readonly start_level?: unknown }>);
  return roots.filter(([, root]) => root.start_level !== null).map(([label]) => label);
}

/** Can the capture be rebuilt: has it a description, and its architecture a boot? */
export function canRebuild(directory: string): boolean {
  if (!existsSync(`${directory}/boot.json`)) return false;
  const capture = JSON.parse(readFileSync(`${directory}/registers.json`, 'utf8')) as Capture;
  return architectureNamed(String(capture.arch)).boot !== undefined && String(capture.stage).startsWith('early:');
}

/** The description; a seed for moving the kernel that it does not mention stands in the device tree beside it. */
function descriptionIn(directory: string): Capture {
  const description = JSON.parse(readFileSync(`${directory}/boot.json`, 'utf8')) as Capture;
  const tree = `${directory}/boot.dtb.gz`;
  if (description.kaslrSeed !== undefined || !existsSync(tree)) return description;
  const seed = machineFromDtb(parseDtb(gunzipSync(readFileSync(tree)))).chosen.kaslrSeed;
  if (seed === undefined) return description;
  return { ...description, kaslrSeed: `0x${Buffer.from(seed).toString('hex')}` };
}

/**
 * Rebuilds a capture.
 * @param directory the capture's folder, for which {@link canRebuild} holds
 * @returns agreement per root: its tables, then its leaves
 */
export async function rebuild(directory: string): Promise<Rebuilt[]> {
  const capture = JSON.parse(readFileSync(`${directory}/registers.json`, 'utf8')) as Capture;
  const description = descriptionIn(directory);
  const arch = architectureNamed(String(capture.arch));
  const result = arch.boot?.boot(description, { stage: String(capture.stage).replace('early:', '') });
  if (result === undefined) return [];
  const file = existsSync(`${directory}/tables.elf.gz`) ? 'tables.elf.gz' : 'tables.elf';
  const image = await openImage([`${directory}/${file}`]);
  try {
    return walkedRoots(capture).flatMap((label) =>
      compareRoot(result, arch, capture, description, image.memory, label),
    );
  } finally {
    image.close();
  }
}
