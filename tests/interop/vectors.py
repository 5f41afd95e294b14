"""Reads tests/vectors/*.txt: titles, fields, and bytes in hex."""

import re
from pathlib import Path
from types import SimpleNamespace

FOLDER = Path(__file__).parent.parent / "vectors"


def read(name):
    """`fields`: what stands behind each '=', in order. `bytes`: title -> bytes; a title ends at its length."""
    title, *blocks = (FOLDER / f"{name}.txt").read_text().strip().split("\n\n")
    vector = SimpleNamespace(name=name, title=title, fields=[], bytes={})
    for block in blocks:
        head, *lines = block.split("\n")
        if head == "fields":
            vector.fields = [line.split(" = ", 1)[1] for line in lines]
        elif found := re.fullmatch(r"(.*), (\d+) bytes", head):
            vector.bytes[found[1]] = bytes.fromhex("".join(lines))
            assert len(vector.bytes[found[1]]) == int(found[2]), (name, head)
    return vector


def names():
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def cluster():
    """Seeds and keys of replicas and clients, and the digests that are named."""
    found = SimpleNamespace(seeds={"replica": [], "client": []}, keys={"replica": [], "client": []}, digests={})
    for block in (FOLDER / "cluster.txt").read_text().strip().split("\n\n")[1:]:
        lines = block.split("\n")
        if len(lines) == 3:
            kind = lines[0].split()[0]
            for line in lines[1:]:
                what, value = line.split()
                (found.seeds if what == "seed" else found.keys)[kind].append(bytes.fromhex(value))
        else:
            found.digests[lines[0]] = bytes.fromhex(lines[1])
    return found
