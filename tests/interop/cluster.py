"""A cluster's numbers, identity, digests and signed payloads. (SPEC 1.3, 2.3, 3.1, 3.3)"""

from dataclasses import dataclass
from hashlib import sha256

import zip215

KINDS = {
    name: number
    for number, name in enumerate(
        "Prepare Commit Checkpoint ViewChange NewView Executed Status Fetch Request Answered Rejoin Welcome".split(), start=1
    )
}


def u32(*numbers):
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def u64(*numbers):
    return b"".join(number.to_bytes(8, "little") for number in numbers)


def digest(tag, *parts):
    """SHA-256 under a domain tag, which is filled up with zero bytes to 16."""
    assert len(tag) <= 16
    return sha256(tag.encode().ljust(16, b"\0") + b"".join(parts)).digest()


@dataclass
class Limits:
    message_bytes_max: int = 1 << 20
    batch_bytes_max: int = 512 << 10
    batch_requests_max: int = 1000
    operation_bytes_max: int = 64 << 10
    result_bytes_max: int = 64 << 10
    client_window: int = 256


class Cluster:
    def __init__(self, replicas, clients, limits=None, interval=128, window=512, pipeline=16):
        for keys in (replicas, clients):
            assert len(set(keys)) == len(keys) and all(map(zip215.is_member_key, keys))
        self.replicas, self.clients, self.limits, self.interval = replicas, sorted(clients), limits or Limits(), interval
        bounds = self.limits
        self.group = digest(
            "logothete/cluste",
            u32(1),
            u64(interval, window, pipeline),
            u32(bounds.message_bytes_max, bounds.batch_bytes_max, bounds.batch_requests_max),
            u32(bounds.operation_bytes_max, bounds.result_bytes_max, bounds.client_window),
            u32(len(self.replicas)),
            *self.replicas,
            u32(len(self.clients)),
            *self.clients,
        )
        self.genesis = digest("logothete/genesi", self.group)
        self.n = len(replicas)
        self.f = (self.n - 1) // 3
        self.quorum = (self.n + self.f) // 2 + 1
        self.weak_quorum = self.f + 1

    def payload(self, kind, *fields):
        return b"logothete/1".ljust(16, b"\0") + bytes([KINDS[kind]]) + self.group + b"".join(fields)

    def statement(self, statement):
        """The payload of a statement that binds its signer. (SPEC 3.2)"""
        name, value = statement
        if name in ("Prepare", "Commit", "NewView"):
            return self.payload(name, u64(value.view, value.n), value.digest)
        if name == "ViewChange":
            return self.payload(name, u64(value.view, value.claim.rank.view, value.claim.rank.n), value.claim.digest)
        if name == "Executed":
            return self.payload(name, u64(value.n), value.root)
        return self.payload(name, u64(value.n), value.log, value.state)

    def request(self, request):
        """What a request is signed with, and all that were signed with it; None if its path has the wrong length. (S3)"""
        top = top_of_path(operation_digest(request.operation), request.index, request.count, request.path)
        return top and self.payload("Request", request.client, u64(request.number - request.index), u32(request.count), top)

    def batch_digest(self, batch):
        each = (
            r.client + u64(r.number) + operation_digest(r.operation) + u32(r.index, r.count, len(r.path)) + b"".join(r.path) + r.signature
            for r in batch
        )
        return digest("logothete/batch", self.group, u32(len(batch)), *each)

    def header_digest(self, header):
        return digest("logothete/header", self.group, u64(header.n), header.parent, header.payload)

    def state(self, manifest):
        """The digest of a snapshot's manifest, which a checkpoint calls its state."""
        lists = [u64(len(parts)) + b"".join(parts) for parts in (manifest.sessions, manifest.service)]
        return digest("logothete/state", self.group, u64(manifest.n), manifest.log, *lists)


def operation_digest(operation):
    return digest("logothete/operat", operation)


def leaf(client, number, operation, result):
    return digest("logothete/leaf", client, u64(number), operation, digest("logothete/result", result))


def tree(leaves):
    """The top of the tree over these leaves, in the shape of RFC 6962. (S2)"""
    if not leaves:
        return digest("logothete/empty")
    if len(leaves) == 1:
        return leaves[0]
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return digest("logothete/node", tree(leaves[:left]), tree(leaves[left:]))


def root(count, top):
    return digest("logothete/root", u64(count), top)


def path(leaves, index):
    """The siblings on the way up from a leaf, lowest first."""
    if len(leaves) == 1:
        return []
    left = 1 << (len(leaves) - 1).bit_length() - 1
    if index < left:
        return path(leaves[:left], index) + [tree(leaves[left:])]
    return path(leaves[left:], index - left) + [tree(leaves[:left])]


def root_of_path(own, index, count, path):
    """The root that a path leads to; None if it leads nowhere. (S2)"""
    top = top_of_path(own, index, count, path)
    return top and root(count, top)


def top_of_path(own, index, count, path):
    """The top that a path leads to; None if it has not the length that index and count demand. (S2)"""
    turns = []  # from the top down: does the leaf lie in the left part?
    first, last = index, count
    if not first < last:
        return None
    while last > 1:
        left = 1 << (last - 1).bit_length() - 1
        turns.append(first < left)
        first, last = (first, left) if first < left else (first - left, last - left)
    if len(turns) != len(path):
        return None
    for sibling, is_left in zip(path, reversed(turns)):
        own = digest("logothete/node", own, sibling) if is_left else digest("logothete/node", sibling, own)
    return own
