/**
 * Inflating Snappy blocks.
 *
 * Facts: google/snappy, format_description.txt: the length as a varint, then elements. The low two bits of an element's
 * first byte tell literals from copies, and how wide the distance of a copy is.
 */

/**
 * Inflates a Snappy block (not a framed stream).
 * @param target where the output goes
 * @returns bytes of output
 * @throws RangeError if the block is damaged, or longer than the target
 */
export function inflateSnappy(bytes: Uint8Array, target: Uint8Array): number {
  let at = 0;
  let made = 0;
  const number = (count: number): number => {
    if (at + count > bytes.length) throw new RangeError('the block ends early');
    let value = 0;
    for (let i = 0; i < count; i++) value += (bytes[at++] as number) * 2 ** (8 * i);
    return value;
  };
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = number(1);
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
    if (shift >= 28) throw new RangeError('the length is none');
  }
  if (length > target.length) throw new RangeError('the block is longer than it should be');
  while (at < bytes.length) {
    const tag = number(1);
    const kind = tag & 3;
    if (kind === 0) {
      const short = tag >> 2;
      const count = 1 + (short < 60 ? short : number(short - 59));
      if (at + count > bytes.length || made + count > length) throw new RangeError('literals pass the end');
      target.set(bytes.subarray(at, at + count), made);
      at += count;
      made += count;
      continue;
    }
    const count = kind === 1 ? 4 + ((tag >> 2) & 7) : 1 + (tag >> 2);
    const distance = kind === 1 ? ((tag >> 5) << 8) + number(1) : number(kind === 2 ? 2 : 4);
    if (distance === 0 || distance > made || made + count > length) throw new RangeError('a copy passes an end');
    // Source and target may overlap, so byte by byte.
    for (let i = 0; i < count; i++, made++) target[made] = target[made - distance] as number;
  }
  if (made !== length) throw new RangeError('the block ends early');
  return made;
}
