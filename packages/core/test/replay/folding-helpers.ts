/**
 * The checklist of helpers in words (group `foldingHelpers`): every sentence is one check. A sentence that is not known
 * here is a failure, so nothing of the list can be skipped.
 */
import { phys } from '../../src/address.ts';
import { BumpAllocator, RecordingAllocator } from '../../src/allocators.ts';
import { TABLE_NAMES, type TableName } from '../../src/geometry.ts';
import { createNames, type NameHelpers, type Slot } from '../../src/linux-names.ts';
import { SparseMemory, writeWord } from '../../src/memory.ts';
import { addrEnd } from '../../src/range.ts';
import { toyPaging, toyTable } from '../toy-format.ts';
import { same } from './same.ts';

/** What a check works on: name X (`upper`), the name Y below it, and a tree in which X's slot for `va` exists. */
interface Scene {
  readonly upper: NameHelpers;
  readonly lower: NameHelpers;
  readonly slot: Slot;
  readonly va: bigint;
  readonly memory: SparseMemory;
  readonly allocator: RecordingAllocator;
  put(word: bigint): void;
}

function sceneFor(levels: number, name: TableName): Scene {
  const memory = new SparseMemory();
  const allocator = new RecordingAllocator(new BumpAllocator(0x1000_0000n, 0x2000_0000n));
  const names = createNames(memory, toyPaging(levels), { allocator });
  const va = 0x1_5a3a_9000n;
  let slot: Slot = names.pgd.offset(phys(0x10_0000n), va);
  const depth = TABLE_NAMES.indexOf(name);
  for (const each of TABLE_NAMES.slice(1, depth + 1)) slot = names.byName(each).alloc(slot, va);
  const upper = names.byName(name);
  const lower = names.byName(TABLE_NAMES[depth + 1] as TableName);
  return { upper, lower, slot, va, memory, allocator, put: (word) => writeWord(memory, slot.address, word) };
}

const TABLE_AT = 0x7_7000n;
const WORDS = [0n, toyTable(TABLE_AT), 0x8000_0001n, 0x8000_0002n];

function expectNextTable({ upper, lower, slot, va, put }: Scene): void {
  put(toyTable(TABLE_AT));
  same(upper.tableAddress(slot.load()), TABLE_AT, 'table address');
  if (lower.name === 'pte' || !lower.trivial) return;
  const below = lower.offset(slot, va);
  same(lower.tableAddress(below.load()), TABLE_AT, 'table address by the lower name');
}

