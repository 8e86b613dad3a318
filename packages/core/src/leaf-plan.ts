/**
 * Which leaves a range will be made of: at each step the largest that alignment and the rest of the range allow.
 * Works on numbers; the slow reference in the tests places one leaf at a time.
 */

/** A size of leaf that may be used. */
export interface LeafSize {
  /** Bytes of the whole translation, a power of two. */
  readonly leafBytes: number;
  /** Physical addresses from here on do not fit in the entry. Not supplied: all fit. */
  readonly paEnd?: number;
}

/** Some leaves of one size in a row. */
export interface LeafRow<Size extends LeafSize> {
  readonly va: number;
  readonly pa: number;
  readonly size: Size;
  /** How many leaves. */
  readonly count: number;
}

/** The sizes from the largest to the smallest, equal ones in their order; the very same array if it is so already. */
function largestFirst<Size extends LeafSize>(sizes: readonly Size[]): readonly Size[] {
  for (let i = 1; i < sizes.length; i++) {
    if ((sizes[i - 1] as Size).leafBytes < (sizes[i] as Size).leafBytes) {
      return [...sizes].sort((a, b) => b.leafBytes - a.leafBytes);
    }
  }
  return sizes;
}

/** How far an address lies above a multiple of a size. No `%`: it is slow for doubles, and powers of two need none. */
function above(address: number, size: number): number {
  return address - Math.floor(address / size) * size;
}

/**
 * Plans the leaves for a range, largest first at each address.
 * @param sizes sizes that may be used, in any order; two of the same size: the first wins
 * @param va first virtual address; `va`, `pa` and `bytes` exact numbers, multiples of the smallest size
 * @returns rows in rising order, or `undefined` if no size fits somewhere
 */
export function planLeaves<Size extends LeafSize>(
  sizes: readonly Size[],
  va: number,
  pa: number,
  bytes: number,
): LeafRow<Size>[] | undefined {
  const menu = largestFirst(sizes);
  let rows: LeafRow<Size>[] | undefined;
  for (let done = 0; done < bytes; ) {
    const at = va + done;
    const to = pa + done;
    const rest = bytes - done;
    let stretch = rest;
    let found: Size | undefined;
    for (const size of menu) {
      const { leafBytes, paEnd = Number.POSITIVE_INFINITY } = size;
      if (leafBytes > rest) continue;
      const over = above(at, leafBytes);
      // Where the two addresses lie differently between multiples of a size, they never reach one together.
      if (over !== above(to, leafBytes)) continue;
      // Up to here a larger leaf does not fit: it comes next where both addresses reach its alignment, if it fits there.
      const wait = over === 0 ? 0 : leafBytes - over;
      if (rest - wait < leafBytes || to + wait + leafBytes > paEnd) continue;
      if (wait === 0) {
        found = size;
        stretch = Math.min(stretch, paEnd - to);
        break;
      }
      stretch = Math.min(stretch, wait);
    }
    if (found === undefined) return undefined;
    const count = Math.floor(stretch / found.leafBytes);
    const row = { va: at, pa: to, size: found, count };
    // A list of one costs a fraction of an empty one that grows, and most plans of single pages are no longer.
    if (rows === undefined) rows = [row];
    else rows.push(row);
    done += count * found.leafBytes;
  }
  return rows ?? [];
}
