/**
 * What a file is: an ELF core by its magic, a raw piece of memory otherwise. Shared by both entries.
 */
import { checkBigints } from '@pagefold/core';
import { type ByteSource, readUpTo } from './byte-source.ts';
import { type ElfLayout, elfSegments, isElf, readElfLayout } from './elf-core.ts';
import { firstBytes, ImageError } from './errors.ts';
import type { SourcedSegment } from './segments.ts';

/** How to take a source. */
export interface SourceHint {
  /** Physical address of the first byte of a raw source. An ELF core has its own and refuses one. */
  readonly base?: bigint | undefined;
  /**
   * What it must be. `raw` takes the bytes as they are, whatever they look like (also gzip is then not inflated).
   * Without it the first bytes decide.
   */
  readonly kind?: 'elf-core' | 'raw' | undefined;
}

/** A source, understood. */
export interface Understood {
  readonly kind: 'elf-core' | 'raw';
  readonly segments: readonly SourcedSegment[];
  /** What the headers say; `undefined` for raw sources. */
  readonly elf: ElfLayout | undefined;
}

/**
 * Decides what an inflated source is and reads its headers.
 * @param name the image's name, for messages
 * @throws ImageError `raw-needs-base`, `base-not-raw`, `empty-image`, and what {@link readElfLayout} throws
 */
export function understand(source: ByteSource, hint: SourceHint, name: string): Understood {
  const head = readUpTo(source, 0, 16);
  if (hint.kind === 'elf-core' || (hint.kind !== 'raw' && isElf(head))) {
    if (hint.base !== undefined) {
      const values = { base: hint.base, origin: name };
      throw new ImageError('base-not-raw', 'an ELF core has its own addresses and takes no base', values);
    }
    const elf = readElfLayout(source);
    return { kind: 'elf-core', segments: elfSegments(source, elf, name), elf };
  }
  if (source.size === 0) throw new ImageError('empty-image', 'there are no bytes', { origin: name });
  if (hint.base === undefined) {
    const values = { origin: name, bytes: firstBytes(head) };
    throw new ImageError('raw-needs-base', 'no ELF core, so raw memory, which needs a base address', values);
  }
  const stored = BigInt(source.size);
  checkBigints({ base: hint.base });
  const segment = { start: hint.base, end: hint.base + stored, stored, origin: name, source, offset: 0 };
  return { kind: 'raw', segments: [segment], elf: undefined };
}