/** Checks by helper (with X and Y for the names) and by the sentence about it. */
const CHECKS: Record<string, (scene: Scene) => void> = {
  'X_clear: no-op: the stored word does not change': ({ upper, slot, put }) => {
    for (const word of WORDS) {
      put(word);
      upper.clear(slot);
      same(slot.load(), word, 'word after clear');
    }
  },
  'X_clear: stores 0': ({ upper, slot, put }) => {
    put(toyTable(TABLE_AT));
    upper.clear(slot);
    same(slot.load(), 0n, 'word after clear');
  },
  'set_X: stores through set_Y into the same word': ({ upper, lower, slot, va }) => {
    upper.set(slot, toyTable(TABLE_AT));
    same(slot.load(), toyTable(TABLE_AT), 'word after set');
    lower.set(lower.offset(slot, va), 0x8000_0001n);
    same(slot.load(), 0x8000_0001n, 'word after set of the lower name');
  },
  'set_X: stores the word': ({ upper, slot }) => {
    upper.set(slot, 0x8000_0001n);
    same(slot.load(), 0x8000_0001n, 'word after set');
  },
  'X_populate: no-op': ({ upper, slot, put }) => {
    for (const word of WORDS) {
      put(word);
      upper.populate(slot, phys(0x9_9000n));
      same(slot.load(), word, 'word after populate');
    }
  },
  'X_populate: stores a table word': ({ upper, slot }) => {
    upper.populate(slot, phys(0x9_9000n));
    same(slot.load(), toyTable(0x9_9000n), 'word after populate');
  },
  'Y_offset: returns its X argument, same address, no index added': ({ lower, slot, va, put }) => {
    for (const word of WORDS) {
      put(word);
      for (const address of [0n, va, 0xffff_ffff_ffff_f000n]) {
        same(Object.is(lower.offset(slot, address), slot), true, 'the same slot');
      }
    }
  },
  'Y_offset: table address from the X word plus index': ({ lower, slot, va, put }) => {
    put(toyTable(TABLE_AT));
    const index = (va >> BigInt(lower.shift)) & 511n;
    same(lower.index(va), Number(index), 'index');
    same(lower.offset(slot, va).address, TABLE_AT + index * 8n, 'slot');
  },
  'Y_val: equals X_val of the same word': ({ upper, lower, slot, va, put }) => {
    for (const word of WORDS) {
      put(word);
      same(lower.val(lower.offset(slot, va)), upper.val(slot), 'value');
    }
  },
  'Y_val: own word': ({ upper, lower, slot, va, put, memory }) => {
    put(toyTable(TABLE_AT));
    const below = lower.offset(slot, va);
    writeWord(memory, below.address, 0x1234_5001n);
    same(lower.val(below), 0x1234_5001n, 'value');
    same(upper.val(slot), toyTable(TABLE_AT), 'value of the upper name');
  },
  'Y_alloc_one: returns null, allocates nothing': ({ upper, lower, slot, va, allocator, put }) => {
    put(0n);
    const before = allocator.events.length;
    same(lower.allocOne(va), null, 'table');
    same(Object.is(lower.alloc(slot, va), slot), true, 'alloc gives the slot');
    same(allocator.events.length, before, 'allocations');
    same(upper.val(slot), 0n, 'word after alloc');
  },
  'Y_alloc_one: allocates one zeroed table': ({ lower, va, memory, allocator }) => {
    // Dirty memory ahead of the bump area shows whether the table is really zeroed.
    for (let at = 0x1000_0000n; at < 0x1001_0000n; at += 8n) writeWord(memory, phys(at), ~0n & 0xffff_ffffn);
    const before = allocator.events.length;
    const table = lower.allocOne(va) ?? phys(0n);
    same(allocator.events.length, before + 1, 'allocations');
    const window = memory.window(Number(table));
    const first = (Number(table) - (window?.base ?? 0)) / 4;
    same(
      window?.words.subarray(first, first + 1024).every((word) => word === 0),
      true,
      'zeroed',
    );
  },
  'Y_free: no-op': ({ lower, allocator }) => {
    const before = allocator.events.length;
    lower.freeOne(phys(TABLE_AT));
    lower.freeOne(null);
    same(allocator.events.length, before, 'tables given back');
  },
  'Y_free: releases one table': ({ lower, va, allocator }) => {
    const before = allocator.events.length;
    lower.freeOne(phys(TABLE_AT), va);
    lower.freeOne(null);
    same(
      allocator.events.slice(before).map(({ op, address }) => [op, address]),
      [['free', TABLE_AT]],
      'events',
    );
  },
  'Y_addr_end: returns end': ({ lower, va }) => {
    for (const end of [va + 1n, va + (1n << 40n), 0n]) same(lower.addrEnd(va, end), end, 'addrEnd');
  },
  'Y_addr_end: min(next boundary, end) compared minus one': ({ lower, va }) => {
    const boundary = (va & lower.mask) + lower.size;
    same(lower.addrEnd(va, boundary + lower.size), boundary, 'boundary first');
    same(lower.addrEnd(va, boundary - 1n), boundary - 1n, 'end first');
    same(lower.addrEnd(va, 0n), boundary, 'end at the top');
    const last = 0xffff_ffff_ffff_f000n;
    same(lower.addrEnd(last, 0n), 0n, 'boundary at the top');
    same(lower.addrEnd(last, 0n), addrEnd(last, 0n, lower.shift), 'as the rule');
  },
  'X_page: the page named by Y_page, i.e. the next real table': expectNextTable,
  'X_page: the page holding the Y table': expectNextTable,
};

interface HelpersRecord {
  levels: number;
  name: TableName;
  trivial: boolean;
  expect: Record<string, string>;
}

/** One record: all sentences about one name in one geometry, each on a tree of its own. */
export function foldingHelpers(record: unknown): void {
  const { levels, name, trivial, expect } = record as HelpersRecord;
  const lower = TABLE_NAMES[TABLE_NAMES.indexOf(name) + 1] as TableName;
  // Y first: the words put for X could contain Y's name, not the other way round.
  const general = (sentence: string): string => sentence.replaceAll(lower, 'Y').replaceAll(name, 'X');
  for (const [helper, sentence] of Object.entries(expect)) {
    const key = general(`${helper}: ${sentence}`);
    const check = CHECKS[key];
    if (check === undefined) throw new Error(`no check for "${key}"`);
    const scene = sceneFor(levels, name);
    same(scene.upper.trivial, trivial, 'trivial');
    try {
      check(scene);
    } catch (error) {
      throw new Error(`${levels} levels, ${helper}: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    }
  }
}
