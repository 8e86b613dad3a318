/**
 * Draws the pictures of the guide, `docs/guide/img/*.svg`, from real boots and layouts. With `--check` it only compares,
 * and fails if a picture is out of date.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { arm64Stage1, stage1Geometry } from '@pagefold/arm64';
import { type BootResult, type Capture, createPaging, createSpace, walk } from '@pagefold/core';
import { entrySvg, layoutSvg, tablesSvg, walkSvg } from '@pagefold/emit';
import { riscv, riscvLayout, riscvPaging } from '@pagefold/riscv';

const folder = new URL('../docs/guide/img/', import.meta.url).pathname;
const captures = new URL('../packages/riscv/test/fixtures/', import.meta.url).pathname;
const description = JSON.parse(
  readFileSync(`${captures}riscv64-sv48-6.12-early-start_kernel/boot.json`, 'utf8'),
) as Capture;

function boot(stage: string, kasan = false): BootResult {
  if (riscv.boot === undefined) throw new Error('RISC-V has no boot to draw');
  return riscv.boot.boot(description, { stage, kasan });
}

function rootOf(result: BootResult, label: string): ReturnType<typeof createSpace> {
  const root = result.roots.find((candidate) => candidate.label === label);
  if (root === undefined) throw new Error(`no root ${label} at ${result.stage}`);
  return createSpace(result.memory, root);
}

const early = boot('start_kernel');
const final = boot('after_setup_vm_final');
const swapper = rootOf(final, 'swapper_pg_dir');
const kernel = 0xffff_ffff_8000_0000n;
const sv48 = riscvPaging('sv48', ['svnapot', 'svpbmt']);

/** 4K pages and 48 or 52 bits, upper half: without LPA2 and with it. */
const plain = createPaging(arm64Stage1['4K'], stage1Geometry({ granule: '4K', inputBits: 48, half: 'high' }));
const lpa2 = createPaging(
  arm64Stage1['4K'],
  stage1Geometry({ granule: '4K', inputBits: 52, half: 'high', outputBits: 52, features: ['lpa2'] }),
);

const pictures: Readonly<Record<string, string>> = {
  'riscv-trampoline': tablesSvg(rootOf(early, 'trampoline_pg_dir'), { title: 'trampoline_pg_dir' }),
  'riscv-early': tablesSvg(rootOf(early, 'early_pg_dir'), { title: 'early_pg_dir at start_kernel' }),
  'riscv-swapper': tablesSvg(swapper, { title: 'swapper_pg_dir after setup_vm_final' }),
  'riscv-kasan': tablesSvg(rootOf(boot('start_kernel', true), 'early_pg_dir'), { title: 'early_pg_dir with KASAN' }),
  'riscv-walk': walkSvg(walk(swapper, kernel + 0x123_4567n), sv48, {
    title: 'One kernel address through swapper_pg_dir',
  }),
  'riscv-leaf': entrySvg(sv48, 0, 'leaf', { title: 'A leaf entry' }),
  'arm64-page': entrySvg(plain, 0, 'page', { title: 'A page descriptor without LPA2' }),
  'arm64-page-lpa2': entrySvg(lpa2, 0, 'page', { title: 'A page descriptor with LPA2' }),
  'riscv-layout-sv39': layoutSvg(riscvLayout({ mode: 'sv39', kasan: true })),
  'riscv-layout-sv48': layoutSvg(riscvLayout({ mode: 'sv48', kasan: true })),
  'riscv-layout-sv57': layoutSvg(riscvLayout({ mode: 'sv57', kasan: true })),
};

const check = process.argv.includes('--check');
mkdirSync(folder, { recursive: true });
for (const [name, svg] of Object.entries(pictures)) {
  const path = `${folder}${name}.svg`;
  if (!check) writeFileSync(path, svg);
  else if (!existsSync(path) || readFileSync(path, 'utf8') !== svg) {
    console.error(`docs/guide/img/${name}.svg is out of date: run pnpm docs:pictures`);
    process.exitCode = 1;
  }
}
