// The yardstick of the bench: the same jobs in plain C, as one would write them for Sv48 alone. No cleverness beyond
// that: a loop that fills leaf tables, a walk of four loads, a fold over a recursive visit.
//
// Usage: reference CASE [ELF ROOT]. Runs the job once untimed and once timed, and prints nanoseconds and a checksum
// that our side must match.
#define _GNU_SOURCE
#include <elf.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { V = 1, R = 2, W = 4, X = 8 };
#define RESERVED (UINT64_C(0x3ff) << 54)  // no Svpbmt, no Svnapot in the mapping and translating jobs
#define PPN(pte) ((pte) >> 10 & UINT64_C(0xfffffffffff))
#define UNMAPPED UINT64_MAX

// These agree with jobs.ts.
#define PAGES (UINT64_C(1) << 20)
#define CALLS (UINT64_C(1) << 17)
#define LOOKUPS (UINT64_C(4) << 20)
#define VA UINT64_C(0x4000000000)
#define PA UINT64_C(0x100000000)
#define ATTRIBUTES UINT64_C(0xe7)
#define TABLES UINT64_C(0x80000000)
#define TABLE_BYTES (UINT64_C(2056) * 4096)
#define SEED UINT32_C(0x9e3779b9)

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

// ---- physical memory: one bank of tables, handed out upwards ----

static uint8_t *bank;
static uint64_t next_table;

static uint64_t *host(uint64_t pa) { return (uint64_t *)(bank + (pa - TABLES)); }

static void new_bank(void) {
  bank = mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (bank == MAP_FAILED) abort();
  next_table = TABLES;
}

/// `fresh` memory is zero already; memory that held tables before must be cleared.
static uint64_t new_table(int fresh) {
  uint64_t pa = next_table;
  if (pa + 4096 > TABLES + TABLE_BYTES) abort();
  next_table += 4096;
  if (!fresh) memset(host(pa), 0, 4096);
  return pa;
}

static uint64_t *leaf_table(uint64_t root, uint64_t va, int fresh) {
  uint64_t table = root;
  for (int level = 3; level > 0; level--) {
    uint64_t *slot = host(table) + (va >> (12 + 9 * level) & 511);
    if (!(*slot & V)) *slot = new_table(fresh) >> 12 << 10 | V;
    table = PPN(*slot) << 12;
  }
  return host(table);
}

static void map_range(uint64_t root, uint64_t va, uint64_t pa, uint64_t bytes, uint64_t bits, int fresh) {
  uint64_t end = va + bytes;
  while (va < end) {
    uint64_t *table = leaf_table(root, va, fresh);
    uint64_t pte = pa >> 12 << 10 | bits;
    unsigned first = va >> 12 & 511, i = first;
    for (; i < 512 && va < end; i++, va += 4096, pte += 1 << 10) table[i] = pte;
    pa += (uint64_t)(i - first) * 4096;
  }
}

__attribute__((noinline)) static int map_page(uint64_t root, uint64_t va, uint64_t pa, uint64_t bits) {
  uint64_t *slot = leaf_table(root, va, 1) + (va >> 12 & 511);
  if (*slot & V) return -1;
  *slot = pa >> 12 << 10 | bits;
  return 0;
}

__attribute__((noinline)) static int change_page(uint64_t root, uint64_t va, uint64_t keep) {
  uint64_t *slot = leaf_table(root, va, 1) + (va >> 12 & 511);
  if (!(*slot & V)) return -1;
  *slot &= keep;
  return 0;
}

static void change_range(uint64_t root, uint64_t va, uint64_t bytes, uint64_t keep) {
  uint64_t end = va + bytes;
  while (va < end) {
    uint64_t *table = leaf_table(root, va, 1);
    for (unsigned i = va >> 12 & 511; i < 512 && va < end; i++, va += 4096) {
      if (table[i] & V) table[i] &= keep;
    }
  }
}

// ---- translating ----

static inline uint64_t walk(uint64_t root, uint64_t va) {
  int64_t top = (int64_t)va >> 47;
  if (top != 0 && top != -1) return UNMAPPED;
  uint64_t table = root;
  for (int level = 3; level >= 0; level--) {
    uint64_t pte = host(table)[va >> (12 + 9 * level) & 511];
    if (!(pte & V) || (pte & (R | W)) == W || (pte & RESERVED)) return UNMAPPED;
    if (pte & (R | X)) {
      uint64_t low = (UINT64_C(1) << (12 + 9 * level)) - 1, pa = PPN(pte) << 12;
      return pa & low ? UNMAPPED : pa | (va & low);
    }
    table = PPN(pte) << 12;
  }
  return UNMAPPED;
}

