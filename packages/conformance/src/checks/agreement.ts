/** All ways to follow an address, over tables that are full of garbage. */
import {
  access,
  createSpace,
  eachMapped,
  type MemoryWindow,
  SparseMemory,
  Translator,
  translate,
  UNMAPPED,
  walk,
} from '@pagefold/core';
import { type Context, defineCheck } from '../context.ts';
import { canonicalSpans, halvesOf, lower, tableSpace } from '../parts.ts';
import { Reference } from '../reference.ts';
import type { ConformanceCheck } from '../subject.ts';
import { plausibleWords } from './classification.ts';

/** Physical memory that is nothing but words that a table might hold. */
interface Garbage {
  readonly memory: SparseMemory;
  readonly root: bigint;
  read(address: bigint): bigint | undefined;
}

/** Words for one level: real entries, pointers into the area, pointers out of it, flipped bits, noise. */
function pool(context: Context, level: number, base: bigint, bytes: bigint): bigint[] {
  const { paging, random } = context;
  const bits = paging.format.entryBytes * 8;
  const found = plausibleWords(context, level);
  const below = paging.geometry.levels[level - 1];
  if (below !== undefined) {
    const align = BigInt(below.alignBytes);
    const inside = (bytes - BigInt(below.tableBytes)) / align + 1n;
    for (let i = 0; i < 24; i++) {
      const address = base + random.belowBig(inside) * align;
      found.push(paging.encodeTable(level, address, context.tableAttributes(level)));
    }
  }
  for (const word of found.slice(0, 24)) found.push(word ^ (1n << BigInt(random.below(bits))));
  for (let i = 0; i < 4; i++) found.push(random.bits(bits));
  return found;
}

/** Memory with holes on both sides; every table may be of any level, so words of all levels are mixed. */
function garbage(context: Context): Garbage {
  const { paging, random } = context;
  const { root, levels } = paging.geometry;
  const largest = levels.reduce((most, { tableBytes, alignBytes }) => Math.max(most, tableBytes, alignBytes), 0);
  const bytes = BigInt(largest) * (largest > 16384 ? 4n : 8n);
  const base = random.belowBig(tableSpace(paging) / bytes) * bytes;
  const memory = new SparseMemory([{ start: base, end: base + bytes }]);
  const words = levels.flatMap(({ level }) => pool(context, level, base, bytes)).map(halvesOf);
  const wide = paging.format.entryBytes === 8;
  for (let at = Number(base); at < Number(base + bytes); ) {
    const window = memory.writable(at);
    fill(context, window, words, wide);
    at = window.base + window.words.length * 4;
  }
  const roots = (bytes - BigInt(root.tableBytes)) / BigInt(root.alignBytes) + 1n;
  return {
    memory,
    root: base + random.belowBig(roots) * BigInt(root.alignBytes),
    read(address) {
      const window = memory.window(Number(address));
      if (window === undefined) return undefined;
      const index = (Number(address) - window.base) / 4;
      const lo = BigInt(window.words[index] ?? 0);
      return wide ? lo | (BigInt(window.words[index + 1] ?? 0) << 32n) : lo;
    },
  };
}

function fill(
  { random }: Context,
  { words }: MemoryWindow,
  from: readonly { readonly lo: number; readonly hi: number }[],
  wide: boolean,
): void {
  for (let i = 0; i < words.length; i += wide ? 2 : 1) {
    const { lo, hi } = random.pick(from);
    words[i] = lo;
    if (wide) words[i + 1] = hi;
  }
}

/** Addresses anywhere, most of them canonical. */
function addresses(context: Context, count: number): bigint[] {
  const { random } = context;
  const spans = canonicalSpans(context.paging);
  const found = spans.flatMap(({ start, end }) => [start, end - 1n, lower(end, (1n << 64n) - 1n)]);
  for (let i = 0; i < count; i++) {
    const { start, end } = random.pick(spans);
    found.push(random.once(16) ? random.bits(64) : start + random.belowBig(end - start));
  }
  return found;
}

