export * from './copy.ts';
export * from './idmap-page.ts';
export * from './kexec-plan.ts';
