"""The codec of SPEC 2: what a type looks like as bytes. Every type reads, writes, and says its leaves as tests/vectors/*.txt does."""

from collections import namedtuple
from types import SimpleNamespace


class Refused(Exception):
    """These bytes, or what they say, are not valid."""


Pick = namedtuple("Pick", "name value")  # a variant of a choice, and its fields


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count > len(self.data) - self.at:
            raise Refused("ends too early")
        self.at += count
        return self.data[self.at - count : self.at]


class Uint:
    def __init__(self, width):
        self.width = width

    def read(self, reader):
        return int.from_bytes(reader.take(self.width), "little")

    def write(self, value):
        return value.to_bytes(self.width, "little")

    def say(self, value):
        return [str(value)]


class Fixed:
    def __init__(self, width):
        self.width = width

    def read(self, reader):
        return reader.take(self.width)

    def write(self, value):
        assert len(value) == self.width
        return value

    def say(self, value):
        return [value.hex()]


class ByteString:
    def read(self, reader):
        return reader.take(U64.read(reader))

    def write(self, value):
        return U64.write(len(value)) + value

    def say(self, value):
        return [f"{len(value)} bytes {value.hex()}"]


class ListOf:
    def __init__(self, item, most=None):
        self.item, self.most = item, most

    def read(self, reader):
        count = U64.read(reader)
        if self.most is not None and count > self.most:
            raise Refused("a count beyond its bound")
        items = []
        while len(items) < count:  # not range(count): nothing is taken on the word of a count
            items.append(self.item.read(reader))
        return items

    def write(self, value):
        return U64.write(len(value)) + b"".join(map(self.item.write, value))

    def say(self, value):
        return [str(len(value))] + [leaf for item in value for leaf in self.item.say(item)]


class OptionOf:
    def __init__(self, item):
        self.item = item

    def read(self, reader):
        there = U8.read(reader)
        if there > 1:
            raise Refused("an option is 0 or 1")
        return self.item.read(reader) if there else None

    def write(self, value):
        return b"\0" if value is None else b"\1" + self.item.write(value)

    def say(self, value):
        return ["none"] if value is None else self.item.say(value)


class Struct:
    def __init__(self, **fields):
        self.fields = fields

    def read(self, reader):
        return SimpleNamespace(**{name: kind.read(reader) for name, kind in self.fields.items()})

    def write(self, value):
        return b"".join(kind.write(getattr(value, name)) for name, kind in self.fields.items())

    def say(self, value):
        return [leaf for name, kind in self.fields.items() for leaf in kind.say(getattr(value, name))]


class Choice:
    """Variants in the order of their numbers: (name, type of the fields)."""

    def __init__(self, *variants):
        self.variants = variants
        self.numbers = {name: number for number, (name, _) in enumerate(variants)}

    def read(self, reader):
        number = U32.read(reader)
        if number >= len(self.variants):
            raise Refused("an unknown variant")
        name, kind = self.variants[number]
        return Pick(name, kind.read(reader))

    def write(self, value):
        number = self.numbers[value.name]
        return U32.write(number) + self.variants[number][1].write(value.value)

    def say(self, value):
        number = self.numbers[value.name]
        return [f"{number} ({value.name})"] + self.variants[number][1].say(value.value)


U8, U32, U64 = Uint(1), Uint(4), Uint(8)
DIGEST, KEY, NONCE, SIGNATURE, BYTES = Fixed(32), Fixed(32), Fixed(32), Fixed(64), ByteString()
NOTHING = Struct()


def decode(kind, data, most):
    """All of the input, in its only form. (SPEC 2.2)"""
    if len(data) > most:
        raise Refused("too long")
    reader = Reader(data)
    value = kind.read(reader)
    if reader.at != len(data):
        raise Refused("bytes are left over")
    if kind.write(value) != data:
        raise Refused("not in canonical form")
    return value
