/**
 * What a file is: an ELF core, a LiME file or a crash dump by its magic, a raw piece of memory otherwise. Shared by both
 * entries.
 */
import { checkBigints } from '@pagefold/core';
import { type ByteSource, readUpTo } from './byte-source.ts';
import { type ElfLayout, elfSegments, isElf, readElfLayout } from './elf-core.ts';
import { firstBytes, ImageError } from './errors.ts';
import { isFlattened, unflattened } from './flattened.ts';
import { isKdump, kdumpSegments } from './kdump.ts';
import { isLime, limeSegments } from './lime.ts';
import type { SourcedSegment } from './segments.ts';

/** Kinds of files: with addresses of their own, or `raw`. */
export type SourceKind = 'elf-core' | 'lime' | 'kdump' | 'raw';

/** How to take a source. */
export interface SourceHint {
  /** Physical address of the first byte of a raw source. Others have their own and refuse one. */
  readonly base?: bigint | undefined;
  /**
   * What it must be. `raw` takes the bytes as they are, whatever they look like (also gzip is then not inflated).
   * Without it the first bytes decide.
   */
  readonly kind?: SourceKind | undefined;
}

/** A source, understood. */
export interface Understood {
  readonly kind: SourceKind;
  readonly segments: readonly SourcedSegment[];
  /** What the headers of an ELF core say; `undefined` for others. */
  readonly elf: ElfLayout | undefined;
}

/** What the first bytes say. */
function kindOf(head: Uint8Array): SourceKind {
  if (isElf(head)) return 'elf-core';
  if (isLime(head)) return 'lime';
  return isKdump(head) ? 'kdump' : 'raw';
}

/**
 * Decides what an inflated source is and reads its headers.
 * @param name the image's name, for messages
 * @throws ImageError `raw-needs-base`, `base-not-raw`, `empty-image`, `not-elf`, `lime-header`, `kdump-header`, and what
 *   the readers of the kinds throw
 */
export function understand(given: ByteSource, hint: SourceHint, name: string): Understood {
  const source = hint.kind !== 'raw' && isFlattened(readUpTo(given, 0, 16)) ? unflattened(given, name) : given;
  const head = readUpTo(source, 0, 16);
  const kind = hint.kind ?? kindOf(head);
  if (kind === 'raw') return understandRaw(source, hint, head, name);
  if (hint.base !== undefined) {
    const values = { base: hint.base, origin: name };
    throw new ImageError('base-not-raw', 'a file that has its own addresses takes no base', values);
  }
  if (kind === 'lime') return { kind, segments: limeSegments(source, name), elf: undefined };
  if (kind === 'kdump') return { kind, segments: kdumpSegments(source, name), elf: undefined };
  const elf = readElfLayout(source);
  return { kind, segments: elfSegments(source, elf, name), elf };
}

function understandRaw(source: ByteSource, { base }: SourceHint, head: Uint8Array, name: string): Understood {
  if (source.size === 0) throw new ImageError('empty-image', 'there are no bytes', { origin: name });
  if (base === undefined) {
    const values = { origin: name, bytes: firstBytes(head) };
    throw new ImageError('raw-needs-base', 'no known kind of dump, so raw memory, which needs a base address', values);
  }
  const stored = BigInt(source.size);
  checkBigints({ base });
  const segment = { start: base, end: base + stored, stored, origin: name, source, offset: 0 };
  return { kind: 'raw', segments: [segment], elf: undefined };
}
