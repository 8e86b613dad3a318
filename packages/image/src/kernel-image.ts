/**
 * Headers of Linux kernel images: what a boot loader reads. Facts only; nothing is loaded or relocated.
 *
 * Facts: Linux 6.12 Documentation/arch/riscv/boot-image-header.rst, Documentation/arch/arm64/booting.rst and
 * arch/arm/boot/compressed/head.S. All fields are little-endian.
 */
import { firstBytes, ImageError } from './errors.ts';

/** What the headers of riscv and arm64 images have in common. */
interface FlatImage {
  /** Where to load the image, in bytes from the start of RAM (riscv) or from a 2 MiB boundary (arm64). */
  readonly textOffset: bigint;
  /** Bytes that the kernel takes in memory, `_end` included; 0 in very old arm64 kernels. */
  readonly imageSize: bigint;
  /** The flags word. */
  readonly flags: bigint;
  /** Flag bit 0: the kernel is big-endian. */
  readonly bigEndian: boolean;
}

/** A riscv `Image`. */
export interface RiscvImage extends FlatImage {
  readonly arch: 'riscv';
  /** Version of the header: major in the upper 16 bits, minor in the lower; 0x2 is 0.2. */
  readonly version: number;
}

/** An arm64 `Image`. */
export interface Arm64Image extends FlatImage {
  readonly arch: 'arm64';
  /** Flag bits 2:1: the kernel's page size in bytes; `undefined` where the header does not say. */
  readonly pageSize: number | undefined;
  /** Flag bit 3: the image may stand anywhere in physical memory, not only near the start of RAM. */
  readonly anywhere: boolean;
}

/** A 32-bit arm `zImage`. */
export interface ArmZImage {
  readonly arch: 'arm';
  /** Address that the image was linked to start at; 0 when it is position-independent. */
  readonly start: number;
  /** The linked address behind its last byte. */
  readonly end: number;
}

/** Any of the headers, told apart by `arch`. */
export type KernelImage = RiscvImage | Arm64Image | ArmZImage;

const HEADER_BYTES = 64;
/** `RSC\x05`, at 0x38. */
const RISCV_MAGIC = 0x0543_5352;
/** `ARM\x64`, at 0x38. */
const ARM64_MAGIC = 0x644d_5241;
/** At 0x24. */
const ZIMAGE_MAGIC = 0x016f_2818;
/** Page sizes by flag bits 2:1. */
const PAGE_SIZES = [undefined, 0x1000, 0x4000, 0x1_0000] as const;

function flatImage(data: DataView): FlatImage {
  const flags = data.getBigUint64(0x18, true);
  return {
    textOffset: data.getBigUint64(0x08, true),
    imageSize: data.getBigUint64(0x10, true),
    flags,
    bigEndian: (flags & 1n) === 1n,
  };
}

function zImage(data: DataView): ArmZImage {
  const start = data.getUint32(0x28, true);
  const end = data.getUint32(0x2c, true);
  if (end <= start) throw new ImageError('kernel-image', 'a zImage ends before it starts', { start, end });
  return { arch: 'arm', start, end };
}

/**
 * Reads the header of an uncompressed kernel image (riscv, arm64) or of a zImage (arm).
 * @param bytes the image, or at least its first 64 bytes
 * @throws ImageError `kernel-image` if it has none of the magics, or fewer than 64 bytes; compressed images
 *   (`Image.gz`) must be inflated first
 */
export function readKernelImage(bytes: Uint8Array): KernelImage {
  const values = { size: bytes.length, bytes: firstBytes(bytes, HEADER_BYTES) };
  if (bytes.length < HEADER_BYTES) throw new ImageError('kernel-image', 'too short for a kernel image', values);
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = data.getUint32(0x38, true);
  if (magic === RISCV_MAGIC) return { arch: 'riscv', ...flatImage(data), version: data.getUint32(0x20, true) };
  if (magic === ARM64_MAGIC) {
    const flat = flatImage(data);
    const pageSize = PAGE_SIZES[Number((flat.flags >> 1n) & 3n)];
    return { arch: 'arm64', ...flat, pageSize, anywhere: (flat.flags & 8n) !== 0n };
  }
  if (data.getUint32(0x24, true) === ZIMAGE_MAGIC) return zImage(data);
  throw new ImageError('kernel-image', 'no known kernel image header', values);
}
