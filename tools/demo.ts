/** `pnpm demo`: reads the page tables of a real RISC-V Linux kernel that the repository ships, as a user would. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '@pagefold/cli';
import pc from 'picocolors';

const capture = new URL('./fixtures/riscv64-sv48-6.12/', import.meta.url).pathname;
const facts = JSON.parse(readFileSync(`${capture}registers.json`, 'utf8')) as {
  kernel_version: string;
  symbols: Record<string, string>;
  values: { kernel_map: Record<string, string> };
};
const target = ['--image', `${capture}tables.elf.gz`, '--registers', `${capture}registers.json`, '--root', 'kernel'];

/** Names for the map: places that the kernel itself reports. */
const markers: readonly [string | undefined, string][] = [
  [facts.values.kernel_map.page_offset, 'Linear mapping'],
  [facts.values.kernel_map.virt_addr, 'Kernel mapping'],
];

async function show(title: string, args: readonly string[]): Promise<void> {
  const words = args.map((word) => word.replace(capture, ''));
  console.log(`\n${pc.bold(title)}\n${pc.dim(`$ pagefold ${words.join(' ')}`)}`);
  const code = await run(args, {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
  });
  if (code !== 0) process.exit(code);
}

const scratch = mkdtempSync(join(tmpdir(), 'pagefold-demo-'));
try {
  const names = join(scratch, 'markers');
  writeFileSync(names, markers.map(([at, name]) => `${at} ${name}`).join('\n'));
  console.log(`Page tables of Linux ${facts.kernel_version}, Sv48, taken out of a running machine.`);
  await show('What the kernel maps', ['dump', ...target, '--markers', names]);
  const symbols = ['_start', '_etext', 'swapper_pg_dir', 'init_task', 'kernel_map'].map(
    (name) => facts.symbols[name] as string,
  );
  await show('A handful of kernel addresses', ['translate', ...target, ...symbols, '0xffffffffdeadb000']);
  await show('One of them through every table', ['walk', ...target, facts.symbols.init_task as string]);
  await show('May user mode read it?', ['access', ...target, '--privilege', 'user', facts.symbols.init_task as string]);
  await show('And the register that says where the root is', [
    'explain',
    'satp',
    '0x9000000000081fca',
    '--arch',
    'riscv',
  ]);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
