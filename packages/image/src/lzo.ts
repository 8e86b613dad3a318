/**
 * Inflating LZO1X, the usual compression of crash dumps; no maintained library for it runs in a browser.
 *
 * Facts: the stream as Linux 6.12 Documentation/staging/lzo.rst describes it, version 0. Instructions copy literals, or
 * bytes that were written before, some distance back; one byte says which and holds part of distance and length.
 */

/** Distances above this belong to long matches far back, whose instruction also ends the stream. */
const FAR = 0x4000;
/** The largest distance of a two-byte match. */
const NEAR = 0x800;

class Stream {
  at = 0;
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** @throws RangeError at the end */
  next(): number {
    const byte = this.bytes[this.at++];
    if (byte === undefined) throw new RangeError('the stream ends early');
    return byte;
  }

  /** A length whose bits in the instruction are all zero: each zero byte that follows stands for 255. */
  long(base: number): number {
    let length = base;
    let byte = this.next();
    while (byte === 0) {
      length += 255;
      byte = this.next();
    }
    return length + byte;
  }
}

class Output {
  at = 0;
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  literals(stream: Stream, count: number): void {
    if (this.at + count > this.bytes.length) throw new RangeError('the stream is longer than it should be');
    for (let i = 0; i < count; i++) this.bytes[this.at++] = stream.next();
  }

  /** Copies what was written; source and target may overlap, so byte by byte. */
  match(distance: number, count: number): void {
    if (distance > this.at) throw new RangeError('a match begins before the output');
    if (this.at + count > this.bytes.length) throw new RangeError('the stream is longer than it should be');
    for (let i = 0; i < count; i++, this.at++) this.bytes[this.at] = this.bytes[this.at - distance] as number;
  }
}

/**
 * Inflates an LZO1X stream.
 * @param bytes the stream, to its end marker
 * @param target where the output goes
 * @returns bytes of output
 * @throws RangeError if the stream is damaged, or longer than the target
 */
export function inflateLzo(bytes: Uint8Array, target: Uint8Array): number {
  const stream = new Stream(bytes);
  const output = new Output(target);
  /** Literals that the instruction before copied: 0 to 3, or 4 for more. What a small instruction means depends on it. */
  let state = 0;
  const first = bytes[0] ?? 0;
  if (first > 17) {
    // The stream may begin with literals.
    stream.at = 1;
    output.literals(stream, first - 17);
    state = Math.min(first - 17, 4);
  }
  for (;;) {
    const instruction = stream.next();
    if (instruction < 16 && state === 0) {
      const count = instruction === 0 ? stream.long(15) + 3 : instruction + 3;
      output.literals(stream, count);
      state = 4;
      continue;
    }
    let trailing = instruction & 3;
    if (instruction >= 64) {
      const length = instruction >= 128 ? 5 + ((instruction >> 5) & 3) : 3 + ((instruction >> 5) & 1);
      output.match((stream.next() << 3) + ((instruction >> 2) & 7) + 1, length);
    } else if (instruction >= 16) {
      const near = instruction >= 32;
      const bits = instruction & (near ? 31 : 7);
      const length = (bits === 0 ? stream.long(near ? 31 : 7) : bits) + 2;
      const word = stream.next() | (stream.next() << 8);
      trailing = word & 3;
      const distance = (word >> 2) + (near ? 1 : FAR + ((instruction & 8) << 11));
      if (distance === FAR) return output.at;
      output.match(distance, length);
    } else {
      const back = (stream.next() << 2) + (instruction >> 2) + 1;
      output.match(state === 4 ? back + NEAR : back, state === 4 ? 3 : 2);
    }
    output.literals(stream, trailing);
    state = trailing;
  }
}
