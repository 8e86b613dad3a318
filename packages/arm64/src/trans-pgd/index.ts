export * from './idmap-page.ts';
