/**
 * `pnpm kernels [DIR...]`: asks Pagefold every question that the oracle of a capture answers, and compares. A folder may
 * be a capture or hold captures; without any, those in `tools/fixtures` are taken.
 *
 * Early captures with a `boot.json` are rebuilt from that description too, and the tables compared byte by byte.
 *
 * A capture is a folder with `registers.json` (roots), `tables.elf.gz` (the page-table pages) and `oracle.jsonl.gz`
 * (`{"va","pa"|null,"root","source"}`: what the emulator's own MMU, or the kernel, answered).
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import pc from 'picocolors';
import { canRebuild, type Rebuilt, rebuild } from './rebuild.ts';
import { type RootAgreement, replayOracle } from './replay.ts';

const SHOWN = 10;

function report(name: string, roots: readonly RootAgreement[]): number {
  let wrong = 0;
  for (const { root, agreed, total, disagreements, passed } of roots) {
    const percent = total === 0 ? '-' : `${((100 * agreed) / total).toFixed(2)} %`;
    const text = `${name.padEnd(48)} ${root.padEnd(20)} ${String(agreed).padStart(6)}/${total} ${percent}`;
    console.log(agreed === total ? pc.green(text) : pc.red(text));
    for (const { va, expected, got } of disagreements.slice(0, SHOWN)) {
      console.log(`    ${va}: expected ${expected ?? 'not mapped'}, got ${got ?? 'not mapped'}`);
    }
    if (disagreements.length > SHOWN) console.log(`    … and ${disagreements.length - SHOWN} more`);
    for (const note of passed) console.log(`    ${note}`);
    wrong += total - agreed;
  }
  return wrong;
}

/** Tables that were made from the capture's description, against the real ones. */
function reportRebuilt(name: string, roots: readonly Rebuilt[]): number {
  for (const { root, what, agreed, total, differences } of roots) {
    const text = `${name.padEnd(48)} rebuild ${root} ${agreed}/${total} ${what}`;
    console.log(agreed === total ? pc.green(text) : pc.red(text));
    for (const difference of differences.slice(0, SHOWN)) console.log(`    ${difference}`);
    if (differences.length > SHOWN) console.log(`    … and ${differences.length - SHOWN} more`);
  }
  return roots.reduce((sum, { agreed, total }) => sum + total - agreed, 0);
}

const FIXTURES = new URL('../fixtures', import.meta.url).pathname;

const isCapture = (path: string): boolean => existsSync(join(path, 'registers.json'));

/** The captures that a path means. A file beside captures (`kernels/*` names a README too) means none. */
function capturesAt(path: string): string[] {
  if (!existsSync(path)) {
    console.error(`error: ${path}: no such folder`);
    process.exit(2);
  }
  if (!statSync(path).isDirectory()) {
    console.log(`${path}: passed over, not a folder`);
    return [];
  }
  if (isCapture(path)) return [path];
  const inside = readdirSync(path)
    .sort()
    .map((name) => join(path, name))
    .filter(isCapture);
  if (inside.length > 0) return inside;
  console.error(`error: ${path} holds no registers.json, nor a folder that does`);
  process.exit(2);
}

const words = process.argv.slice(2).filter((word) => word !== '--');
const directories = (words.length === 0 ? [FIXTURES] : words).flatMap(capturesAt);
let agreed = 0;
let wrong = 0;
for (const directory of directories) {
  try {
    const roots = await replayOracle(directory);
    wrong += report(basename(directory.replace(/\/+$/, '')), roots);
    agreed += roots.reduce((sum, root) => sum + root.agreed, 0);
    if (canRebuild(directory)) {
      const rebuilt = await rebuild(directory);
      wrong += reportRebuilt(basename(directory.replace(/\/+$/, '')), rebuilt);
      agreed += rebuilt.reduce((sum, root) => sum + root.agreed, 0);
    }
  } catch (error) {
    console.log(pc.red(`${basename(directory)}: ${error instanceof Error ? error.message : String(error)}`));
    wrong++;
  }
}
console.log(`${agreed} passed, ${wrong} failed`);
process.exitCode = wrong === 0 ? 0 : 1;