__attribute__((noinline)) static uint64_t walk_call(uint64_t root, uint64_t va) { return walk(root, va); }

// A direct-mapped cache of last-level tables, as a simulator would add next.
#define SLOTS 4096
static uint64_t tags[SLOTS];
static uint64_t *tables[SLOTS];

static inline uint64_t walk_cached(uint64_t root, uint64_t va) {
  uint64_t tag = va >> 21, slot = tag & (SLOTS - 1);
  if (tags[slot] != tag || !tables[slot]) {
    uint64_t table = root;
    int64_t top = (int64_t)va >> 47;
    if (top != 0 && top != -1) return UNMAPPED;
    for (int level = 3; level > 0; level--) {
      uint64_t pte = host(table)[va >> (12 + 9 * level) & 511];
      if ((pte & (V | R | W | X)) != V || (pte & RESERVED)) return walk(root, va);
      table = PPN(pte) << 12;
    }
    tags[slot] = tag;
    tables[slot] = host(table);
  }
  uint64_t pte = tables[slot][va >> 12 & 511];
  if (!(pte & V) || (pte & (R | W)) == W || !(pte & (R | X)) || (pte & RESERVED)) return UNMAPPED;
  return PPN(pte) << 12 | (va & 4095);
}

static uint64_t *addresses(void) {
  uint64_t *vas = malloc(LOOKUPS * 8);
  uint32_t x = SEED;
  for (uint64_t i = 0; i < LOOKUPS; i++) {
    x ^= x << 13, x ^= x >> 17, x ^= x << 5;
    vas[i] = VA + (x & (PAGES - 1)) * 4096 + (x >> 20);
  }
  return vas;
}

static uint64_t fold(const uint64_t *words, uint64_t count) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < count; i++) sum = (sum << 1 | sum >> 63) ^ words[i];
  return sum;
}

// ---- dumping: folds neighbours of equal level and attributes, over the PT_LOADs of an ELF core ----

struct load { uint64_t start, end; const uint8_t *bytes; };
struct run { uint64_t start, end, pa, bits, leaf_bytes, entries; };

static struct load loads[4096];
static int load_count;
static struct run runs[1 << 16];
static int run_count;

static const uint64_t *load_at(uint64_t pa) {
  int low = 0, high = load_count;
  while (low < high) {
    int middle = (low + high) / 2;
    if (loads[middle].end <= pa) low = middle + 1; else high = middle;
  }
  if (low == load_count || pa < loads[low].start || pa + 4096 > loads[low].end) return NULL;
  return (const uint64_t *)(loads[low].bytes + (pa - loads[low].start));
}

static int by_start(const void *a, const void *b) {
  uint64_t x = ((const struct load *)a)->start, y = ((const struct load *)b)->start;
  return x < y ? -1 : x > y;
}

static void load_elf(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) abort();
  long size = ftell(file);
  uint8_t *bytes = malloc(size);
  rewind(file);
  if (!bytes || fread(bytes, 1, size, file) != (size_t)size) abort();
  fclose(file);
  const Elf64_Ehdr *head = (const Elf64_Ehdr *)bytes;
  const Elf64_Phdr *program = (const Elf64_Phdr *)(bytes + head->e_phoff);
  for (int i = 0; i < head->e_phnum; i++) {
    if (program[i].p_type != PT_LOAD) continue;
    uint64_t start = program[i].p_paddr;
    loads[load_count++] = (struct load){start, start + program[i].p_filesz, bytes + program[i].p_offset};
  }
  qsort(loads, load_count, sizeof loads[0], by_start);
}

// With Svpbmt and Svnapot: bits 60:54 are reserved, memory type 3 too, 64 KiB runs at level 0.
static void dump(uint64_t table, int level, uint64_t base) {
  const uint64_t *entries = load_at(table);
  if (!entries) return;
  for (int i = 0; i < 512; i++) {
    uint64_t pte = entries[i], size = UINT64_C(1) << (12 + 9 * level), va = base + i * size;
    if (!(pte & V) || (pte & (R | W)) == W || (pte & UINT64_C(0x7f) << 54)) continue;
    if (!(pte & (R | X))) {
      if (level > 0 && !(pte >> 61) && !(pte & 0xd0)) {
        // The root's index has the sign bit: the upper half is sign-extended.
        dump(PPN(pte) << 12, level - 1, level == 3 && i >= 256 ? va | UINT64_C(0xffff) << 48 : va);
      }
      continue;
    }
    uint64_t pa = PPN(pte) << 12, leaf = size, bits = pte & ~(UINT64_C(0xfffffffffff) << 10);
    if ((pte >> 61 & 3) == 3) continue;
    if (pte >> 63) {
      if (level != 0 || (pte >> 10 & 15) != 8) continue;
      leaf = 65536, pa = (pa & ~UINT64_C(0xffff)) + i % 16 * 4096, bits |= UINT64_C(8) << 10;
    } else if (pa & (size - 1)) continue;
    struct run *last = run_count ? &runs[run_count - 1] : NULL;
    if (last && last->end == va && last->bits == bits && last->leaf_bytes == leaf && last->pa + (va - last->start) == pa) {
      last->end += size, last->entries++;
    } else {
      runs[run_count++] = (struct run){va, va + size, pa, bits, leaf, 1};
    }
  }
}

