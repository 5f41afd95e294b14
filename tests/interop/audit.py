"""What signed statements say about each other: the invariants of SPEC 8.4 as far as the wire and the logs show them."""

from collections import defaultdict
from types import SimpleNamespace as Of

from codec import Pick
from verify import slot


def frozen(value):
    """A statement as something that can be compared and kept in a set."""
    if isinstance(value, Of):
        return tuple((name, frozen(part)) for name, part in sorted(vars(value).items()))
    if isinstance(value, tuple):
        return tuple(map(frozen, value))
    return value


def plain(statement):
    """Only what a statement says: the fields of its payload."""
    name, value = statement
    fields = {"Prepare": "view n digest", "Commit": "view n digest", "NewView": "view n digest", "ViewChange": "view claim"}
    fields |= {"Executed": "n root", "Checkpoint": "n log state"}
    return Pick(name, Of(**{field: getattr(value, field) for field in fields[name].split()}))


class Audit:
    def __init__(self, cluster, traitors, report):
        self.cluster, self.traitors, self.report = cluster, traitors, report
        self.said = {}  # (replica, slot) -> statement, of correct replicas
        self.votes = defaultdict(set)  # (kind, view, n, digest) -> correct replicas
        self.parents = {}  # digest -> (n, parent)
        self.certificates = set()  # (kind, view, n, digest)
        self.stable = {}  # n -> (log, state)
        self.answers = {}  # (client, number) -> (n, operation, result)
        self.replies = defaultdict(dict)  # (client, number) -> replica -> Reply

    # What is in a message

    def hear(self, replica, statement):
        statement = plain(statement)
        if replica in self.traitors:
            return
        key = (replica, slot(statement))
        before = self.said.setdefault(key, frozen(statement))
        self.report.check(before == frozen(statement), f"I3: R{replica} said two things: {statement}")
        name, value = statement
        if name in ("Prepare", "Commit"):
            self.votes[name, value.view, value.n, value.digest].add(replica)

    def block(self, block):
        digest = self.cluster.header_digest(block.header)
        self.parents[digest] = (block.header.n, block.header.parent)
        return digest

    def vote(self, kind, vote):
        self.hear(vote.replica, Pick(kind, vote))

    def certificate(self, certificate):
        if certificate is None:
            return
        kind = certificate.kind.name
        self.certificates.add((kind, certificate.view, certificate.n, certificate.digest))
        for signature in certificate.signatures:
            self.hear(signature.replica, Pick(kind, certificate))

    def view_change(self, leaving):
        self.hear(leaving.replica, Pick("ViewChange", leaving))
        self.certificate(leaving.certificate)

    def new_view(self, new_view):
        self.hear(new_view.view % self.cluster.n, Pick("NewView", new_view))
        for signed in new_view.claims:
            self.hear(signed.replica, Pick("ViewChange", Of(view=new_view.view, claim=signed.claim)))
        self.certificate(new_view.certificate)

    def checkpoint_certificate(self, certificate):
        point = certificate.checkpoint
        known = self.stable.setdefault(point.n, (point.log, point.state))
        self.report.check(known == (point.log, point.state), f"I12: two stable states at n{point.n}")
        for signature in certificate.signatures:
            self.hear(signature.replica, Pick("Checkpoint", point))

    def message(self, message, verifier):
        kind, value = message
        if kind == "PrePrepare":
            said = Of(view=value.view, n=value.block.header.n, digest=self.block(value.block))
            self.hear(value.view % self.cluster.n, Pick("Prepare", said))
        elif kind in ("Prepare", "Commit"):
            self.vote(kind, value)
        elif kind == "Certificate":
            self.certificate(value)
        elif kind == "ViewChange":
            self.view_change(value)
        elif kind == "NewView":
            self.new_view(value)
        elif kind == "Status":
            for name, part in (("Prepare", value.prepare), ("Commit", value.commit)):
                if part is not None:
                    self.vote(name, part)
            if value.checkpoint is not None:
                self.hear(value.replica, Pick("Checkpoint", value.checkpoint.checkpoint))
            if value.view_change is not None:
                self.view_change(value.view_change)
        elif kind == "Chain":
            self.certificate(value.certificate)
            if value.vote is not None:
                self.vote("Prepare", value.vote)
            for block in value.blocks:
                self.block(block)
        elif kind == "Evidence":
            self.report.check(value.replica in self.traitors, f"I21: evidence against R{value.replica}, who is correct")
        elif kind == "Checkpoint":
            self.hear(value.replica, Pick("Checkpoint", value.checkpoint))
        elif kind == "Stable":
            self.checkpoint_certificate(value)
        elif kind == "Reply":
            self.hear(value.replica, Pick("Executed", verifier.executed(value)))
            key = (value.client, value.number)
            answer = (value.n, value.operation, value.result)
            self.report.check(self.answers.setdefault(key, answer) == answer, f"I14: R{value.replica} answers {key} otherwise than others")
            self.replies[key][value.replica] = value

    def record(self, replica, record):
        """A promise on record is what was said, or nothing was."""
        kind, value = record
        if kind == "Prepare":
            self.hear(replica, record)
        elif kind == "Commit":
            self.certificate(value)
            self.hear(replica, Pick("Commit", value))
        elif kind == "High":
            self.certificate(value)
        elif kind == "ViewChange":
            self.view_change(value)
        elif kind == "NewView":
            self.new_view(value)
        elif kind == "Base":
            self.certificate(value.high)
        elif kind == "Checkpoint":
            self.hear(replica, record)
        elif kind == "State":
            self.certificate(value.high)
            if value.view_change is not None:
                self.view_change(value.view_change)
            if value.new_view is not None:
                self.new_view(value.new_view)
            if value.stable is not None:
                self.checkpoint_certificate(value.stable)
            for point in value.checkpoints:
                self.hear(replica, Pick("Checkpoint", point))
            for commit in value.commits:
                self.hear(replica, Pick("Commit", Of(view=value.view, n=commit.n, digest=commit.digest)))
        for block in getattr(value, "blocks", []):
            self.block(block)

    # What follows of it all

    def ancestor(self, digest, n, wanted):
        """The digest at `wanted` on the chain that ends in (n, digest); None where a block on the way was never seen."""
        while n > wanted:
            if digest not in self.parents:
                return None
            number, parent = self.parents[digest]
            self.report.check(number == n, "P1: a digest under a false number")
            digest, n = parent, n - 1
        return digest

    def conclude(self, verifier, make_receipt):
        """Gives how many pairs of certificates were compared, and how many receipts were made."""
        quorum, helpers = self.cluster.quorum, len(self.traitors)
        possible = {key for key, by in self.votes.items() if len(by) + helpers >= quorum}
        self.report.check(self.certificates <= {*possible, *filter(lambda key: key[2] == 0, self.certificates)}, "I16: a certificate without its votes")
        for kind, view, n, digest in [key for key in self.votes if key[0] == "Commit"]:
            prepared = ("Prepare", view, n, digest) in possible
            self.report.check(prepared, f"I5: Commits of view {view} at n{n} without the prepared certificate")
        compared = 0
        ranked = sorted({key for key in possible | self.certificates if key[2] > 0}, key=lambda key: key[1:3])
        for at, (kind, view, n, digest) in enumerate(ranked):
            for _, later, m, other in ranked[at + 1 :]:
                # One view, one chain; and nothing later leaves what may have been decided.
                if later != view and kind != "Commit":
                    continue
                self.report.check(m >= n, f"I7: view {later} at n{m}, below the decided n{n} of view {view}")
                below = self.ancestor(other, m, n) if m >= n else digest
                compared += below is not None
                self.report.check(below in (None, digest), f"I2, I7: n{m} of view {later} does not extend n{n} of view {view}")
        made = 0
        for key, by in self.replies.items():
            if len(by) >= self.cluster.weak_quorum:
                made += 1
                data = make_receipt(by)
                self.report.check(bool(data) and verifier.receipt(data) is not None, f"S2: no receipt for {key}")
        return compared, made
