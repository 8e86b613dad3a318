/**
 * House rules that no linter knows: core names no architecture; core and the architecture packages import no Node
 * built-in, depend on nothing else at run time and not on each other; files stay short; every package carries the licence
 * and says what it is; no machine's paths anywhere.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const problems: string[] = [];

/** Packages that must run in a browser, with the packages of ours that they may import at run time. */
const PURE: Readonly<Record<string, readonly string[]>> = {
  core: [],
  riscv: ['@pagefold/core'],
  arm: ['@pagefold/core'],
  'x86-64': ['@pagefold/core'],
  arm64: ['@pagefold/core'],
  conformance: ['@pagefold/core'],
  emit: ['@pagefold/core'],
};
const ARCHITECTURE = /\b(risc-?v\d*|sv(32|39|48|57)|arm(64|v[78])?|aarch64|lpae|lpa2|x86(-64)?|satp|ttbr\d?)\b/i;

function sources(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(directory, name));
}

/** Code without comments: prose may compare, code may not know. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' ')).replace(/\/\/.*$/gm, '');
}

for (const [name, allowed] of Object.entries(PURE)) {
  const folder = join(root, 'packages', name);
  if (!existsSync(join(folder, 'package.json'))) continue;
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    dependencies?: Record<string, string>;
  };
  for (const dependency of Object.keys(manifest.dependencies ?? {})) {
    if (!allowed.includes(dependency)) problems.push(`packages/${name}: run-time dependency on ${dependency}`);
  }
  for (const file of sources(join(folder, 'src'))) {
    const text = readFileSync(file, 'utf8');
    const short = file.slice(root.length);
    for (const [, from] of text.matchAll(/from '([^'.][^']*)'/g)) {
      if (!allowed.includes(from as string)) problems.push(`${short}: imports ${from}`);
    }
    if (name !== 'core') continue;
    withoutComments(text)
      .split('\n')
      .forEach((line, i) => {
        const found = ARCHITECTURE.exec(line);
        if (found !== null) problems.push(`${short}:${i + 1}: core names an architecture: ${found[0]}`);
      });
  }
}

/** What a registry shows of a package, and what bundlers and package managers read. */
const MEMBERS = ['description', 'license', 'repository', 'keywords', 'engines', 'sideEffects', 'exports', 'files'];
const licence = readFileSync(join(root, 'LICENSE'), 'utf8');
for (const name of readdirSync(join(root, 'packages'))) {
  const manifest = join(root, 'packages', name, 'package.json');
  if (!existsSync(manifest)) continue;
  const members = JSON.parse(readFileSync(manifest, 'utf8')) as Record<string, unknown>;
  for (const member of MEMBERS) if (!(member in members)) problems.push(`packages/${name}: no ${member}`);
  const file = join(root, 'packages', name, 'LICENSE');
  // A copy, because packing takes files of the package's own folder only, and no links.
  if (!existsSync(file) || readFileSync(file, 'utf8') !== licence) {
    problems.push(`packages/${name}: LICENSE is not that of the repository`);
  }
}

const tracked = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).split('\n').filter(Boolean);
for (const file of tracked) {
  if (!/\.(ts|md|json|ya?ml|c|sh)$/.test(file) || /fixtures|vectors\//.test(file) || !existsSync(join(root, file)))
    continue;
  const found = /(?:^|[\s"'(=])(\/(?:home|root|work|Users)\/[\w.-]+)/m.exec(readFileSync(join(root, file), 'utf8'));
  if (found !== null) problems.push(`${file}: a path of a machine: ${found[1]}`);
}

const MAX_LINES = 400;
for (const file of tracked) {
  if (!file.endsWith('.ts') || !existsSync(join(root, file))) continue;
  const lines = readFileSync(join(root, file), 'utf8').split('\n').length - 1;
  if (lines > MAX_LINES) problems.push(`${file}: ${lines} lines, more than ${MAX_LINES}`);
}

for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? 'house rules: kept' : `house rules: ${problems.length} broken`);
process.exitCode = problems.length === 0 ? 0 : 1;
