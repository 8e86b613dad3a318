/** Runs the command as a user does: arguments in, text and exit code out. */
import { run } from '../src/index.ts';

/** What a command left behind. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A line of JSON output. */
export type Line = Record<string, unknown>;

/** Runs a command. */
export async function pagefold(...args: string[]): Promise<Outcome> {
  const got = { out: '', err: '' };
  const code = await run(args, {
    out: (text) => {
      got.out += text;
    },
    err: (text) => {
      got.err += text;
    },
  });
  return { code, ...got };
}

/** The objects of JSON output, one a line. */
export function jsonLines(out: string): Line[] {
  return out
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
}

/** Runs a command; with `--json` its output is parsed too. */
export async function pagefoldLines(...args: string[]): Promise<Outcome & { readonly lines: Line[] }> {
  const outcome = await pagefold(...args);
  return { ...outcome, lines: args.includes('--json') ? jsonLines(outcome.out) : [] };
}
