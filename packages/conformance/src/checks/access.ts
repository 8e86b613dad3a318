/** The access check of a format. */
import {
  type AccessKind,
  type AccessOption,
  type AccessRequest,
  access,
  type Privilege,
  translate,
} from '@pagefold/core';
import { Bed } from '../bed.ts';
import { type Context, defineCheck } from '../context.ts';
import { type AttributeSet, attributeSets, canonicalSpans, type LeafKind, leafKinds, mappableSpace } from '../parts.ts';
import type { ConformanceCheck } from '../subject.ts';

const ACCESSES: readonly AccessKind[] = ['read', 'write', 'execute'];
const PRIVILEGES: readonly Privilege[] = ['user', 'supervisor'];

type Options = Record<string, string | number | boolean>;

/** All combinations of option values if they are few, otherwise some at random; the defaults always. */
function optionSets(context: Context, given: readonly AccessOption[]): Options[] {
  // An option without a list takes any number of 32 bits, 0 by default.
  const numbers = [0, 0xffff_ffff, context.random.word()];
  const options = given.map(({ name, values }) => ({ name, values: values.length === 0 ? numbers : values }));
  const count = options.reduce((product, { values }) => product * values.length, 1);
  const at = (index: number): Options => {
    let rest = index;
    const chosen: Options = {};
    for (const { name, values } of options) {
      chosen[name] = values[rest % values.length] as string | number | boolean;
      rest = Math.floor(rest / values.length);
    }
    return chosen;
  };
  if (count <= 16) return Array.from({ length: count }, (_, index) => at(index));
  return [at(0), ...Array.from({ length: 15 }, () => at(context.random.below(count)))];
}

/** One access: allowed with the address that translate gives, or refused for a named reason. */
function checkAccess(context: Context, bed: Bed, kind: LeafKind, va: bigint, request: AccessRequest): void {
  const { paging } = context;
  const found = translate(bed.space, va);
  const where = { va, level: kind.level, shape: kind.shape, request: JSON.stringify(request) };
  const result = context.must('access-total', 'the access check never throws', where, () =>
    access(bed.space, va, request),
  );
  if (!found.mapped) context.fail('access-mapped', 'the leaf that was mapped is there', where);
  if (!result.allowed) {
    context.equal(result.stage, 'access', 'access-stage', 'a mapped address is refused in stage access', where);
    if (result.reasons.length === 0) context.fail('access-reason', 'a refusal has a reason', where);
    if (typeof result.type !== 'string' || result.type === '') {
      context.fail('access-name', 'a refusal has a name', where);
    }
    return;
  }
  context.equal(result.pa, found.pa, 'access-address', 'an allowed access leads where translate says', where);
  if (result.updates.length === 0) return;
  const before = result.updates.map(({ slot }) => ({ slot, entry: bed.read(slot) }));
  result.updates.forEach(({ level, entry }, at) => {
    // What hardware sets by itself must leave the same leaf or pointer, and must then be enough.
    const [after, old] = [paging.decode(level, entry), paging.decode(level, before[at]?.entry ?? 0n)];
    context.equal(after.kind, old.kind, 'access-update', 'an update leaves an entry of the same kind', where);
    context.equal(after.address, old.address, 'access-update', 'with the same address', where);
  });
  access(bed.space, va, request, { apply: true });
  const again = access(bed.space, va, request);
  const settled = again.allowed && again.updates.length === 0;
  context.equal(settled, true, 'access-settled', 'the same access again needs no further update', where);
  for (const { slot, entry } of before) bed.write(slot, entry);
}

function checkLeaf(context: Context, kind: LeafKind, set: AttributeSet): void {
  const { paging, random } = context;
  const [span] = canonicalSpans(paging);
  const space = mappableSpace(paging);
  if (span === undefined || kind.leafBytes > span.end - span.start || kind.leafBytes > space) return;
  const bed = new Bed(context);
  bed.map({ va: span.start, pa: 0n, bytes: kind.leafBytes, attributes: (leaf) => set.on(leaf) });
  const va = span.start + random.belowBig(kind.leafBytes);
  for (const options of optionSets(context, paging.format.access.options)) {
    for (const access of ACCESSES) {
      for (const privilege of PRIVILEGES) {
        checkAccess(context, bed, kind, va, { kind: access, privilege, options });
      }
    }
  }
}

export const accessTotality: ConformanceCheck = defineCheck(
  'access-totality',
  'Every access to every leaf under every option is allowed or refused with a reason and a name; updates by hardware ' +
    'leave the same leaf and the same pointers, and are enough.',
  (context) => {
    const sets = attributeSets(context);
    leafKinds(context.paging).forEach((kind, at) => {
      // Every set at the smallest leaf; elsewhere one is enough, because the check only sees fields.
      for (const set of sets) {
        if (at === 0 || set.index === at % sets.length) checkLeaf(context, kind, set);
      }
    });
  },
);
