export * from './access.ts';
export * from './architecture.ts';
export * from './attributes.ts';
export * from './format.ts';
export * from './modes.ts';
export * from './satp.ts';
