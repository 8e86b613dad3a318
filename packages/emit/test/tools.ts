/** Tools of the host that some tests need. */
import { execFileSync } from 'node:child_process';

const told = new Set<string>();

/** Is a tool missing? Says so once. */
export function toolMissing(...names: string[]): boolean {
  for (const name of names) {
    try {
      execFileSync(name, ['--version'], { stdio: 'ignore' });
    } catch {
      if (!told.has(name)) console.log(`skipped: this host has no ${name}`);
      told.add(name);
      return true;
    }
  }
  return false;
}

/** Runs a tool; gives what it printed. */
export function runTool(name: string, args: readonly string[]): string {
  return execFileSync(name, args, { encoding: 'utf8' });
}
