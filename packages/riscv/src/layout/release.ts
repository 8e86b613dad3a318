/** Kernel releases as people write them, and ranges of releases that have something in common. */

/** A release. */
export interface Release {
  readonly major: number;
  readonly minor: number;
  /** The stable update; 0 is the first release, `Infinity` the newest of its series (`6.1.y`). */
  readonly patch: number;
}

/** Releases from one series to another, both included, from a stable update of each on. */
export interface ReleaseRange {
  /** First series: `6.4`. */
  readonly from: string;
  /** Last series. Not supplied: no end. */
  readonly to?: string;
  /** Only from this stable update of the series on. Such ranges go before those without. Not supplied: 0. */
  readonly patch?: number;
}

const RELEASE = /^v?(\d+)\.(\d+)(?:\.(\d+|y))?(?![\w.])/i;

/**
 * Reads `5.10`, `v6.1`, `6.1.y`, `6.12.107`, `6.12.107+deb13-riscv64`, `v6.12-rc3`. A series alone is its first release.
 * @returns `undefined` if the text does not begin with a release
 */
export function parseRelease(text: string): Release | undefined {
  const [, major, minor, patch = '0'] = RELEASE.exec(text.trim()) ?? [];
  if (major === undefined || minor === undefined) return undefined;
  return {
    major: Number(major),
    minor: Number(minor),
    patch: patch.toLowerCase() === 'y' ? Number.POSITIVE_INFINITY : Number(patch),
  };
}

/** Major and minor in one number, so that series compare. */
function seriesNumber({ major, minor }: Pick<Release, 'major' | 'minor'>): number {
  return major * 1000 + minor;
}

/** Does a range hold a release? */
export function inRange(release: Release, { from, to, patch = 0 }: ReleaseRange): boolean {
  const series = seriesNumber(release);
  const [first, last] = [from, to].map((text) => (text === undefined ? undefined : parseRelease(text)));
  if (first === undefined || series < seriesNumber(first)) return false;
  return (last === undefined || series <= seriesNumber(last)) && release.patch >= patch;
}

/**
 * The entry of a table that a release belongs to. Ranges that begin at a stable update go first: what was carried back
 * into a stable series differs from what that series was when it was new.
 */
export function entryForRelease<T extends { readonly releases: readonly ReleaseRange[] }>(
  table: readonly T[],
  release: Release,
): T | undefined {
  const holds = (stable: boolean) => (entry: T) =>
    entry.releases.some((range) => (range.patch !== undefined) === stable && inRange(release, range));
  return table.find(holds(true)) ?? table.find(holds(false));
}
