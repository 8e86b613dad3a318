#!/usr/bin/env node
import { run } from './main.ts';

// Whoever reads our output may stop early (`pagefold dump … | head`): that is no error of ours.
function ended(error: NodeJS.ErrnoException): never {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
}
process.stdout.on('error', ended);

process.exitCode = await run(process.argv.slice(2), {
  out(text) {
    process.stdout.write(text);
    // A command prints without returning to the event loop: it would never hear of the event.
    if (process.stdout.errored !== null) ended(process.stdout.errored);
  },
  err: (text) => void process.stderr.write(text),
});
