/** Replaying the oracle of one capture. */
import { existsSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { architectureNamed } from '@pagefold/cli';
import {
  type AddressSpace,
  type Architecture,
  type Capture,
  createSpace,
  hex,
  type Memory,
  mappedRanges,
  PagefoldError,
  Translator,
  translate,
} from '@pagefold/core';
import { openImage } from '@pagefold/image/node';

/** One line of an oracle. */
interface OracleLine {
  readonly va: string;
  readonly pa: string | null;
  readonly root: string;
  readonly source: 'gva2gpa' | 'pagemap';
  readonly prot?: string;
}

/** How far one root agrees with its oracle. */
export interface RootAgreement {
  readonly root: string;
  readonly total: number;
  readonly agreed: number;
  readonly disagreements: readonly {
    readonly va: string;
    readonly expected: string | null;
    readonly got: string | null;
  }[];
  /** Remarks for people. */
  readonly passed: readonly string[];
}

function readMaybeGzip(path: string): string {
  const file = existsSync(`${path}.gz`) ? gunzipSync(readFileSync(`${path}.gz`)) : readFileSync(path);
  return file.toString('utf8');
}

/**
 * What the oracle says of a line. The kernel calls a page without any permission present and gives its frame; to the
 * hardware it is not mapped, which is what we answer for.
 */
function expected(line: OracleLine): string | null {
  if (line.source === 'pagemap' && line.prot?.startsWith('---') === true) return null;
  return line.pa === null ? null : hex(BigInt(line.pa));
}

/** Compares each line of one root; both ways of translating must agree. */
function compare(space: AddressSpace, root: string, lines: readonly OracleLine[]): RootAgreement {
  const translator = new Translator(space);
  const disagreements: { va: string; expected: string | null; got: string | null }[] = [];
  for (const line of lines) {
    const va = BigInt(line.va);
    const result = translate(space, va);
    const fast = translator.translate(va);
    const got = result.mapped ? hex(result.pa) : null;
    const quick = fast === undefined ? null : hex(fast);
    if (got !== expected(line) || quick !== got) {
      disagreements.push({ va: line.va, expected: expected(line), got: got === expected(line) ? quick : got });
    }
  }
  return { root, total: lines.length, agreed: lines.length - disagreements.length, disagreements, passed: [] };
}

/** One run of leaves of the capture's own walker: start, end, physical start, level from the leaves, attributes. */
type LeafRun = readonly (string | number)[];

/** Everything that the capture's own independent walker found mapped must be mapped for us too, and nothing else. */
function compareLeaves(space: AddressSpace, runs: readonly LeafRun[]): string[] {
  const flat = (list: readonly { start: bigint; end: bigint; pa: bigint }[]): string[] => {
    const joined: { start: bigint; end: bigint; pa: bigint }[] = [];
    for (const { start, end, pa } of [...list].sort((a, b) => (a.start < b.start ? -1 : 1))) {
      const last = joined[joined.length - 1];
      if (last !== undefined && last.end === start && last.pa + (start - last.start) === pa) last.end = end;
      else joined.push({ start, end, pa });
    }
    return joined.map(({ start, end, pa }) => `${hex(start)}-${hex(end)} ${hex(pa)}`);
  };
  // A page that stands in many entries, as the zero page does, does not continue itself.
  const single = mappedRanges(space, { start: 0n, end: 1n << 64n }).flatMap((range) => {
    if (!range.repeats) return [range];
    const count = Number((range.end - range.start) / range.leafBytes);
    return Array.from({ length: count }, (_, i) => {
      const start = range.start + BigInt(i) * range.leafBytes;
      return { start, end: start + range.leafBytes, pa: range.pa };
    });
  });
  const ours = new Set(flat(single));
  const theirs = new Set(
    flat(
      runs.map(([start, end, pa]) => ({
        start: BigInt(start as string),
        end: BigInt(end as string),
        pa: BigInt(pa as string),
      })),
    ),
  );
  return [
    ...[...theirs].filter((run) => !ours.has(run)).map((run) => `missing ${run}`),
    ...[...ours].filter((run) => !theirs.has(run)).map((run) => `extra ${run}`),
  ];
}

/**
 * The space of one root.
 * @param idle nothing is known of the root: then a refusal, such as that translation was off, is a remark
 */
function spaceOf(
  arch: Architecture,
  capture: Capture,
  label: string,
  memory: Memory,
  idle: boolean,
): AddressSpace | string {
  try {
    return createSpace(memory, arch.captureRoots(capture, label, {}));
  } catch (error) {
    if (idle && error instanceof PagefoldError) return error.message;
    throw error;
  }
}

/**
 * Replays a capture.
 * @param directory the capture's folder
 * @returns agreement per root of the oracle, and of the leaf lists of roots that the oracle does not ask
 */
export async function replayOracle(directory: string): Promise<RootAgreement[]> {
  const capture = JSON.parse(readFileSync(`${directory}/registers.json`, 'utf8')) as Capture & {
    roots: Record<string, unknown>;
  };
  const arch = architectureNamed(String(capture.arch));
  const image = await openImage([
    existsSync(`${directory}/tables.elf.gz`) ? `${directory}/tables.elf.gz` : `${directory}/tables.elf`,
  ]);
  try {
    const oracle = `${directory}/oracle.jsonl`;
    const lines =
      existsSync(oracle) || existsSync(`${oracle}.gz`)
        ? readMaybeGzip(oracle)
            .split('\n')
            .filter(Boolean)
            .map((text) => JSON.parse(text) as OracleLine)
        : [];
    const leafFile = `${directory}/leaves.json`;
    const leafRuns =
      existsSync(leafFile) || existsSync(`${leafFile}.gz`)
        ? (JSON.parse(readMaybeGzip(leafFile)) as { roots: Record<string, readonly LeafRun[]> }).roots
        : {};
    const labels = [...new Set([...lines.map(({ root }) => root), ...Object.keys(leafRuns)])];
    return labels
      .filter((label) => Object.hasOwn(capture.roots, label))
      .map((label) => {
        const asked = lines.filter(({ root }) => root === label);
        const runs = leafRuns[label];
        const space = spaceOf(arch, capture, label, image.memory, asked.length === 0 && (runs ?? []).length === 0);
        if (typeof space === 'string') return { root: label, total: 0, agreed: 0, disagreements: [], passed: [space] };
        const agreement = compare(space, label, asked);
        const differences = runs === undefined ? [] : compareLeaves(space, runs);
        const count = runs === undefined ? 0 : 1;
        return {
          ...agreement,
          total: agreement.total + count,
          agreed: agreement.agreed + (differences.length === 0 ? count : 0),
          passed:
            differences.length === 0
              ? count === 0
                ? []
                : [`leaf list of ${runs?.length} runs agrees`]
              : differences.slice(0, 10),
        };
      });
  } finally {
    image.close();
  }
}
