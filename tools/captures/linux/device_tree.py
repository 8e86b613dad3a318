"""Flattened device trees: what the guest's kernel is told of its machine."""

import re
import struct


def device_tree(blob):
    """(path, properties) of all nodes, and the reservation block, of a flattened device tree."""
    _, _, structs, strings, reservations = struct.unpack_from('>5I', blob)
    reserved = []
    while True:
        start, size = struct.unpack_from('>QQ', blob, reservations)
        if size == 0:
            break
        reserved.append((start, size))
        reservations += 16
    nodes = []
    path = []
    stack = []
    at = structs
    while True:
        (token,) = struct.unpack_from('>I', blob, at)
        at += 4
        if token == 1:
            end = blob.index(b'\0', at)
            path.append(blob[at:end].decode())
            stack.append({})
            nodes.append(('/'.join(path) or '/', stack[-1]))
            at = (end + 4) & ~3
        elif token == 2:
            path.pop()
            stack.pop()
        elif token == 3:
            size, name = struct.unpack_from('>II', blob, at)
            text = blob[strings + name : blob.index(b'\0', strings + name)].decode()
            stack[-1][text] = (at + 8, blob[at + 8 : at + 8 + size])
            at = (at + 8 + size + 3) & ~3
        elif token == 9:
            return nodes, reserved


def cells(content):
    return list(struct.unpack(f'>{len(content) // 4}I', content))


def regions(content, root):
    """The (address, size) pairs of a `reg` under the root."""
    wide_address = cells(root['#address-cells'][1])[0]
    wide_size = cells(root['#size-cells'][1])[0]
    words = cells(content)
    out = []
    while words:
        number = lambda count: sum(word << (32 * (count - 1 - i)) for i, word in enumerate(words[:count]))
        address = number(wide_address)
        words = words[wide_address:]
        size = number(wide_size)
        words = words[wide_size:]
        out.append((address, size))
    return out


def with_banks(blob, banks):
    """The tree with other memory banks: the `reg` of /memory grows or shrinks in place."""
    nodes, _ = device_tree(blob)
    root = nodes[0][1]
    (offset, content) = next(each['reg'] for path, each in nodes if re.match(r'/memory(@|$)', path))
    word = lambda value, count: b''.join(struct.pack('>I', value >> (32 * i) & 0xFFFFFFFF) for i in reversed(range(count)))
    wide_address = cells(root['#address-cells'][1])[0]
    wide_size = cells(root['#size-cells'][1])[0]
    fresh = b''.join(word(base, wide_address) + word(size, wide_size) for base, size in banks)
    grown = len(fresh) - len(content)
    out = bytearray(blob[: offset - 8] + struct.pack('>I', len(fresh)) + blob[offset - 4 : offset])
    out += fresh + blob[offset + len(content) :]
    # Everything behind the structure block moves; the size of the block is the last word of the header.
    total, structs, strings, reservations = struct.unpack_from('>4I', out, 4)
    strings += grown if strings > offset else 0
    reservations += grown if reservations > offset else 0
    struct.pack_into('>4I', out, 4, total + grown, structs, strings, reservations)
    (size,) = struct.unpack_from('>I', out, 36)
    struct.pack_into('>I', out, 36, size + grown)
    return bytes(out)
