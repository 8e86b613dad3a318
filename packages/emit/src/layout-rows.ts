/** Regions in order, with the gaps between them, in clusters that can be drawn to scale. */
import type { LayoutRegion } from './layout-svg.ts';

/** A region, or a gap between regions. */
export interface LayoutRow {
  readonly start: bigint;
  readonly end: bigint;
  /** `undefined` for a gap. */
  readonly region: LayoutRegion | undefined;
  /** Number of regions that hold (or overlap) this one from before. */
  readonly depth: number;
  /** Number of the region among all, for its colour. */
  readonly color: number;
}

/** Regions that lie near enough to be drawn to one scale. */
export interface LayoutWindow {
  readonly start: bigint;
  readonly end: bigint;
  /** In rising order. */
  readonly rows: readonly LayoutRow[];
}

function inOrder(a: LayoutRegion, b: LayoutRegion): number {
  if (a.start !== b.start) return a.start < b.start ? -1 : 1;
  if (a.end !== b.end) return a.end > b.end ? -1 : 1;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/**
 * Orders regions by address, outer ones before those inside them, and cuts where a gap is larger than half of
 * everything: beside such a gap nothing else could be seen.
 */
export function layoutWindows(regions: readonly LayoutRegion[]): LayoutWindow[] {
  const sorted = [...regions].sort(inOrder);
  const first = sorted[0];
  if (first === undefined) return [];
  let top = first.end;
  for (const { end } of sorted) if (end > top) top = end;
  const large = (top - first.start) / 2n;
  const windows: { start: bigint; end: bigint; rows: LayoutRow[] }[] = [];
  let before: LayoutRegion[] = [];
  sorted.forEach((region, color) => {
    const { start, end } = region;
    const window = windows[windows.length - 1];
    before = before.filter((other) => other.end > start);
    const row = { start, end, region, depth: before.length, color };
    before.push(region);
    if (window === undefined || (start > window.end && start - window.end > large)) {
      windows.push({ start, end, rows: [row] });
      return;
    }
    if (start > window.end) window.rows.push({ start: window.end, end: start, region: undefined, depth: 0, color });
    window.rows.push(row);
    if (end > window.end) window.end = end;
  });
  // A window of one empty region has no height of its own.
  return windows.map((window) => (window.start === window.end ? { ...window, end: window.end + 1n } : window));
}