// ---- the jobs ----

static double started;
static uint64_t check;

static void tables_for_lookups(void) {
  new_bank();
  map_range(new_table(1), VA, PA, PAGES * 4096, ATTRIBUTES, 1);
}

static double run(const char *job, const char *elf, uint64_t root) {
  static uint64_t *vas, *pas;
  if (!strcmp(job, "map")) {
    started = now();
    new_bank();
    map_range(new_table(1), VA, PA, PAGES * 4096, ATTRIBUTES, 1);
    double time = now() - started;
    check = fold(host(TABLES), TABLE_BYTES / 8);
    munmap(bank, TABLE_BYTES);
    return time;
  }
  if (!strcmp(job, "remap")) {
    if (!bank) new_bank();
    started = now();
    next_table = TABLES;
    map_range(new_table(0), VA, PA, PAGES * 4096, ATTRIBUTES, 0);
    double time = now() - started;
    check = fold(host(TABLES), TABLE_BYTES / 8);
    return time;
  }
  if (!strcmp(job, "page")) {
    started = now();
    new_bank();
    uint64_t table = new_table(1);
    for (uint64_t i = 0; i < CALLS; i++) {
      if (map_page(table, VA + i * 4096, PA + i * 4096, ATTRIBUTES)) abort();
    }
    double time = now() - started;
    check = fold(host(TABLES), TABLE_BYTES / 8);
    munmap(bank, TABLE_BYTES);
    return time;
  }
  if (!strcmp(job, "unmap") || !strcmp(job, "protect")) {
    new_bank();
    uint64_t table = new_table(1), keep = !strcmp(job, "protect") ? ~(uint64_t)W : 0;
    map_range(table, VA, PA, CALLS * 4096, ATTRIBUTES, 1);
    started = now();
    for (uint64_t i = 0; i < CALLS; i++) {
      if (change_page(table, VA + i * 4096, keep)) abort();
    }
    double time = now() - started;
    check = fold(host(TABLES), TABLE_BYTES / 8);
    munmap(bank, TABLE_BYTES);
    return time;
  }
  if (!strcmp(job, "unmap-range") || !strcmp(job, "protect-range")) {
    new_bank();
    uint64_t table = new_table(1), keep = !strcmp(job, "protect-range") ? ~(uint64_t)W : 0;
    map_range(table, VA, PA, PAGES * 4096, ATTRIBUTES, 1);
    started = now();
    change_range(table, VA, PAGES * 4096, keep);
    double time = now() - started;
    check = fold(host(TABLES), TABLE_BYTES / 8);
    munmap(bank, TABLE_BYTES);
    return time;
  }
  if (!strcmp(job, "dump")) {
    if (!load_count) load_elf(elf);
    started = now();
    run_count = 0;
    dump(root, 3, 0);
    double time = now() - started;
    check = fold((const uint64_t *)runs, run_count * sizeof runs[0] / 8);
    return time;
  }
  if (!vas) {
    tables_for_lookups();
    vas = addresses();
    pas = malloc(LOOKUPS * 8);
  }
  started = now();
  if (!strcmp(job, "batch")) {
    for (uint64_t i = 0; i < LOOKUPS; i++) pas[i] = walk(TABLES, vas[i]);
  } else if (!strcmp(job, "batch-cached")) {
    for (uint64_t i = 0; i < LOOKUPS; i++) pas[i] = walk_cached(TABLES, vas[i]);
  } else if (!strcmp(job, "call")) {
    for (uint64_t i = 0; i < LOOKUPS; i++) pas[i] = walk_call(TABLES, vas[i]);
  } else {
    abort();
  }
  double time = now() - started;
  check = fold(pas, LOOKUPS);
  return time;
}

int main(int count, char **arguments) {
  if (count < 2) return 2;
  const char *elf = count > 3 ? arguments[2] : NULL;
  uint64_t root = count > 3 ? strtoull(arguments[3], NULL, 16) : 0;
  run(arguments[1], elf, root);
  double time = run(arguments[1], elf, root);
  printf("%.0f %016" PRIx64 "\n", time, check);
  return 0;
}
