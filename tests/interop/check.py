"""Reads everything in tests/vectors with a reader that was written from SPEC.md, and refuses what was done to it. Exit code 1 if anything differs."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import hostile
import layout
import vectors
import zip215
from cluster import Cluster, leaf, root, tree
from codec import Pick, Refused, decode
from verify import Verifier

ROOT = Path(__file__).parent.parent.parent
REPLICA, INDEX = 1, 7  # whose record, and which one, each record among the vectors is


class Report:
    def __init__(self):
        self.passed, self.failed = 0, []

    def check(self, holds, what):
        if holds:
            self.passed += 1
        else:
            self.failed.append(what)


def accepts(check, *arguments):
    try:
        return check(*arguments) or True
    except Refused:
        return False


def corruptions(data):
    """Each byte changed in its lowest and in its highest bit and in all; cut at each length; something behind it."""
    for at in range(len(data)):
        for mask in (1, 0x80, 0xFF):
            yield f"byte {at} xor {mask:#x}", data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
    for length in range(len(data)):
        yield f"cut to {length}", data[:length]
    for behind in (b"\0", b"\1", data):
        yield f"{len(behind)} bytes behind it", data + behind


def refuses_corruptions(report, name, check, data, unsigned=()):
    """`unsigned`: the offsets that no signature covers. Every change elsewhere has to be refused."""
    for what, changed in corruptions(data):
        at = int(what.split()[1]) if what.startswith("byte") else -1
        report.check(bool(accepts(check, changed)) == (at in unsigned), f"{name}: {what}")


def check_cluster(report):
    found = vectors.cluster()
    cluster = Cluster(found.keys["replica"], found.keys["client"])
    report.check(cluster.group == found.digests["identity"], "the cluster's identity")
    report.check(cluster.genesis == found.digests["d_0"], "genesis")
    numbers = [(1, 0, 1), (2, 0, 2), (3, 0, 2), (4, 1, 3), (5, 1, 4), (6, 1, 4), (7, 2, 5), (10, 3, 7), (100, 33, 67)]
    for n, f, q in numbers:
        report.check(((n - 1) // 3, (n + (n - 1) // 3) // 2 + 1) == (f, q), f"quorum of {n}")
    return cluster, found


def check_messages(report, verifier, found):
    blocks = {}
    for name in vectors.names():
        vector = vectors.read(name)
        if "message of kind" not in vector.title:
            continue
        data = vector.bytes["encoding"]
        message = decode(layout.MESSAGE, data, verifier.limits.message_bytes_max)
        report.check(layout.MESSAGE.say(message) == vector.fields, f"{name}: fields")
        report.check(message.name in vector.title, f"{name}: its kind")
        report.check(accepts(verifier.message, data), f"{name}: valid")
        by_digest = message.name in ("Manifest", "Chunk")  # nobody's signature is on them
        if not by_digest:
            # A Reply's view is a hint: bytes 8 to 15.
            unsigned = range(8, 16) if message.name == "Reply" else ()
            refuses_corruptions(report, name, verifier.message, data, unsigned)
        if name == "chain":
            blocks = {block.header.n: verifier.cluster.header_digest(block.header) for block in message.value.blocks}
    for n in (1, 2):
        report.check(blocks.get(n) == found.digests[f"d_{n} of the samples"], f"d_{n}")


def check_payloads(report, verifier):
    """What is signed is compared as bytes, too: a payload that is wrong would show only as a bad signature."""
    signed = []
    cluster, real = verifier.cluster, zip215.is_valid
    zip215.is_valid = lambda key, payload, signature: signed.append(payload) or real(key, payload, signature)
    for name in vectors.names():
        vector = vectors.read(name)
        payloads = [data for title, data in vector.bytes.items() if title.startswith("payload")]
        if payloads:
            signed.clear()
            verifier.message(vector.bytes["encoding"])
            report.check(payloads[0] in signed, f"{name}: its payload")
    zip215.is_valid = real
    report.check(cluster.payload("Prepare")[:17] == b"logothete/1\0\0\0\0\0\x01", "the tag")


def check_records(report, verifier):
    for name in vectors.names():
        vector = vectors.read(name)
        if "record 7 of replica 1" not in vector.title:
            continue
        body, frame = vector.bytes["body"], vector.bytes["frame"]

        def read(data):
            return verifier.record(data, REPLICA, INDEX)

        record = read(frame)
        said = decode(layout.RECORD, body, len(body))
        report.check(layout.RECORD.say(said) == vector.fields, f"{name}: fields")
        report.check(layout.RECORD.write(said) == body and frame[68 : 68 + len(body)] == body, f"{name}: its body")
        refuses_corruptions(report, name, read, frame)
        for replica, index in ((0, INDEX), (REPLICA, 6)):
            report.check(not accepts(verifier.record, frame, replica, index), f"{name}: as another record")
        check_promises(report, verifier, name, record)


def check_promises(report, verifier, name, record):
    """The certificates in a record are valid, and the signatures of own statements are zero."""
    own, zero = [], bytes(64)
    if record.name in ("ViewChange", "NewView"):
        own = [record.value]
    elif record.name == "State":
        own = [one for one in (record.value.view_change, record.value.new_view) if one is not None]
        if record.value.stable is not None:
            report.check(accepts(verifier.stable, record.value.stable), f"{name}: its stable checkpoint")
    report.check(all(one.signature == zero for one in own), f"{name}: signatures of own statements are zero")
    certificates = [getattr(record.value, "high", None)] + [one.certificate for one in own]
    if record.name in ("Commit", "High"):
        certificates.append(record.value)
    for certificate in filter(None, certificates):
        report.check(accepts(verifier.certificate, certificate), f"{name}: its certificate")
    for block in getattr(record.value, "blocks", []):
        report.check(accepts(verifier.block, block), f"{name}: its blocks")


def check_files(report, verifier):
    vector = vectors.read("receipt")
    data = vector.bytes["encoding"]
    receipt = verifier.receipt(data)
    report.check(layout.RECEIPT.say(receipt) == vector.fields, "receipt: fields")
    refuses_corruptions(report, "receipt", verifier.receipt, data)
    for name in vectors.names():
        if name.startswith("evidence"):
            data = vectors.read(name).bytes["encoding"][4:]  # as a file: the message without its number

            def read(data):
                verifier.evidence(decode(layout.EVIDENCE, data, 4096))

            report.check(accepts(read, data), f"{name}: as a file")
            report.check(accepts(read, swapped(data)), f"{name}: the other way round")
            refuses_corruptions(report, f"{name} as a file", read, data)


def swapped(data):
    evidence = decode(layout.EVIDENCE, data, 4096)
    evidence.first, evidence.second = evidence.second, evidence.first
    return layout.EVIDENCE.write(evidence)


def check_snapshot(report, verifier):
    vector = vectors.read("snapshot")
    parts = [data for title, data in vector.bytes.items() if " part " in title]
    certificate_bytes, manifest_bytes = vector.bytes["checkpoint certificate"], vector.bytes["manifest, as a file"]

    def read(certificate, manifest, *parts):
        certificate = decode(layout.CHECKPOINT_CERTIFICATE, certificate, 1 << 20)
        verifier.stable(certificate)
        return verifier.snapshot(certificate.checkpoint, decode(layout.MANIFEST, manifest, 1 << 20), list(parts))

    whole = [certificate_bytes, manifest_bytes, *parts]
    sessions = read(*whole)
    report.check([last for last, _ in sessions.values()] == [1, 2], "snapshot: its sessions")
    for at, name in enumerate(["certificate", "manifest", "session part", "service part", "second service part"]):
        refuses_corruptions(report, f"snapshot: {name}", lambda data, at=at: read(*whole[:at], data, *whole[at + 1 :]), whole[at])
    report.check(not accepts(read, *whole[:-1]), "snapshot: a part is missing")
    report.check(not accepts(read, *whole[:3], whole[4], whole[3]), "snapshot: parts in another order")


def check_trees(report):
    """Every path of small trees, made here, leads to the root, and no other place or length does."""
    from cluster import path, root_of_path

    for count in range(1, 14):
        leaves = [leaf(bytes(32), number, bytes(32), b"") for number in range(count)]
        top = root(count, tree(leaves))
        for index in range(count):
            good = path(leaves, index)
            for other_count in range(1, 15):
                for other in range(other_count):
                    led = root_of_path(leaves[index], other, other_count, good) == top
                    report.check(led == ((other, other_count) == (index, count)), f"tree: {index} of {count} as {other} of {other_count}")
            report.check(root_of_path(leaves[index], index, count, good + [top]) is None, "tree: a path too long")


def check_verdicts(report):
    """The twelve cases of ed25519-speccheck, where the crate's own test has them."""
    text = (ROOT / "src/verify_tests.rs").read_text()
    cases = re.findall(r'\(\s*"([0-9a-f]*)",\s*"([0-9a-f]{64})",\s*"([0-9a-f]{128})",\s*(true|false),\s*\)', text)
    report.check(len(cases) == 12, "twelve edge cases")
    for number, (message, key, signature, verdict) in enumerate(cases):
        valid = zip215.is_valid(*map(bytes.fromhex, (key, message, signature)))
        report.check(valid == (verdict == "true"), f"edge case {number} of ed25519-speccheck")
    for key, good in ((bytes([1] + [0] * 31), False), (bytes.fromhex("ee" + "ff" * 30 + "7f"), False), (bytes([2] + [0] * 31), False)):
        report.check(zip215.is_member_key(key) == good, f"a bad key {key.hex()}")


def main():
    report = Report()
    cluster, found = check_cluster(report)
    verifier = Verifier(cluster)
    check_messages(report, verifier, found)
    check_payloads(report, verifier)
    check_records(report, verifier)
    check_files(report, verifier)
    check_snapshot(report, verifier)
    check_trees(report)
    check_verdicts(report)
    hostile.check(report, rewrite="--rewrite" in sys.argv)
    for what in report.failed[:50]:
        print(f"FAILED {what}")
    print(f"interop: {report.passed} passed, {len(report.failed)} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
