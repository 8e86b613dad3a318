/**
 * `pnpm bench`: our speed beside plain C, job by job, in alternating runs. What is measured are the built packages, as
 * those who install them run them.
 *
 * `--quick`: fewer rounds. `--json`: machine-readable. `--only=TEXT`: jobs whose titles have that text.
 */
import { type HostMemory, MEMORY_ONLY, measureHere, measureHostMemory } from './host-memory.ts';
import { allJobs, type Job } from './jobs.ts';
import { Reference } from './reference.ts';
import { digits, type Spread, spreadOf, spreadText } from './statistics.ts';

/** Milliseconds that a job runs before it is measured. */
const WARM_UP = 500;

/** Nanoseconds an operation, and how they compare. */
interface Row {
  readonly title: string;
  readonly unit: string;
  readonly ours: Spread | undefined;
  readonly reference: Spread | undefined;
  /** Our speed relative to C, from the runs of each round. */
  readonly ratio: Spread | undefined;
  readonly target: number | undefined;
}

/** Runs a job until the compiler has seen it often enough: short jobs need more runs than long ones. */
function warmUp(job: Job): void {
  const started = performance.now();
  for (let i = 0; i < 3 || performance.now() - started < WARM_UP; i++) job.run();
}

function measure(job: Job, reference: Reference | undefined, rounds: number): Row[] {
  const { operations, title, unit, target, also } = job;
  const name = reference === undefined ? undefined : job.reference;
  const ours: number[] = [];
  const theirs: number[] = [];
  const others: number[] = [];
  warmUp(job);
  for (let round = 0; round < rounds; round++) {
    job.run(); // Not counted: caches hold what C left in them. The program in C does the same.
    const outcome = job.run();
    ours.push(outcome.nanoseconds / operations);
    if (reference === undefined || name === undefined) continue;
    const { nanoseconds, check } = reference.run(name);
    theirs.push(nanoseconds / operations);
    if (check !== outcome.check()) throw new Error(`${title}: C computed something else`);
    if (also === undefined) continue;
    const other = reference.run(also.reference);
    others.push(other.nanoseconds / operations);
    if (check !== other.check) throw new Error(`${also.title}: computed something else`);
  }
  const compare = (list: readonly number[]): Pick<Row, 'reference' | 'ratio'> => ({
    reference: list.length === 0 ? undefined : spreadOf(list),
    ratio: list.length === 0 ? undefined : spreadOf(list.map((value, i) => value / (ours[i] as number))),
  });
  const rows: Row[] = [{ title, unit, target, ours: spreadOf(ours), ...compare(theirs) }];
  if (also !== undefined && others.length > 0) {
    rows.push({ title: `  ${also.title}`, unit, target: undefined, ours: undefined, ...compare(others) });
  }
  return rows;
}

function table(rows: readonly Row[]): string {
  const cells = rows.map(({ title, unit, ours, reference, ratio, target }) => [
    title,
    ours === undefined ? '' : spreadText(ours),
    reference === undefined ? '' : spreadText(reference),
    `ns a ${unit}`,
    ratio === undefined ? '' : spreadText(ratio),
    target === undefined ? '' : `${target}`,
  ]);
  const all = [['median (min..max)', 'ours', 'C -O2', '', 'ours/C speed', 'target'], ...cells];
  const widths = (all[0] as string[]).map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  return all
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))))
    .map((row) => row.join('  ').trimEnd())
    .join('\n');
}

function memoryText({ tables, backing, arrays, resident }: HostMemory): string {
  const share = (bytes: number): string => digits(bytes / tables);
  return [
    `host bytes for each byte of tables after the mapping: ${share(backing)} backing (target 1.1),`,
    `${share(arrays)} in typed arrays, ${share(resident)} resident`,
  ].join(' ');
}

function main(options: readonly string[]): void {
  if (options.includes(MEMORY_ONLY)) {
    process.stdout.write(JSON.stringify(measureHere()));
    return;
  }
  const unknown = options.find((option) => !/^--(quick|json|only=.*)$/.test(option));
  if (unknown !== undefined) throw new Error(`unknown option ${unknown}; there are --quick, --json, --only=TEXT`);
  const only = options.find((option) => option.startsWith('--only='))?.slice('--only='.length) ?? '';
  const rounds = options.includes('--quick') ? 3 : 7;
  const compiled = Reference.compile();
  const reference = typeof compiled === 'string' ? undefined : compiled;
  if (typeof compiled === 'string') process.stderr.write(`${compiled}\n`);
  try {
    const rows = allJobs()
      .filter(({ title }) => title.includes(only))
      .flatMap((job) => measure(job, reference, rounds));
    const memory = measureHostMemory();
    if (options.includes('--json')) {
      process.stdout.write(`${JSON.stringify({ node: process.version, rounds, rows, memory }, undefined, 2)}\n`);
    } else {
      process.stdout.write(`${table(rows)}\n\n${memoryText(memory)}\n`);
    }
  } finally {
    reference?.remove();
  }
}

main(process.argv.slice(2));
