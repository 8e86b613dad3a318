/** What plain JavaScript passes where a bigint belongs is refused by name, at every door, and changes nothing. */
import { describe, expect, it } from 'vitest';
import { BumpAllocator } from '../src/allocators.ts';
import { checkBigints } from '../src/bigints.ts';
import { planTables } from '../src/build-plan.ts';
import { protect, unmap } from '../src/edit.ts';
import { ArgumentError, AttributeError, MemoryError } from '../src/errors.ts';
import { explainEntry } from '../src/explain.ts';
import { map } from '../src/map.ts';
import { readWord, SparseMemory, writeWord } from '../src/memory.ts';
import { createPaging } from '../src/paging.ts';
import { decodeRegister, encodeRegister } from '../src/register.ts';
import { createSpace } from '../src/space.ts';
import { split } from '../src/split.ts';
import { Tlb } from '../src/tlb.ts';
import { Translator } from '../src/translator.ts';
import { access, translate, walk } from '../src/walk.ts';
import { miniFormat, miniGeometry } from './formats.ts';
import { ask, LOOK, MINI, mapped } from './mini-bed.ts';
import { bed, refused, thrownBy } from './model.ts';

/** What a caller without types may pass. */
// biome-ignore lint/suspicious/noExplicitAny: the point is that nothing fits
type Anything = any;

const WRONG: readonly Anything[] = [0x1000, 0, -1, Number.NaN, 1.5, '0x1000', '', null, undefined, {}, [], true];

describe('checkBigints', () => {
  it('names the first argument that is none, with its value', () => {
    expect(() => checkBigints({ va: 1n, pa: 0x9000_0000, bytes: 5 })).toThrow(
      'addresses, sizes and words are bigints, such as 0x1000n: pa 0x90000000 [not-bigint]',
    );
    expect(() => checkBigints({ va: '0x10' })).toThrow('va string 0x10 [not-bigint]');
    expect(() => checkBigints({ va: undefined })).toThrow('va undefined [not-bigint]');
    expect(() => checkBigints({ va: Object.create(null) as unknown })).toThrow('va object [not-bigint]');
    expect(() => checkBigints({ va: 0n })).not.toThrow();
  });
});

describe('arguments that are no bigints', () => {
  const paging = createPaging(miniFormat, miniGeometry(3));
  const attributes = LOOK;
  const register = { name: 'r', bits: 32, title: 'r', fields: [] } as const;

  it.each(WRONG)('%s are refused everywhere', (wrong: Anything) => {
    const made = mapped(0n, 0x1000n);
    const { space } = made;
    const request = { kind: 'read', privilege: 'user' } as const;
    const doors: Record<string, () => unknown> = {
      translate: () => translate(space, wrong),
      walk: () => walk(space, wrong),
      access: () => access(space, wrong, request, { apply: true }),
      'map va': () => map(space, { va: wrong, pa: 0n, bytes: 0x1000n, attributes }),
      'map pa': () => map(space, { va: 0n, pa: wrong, bytes: 0x1000n, attributes }),
      'map bytes': () => map(space, { va: 0n, pa: 0n, bytes: wrong, attributes }),
      unmap: () => unmap(space, { start: wrong, end: 0x1000n }),
      'unmap end': () => unmap(space, { start: 0n, end: wrong }),
      protect: () => protect(space, { start: wrong, end: 0x1000n }, { fields: {} }),
      split: () => split(space, { start: 0n, end: wrong } as Anything),
      createSpace: () => createSpace(space.memory, { paging, address: wrong }),
      readWord: () => readWord(space.memory, wrong),
      writeWord: () => writeWord(space.memory, wrong, 0n),
      'writeWord value': () => writeWord(space.memory, 0n as Anything, wrong),
      SparseMemory: () => new SparseMemory([{ start: wrong, end: 0x1000n }]),
      Translator: () => new Translator(space).translate(wrong),
      flushRange: () => new Tlb(space, { privilege: 'user' }).flushRange(wrong, 0x1000n),
      explainEntry: () => explainEntry(paging, 0, wrong),
      decodeRegister: () => decodeRegister(register, wrong),
      regions: () =>
        planTables([{ paging, address: 0n }], [{ name: 'a', va: wrong, pa: 0n, bytes: 0x1000n, attributes }]),
    };
    for (const [door, act] of Object.entries(doors)) {
      expect(refused(made, act).rule, door).toBe('not-bigint');
    }
  });

  it('are refused as attributes: a number has no fields, so it would map without any', () => {
    const made = bed(MINI);
    for (const wrong of [0xe7, null, true] as Anything[]) {
      const error = refused(made, () => map(made.space, ask(made, { attributes: wrong })));
      expect(error).toBeInstanceOf(AttributeError);
      expect(error.rule).toBe('attribute-kind');
    }
  });

  it('are refused in a change that names its fields directly: it would change nothing', () => {
    const made = mapped(0n, 0x1000n);
    const error = refused(made, () => protect(made.space, { start: 0n, end: 0x1000n }, { w: 0 } as Anything));
    expect(error).toBeInstanceOf(AttributeError);
    expect([error.rule, error.values]).toEqual(['attribute-change', { given: 'w' }]);
  });

  it('are refused as values of fields', () => {
    const made = bed(MINI);
    for (const wrong of [undefined, null, '1', true, 'x'] as Anything[]) {
      const error = refused(made, () => map(made.space, ask(made, { attributes: { w: wrong } })));
      expect([error.rule, error.values.field]).toEqual(['attribute-width', 'w']);
    }
    const field = { name: 'f', bits: [[3, 0]], meaning: 'f' } as const;
    expect(() => encodeRegister({ ...register, fields: [field] }, { f: 'x' as Anything })).toThrow('[register-field]');
  });

  it('become bigints where an address may be a number: both ends of a bump area', () => {
    const { range } = new BumpAllocator(0x1000 as Anything, 0x2000 as Anything);
    expect(range).toEqual({ start: 0x1000n, end: 0x2000n });
  });
});

describe('words', () => {
  it('have 4 or 8 bytes', () => {
    const memory = new SparseMemory([{ start: 0n, end: 0x1000n }]);
    for (const bytes of [0, 2, 16, Number.NaN] as Anything[]) {
      for (const act of [
        () => readWord(memory, 0n as Anything, bytes),
        () => writeWord(memory, 0n as Anything, 0n, bytes),
      ]) {
        const error = thrownBy(act);
        expect(error).toBeInstanceOf(MemoryError);
        expect(error.rule).toBe('word-bytes');
      }
    }
  });

  it('of a table are no wider than a slot', () => {
    const paging = createPaging(miniFormat, miniGeometry(3));
    for (const entry of [-1n, 1n << BigInt(paging.format.entryBytes * 8)]) {
      const error = thrownBy(() => explainEntry(paging, 0, entry));
      expect(error).toBeInstanceOf(ArgumentError);
      expect(error.rule).toBe('entry-width');
    }
  });
});
