import { phys, readWord } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import { armBoot, bootArmKernel } from '../src/index.ts';
import { debian } from './machines.ts';

/** All words that are not zero in some pages. */
function wordsIn(memory: Parameters<typeof readWord>[0], start: bigint, bytes: bigint): Record<string, string> {
  const found: Record<string, string> = {};
  for (let at = start; at < start + bytes; at += 4n) {
    const word = readWord(memory, phys(at), 4);
    if (word !== 0n) found[at.toString(16)] = word.toString(16);
  }
  return found;
}

/** Rows of words that count up: first slot, first word, number, step. */
function rows(...list: readonly (readonly [number, number, number, number?])[]): Record<string, string> {
  return Object.fromEntries(
    list.flatMap(([slot, word, count, step = 0]) =>
      Array.from({ length: count }, (_, i) => [(slot + 4 * i).toString(16), (word + step * i).toString(16)]),
    ),
  );
}

const ROOT = 0x4020_4000n;
const MIB = 0x10_0000;

describe('the boot of Debian’s 6.12 kernel with short descriptors, against what was read from a machine', () => {
  it('makes sections: the code that switches the MMU on, the kernel, the device tree', () => {
    const { memory, registers } = armBoot.boot(debian(), { stage: 'start_kernel' });
    expect(wordsIn(memory, ROOT, 0x4000n)).toEqual(
      rows([0x4020500c, 0x40311c0e, 1], [0x40207000, 0x40011c0e, 25, MIB], [0x40207fe0, 0x48011c0e, 2, MIB]),
    );
    expect(registers).toMatchObject({ TTBR0: 0x4020_406an, TTBCR: 0n, DACR: 0x51n });
  });

  it('links the fixmap’s table before paging_init', () => {
    const { memory, warnings } = armBoot.boot(debian(), { stage: 'paging_init' });
    expect(wordsIn(memory, ROOT, 0x4000n)).toEqual(
      rows(
        [0x4020500c, 0x40311c0e, 1],
        [0x40207000, 0x40011c0e, 25, MIB],
        [0x40207fe0, 0x48011c0e, 2, MIB],
        [0x40207ff8, 0x414ac811, 2, 0x400],
      ),
    );
    expect(wordsIn(memory, 0x414a_c000n, 0x1000n)).toEqual({});
    expect(warnings).toEqual([]);
  });

  it('maps low memory, vectors and device tree, software copies included', () => {
    const { memory, tables } = armBoot.boot(debian(), { stage: 'after_paging_init' });
    expect(wordsIn(memory, ROOT, 0x4000n)).toEqual(
      rows(
        [0x40206ff8, 0x6fffb811, 2, 0x400],
        [0x40207000, 0x4001140e, 22, MIB],
        [0x40207058, 0x4161141e, 746, MIB],
        [0x40207fe0, 0x4801941e, 2, MIB],
        [0x40207ff0, 0x6fffa811, 2, 0x400],
        [0x40207ff8, 0x6fffd861, 2, 0x400],
      ),
    );
    expect(wordsIn(memory, 0x6fff_d000n, 0x1000n)).toEqual(
      rows(
        [0x6fffd7c0, 0x6fffe5df, 1],
        [0x6fffd7c4, 0x6ffff4df, 1],
        [0x6fffdfc0, 0x6fffe67e, 1],
        [0x6fffdfc4, 0x6ffff65e, 1],
      ),
    );
    expect(tables.map(({ address }) => address)).toEqual([
      ROOT,
      ...[0x6fff_b800n, 0x6fff_bc00n, 0x6fff_a800n, 0x6fff_ac00n, 0x6fff_d800n, 0x6fff_dc00n],
    ]);
  });

  it('says what it had to assume', () => {
    const { warnings, tables } = armBoot.boot(debian({ bm_pte: undefined }), { stage: 'paging_init' });
    expect(warnings).toEqual(['the symbols have no bm_pte: it is put behind the end of the kernel']);
    expect(tables.at(-1)?.symbol).toBe('bm_pte');
  });

  it('refuses stages that do not exist and descriptions that lack what it needs', () => {
    expect(() => bootArmKernel(debian(), { stage: 'nowhere' })).toThrow('[boot-stage]');
    expect(() => bootArmKernel({ kernel: {} }, { stage: 'start_kernel' })).toThrow('[description-ram]');
    expect(() => bootArmKernel(debian({ _text: undefined }), { stage: 'start_kernel' })).toThrow('[symbol]');
  });
});
