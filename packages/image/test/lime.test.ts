/** LiME files. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readImage } from '../src/index.ts';
import { compareWithReference, interestingGroups, rejectsWith } from './image-checks.ts';

interface Piece {
  readonly physical: bigint;
  readonly data: Uint8Array;
}

function buildLime(pieces: readonly Piece[]): Uint8Array {
  const parts = pieces.flatMap(({ physical, data }) => {
    const head = Buffer.alloc(32);
    head.write('EMiL', 'latin1');
    head.writeUInt32LE(1, 4);
    head.writeBigUInt64LE(physical, 8);
    head.writeBigUInt64LE(physical + BigInt(data.length) - 1n, 16);
    return [head, data];
  });
  return new Uint8Array(Buffer.concat(parts));
}

const two: readonly Piece[] = [
  { physical: 0x1000n, data: Uint8Array.from({ length: 0x1800 }, (_, i) => (i * 5) & 0xff) },
  { physical: 0x8000_0000n, data: Uint8Array.from({ length: 40 }, (_, i) => i) },
];

describe('a LiME file', () => {
  it('holds its pieces at their addresses', async () => {
    const image = await readImage(buildLime(two), { name: 'ram.lime' });
    expect(image.kind).toBe('lime');
    expect(image.segments).toEqual([
      { start: 0x1000n, end: 0x2800n, stored: 0x1800n, origin: 'ram.lime, piece 0' },
      { start: 0x8000_0000n, end: 0x8000_0028n, stored: 40n, origin: 'ram.lime, piece 1' },
    ]);
  });

  it('agrees with a slow reference, aligned or not', async () => {
    const piece = fc.record({ gap: fc.nat(5000), data: fc.uint8Array({ minLength: 1, maxLength: 300 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 6 }), async (list) => {
        let at = 0n;
        const pieces = list.map(({ gap, data }) => {
          const physical = at + BigInt(gap);
          at = physical + BigInt(data.length);
          return { physical, data };
        });
        const { memory } = await readImage(buildLime(pieces));
        compareWithReference(memory, pieces, interestingGroups(pieces));
      }),
    );
  });

  it('is refused where it is cut off, or where a header is none', async () => {
    const whole = buildLime(two);
    for (const size of [4, 8, 31, 32, 33, 0x1820 - 1, 0x1820 + 1, 0x1820 + 31, whole.length - 1]) {
      await rejectsWith('lime-truncated', readImage(whole.subarray(0, size)));
    }
    expect((await readImage(whole.subarray(0, 0x1820))).segments).toHaveLength(1);
    const changed = (at: number, value: number): Uint8Array => {
      const bytes = whole.slice();
      bytes[at] = value;
      return bytes;
    };
    await rejectsWith('lime-header', readImage(changed(4, 2)));
    await rejectsWith('lime-header', readImage(changed(0x1820, 0)));
    await rejectsWith('lime-header', readImage(changed(8 + 2, 1)));
    await rejectsWith('segment-address', readImage(buildLime([{ physical: 1n << 56n, data: new Uint8Array(8) }])));
    await rejectsWith('base-not-raw', readImage(whole, { base: 0n }));
  });
});
