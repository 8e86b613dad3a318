/**
 * Memory images from files, read on demand. Everything that needs no files is in `@pagefold/image`.
 */
export { ImageFile, type ImageFilePart, type ImageInput, type OpenOptions, openImage } from './open-image.ts';
