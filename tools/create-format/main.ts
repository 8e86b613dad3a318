/**
 * `pnpm create-format NAME`: a package for a new format, with a minimal format that passes the conformance kit. What to
 * do with it is in docs/write-a-format.md.
 */
import { createFormat } from './create.ts';

const [name, ...rest] = process.argv.slice(2).filter((word) => word !== '--');
if (name === undefined || name.startsWith('-') || rest.length > 0) {
  console.error('error: name one format: pnpm create-format NAME');
  process.exit(2);
}
try {
  for (const file of createFormat(name, 'packages')) console.log(`packages/${file}`);
  const run = `pnpm vitest run packages/${name}`;
  console.log(`
Now:
  ${'pnpm install'.padEnd(run.length)}  links the new package
  ${run}  the kit passes; make it stay so
docs/write-a-format.md goes through it step by step, to how tools find it.`);
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
