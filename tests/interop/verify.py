"""Is a message, receipt or record valid? The checks of SPEC 2.3, 3.4, 3.5 and 4, and nothing else: `Refused` says which failed."""

from codec import Pick, Reader, Refused, decode
from types import SimpleNamespace

import layout
import zip215
from cluster import digest, leaf, operation_digest, root_of_path, u32, u64


def need(condition, what):
    if not condition:
        raise Refused(what)


class Verifier:
    def __init__(self, cluster):
        self.cluster, self.limits = cluster, cluster.limits

    def message(self, data):
        """A whole message: its only form, its bounds, every digest and signature in it."""
        message = decode(layout.MESSAGE, data, self.limits.message_bytes_max)
        getattr(self, snake(message.name))(message.value)
        return message

    # Signatures

    def by_replica(self, replica, payload, signature):
        need(replica < self.cluster.n, "no such replica")
        need(zip215.is_valid(self.cluster.replicas[replica], payload, signature), "a replica's signature")

    def by_quorum(self, payload, signatures, size):
        members = [signature.replica for signature in signatures]
        need(len(members) == size, "another number of signatures")
        need(members == sorted(set(members)), "signers out of order or doubled")
        for signature in signatures:
            self.by_replica(signature.replica, payload, signature.signature)

    def statement(self, name, value, replica, signature):
        self.by_replica(replica, self.cluster.statement(Pick(name, value)), signature)

    # Requests and blocks

    def request(self, request):
        need(request.count <= 64, "more requests signed at once than 64")
        need(request.index < request.count, "a request beyond those that it was signed with")
        need(request.number >= 1 + request.index, "request numbers count from 1")
        need(len(request.operation) <= self.limits.operation_bytes_max, "an operation too long")
        need(request.client in self.cluster.clients, "no such client")
        payload = self.cluster.request(request)
        need(payload is not None, "a path of the wrong length")
        need(zip215.is_valid(request.client, payload, request.signature), "a client's signature")

    def block(self, block):
        limits, batch = self.limits, block.batch
        need(block.header.n >= 1, "a block at genesis")
        need(1 <= len(batch) <= limits.batch_requests_max, "requests in a batch")
        need(sum(len(r.operation) + 32 * len(r.path) + 136 for r in batch) <= limits.batch_bytes_max, "bytes of a batch")
        need(self.cluster.batch_digest(batch) == block.header.payload, "a batch under another header")
        for request in batch:
            self.request(request)
        return self.cluster.header_digest(block.header)

    # Proposals and votes

    def pre_prepare(self, proposal):
        d_n = self.block(proposal.block)
        said = SimpleNamespace(view=proposal.view, n=proposal.block.header.n, digest=d_n)
        self.statement("Prepare", said, proposal.view % self.cluster.n, proposal.signature)

    def prepare(self, vote):
        need(vote.n > 0 or vote.view > 0 and vote.digest == self.cluster.genesis, "a Prepare of genesis")
        self.statement("Prepare", vote, vote.replica, vote.signature)

    def commit(self, vote):
        need(vote.n > 0, "a Commit of genesis")
        self.statement("Commit", vote, vote.replica, vote.signature)

    def certificate(self, certificate):
        kind, genesis = certificate.kind.name, self.cluster.genesis
        fits = certificate.n > 0 or kind == "Prepare" and certificate.view > 0 and certificate.digest == genesis
        need(fits, "a certificate of genesis")
        self.by_quorum(self.cluster.statement(Pick(kind, certificate)), certificate.signatures, self.cluster.quorum)

    # View changes

    def claim_proven(self, claim, certificate):
        """A claim stands with the certificate of exactly its rank and digest, and genesis without any."""
        if (claim.rank.view, claim.rank.n) == (0, 0):
            need(claim.digest == self.cluster.genesis and certificate is None, "a claim of genesis")
            return
        need(certificate is not None, "a claim without its certificate")
        same = (certificate.view, certificate.n, certificate.digest) == (claim.rank.view, claim.rank.n, claim.digest)
        need(same, "a claim with another's certificate")
        self.certificate(certificate)

    def view_change(self, leaving):
        need(leaving.view >= 1 and leaving.claim.rank.view < leaving.view, "a claim not below its view")
        self.claim_proven(leaving.claim, leaving.certificate)
        self.statement("ViewChange", leaving, leaving.replica, leaving.signature)

    def new_view(self, new_view):
        claims = new_view.claims
        members = [claim.replica for claim in claims]
        need(new_view.view >= 1, "a new view 0")
        need(len(members) == self.cluster.quorum, "another number of claims")
        need(members == sorted(set(members)), "claims out of order or doubled")
        need(all(signed.claim.rank.view < new_view.view for signed in claims), "a claim not below its view")
        for signed in claims:
            said = SimpleNamespace(view=new_view.view, claim=signed.claim)
            self.statement("ViewChange", said, signed.replica, signed.signature)
        ranks = [(signed.claim.rank.view, signed.claim.rank.n) for signed in claims]
        highest = [signed.claim for signed, rank in zip(claims, ranks) if rank == max(ranks)]
        need(len({claim.digest for claim in highest}) == 1, "highest claims with two digests")
        need((new_view.n, new_view.digest) == (highest[0].rank.n, highest[0].digest), "a base that is not the highest claim")
        self.claim_proven(highest[0], new_view.certificate)
        self.statement("NewView", new_view, new_view.view % self.cluster.n, new_view.signature)

    # Status, fetch, chain

    def status(self, status):
        mode = {"Normal": b"\0", "ViewChange": b"\1"}[status.mode.name]
        payload = self.cluster.payload(
            "Status", u32(status.replica), u64(status.ordinal, status.view), mode,
            u64(status.want, status.stable, status.floor, status.decided, status.committed.view, status.committed.n),
            u64(status.high.view, status.high.n, status.head_n), status.head_digest,
        )  # fmt: skip
        self.by_replica(status.replica, payload, status.signature)
        for part in ("prepare", "commit", "checkpoint", "view_change"):
            value = getattr(status, part)
            if value is not None:
                need(value.replica == status.replica, "another's word in a status")
                getattr(self, part)(value)

    def fetch(self, fetch):
        kind, wanted = fetch.wanted
        number = {"Chain": "above", "Proposal": "view", "Manifest": None, "Chunk": "index"}[kind]
        first = getattr(wanted, number) if number else 0
        need(kind != "Chain" or wanted.above < wanted.n, "a question for an empty chain")
        variant = bytes([layout.WANTED.numbers[kind]])
        what = wanted.state if kind == "Manifest" else wanted.digest
        payload = self.cluster.payload("Fetch", u32(fetch.replica), u64(fetch.ordinal), variant, u64(first, wanted.n), what)
        self.by_replica(fetch.replica, payload, fetch.signature)

    def chain(self, chain):
        need(chain.certificate is not None or chain.vote is not None or chain.blocks, "a chain with nothing in it")
        if chain.certificate is not None:
            self.certificate(chain.certificate)
        if chain.vote is not None:
            self.prepare(chain.vote)
        digests = [self.block(block) for block in chain.blocks]
        for upper, lower, lower_digest in zip(chain.blocks, chain.blocks[1:], digests[1:]):
            need(upper.header.n == lower.header.n + 1, "positions that do not go down one by one")
            need(upper.header.parent == lower_digest, "a block that is not the parent of the one before it")

    # Replies and receipts

    def executed(self, said):
        own = leaf(said.client, said.number, said.operation, said.result)
        led = root_of_path(own, said.index, said.count, said.path)
        need(led is not None, "a path of the wrong length")
        return SimpleNamespace(n=said.n, root=led)

    def reply(self, reply):
        need(len(reply.result) <= self.limits.result_bytes_max, "a result too long")
        self.statement("Executed", self.executed(reply), reply.replica, reply.signature)

    def answered(self, answered):
        fields = (u32(answered.replica), answered.client, u64(answered.number), answered.result)
        self.by_replica(answered.replica, self.cluster.payload("Answered", *fields), answered.signature)

    def receipt(self, data):
        """A receipt as a file. (SPEC 4.5)"""
        receipt = decode(layout.RECEIPT, data, self.limits.result_bytes_max + 20 * 1024)
        need(len(receipt.result) <= self.limits.result_bytes_max, "a result too long")
        payload = self.cluster.statement(Pick("Executed", self.executed(receipt)))
        self.by_quorum(payload, receipt.signatures, self.cluster.weak_quorum)
        return receipt

    # Evidence

    def evidence(self, evidence):
        signed = (evidence.first, evidence.second)
        first, second = (one.statement for one in signed)
        need(slot(first) == slot(second) and first != second, "statements that do not contradict each other")
        for one in signed:
            self.statement(*one.statement, evidence.replica, one.signature)

    # Checkpoints and snapshots

    def interval(self, checkpoint):
        need(checkpoint.n >= 1 and checkpoint.n % self.cluster.interval == 0, "a checkpoint off its interval")

    def checkpoint(self, vote):
        self.interval(vote.checkpoint)
        self.statement("Checkpoint", vote.checkpoint, vote.replica, vote.signature)

    def stable(self, certificate):
        self.interval(certificate.checkpoint)
        payload = self.cluster.statement(Pick("Checkpoint", certificate.checkpoint))
        self.by_quorum(payload, certificate.signatures, self.cluster.quorum)

    def manifest(self, manifest):
        """It stands by its digest: see `snapshot`."""

    def chunk(self, chunk):
        need(len(chunk.bytes) <= self.limits.batch_bytes_max, "a part too long")

    def snapshot(self, checkpoint, manifest, parts):
        """Is this the snapshot that a stable checkpoint names? Gives the session table. (SPEC 4.7, 7.6)"""
        named = (checkpoint.n, checkpoint.log) == (manifest.n, manifest.log) and checkpoint.state == self.cluster.state(manifest)
        need(named, "a manifest that the checkpoint does not name")
        need([digest("logothete/chunk", part) for part in parts] == manifest.sessions + manifest.service, "parts that are not the manifest's")
        most = self.limits.batch_bytes_max
        need(all(len(part) <= most for part in parts), "a part too long")
        sessions = parts[: len(manifest.sessions)]
        table = b"".join(sessions)
        need(sessions == [table[at : at + most] for at in range(0, len(table), most)], "a session table that is cut elsewhere")
        return self.sessions(table)

    def sessions(self, table):
        """Client -> (number of the last request, digests of the latest results)."""
        sessions, at = {}, 0
        while at < len(table):
            need(at + 44 <= len(table), "a session cut off")
            head = decode(layout.SESSION, table[at : at + 44], 44)
            at += 44 + 32 * head.results_count
            need(at <= len(table), "a session cut off")
            need(head.client in self.cluster.clients and all(head.client > other for other in sessions), "clients in order")
            need(head.last >= 1 and head.results_count == min(head.last, self.limits.client_window), "results of a session")
            digests = table[at - 32 * head.results_count : at]
            sessions[head.client] = (head.last, [digests[i : i + 32] for i in range(0, len(digests), 32)])
        return sessions

    # Rejoining

    def rejoin(self, rejoin):
        self.by_replica(rejoin.replica, self.cluster.payload("Rejoin", u32(rejoin.replica), rejoin.nonce), rejoin.signature)

    def welcome(self, welcome):
        fields = (u32(welcome.replica, welcome.to), welcome.nonce, u64(welcome.want))
        self.by_replica(welcome.replica, self.cluster.payload("Welcome", *fields), welcome.signature)

    # Records

    def record(self, frame, replica, index):
        """One record as the host keeps it; `replica` and `index` say whose it has to be. (SPEC 5)"""
        need(len(frame) >= 100, "a record cut off")
        header, length = frame[:68], int.from_bytes(frame[52:56], "little")
        body, checksum, batches = frame[68 : 68 + length], frame[68 + length : 100 + length], frame[100 + length :]
        need(header[:8] == b"logothR3", "not a record")
        need(digest("logothete/record", header[:60])[:8] == header[60:], "the header's checksum")
        need(header[8:40] == self.cluster.group, "another cluster's record")
        need(header[40:44] == u32(replica) and header[44:52] == u64(index), "a record of another place")
        need(header[52:60] == u32(len(body), len(batches)), "a record of another length")
        need(digest("logothete/record", header, body) == checksum, "the checksum")
        record, reader = decode(layout.RECORD, body, len(body)), Reader(batches)
        blocks = []
        for above in getattr(record.value, "blocks", []):
            block = SimpleNamespace(header=above, batch=layout.BATCH.read(reader))
            need(self.cluster.batch_digest(block.batch) == above.payload, "a batch under another header")
            blocks.append(block)
        need(reader.at == len(batches), "bytes left over behind the batches")
        if blocks:
            record.value.blocks = blocks
        return record


def slot(statement):
    """What a correct replica says one thing about. (SPEC 3.2)"""
    name, value = statement
    return {
        "Prepare": lambda: (name, value.view, value.n),
        "Commit": lambda: (name, value.view, value.n),
        "ViewChange": lambda: (name, value.view),
        "NewView": lambda: (name, value.view),
        "Executed": lambda: (name, value.n),
        "Checkpoint": lambda: (name, value.n),
    }[name]()


def snake(name):
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")
