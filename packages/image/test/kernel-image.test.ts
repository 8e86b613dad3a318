import { describe, expect, test } from 'vitest';
import { readKernelImage } from '../src/index.ts';
import { pattern } from './elf-builder.ts';
import { failsWith } from './image-checks.ts';

/** A header with the given little-endian fields: [offset, bytes, value]. */
function header(...fields: readonly (readonly [number, 4 | 8, bigint])[]): Uint8Array {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  for (const [at, size, value] of fields) {
    if (size === 8) view.setBigUint64(at, value, true);
    else view.setUint32(at, Number(value), true);
  }
  return bytes;
}

function magic(bytes: Uint8Array, text: string): Uint8Array {
  bytes.set(new TextEncoder().encode(text), 0x38);
  return bytes;
}

describe('kernel images', () => {
  test('riscv, with the values of Debian 6.12.107', () => {
    const bytes = header([0x08, 8, 0x20_0000n], [0x10, 8, 0x1e6_b000n], [0x20, 4, 2n], [0x30, 8, 0x56_4353_4952n]);
    expect(readKernelImage(magic(bytes, 'RSC\x05'))).toEqual({
      arch: 'riscv',
      textOffset: 0x20_0000n,
      imageSize: 0x1e6_b000n,
      flags: 0n,
      bigEndian: false,
      version: 2,
    });
  });

  test('arm64, with the values of Debian 6.12.107', () => {
    const bytes = magic(header([0x10, 8, 0x24f_0000n], [0x18, 8, 0xan]), 'ARM\x64');
    expect(readKernelImage(bytes)).toEqual({
      arch: 'arm64',
      textOffset: 0n,
      imageSize: 0x24f_0000n,
      flags: 0xan,
      bigEndian: false,
      pageSize: 0x1000,
      anywhere: true,
    });
  });

  test.each([
    [0x0n, undefined, false, false],
    [0x1n, undefined, true, false],
    [0x4n, 0x4000, false, false],
    [0xen, 0x1_0000, false, true],
  ])('arm64 flags %s', (flags, pageSize, bigEndian, anywhere) => {
    expect(readKernelImage(magic(header([0x18, 8, flags]), 'ARM\x64'))).toMatchObject({
      pageSize,
      bigEndian,
      anywhere,
    });
  });

  test('arm zImage', () => {
    const bytes = header([0x24, 4, 0x016f_2818n], [0x28, 4, 0n], [0x2c, 4, 0x8000_0000n]);
    expect(readKernelImage(bytes)).toEqual({ arch: 'arm', start: 0, end: 0x8000_0000 });
    failsWith('kernel-image', () => readKernelImage(header([0x24, 4, 0x016f_2818n])));
  });

  test('more bytes than the header, at any place of a buffer', () => {
    const bytes = new Uint8Array(new ArrayBuffer(201), 1);
    bytes.set(magic(header([0x10, 8, 5n]), 'RSC\x05'));
    expect(readKernelImage(bytes)).toMatchObject({ arch: 'riscv', imageSize: 5n });
  });

  test('everything else', () => {
    expect(failsWith('kernel-image', () => readKernelImage(Uint8Array.of(0x1f, 0x8b))).values).toEqual({
      size: '0x2',
      bytes: '1f 8b',
    });
    failsWith('kernel-image', () => readKernelImage(magic(header(), 'RSC\x05').subarray(0, 63)));
    failsWith('kernel-image', () => readKernelImage(pattern(4096, 1)));
    failsWith('kernel-image', () => readKernelImage(new Uint8Array()));
  });
});
