import { runConformance } from '@pagefold/conformance';
import { test } from 'vitest';
import { RISCV_MODES, type RiscvFeature, riscvPaging } from '../src/index.ts';

const extensions: readonly (readonly RiscvFeature[])[] = [
  [],
  ['svnapot'],
  ['svpbmt'],
  ['svnapot', 'svpbmt'],
  ['xtheadmae'],
];

const rwx = { r: 1, w: 1, x: 1, a: 1, d: 1 };
const plain = [{ r: 1 }, { x: 1, u: 1, a: 1 }, { ...rwx, u: 1, g: 1, rsw: 3 }, 0xc7n];

for (const mode of RISCV_MODES) {
  for (const features of mode === 'sv32' ? [[]] : extensions) {
    const svpbmt = features.includes('svpbmt')
      ? [
          { ...rwx, pbmt: 1 },
          { r: 1, pbmt: 2 },
        ]
      : [];
    const thead = features.includes('xtheadmae')
      ? [
          { ...rwx, c: 1, b: 1, sh: 1 },
          { r: 1, so: 1, sh: 1 },
        ]
      : [];
    const paging = riscvPaging(mode, features);
    const name = [mode, ...features].join(' ');
    runConformance({ name, paging, attributes: [...plain, ...svpbmt, ...thead] }, { test });
  }
}
