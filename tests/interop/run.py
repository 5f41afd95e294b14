"""Reads what the correct replicas of a simulated run said and wrote, checks all of it, and compares it with the invariants.

    cargo run --release --features sim --example siege -- --seed 7 --ed25519 --dump run.txt
    python tests/interop/run.py run.txt
"""

import re
import sys
from functools import lru_cache
from types import SimpleNamespace as Of

import layout
import zip215
from audit import Audit
from cluster import Cluster, Limits
from codec import Refused
from verify import Verifier


class Report:
    def __init__(self):
        self.passed, self.failed = 0, []

    def check(self, holds, what):
        if holds:
            self.passed += 1
        else:
            self.failed.append(what)


def read(path):
    run = Of(replicas=[], clients=[], traitors=set(), messages=[], records=[])
    for line in open(path):
        what, *words = line.split()
        if what in ("numbers", "limits"):
            setattr(run, what, [int(number) for number in re.findall(r"\d+", line)])
        elif what in ("replica", "client"):
            getattr(run, what + "s").append(bytes.fromhex(words[0]))
        elif what == "identity":
            run.identity = bytes.fromhex(words[0])
        elif what == "traitor":
            run.traitors.add(int(words[0]))
        elif what == "message":
            run.messages.append((int(words[0]), bytes.fromhex(words[1])))
        else:
            run.records.append((int(words[0]), int(words[1]), bytes.fromhex(words[2])))
    return run


def make_receipt(replies, size):
    """A receipt of the replies of that many replicas, if they agree."""
    members = sorted(replies)[:size]
    first = replies[members[0]]
    value = Of(**{name: getattr(first, name) for name in "client number operation result n index count path".split()})
    value.signatures = [Of(replica=member, signature=replies[member].signature) for member in members]
    return layout.RECEIPT.write(value)


def check(path, report):
    run = read(path)
    cluster = Cluster(run.replicas, run.clients, Limits(*run.limits), *run.numbers)
    report.check(cluster.group == run.identity, "the cluster's identity")
    # Most signatures come again and again, in certificates and statuses.
    zip215.is_valid = lru_cache(maxsize=None)(zip215.is_valid)
    verifier, audit = Verifier(cluster), Audit(cluster, run.traitors, report)
    for number, (sender, data) in enumerate(run.messages):
        try:
            message = verifier.message(data)
        except Refused as error:
            report.check(False, f"message {number} of R{sender}: {error}")
            continue
        report.check(layout.MESSAGE.write(message) == data, f"message {number} of R{sender} is written otherwise")
        audit.message(message, verifier)
        # These stand by what was asked for: a digest, or the end of a chain.
        if number % 10 == 0 and message.name not in ("Manifest", "Chunk", "Chain"):
            spoil(report, verifier, number, message, data)
    if any(layout.MESSAGE.numbers["Evidence"] == data[0] for _, data in run.messages):
        unaware = Report()
        blind = Audit(cluster, set(), unaware)
        for _, data in run.messages:
            blind.message(verifier.message(data), verifier)
        report.check(unaware.failed, "who takes traitors for correct replicas finds out")
    last = {}
    for replica, index, frame in run.records:
        try:
            record = verifier.record(frame, replica, index)
        except Refused as error:
            report.check(False, f"record {index} of R{replica}: {error}")
            continue
        report.check(last.get(replica, index - 1) == index - 1, f"record {index} of R{replica} comes out of turn")
        last[replica] = index
        audit.record(replica, record)
    compared, receipts = audit.conclude(verifier, lambda by: make_receipt(by, cluster.weak_quorum))
    kinds = f"{len(run.messages)} messages, {len(run.records)} records, {len(audit.said)} statements, {len(audit.certificates)} certificates"
    print(f"{path}: {cluster.n} replicas; {kinds}; {compared} pairs of certificates compared, {receipts} receipts made")
    report.check(len(run.messages) > 100 and compared > 10 and receipts > 10, "a run in which something happens")


def spoil(report, verifier, number, message, data):
    """One byte changed, somewhere: it has to be refused, but for a reply's hint at the view."""
    at = number * 7919 % len(data)
    if message.name == "Reply" and 8 <= at < 16:
        return
    try:
        verifier.message(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        report.check(False, f"message {number} with byte {at} changed")
    except Refused:
        report.check(True, "")


def main():
    report = Report()
    for path in sys.argv[1:]:
        check(path, report)
    for what in report.failed[:50]:
        print(f"FAILED {what}")
    print(f"run: {report.passed} passed, {len(report.failed)} failed")
    return 1 if report.failed or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
