"""A QEMU machine that is stopped and looked into: QMP, the debugger stub, guest RAM behind a file."""

import functools
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time


def fail(text):
    sys.exit(f'error: {text}')


def connect(path):
    for _ in range(100):
        try:
            channel = socket.socket(socket.AF_UNIX)
            channel.connect(path)
            return channel
        except OSError:
            time.sleep(0.1)
    return fail(f'QEMU did not open {path}')


class Qmp:
    def __init__(self, path):
        self.file = connect(path).makefile('rw', encoding='utf8')
        self.file.readline()
        self.command('qmp_capabilities')

    def command(self, name, **arguments):
        self.file.write(json.dumps({'execute': name, 'arguments': arguments}) + '\n')
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if 'return' in answer:
                return answer['return']
            if 'error' in answer:
                fail(f'{name}: {answer["error"]["desc"]}')

    def monitor(self, line):
        return self.command('human-monitor-command', **{'command-line': line})


class Gdb:
    """The remote protocol as far as it stops a machine at an address, and reads and writes registers."""

    def __init__(self, path):
        self.channel = connect(path)
        self.pending = b''
        self.registers = self.describe()

    def post(self, text):
        body = text.encode()
        self.channel.sendall(b'$' + body + b'#%02x' % (sum(body) & 255))

    def packet(self, seconds):
        """The next packet, or None if there is none in time."""
        deadline = time.time() + seconds
        while True:
            found = re.search(rb'\$([^#]*)#..', self.pending, re.S)
            if found:
                self.pending = self.pending[found.end() :]
                self.channel.sendall(b'+')
                return found.group(1).decode('latin1')
            left = deadline - time.time()
            if left <= 0:
                return None
            self.channel.settimeout(left)
            try:
                self.pending += self.channel.recv(65536)
            except socket.timeout:
                return None

    def ask(self, text):
        self.post(text)
        return self.packet(30)

    def document(self, name):
        text = ''
        while True:
            part = self.ask(f'qXfer:features:read:{name}:{len(text):x},1000')
            text += part[1:]
            if part[:1] != 'm':
                return text

    def describe(self):
        """Numbers and bits of the registers by name, as the stub's description counts them."""
        self.ask('qSupported:xmlRegisters=i386')
        found = {}
        following = 0
        for name in re.findall(r'href="([^"]+)"', self.document('target.xml')):
            text = re.sub(r'<!--.*?-->', '', self.document(name), flags=re.S)
            for tag in re.findall(r'<reg\s[^>]*>', text):
                given = re.search(r'regnum="(\d+)"', tag)
                following = int(given.group(1)) if given else following
                bits = int(re.search(r'bitsize="(\d+)"', tag).group(1))
                found.setdefault(re.search(r'name="([^"]+)"', tag).group(1), (following, bits))
                following += 1
        return found

    def read(self, name):
        if name not in self.registers:
            return None
        answer = self.ask(f'p{self.registers[name][0]:x}')
        if not re.fullmatch(r'([0-9a-f]{2})+', answer):
            return None
        return int.from_bytes(bytes.fromhex(answer), 'little')

    def write(self, name, value):
        number, bits = self.registers[name]
        if self.ask(f'P{number:x}={value.to_bytes(bits // 8, "little").hex()}') != 'OK':
            fail(f'the debugger stub refused to write {name}')

    def run_to(self, address, seconds, what):
        if self.ask(f'Z1,{address:x},4') != 'OK':
            fail(f'no breakpoint at {address:#x}')
        self.post('c')
        stopped = self.packet(seconds)
        if stopped is None:
            fail(f'{what} ({address:#x}) was not reached')
        self.ask(f'z1,{address:x},4')

    def run(self):
        self.post('c')

    def interrupt(self):
        self.channel.sendall(b'\x03')
        if self.packet(30) is None:
            fail('the machine does not stop')

    def step(self):
        self.ask('s')


class Ram:
    """Guest RAM behind its file: one piece from `base`."""

    def __init__(self, path, base, size):
        self.file = open(path, 'r+b', buffering=0)
        self.base = base
        self.size = size

    def read(self, address, count):
        offset = address - self.base
        if not 0 <= offset <= self.size - count:
            return None
        self.file.seek(offset)
        return self.file.read(count)

    def write(self, address, content):
        self.file.seek(address - self.base)
        self.file.write(content)


class Machine:
    """A machine, stopped before its first instruction."""

    def __init__(self, program, options, memory, base):
        self.directory = tempfile.mkdtemp(prefix='capture-')
        inside = lambda name: os.path.join(self.directory, name)
        self.serial = inside('serial')
        backend = f'memory-backend-file,id=ram,size={memory}M,mem-path={inside("ram")},share=on'
        channels = ['-serial', f'file:{self.serial}', '-qmp', f'unix:{inside("qmp")},server=on,wait=off']
        channels += ['-gdb', f'unix:{inside("gdb")},server=on,wait=off', '-no-reboot', '-S', '-display', 'none']
        self.process = subprocess.Popen([program, *options, '-object', backend, *channels])
        self.qmp = Qmp(inside('qmp'))
        self.ram = Ram(inside('ram'), base, memory << 20)

    @functools.cached_property
    def gdb(self):
        # Not before it is needed: a debugger that is there is told of every stop.
        return Gdb(os.path.join(self.directory, 'gdb'))

    def close(self):
        self.process.kill()
        self.process.wait()
        subprocess.run(['rm', '-r', self.directory], check=False)

    def console(self):
        with open(self.serial, encoding='utf8', errors='replace') as file:
            return file.read().replace('\r', '')

    def run_until_ready(self, seconds):
        """Runs until the guest's program spins, and stops wherever the machine is then."""
        self.gdb.run()
        deadline = time.time() + seconds
        while '\nREADY\n' not in self.console():
            if time.time() > deadline or self.process.poll() is not None:
                fail(f'the guest never became ready:\n{self.console()[-2000:]}')
            time.sleep(0.5)
        time.sleep(1)
        self.gdb.interrupt()

    def translate(self, va):
        """QEMU's own walk."""
        answer = self.qmp.monitor(f'gva2gpa {va:#x}').strip()
        found = re.fullmatch(r'gpa: (?:0x)?([0-9a-f]+)', answer)
        if found:
            return int(found.group(1), 16)
        if answer != 'Unmapped':
            fail(f'gva2gpa {va:#x}: {answer}')
        return None

    def version(self):
        version = self.qmp.command('query-version')
        numbers = version['qemu']
        return f'QEMU {numbers["major"]}.{numbers["minor"]}.{numbers["micro"]} {version["package"]}'.strip()
