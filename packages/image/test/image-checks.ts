/**
 * What the tests of images share.
 */
import { type Memory, phys, readWord } from '@pagefold/core';
import { expect } from 'vitest';
import { ImageError, type ImageRule } from '../src/index.ts';
import { type BuiltSegment, groupAt } from './elf-builder.ts';

/** Runs something that must fail with an `ImageError` of a rule, and gives the error. */
export function failsWith(rule: ImageRule, run: () => unknown): ImageError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(ImageError);
    const imageError = error as ImageError;
    expect(imageError.rule).toBe(rule);
    return imageError;
  }
  throw new Error(`no ${rule}`);
}

/** The same for promises. */
export async function rejectsWith(rule: ImageRule, promise: Promise<unknown>): Promise<ImageError> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  return failsWith(rule, () => {
    if (outcome !== undefined) throw outcome;
  });
}

/** Runs something that may only succeed or throw an `ImageError`; its result, or the error's rule. */
export function onlyImageErrors<T>(run: () => T): T | string {
  try {
    return run();
  } catch (error) {
    if (error instanceof ImageError) return error.rule;
    throw error;
  }
}

/** The groups of 8 bytes at and around every edge of every segment, and some inside. */
export function interestingGroups(segments: readonly BuiltSegment[]): bigint[] {
  const groups = new Set<bigint>();
  for (const { physical, data, zeros = 0n } of segments) {
    const length = BigInt(data.length) + zeros;
    for (const edge of [0n, BigInt(data.length), length, length / 2n, 4096n, 8192n]) {
      for (const near of [-16n, -8n, 0n, 8n, 16n]) groups.add((physical + edge + near) & ~7n);
    }
  }
  return [...groups].filter((group) => group >= 0n && group < 1n << 56n);
}

/** Compares a memory with the reference at some groups, and checks what core demands of windows. */
export function compareWithReference(
  memory: Memory,
  segments: readonly BuiltSegment[],
  groups: readonly bigint[],
): void {
  for (const group of groups) {
    const expected = groupAt(segments, group);
    for (const half of [0, 4]) {
      // Above 2^55 only multiples of 8 are exact numbers.
      if (BigInt(Number(group) + half) !== group + BigInt(half)) continue;
      const window = memory.window(Number(group) + half);
      expect(window !== undefined, `memory at ${group.toString(16)}`).toBe(expected !== undefined);
      if (window === undefined) continue;
      expect(window.base % 8).toBe(0);
      expect(window.words.length % 2).toBe(0);
      const index = (Number(group) + half - window.base) / 4;
      expect(index).toBeGreaterThanOrEqual(0);
      expect(index).toBeLessThan(window.words.length);
    }
    if (expected !== undefined) expect(readWord(memory, phys(group))).toBe(expected);
  }
}
