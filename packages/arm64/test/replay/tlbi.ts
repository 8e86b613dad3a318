/** Replays of the groups about TLB invalidation. */
import {
  decomposeTlbi,
  flushesWholeKernel,
  flushesWholeProgram,
  PAGE_BITS,
  rangeCovered,
  rangePages,
  rangeStartBits,
  tlbiIpa,
  tlbiRange,
  tlbiVa,
} from '../../src/index.ts';
import { granuleIn, type Json, knowsMembers, numberIn, sameMembers, wordIn } from './compare.ts';

function levelIn(record: Json): { level?: number } {
  return record.level === null ? {} : { level: Number(record.level) };
}

/** `tlbi.va`. */
export function va(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['granule', 'va', 'asid', 'level', 'ttlSupported', 'operand']);
  const request = { va: numberIn(expected, 'va'), asid: Number(expected.asid), ...levelIn(expected) };
  const operand = tlbiVa(request, { granule: granuleIn(expected), ttl: expected.ttlSupported === true });
  sameMembers({ operand }, expected, ['operand']);
}

/** `tlbi.ipa`. */
export function ipa(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['granule', 'ipa', 'level', 'ttlSupported', 'operand']);
  const request = { ipa: numberIn(expected, 'ipa'), ...levelIn(expected) };
  const operand = tlbiIpa(request, { granule: granuleIn(expected), ttl: expected.ttlSupported === true });
  sameMembers({ operand }, expected, ['operand']);
}

/** `tlbi.range`: the operand, and what it covers. */
export function range(record: unknown): void {
  const expected = record as Json;
  const granule = granuleIn(expected);
  const config = { granule, lpa2: expected.ds === true };
  const [scale, num] = [Number(expected.scale), Number(expected.num)];
  const start = numberIn(expected, 'va');
  const operand = tlbiRange({ va: start, asid: Number(expected.asid), scale, num, ...levelIn(expected) }, config);
  const pages = rangePages(scale, num);
  sameMembers(
    {
      granule,
      ds: config.lpa2,
      va: start,
      asid: Number(operand >> 48n),
      scale: Number((operand >> 44n) & 3n),
      num: Number((operand >> 39n) & 31n),
      level: expected.level,
      pages,
      bytes: rangeCovered(operand, config.lpa2).bytes,
      baddrShift: rangeStartBits(config),
      operand,
    },
    expected,
  );
  if (BigInt(pages) << BigInt(PAGE_BITS[granule]) !== rangeCovered(operand, config.lpa2).bytes) {
    throw new Error('pages and bytes disagree');
  }
}

/** `tlbi.decompose`: the operations, and that they cover the range exactly. */
export function decompose(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['granule', 'ds', 'algorithm', 'start', 'pages', 'stride', 'asid', 'level', 'ops']);
  const granule = granuleIn(expected);
  const steps = decomposeTlbi(
    {
      start: numberIn(expected, 'start'),
      pages: Number(expected.pages),
      strideBytes: numberIn(expected, 'stride'),
      asid: Number(expected.asid),
      ...levelIn(expected),
    },
    {
      granule,
      lpa2: expected.ds === true,
      algorithm: wordIn(expected, 'algorithm', ['ascending', 'descending']),
    },
  );
  const ops = steps.map(({ pages, ...step }) => (step.op === 'range' ? { ...step, pages } : step));
  sameMembers({ ops }, expected, ['ops']);
  const covered = steps.reduce((sum, { pages }) => sum + pages, 0);
  sameMembers({ pages: covered }, expected, ['pages']);
}

/** `tlbi.threshold`: when everything is flushed instead. */
export function threshold(record: unknown): void {
  const expected = record as Json;
  const granule = granuleIn(expected);
  const bytes = numberIn(expected, 'length');
  if (expected.kernelRange === true) {
    knowsMembers(expected, ['granule', 'kernelRange', 'length', 'fullFlushAll']);
    sameMembers({ fullFlushAll: flushesWholeKernel(granule, bytes) }, expected, ['fullFlushAll']);
    return;
  }
  knowsMembers(expected, ['granule', 'rangeSupported', 'stride', 'length', 'fullMmFlush']);
  const strideBytes = numberIn(expected, 'stride');
  const fullMmFlush = flushesWholeProgram({ granule, bytes, strideBytes, range: expected.rangeSupported === true });
  sameMembers({ fullMmFlush }, expected, ['fullMmFlush']);
}
