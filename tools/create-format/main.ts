/**
 * `pnpm create-format NAME`: a package for a new format, with a minimal format that passes the conformance kit. What to
 * do with it is in docs/write-a-format.md.
 */
import { createFormat } from './create.ts';

const [name, ...rest] = process.argv.slice(2).filter((word) => word !== '--');
if (name === undefined || rest.length > 0) {
  console.error('error: name one format: pnpm create-format NAME');
  process.exit(2);
}
try {
  for (const file of createFormat(name, 'packages')) console.log(`packages/${file}`);
  console.log(`
Now:
  pnpm install                                          links the new package
  pnpm vitest run packages/${name}                      the kit passes; make it stay so
and when others shall find it: a line in packages/cli/src/registry.ts, a reference in tsconfig.json.
docs/write-a-format.md goes through it step by step.`);
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
