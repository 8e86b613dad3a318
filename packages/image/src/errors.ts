/**
 * The one error class of this package and the closed list of its rules.
 */
import { type ErrorValues, PagefoldError } from '@pagefold/core';

/** What can be wrong with an image, a device tree, a kernel image or a symbol list. Stays the same between releases. */
export type ImageRule =
  // ELF cores
  | 'not-elf' // the bytes do not begin with the ELF magic
  | 'elf-class' // neither 32-bit nor 64-bit
  | 'elf-big-endian' // or an unknown byte order
  | 'elf-version' // an ELF version other than 1
  | 'elf-type' // an ELF file, but no core file
  | 'elf-header' // the header contradicts itself
  | 'elf-truncated' // a header, a segment or a note lies behind the end of the file
  | 'elf-segment-size' // a segment has more bytes in the file than in memory
  | 'elf-too-many-segments' // more program headers than this reader accepts
  | 'elf-no-memory' // no segment holds memory
  // LiME files
  | 'lime-header' // a header is none, or of an unknown version
  | 'lime-truncated' // a header or its memory is cut off
  // crash dumps of makedumpfile
  | 'flat-header' // a flattened file of an unknown kind, or a record that is none
  | 'flat-truncated' // a flattened file ends before its last record
  | 'kdump-header' // the header makes no sense, or says more than this reader accepts
  | 'kdump-truncated' // a bitmap, a descriptor or the data of a page lie behind the end of the file
  | 'kdump-page' // the data of a page are damaged
  // memory made of segments
  | 'segment-address' // a segment does not lie below 2^56
  | 'segment-overlap' // two segments claim the same address
  | 'raw-needs-base' // no known kind of file, and no base address was given
  | 'base-not-raw' // a base address was given for a file that has addresses of its own
  | 'empty-image' // no bytes, or no image at all
  | 'option-range' // an option is outside its range
  // gzip
  | 'gzip-corrupt' // damaged, truncated, or followed by something else
  | 'gzip-limit' // inflates to more than the limit
  | 'gzip-unsupported' // this host has no DecompressionStream
  // files
  | 'file-unreadable' // the operating system refused
  | 'file-kind' // a directory, a pipe, a device
  | 'file-changed' // shorter than when it was opened
  | 'image-closed' // used after it was closed
  // flattened device trees
  | 'dtb-magic' // the bytes do not begin with the magic
  | 'dtb-version' // not readable as version 17
  | 'dtb-truncated' // fewer bytes than the header or its total size say
  | 'dtb-header' // a block is unaligned or outside the tree
  | 'dtb-reservations' // the reservation block has no end
  | 'dtb-structure' // the structure block breaks its grammar
  | 'dtb-name' // a node or property name is malformed
  | 'dtb-duplicate' // two siblings, properties or phandles are the same
  | 'dtb-depth' // nodes are nested deeper than Linux accepts
  | 'dtb-property' // a property's value has not the form that its meaning needs
  // kernel images and symbol lists
  | 'kernel-image' // no known kernel image header
  | 'map-line' // a line is neither `address type name` nor `address name`
  | 'map-hidden'; // every address is zero: the kernel hid them from the reader

/** Something that was read is not what it should be. The rule says what, `values` say where, in hex. */
export class ImageError extends PagefoldError {
  declare readonly rule: ImageRule;

  /**
   * @param rule the rule that was broken
   * @param message what is wrong, in words
   * @param values the values involved; numbers are shown in hex
   * @param cause the error of the operating system or the inflater, where there is one
   */
  constructor(rule: ImageRule, message: string, values: ErrorValues = {}, cause?: unknown) {
    super(rule, message, values);
    if (cause !== undefined) this.cause = cause;
  }
}

/**
 * The first bytes of something as hex pairs, for error messages.
 * @param count at most this many
 */
export function firstBytes(bytes: Uint8Array, count = 16): string {
  return Array.from(bytes.subarray(0, count), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
