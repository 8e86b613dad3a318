/** KASAN's shadow, early and final. */
export { kasanEarlyInit, kasanSwapperInit } from './early.ts';
export { kasanInit } from './init.ts';
export { KASAN_PAGES, type KasanPage, withKasanPages } from './symbols.ts';
