/** The command behind `pnpm vectors`: arguments, output, exit code. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import pc from 'picocolors';
import { readVectorFile, type VectorFile } from './files.ts';
import { type GroupOutcome, replayGroup } from './replay.ts';

const USAGE = `usage: pnpm vectors [PATH...] [--groups A,B] [--all]
  PATH          vector files, or folders of them (not given: those of the packages' own tests)
  --groups A,B  only these groups
  --all         every failure, in full length`;

/** Failures shown for a group, and characters of each, without `--all`. */
const SHOWN = 5;
const WIDTH = 400;

/** Takes one line of output. */
export type Print = (line: string) => void;

interface Arguments {
  readonly files: readonly VectorFile[];
  readonly paths: readonly string[];
  /** `undefined`: all. */
  readonly groups: readonly string[] | undefined;
  readonly all: boolean;
}

/** The vector files of a folder. */
function vectorsIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => join(folder, name));
}

/** The vector files that the packages' tests have. */
function ownVectors(): string[] {
  const packages = new URL('../../packages', import.meta.url).pathname;
  return readdirSync(packages)
    .map((name) => join(packages, name, 'test/vectors'))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => vectorsIn(relative(process.cwd(), folder)));
}

/** The vector files that a path names. */
function vectorsAt(path: string): string[] {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return [path];
  const found = vectorsIn(path);
  if (found.length === 0) throw new Error(`no .json files in the folder ${path}`);
  return found;
}

/** @throws Error with one clear line if the arguments make no sense */
function argumentsOf(words: readonly string[]): Arguments | 'help' {
  const { values, positionals } = parseArgs({
    args: words.filter((word) => word !== '--'),
    allowPositionals: true,
    options: {
      groups: { type: 'string' },
      all: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const paths = positionals.length === 0 ? ownVectors() : positionals.flatMap(vectorsAt);
  const files = paths.map(readVectorFile);
  const groups = values.groups?.split(',').map((name) => name.trim());
  const known = new Set(files.flatMap((file) => file.groups));
  for (const name of groups ?? []) {
    if (!known.has(name)) throw new Error(`no group "${name}" here; there are ${[...known].join(', ')}`);
  }
  return { files, paths, groups, all: values.all };
}

function report({ group, passed, failed, unknown, failures }: GroupOutcome, all: boolean, print: Print): void {
  const text = `${group}: ${passed} passed, ${failed} failed${unknown ? ' (no replayer)' : ''}`;
  print(failed === 0 ? pc.green(text) : pc.red(text));
  for (const { id, why } of all ? failures : failures.slice(0, SHOWN)) {
    print(`  ${id}: ${all || why.length <= WIDTH ? why : `${why.slice(0, WIDTH)}…`}`);
  }
  if (!all && failures.length > SHOWN) print(`  … and ${failures.length - SHOWN} more (--all shows them)`);
}

function run({ files, paths, groups, all }: Arguments, print: Print): number {
  let passed = 0;
  let failed = 0;
  files.forEach((file, i) => {
    print(`${paths[i]} (${file.kind})`);
    for (const name of file.groups) {
      if (groups !== undefined && !groups.includes(name)) continue;
      const replayer = Object.hasOwn(file.replayers, name) ? file.replayers[name] : undefined;
      const outcome = replayGroup(name, file.content, replayer);
      report(outcome, all, print);
      passed += outcome.passed;
      failed += outcome.failed;
    }
  });
  print(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

/**
 * Replays what the arguments name.
 * @param words the arguments
 * @param print told of every line of output
 * @param complain told of what is wrong with the arguments, in one line
 * @returns the exit code: 0 if all passed, 1 if any failed (also those that nobody can replay), 2 for bad arguments
 */
export function vectorsCommand(words: readonly string[], print: Print, complain: Print): number {
  try {
    const args = argumentsOf(words);
    if (args !== 'help') return run(args, print);
    print(USAGE);
    return 0;
  } catch (error) {
    // Node's own message about an unknown option goes on with advice that does not fit here.
    complain(`error: ${error instanceof Error ? error.message.split(/\n|\. /)[0] : String(error)}`);
    return 2;
  }
}
