/** What mapped tables cost the host, measured in a process of its own. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { mapped } from './jobs.ts';

/** The argument that makes the bench measure this and nothing else. */
export const MEMORY_ONLY = '--memory-only';

/** Bytes of host memory. */
export interface HostMemory {
  /** Bytes of the tables themselves. */
  readonly tables: number;
  /** Bytes that back the simulated memory, as it reports them. */
  readonly backing: number;
  /** Growth of the process's typed-array storage. */
  readonly arrays: number;
  /** Growth of the process's resident memory, after its garbage was collected. */
  readonly resident: number;
}

/** Maps in this process and looks at what it took. Best as the first thing that a process does. */
export function measureHere(): HostMemory {
  mapped(); // so that code and its compilation are paid for
  collect();
  const before = process.memoryUsage();
  const { memory, tableBytes } = mapped();
  collect();
  const after = process.memoryUsage();
  return {
    tables: tableBytes,
    backing: memory.hostBytes,
    arrays: after.arrayBuffers - before.arrayBuffers,
    resident: after.rss - before.rss,
  };
}

function collect(): void {
  const { gc } = globalThis as { gc?: () => void };
  for (let i = 0; i < 4; i++) gc?.();
}

/** Measures in a new process. */
export function measureHostMemory(): HostMemory {
  const script = fileURLToPath(new URL('main.ts', import.meta.url));
  const result = spawnSync(process.execPath, ['--expose-gc', ...process.execArgv, script, MEMORY_ONLY], {
    encoding: 'utf8',
  });
  if (result.status !== 0) throw new Error(`measuring memory failed: ${result.stderr}`);
  return JSON.parse(result.stdout) as HostMemory;
}
