export { run } from './main.ts';
export type { Output } from './output.ts';
export { architectureNamed, architectures } from './registry.ts';
