import { runConformance } from '@pagefold/conformance';
import { test } from 'vitest';
import { type X86Feature, x86Paging } from '../src/index.ts';

const sets: readonly (readonly X86Feature[])[] = [[], ['nx'], ['nx', 'gbpages'], ['nx', 'gbpages', 'pk', 'amd']];
const plain = [{ p: 1, rw: 1, us: 1, a: 1, d: 1 }, { avl: 5, pcd: 1 }, { rw: 1, g: 1, pat: 1, pwt: 1 }, 0x63n];

for (const levels of [4, 5] as const) {
  for (const features of sets) {
    const nx = features.includes('nx') ? [{ nx: 1, rw: 1 }] : [];
    const pk = features.includes('pk') ? [{ pk: 9, us: 1 }] : [{ avl_keys: 3 }];
    const paging = x86Paging(levels, { features, paBits: features.length === 4 ? 46 : 52 });
    runConformance(
      { name: `${levels} levels ${features.join(' ')}`, paging, attributes: [...plain, ...nx, ...pk], effort: 0.4 },
      { test },
    );
  }
}
