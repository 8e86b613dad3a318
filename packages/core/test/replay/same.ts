/** Comparison for vector replays, without a test runner. */

/** Lower-case hex with `0x`, as vectors write numbers. */
export const hexOf = (value: bigint): string => `0x${value.toString(16)}`;

/** JSON with sorted keys, so that only contents count. */
function text(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => {
    if (typeof each === 'bigint') return hexOf(each);
    if (each === null || typeof each !== 'object' || Array.isArray(each)) return each;
    return Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** Throws unless two values have the same contents. */
export function same(actual: unknown, expected: unknown, what: string): void {
  const [is, wanted] = [text(actual), text(expected)];
  if (is !== wanted) throw new Error(`${what}: expected ${wanted}, got ${is}`);
}
