/**
 * Which leaves a range will be made of: at each step the largest that alignment and the rest of the range allow.
 * Works on numbers; the slow reference in the tests places one leaf at a time.
 */

/** A size of leaf that may be used. */
export interface LeafSize {
  /** Bytes of the whole translation. */
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
  const menu = [...sizes].sort((a, b) => b.leafBytes - a.leafBytes);
  const rows: LeafRow<Size>[] = [];
  let done = 0;
  while (done < bytes) {
    const at = va + done;
    const to = pa + done;
    const rest = bytes - done;
    const size = menu.find(
      ({ leafBytes, paEnd = Number.POSITIVE_INFINITY }) =>
        at % leafBytes === 0 && to % leafBytes === 0 && leafBytes <= rest && to + leafBytes <= paEnd,
    );
    if (size === undefined) return undefined;
    let stretch = Math.min(rest, (size.paEnd ?? Number.POSITIVE_INFINITY) - to);
    for (const larger of menu) {
      if (larger.leafBytes <= size.leafBytes) break;
      // A larger leaf comes next where both addresses reach its alignment, if it still fits there.
      const wait = (larger.leafBytes - (at % larger.leafBytes)) % larger.leafBytes;
      if ((to + wait) % larger.leafBytes === 0 && rest - wait >= larger.leafBytes) stretch = Math.min(stretch, wait);
    }
    const count = Math.floor(stretch / size.leafBytes);
    rows.push({ va: at, pa: to, size, count });
    done += count * size.leafBytes;
  }
  return rows;
}
