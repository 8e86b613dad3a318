export * from './entries.ts';
export * from './hot-remove.ts';
export * from './huge-pages.ts';
export * from './ptdump.ts';
export * from './set-memory.ts';
export * from './vmap.ts';
