/** Compiling and running the C side. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { kernelRoot, kernelTables } from './jobs.ts';

/** One run of the C program. */
export interface ReferenceOutcome {
  readonly nanoseconds: number;
  readonly check: string;
}

/** The compiled reference. */
export class Reference {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Compiles `reference.c`; answers why not if there is no compiler that can. */
  static compile(): Reference | string {
    const directory = mkdtempSync(join(tmpdir(), 'pagefold-bench-'));
    const source = fileURLToPath(new URL('reference.c', import.meta.url));
    const result = spawnSync('cc', ['-O2', '-o', join(directory, 'reference'), source], { encoding: 'utf8' });
    if (result.status === 0) {
      writeFileSync(join(directory, 'kernel.elf'), kernelTables());
      return new Reference(directory);
    }
    rmSync(directory, { recursive: true });
    const reason = result.error === undefined ? result.stderr.trim().split('\n')[0] : result.error.message;
    return `no C compiler to compare with (cc -O2: ${reason})`;
  }

  /** Runs one job in a process of its own. */
  run(job: string): ReferenceOutcome {
    const inputs = [join(this.#directory, 'kernel.elf'), kernelRoot().toString(16)];
    const result = spawnSync(join(this.#directory, 'reference'), [job, ...inputs], { encoding: 'utf8' });
    const [nanoseconds, check] = result.stdout?.trim().split(' ') ?? [];
    if (result.status !== 0 || nanoseconds === undefined || check === undefined) {
      throw new Error(`reference ${job} failed: ${result.error?.message ?? result.stderr}`);
    }
    return { nanoseconds: Number(nanoseconds), check };
  }

  /** Removes what {@link compile} made. */
  remove(): void {
    rmSync(this.#directory, { recursive: true });
  }
}
