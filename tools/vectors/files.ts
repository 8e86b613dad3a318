/** Vector files: reading them, and telling by their content whose they are. */
import { readFileSync } from 'node:fs';
import { groups as arm } from './arm.ts';
import { groups as arm64 } from './arm64.ts';
import { groups as generic } from './generic.ts';
import type { Replayer } from './replay.ts';
import { groups as riscv } from './riscv.ts';

/** Replayers by kind of file, and by group. */
const KINDS: Readonly<Record<string, Readonly<Record<string, Replayer>>>> = { generic, riscv, arm64, arm };

/** Keys that describe a file and hold no records. */
const DESCRIPTION = ['meta', 'format', 'set', 'arch'];

/** A vector file. */
export interface VectorFile {
  /** `riscv`, `generic`, or an architecture that nobody here can replay. */
  readonly kind: string;
  readonly content: Readonly<Record<string, unknown>>;
  /** Its groups, in the order of the file. */
  readonly groups: readonly string[];
  readonly replayers: Readonly<Record<string, Replayer>>;
}

/** The kind that a file names, or else the one that knows most of its groups. */
function kindOf(content: Readonly<Record<string, unknown>>, groups: readonly string[]): string | undefined {
  const { arch = Object(content.meta).arch } = content as { arch?: unknown };
  if (typeof arch === 'string') return arch;
  const known = Object.entries(KINDS).map(([kind, replayers]) => ({
    kind,
    count: groups.filter((group) => Object.hasOwn(replayers, group)).length,
  }));
  const best = known.reduce((a, b) => (b.count > a.count ? b : a));
  return best.count > 0 ? best.kind : undefined;
}

/**
 * Reads a vector file.
 * @throws Error with one clear line if it cannot be read, is no JSON object, or is nothing that we know
 */
export function readVectorFile(path: string): VectorFile {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`cannot read ${path}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new Error(`${path} holds no groups of vectors`);
  }
  const record = content as Readonly<Record<string, unknown>>;
  const groups = Object.keys(record).filter((key) => !DESCRIPTION.includes(key));
  const kind = kindOf(record, groups);
  if (kind === undefined) throw new Error(`${path} names no architecture and has no group that we know`);
  return { kind, content: record, groups, replayers: Object.hasOwn(KINDS, kind) ? (KINDS[kind] ?? {}) : {} };
}