function checkAddress(context: Context, reference: Reference, place: Garbage, lookers: Lookers, va: bigint): void {
  const where = { va, root: place.root };
  const slow = reference.walk(place.read, place.root, va);
  const found = translate(lookers.space, va);
  context.equal(found.mapped ? found.pa : undefined, slow.pa, 'translate', 'translate and the description agree', {
    ...where,
    reasons: slow.reasons.join(' '),
    entry: slow.entry ?? 'none',
    level: slow.level ?? 'none',
  });
  context.equal(found.mapped ? undefined : found.stage, slow.stage, 'stage', 'they agree on the stage', where);
  context.equal(found.level, slow.level, 'level', 'they agree on the level', where);
  context.equal(found.slot, slow.slot, 'slot', 'they agree on the slot', where);
  context.equal(
    found.mapped ? '' : found.reasons.join(' '),
    slow.reasons.join(' '),
    'reasons',
    'they agree on the reasons',
    where,
  );
  const { steps, outcome } = walk(lookers.space, va);
  context.equal(
    outcome.mapped ? outcome.pa : outcome.reason,
    found.mapped ? found.pa : found.reason,
    'walk',
    'walk agrees',
    where,
  );
  context.equal(steps[steps.length - 1]?.slot, slow.slot, 'walk-slot', 'the last step is where the walk ended', where);
  const expected = found.mapped ? found.pa : undefined;
  for (const round of ['first', 'again']) {
    context.equal(lookers.translator.translate(va), expected, 'translator', `a Translator agrees (${round})`, where);
  }
  const judged = access(lookers.space, va, { kind: 'read', privilege: 'supervisor' });
  if (judged.allowed) context.equal(judged.pa, expected, 'access', 'an allowed access goes to the same place', where);
  else if (!found.mapped) context.equal(judged.reason, found.reason, 'access', 'the same fault is found', where);
  else context.equal(judged.stage, 'access', 'access', 'only the access itself can be refused', where);
}

interface Lookers {
  readonly space: ReturnType<typeof createSpace>;
  readonly translator: Translator;
}

/** The batch gives what single translations give. */
function checkBatch(context: Context, { space, translator }: Lookers, vas: readonly bigint[]): void {
  const results = new BigUint64Array(vas.length);
  const mapped = translator.translateAll(BigUint64Array.from(vas), results);
  let count = 0;
  vas.forEach((va, at) => {
    const found = translate(space, va);
    if (found.mapped) count++;
    context.equal(results[at], found.mapped ? found.pa : UNMAPPED, 'batch', 'translateAll agrees', { va });
  });
  context.equal(mapped, count, 'batch-count', 'translateAll counts what is mapped');
}

export const translateAgreement: ConformanceCheck = defineCheck(
  'translate-agreement',
  'Over memory full of plausible garbage translate, walk, Translator, access and iteration agree with the ' +
    'description, and none throws.',
  (context) => {
    const reference = new Reference(context.paging);
    for (let round = context.rounds(3); round > 0; round--) {
      const place = garbage(context);
      const space = createSpace(place.memory, { paging: context.paging, address: place.root });
      const lookers = { space, translator: new Translator(space) };
      const vas = addresses(context, 120);
      for (const va of vas) checkAddress(context, reference, place, lookers, va);
      checkBatch(context, lookers, vas);
      const page = context.paging.pageBytes;
      for (const va of vas.slice(-8)) {
        if (!reference.canonical(va)) continue;
        const start = va - (va % page);
        eachMapped(space, { start, end: start + page }, ({ start: at, pa }) => {
          const expected = reference.walk(place.read, place.root, at).pa;
          context.equal(pa, expected, 'iteration', 'iterating finds what translating finds', { va: at });
        });
      }
    }
  },
);
