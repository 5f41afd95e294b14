"""Well signed and wrong: messages and receipts that only their structure condemns, and a few that look wrong and are valid.

Each case says what it should be; this reader has to agree, and so has the crate (tests/interop.rs), by way of hostile.txt. The cluster is not the
vectors': seven replicas, three clients, small numbers and limits.
"""

from hashlib import sha512
from pathlib import Path
from types import SimpleNamespace as Of

from nacl.bindings import crypto_core_ed25519_add, crypto_scalarmult_ed25519_base_noclamp
from nacl.signing import SigningKey

import layout
import zip215
from cluster import Cluster, Limits, digest, leaf, operation_digest, path, root, tree, u32, u64
from codec import Pick, Refused
from verify import Verifier

FILE = Path(__file__).parent / "hostile.txt"
LIMITS = Limits(66064, 528, 3, 40, 20, 4)
KEYS = [SigningKey(bytes([seed] * 32)) for seed in range(11, 18)]
CLIENTS = [SigningKey(bytes([seed] * 32)) for seed in range(201, 204)]
STRANGER = SigningKey(bytes([99] * 32))
# An encoding of a point of order 8.
TORSION = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")


def public(key):
    return bytes(key.verify_key)


CLUSTER = Cluster(list(map(public, KEYS)), list(map(public, CLIENTS)), LIMITS, interval=4, window=16, pipeline=2)
QUORUM = [0, 1, 2, 4, 6]
D1, D2 = digest("logothete/chunk", b"1"), digest("logothete/chunk", b"2")


def sign(key, payload):
    return key.sign(payload).signature


def stated(replica, name, **fields):
    return sign(KEYS[replica], CLUSTER.statement(Pick(name, Of(**fields))))


def signatures(members, payload, keys=None):
    return [Of(replica=member, signature=sign((keys or KEYS)[member % 7], payload)) for member in members]


def certificate(kind="Prepare", view=2, n=5, d=D1, members=QUORUM, signed=None):
    said = signed or CLUSTER.statement(Pick(kind, Of(view=view, n=n, digest=d)))
    return Of(kind=Pick(kind, Of()), view=view, n=n, digest=d, signatures=signatures(members, said))


def request(number=1, operation=b"operation", client=0, key=None, signed=None):
    key = key or CLIENTS[client]
    value = Of(client=public(key), number=number, operation=operation, index=0, count=1, path=[], signature=bytes(64))
    value.signature = signed or sign(key, CLUSTER.request(value))
    return value


def run(first, length, place, key=None, **changed):
    """One of the requests that a client signed at once; with fields that are put in after that."""
    key = key or CLIENTS[0]
    operations = [b"operation %d" % number for number in range(first, first + length)]
    digests = list(map(operation_digest, operations))
    payload = CLUSTER.payload("Request", public(key), u64(first), u32(length), tree(digests))
    value = Of(
        client=public(key), number=first + place, operation=operations[place], index=place, count=length, path=path(digests, place),
        signature=sign(key, payload),
    )  # fmt: skip
    vars(value).update(changed)
    return value


def block(n=5, parent=D1, batch=None, payload=None):
    batch = [request()] if batch is None else batch
    return Of(header=Of(n=n, parent=parent, payload=payload or CLUSTER.batch_digest(batch)), batch=batch)


def pre_prepare(view=3, by=None, **fields):
    value = block(**fields)
    d_n = CLUSTER.header_digest(value.header)
    signature = stated(view % 7 if by is None else by, "Prepare", view=view, n=value.header.n, digest=d_n)
    return Of(view=view, block=value, signature=signature)


def vote(kind="Prepare", view=3, n=5, d=D1, replica=1, key=None):
    signature = stated(replica % 7 if key is None else key, kind, view=view, n=n, digest=d)
    return Of(view=view, n=n, digest=d, replica=replica, signature=signature)


def claim(view=2, n=5, d=D1):
    return Of(rank=Of(view=view, n=n), digest=d)


GENESIS = claim(0, 0, CLUSTER.genesis)


def view_change(view=5, said=None, proof="fitting", replica=3, key=None):
    said = said or claim()
    if proof == "fitting":
        proof = certificate(view=said.rank.view, n=said.rank.n, d=said.digest)
    signature = stated(replica if key is None else key, "ViewChange", view=view, claim=said)
    return Of(view=view, claim=said, replica=replica, signature=signature, certificate=proof)


def new_view(view=5, claims=None, members=QUORUM, base=None, proof="fitting", by=None, claimed_view=None):
    claims = claims or [claim(1, 3, D2), claim(), claim(2, 4, D2), GENESIS, claim()] + [GENESIS] * 2
    base = base or claim()
    signed = [
        Of(replica=member, claim=said, signature=stated(member, "ViewChange", view=claimed_view or view, claim=said))
        for member, said in zip(members, claims)
    ]
    if proof == "fitting":
        proof = certificate(view=base.rank.view, n=base.rank.n, d=base.digest)
    signature = stated(view % 7 if by is None else by, "NewView", view=view, n=base.rank.n, digest=base.digest)
    return Of(view=view, n=base.rank.n, digest=base.digest, claims=signed, certificate=proof, signature=signature)


def status(replica=2, mode="Normal", **said):
    numbers = dict(ordinal=7, view=3, want=4, stable=4, floor=0, decided=5, head_n=6)
    value = Of(replica=replica, mode=Pick(mode, Of()), committed=Of(view=2, n=5), high=Of(view=3, n=5), head_digest=D2, **numbers)
    fields = u64(4, 4, 0, 5, 2, 5, 3, 5, 6)
    payload = CLUSTER.payload("Status", u32(replica), u64(7, 3), bytes([mode != "Normal"]), fields, D2)
    value.signature = sign(KEYS[replica], payload)
    for part in ("prepare", "commit", "checkpoint", "view_change"):
        setattr(value, part, said.get(part))
    return value


def fetch(kind, first, n, d, **fields):
    number = layout.WANTED.numbers[kind]
    signature = sign(KEYS[2], CLUSTER.payload("Fetch", u32(2), u64(9), bytes([number]), u64(first, n), d))
    return Of(replica=2, ordinal=9, wanted=Pick(kind, Of(n=n, digest=d, state=d, **fields)), signature=signature)


def chain(blocks=None, proof=None, said=None):
    return Of(certificate=proof, vote=said, blocks=blocks or [])


def linked(*numbers):
    """Blocks from the lowest up, each the parent of the next; given from the highest down."""
    blocks, parent = [], D1
    for n in numbers:
        blocks.insert(0, block(n=n, parent=parent))
        parent = CLUSTER.header_digest(blocks[0].header)
    return blocks


def evidence(first, second, replica=3, keys=(3, 3)):
    signed = [Of(statement=said, signature=sign(KEYS[key], CLUSTER.statement(said))) for said, key in zip((first, second), keys)]
    return Of(replica=replica, first=signed[0], second=signed[1])


def said(name, **fields):
    return Pick(name, Of(**fields))


def executed(index=2, count=5, n=5, result=b"result"):
    """What a reply and a receipt share, and the payload under it."""
    operation = operation_digest(b"operation")
    leaves = [digest("logothete/leaf", bytes([number])) for number in range(count)]
    leaves[index] = leaf(public(CLIENTS[0]), 1, operation, result)

    def path(leaves, index):
        left = 1 << (len(leaves) - 1).bit_length() - 1 if len(leaves) > 1 else 0
        if not left:
            return []
        inside, outside, place = (leaves[:left], leaves[left:], index) if index < left else (leaves[left:], leaves[:left], index - left)
        return path(inside, place) + [tree(outside)]

    value = Of(client=public(CLIENTS[0]), number=1, operation=operation, result=result, n=n, index=index, count=count)
    value.path = path(leaves, index)
    return value, CLUSTER.statement(Pick("Executed", Of(n=n, root=root(count, tree(leaves)))))


def reply(replica=1, change=(), **fields):
    value, payload = executed(**fields)
    value.replica, value.view, value.signature = replica, 3, sign(KEYS[replica % 7], payload)
    vars(value).update(change)
    return value


def receipt(members=(1, 2, 5), change=(), **fields):
    value, payload = executed(**fields)
    value.signatures = signatures(members, payload)
    vars(value).update(change)
    return value


def answered(replica=1, key=1):
    fields = (u32(replica), public(CLIENTS[1]), u64(4), D1)
    return Of(replica=replica, client=public(CLIENTS[1]), number=4, result=D1, signature=sign(KEYS[key], CLUSTER.payload("Answered", *fields)))


def point(n=8, log=D1, state=D2):
    return Of(n=n, log=log, state=state)


def checkpoint(replica=1, key=1, **fields):
    value = point(**fields)
    return Of(checkpoint=value, replica=replica, signature=stated(key, "Checkpoint", **vars(value)))


def stable(members=QUORUM, signed=None, **fields):
    value = point(**fields)
    payload = CLUSTER.statement(Pick("Checkpoint", signed or value))
    return Of(checkpoint=value, signatures=signatures(members, payload))


def rejoin(replica=2, key=2):
    return Of(replica=replica, nonce=D1, signature=sign(KEYS[key], CLUSTER.payload("Rejoin", u32(replica), D1)))


def welcome(replica=2, key=2, to=1):
    payload = CLUSTER.payload("Welcome", u32(replica, to), D1, u64(6))
    return Of(replica=replica, to=to, nonce=D1, want=6, signature=sign(KEYS[key], payload))


def crafted(r_bytes, nonce=0, plus=0):
    """Replica 1's Prepare with a signature that has this R (= nonce · B, up to torsion), and S = nonce + k a + plus."""
    value = vote()
    payload, seed = CLUSTER.statement(Pick("Prepare", value)), sha512(bytes(KEYS[1])).digest()
    a = int.from_bytes(seed[:32], "little") & (2**254 - 8) | 2**254
    k = int.from_bytes(sha512(r_bytes + public(KEYS[1]) + payload).digest(), "little")
    value.signature = r_bytes + ((nonce + k * a) % zip215.ORDER + plus).to_bytes(32, "little")
    return value


def signature_cases():
    base = crypto_scalarmult_ed25519_base_noclamp((5).to_bytes(32, "little"))
    identity = bytes([1] + [0] * 31)
    yield "Prepare", "r_and_s_as_usual", True, crafted(base, 5)
    yield "Prepare", "r_with_torsion", True, crafted(crypto_core_ed25519_add(base, TORSION), 5)
    yield "Prepare", "r_of_order_8", True, crafted(TORSION)
    yield "Prepare", "r_the_identity", True, crafted(identity)
    yield "Prepare", "r_the_identity_with_its_sign_bit", True, crafted(identity[:31] + b"\x80")
    yield "Prepare", "r_the_identity_not_canonical", True, crafted(bytes.fromhex("ee" + "ff" * 30 + "7f"))
    yield "Prepare", "r_no_point", False, crafted(bytes([2] + [0] * 31))
    yield "Prepare", "s_plus_the_order", False, crafted(base, 5, plus=zip215.ORDER)
    yield "Prepare", "another_s", False, crafted(base, 6)


def request_cases():
    long = [request(number, bytes(40)) for number in (1, 2, 3)]
    yield "Request", "as_usual", True, request()
    yield "Request", "number_0", False, request(0)
    yield "Request", "the_largest_number", True, request(2**64 - 1)
    yield "Request", "no_operation", True, request(operation=b"")
    yield "Request", "operation_at_its_bound", True, request(operation=bytes(40))
    yield "Request", "operation_beyond_its_bound", False, request(operation=bytes(41))
    yield "Request", "of_a_stranger", False, request(key=STRANGER)
    yield "Request", "of_a_replica", False, request(key=KEYS[0])
    yield "Request", "another_requests_signature", False, request(2, signed=request().signature)
    for first, count, index in [(1, 2, 0), (1, 2, 1), (7, 3, 0), (7, 3, 1), (7, 3, 2), (1, 5, 4), (9, 64, 63), (2**64 - 2, 3, 1)]:
        yield "Request", f"{index}_of_{count}_from_{first}", True, run(first, count, index)
    three, one = run(7, 3, 1), request(7)
    yield "Request", "64_of_65", False, run(1, 65, 64)
    yield "Request", "another_index", False, run(7, 3, 1, index=0, number=7)
    yield "Request", "another_number", False, run(7, 3, 1, number=9)
    yield "Request", "another_count", False, run(7, 3, 1, count=4)
    yield "Request", "a_count_of_one_more_with_a_path_as_long", False, run(7, 4, 0, count=3)
    yield "Request", "index_at_its_count", False, run(7, 3, 2, index=3, number=10)
    yield "Request", "a_count_of_none", False, run(7, 3, 0, count=0)
    yield "Request", "a_run_from_number_0", False, run(0, 3, 1)
    yield "Request", "a_run_from_below_number_0", False, run(7, 3, 2, number=1)
    yield "Request", "a_path_too_short", False, run(7, 3, 1, path=three.path[:1])
    yield "Request", "a_path_too_long", False, run(7, 3, 1, path=three.path + three.path[:1])
    yield "Request", "a_path_the_other_way", False, run(7, 3, 1, path=three.path[::-1])
    yield "Request", "another_sibling", False, run(7, 3, 1, path=[D1, three.path[1]])
    yield "Request", "another_operation_of_the_run", False, run(7, 3, 1, operation=b"operation 7")
    yield "Request", "alone_with_a_path", False, Of(**vars(one) | {"path": [D1]})
    yield "Request", "alone_with_a_runs_signature", False, Of(**vars(request(8, three.operation)) | {"signature": three.signature})
    yield "Request", "of_a_run_with_its_own_signature", False, run(7, 3, 1, signature=request(8, three.operation).signature)
    yield "Request", "a_run_of_a_strangers", False, run(7, 3, 1, key=STRANGER)
    whole = [run(1, 2, index) for index in range(2)]
    yield "PrePrepare", "a_run", True, pre_prepare(batch=whole)
    yield "PrePrepare", "a_run_backwards", True, pre_prepare(batch=whole[::-1])
    yield "PrePrepare", "a_run_and_one_alone", True, pre_prepare(batch=[whole[1], request(3)])
    yield "PrePrepare", "a_run_with_a_bad_path", False, pre_prepare(batch=[whole[0], run(1, 2, 1, path=[D1])])
    yield "PrePrepare", "a_run_with_a_path_too_short", False, pre_prepare(batch=[whole[0], run(1, 2, 1, path=[])])
    yield "PrePrepare", "a_runs_signature_in_another_place", False, pre_prepare(batch=[whole[0], run(1, 2, 1, signature=three.signature)])
    yield "PrePrepare", "paths_that_fill_a_batch", True, pre_prepare(batch=[run(1, 2, 0), run(1, 64, 62)])
    yield "PrePrepare", "paths_beyond_a_batch", False, pre_prepare(batch=[run(1, 2, 0), run(1, 64, 61), request(3, b"")])
    yield "PrePrepare", "as_usual", True, pre_prepare()
    yield "PrePrepare", "a_batch_at_its_bounds", True, pre_prepare(batch=long)
    yield "PrePrepare", "an_empty_batch", False, pre_prepare(batch=[])
    yield "PrePrepare", "four_requests", False, pre_prepare(batch=[request(number, b"") for number in (1, 2, 3, 4)])
    yield "PrePrepare", "a_request_twice", True, pre_prepare(batch=[request(), request()])
    yield "PrePrepare", "requests_out_of_order", True, pre_prepare(batch=[request(3), request(2)])
    yield "PrePrepare", "a_strangers_request", False, pre_prepare(batch=[request(), request(key=STRANGER)])
    yield "PrePrepare", "a_bad_requests_signature", False, pre_prepare(batch=[request(), request(2, signed=request().signature)])
    yield "PrePrepare", "an_operation_beyond_its_bound", False, pre_prepare(batch=[request(operation=bytes(41))])
    yield "PrePrepare", "at_genesis", False, pre_prepare(n=0)
    yield "PrePrepare", "another_header", False, pre_prepare(payload=D1)
    yield "PrePrepare", "by_another_replica", False, pre_prepare(by=4)
    yield "PrePrepare", "by_the_primary_of_view_10", True, pre_prepare(view=10)


def vote_cases():
    genesis = CLUSTER.genesis
    other = CLUSTER.statement(Pick("Prepare", Of(view=2, n=5, digest=D2)))
    for kind in ("Prepare", "Commit"):
        yield kind, "as_usual", True, vote(kind)
        yield kind, "of_view_0", True, vote(kind, view=0)
        yield kind, "of_genesis", kind == "Prepare", vote(kind, n=0, d=genesis)
        yield kind, "of_genesis_in_view_0", False, vote(kind, view=0, n=0, d=genesis)
        yield kind, "of_another_genesis", False, vote(kind, n=0)
        yield kind, "of_replica_7", False, vote(kind, replica=7)
        yield kind, "of_the_last_replica_id", False, vote(kind, replica=2**32 - 1)
        yield kind, "under_anothers_name", False, vote(kind, key=2)
        yield "Certificate", f"of_{kind}s", True, certificate(kind)
        yield "Certificate", f"of_{kind}s_of_genesis", kind == "Prepare", certificate(kind, n=0, d=genesis)
        yield "Certificate", f"of_{kind}s_of_genesis_in_view_0", False, certificate(kind, view=0, n=0, d=genesis)
        yield "Certificate", f"of_{kind}s_of_another_genesis", False, certificate(kind, n=0)
    yield "Commit", "signed_as_a_Prepare", False, vote("Prepare", d=D2)
    yield "Certificate", "of_the_last_five", True, certificate(members=[2, 3, 4, 5, 6])
    yield "Certificate", "one_too_few", False, certificate(members=QUORUM[1:])
    yield "Certificate", "one_too_many", False, certificate(members=[0, 1, 2, 3, 4, 6])
    yield "Certificate", "nobody", False, certificate(members=[])
    yield "Certificate", "one_twice", False, certificate(members=[0, 1, 2, 4, 4])
    yield "Certificate", "one_twice_beside_a_quorum", False, certificate(members=[0, 1, 2, 4, 4, 6])
    yield "Certificate", "out_of_order", False, certificate(members=[1, 0, 2, 4, 6])
    yield "Certificate", "replica_7", False, certificate(members=[0, 1, 2, 4, 7])
    yield "Certificate", "of_another_digest", False, certificate(signed=other)
    mixed = certificate()
    mixed.signatures[2] = signatures([2], other)[0]
    yield "Certificate", "one_signature_of_another_digest", False, mixed
    exchanged = certificate()
    first, second = exchanged.signatures[:2]
    first.signature, second.signature = second.signature, first.signature
    yield "Certificate", "signatures_exchanged", False, exchanged


def view_change_cases():
    yield "ViewChange", "as_usual", True, view_change()
    yield "ViewChange", "with_a_commit_certificate", True, view_change(proof=certificate("Commit"))
    yield "ViewChange", "of_genesis", True, view_change(said=GENESIS, proof=None)
    yield "ViewChange", "of_genesis_with_a_certificate", False, view_change(said=GENESIS)
    yield "ViewChange", "of_another_genesis", False, view_change(said=claim(0, 0), proof=None)
    yield "ViewChange", "of_view_0", True, view_change(said=claim(0, 5))
    yield "ViewChange", "of_genesis_in_view_2", True, view_change(said=claim(2, 0, CLUSTER.genesis))
    yield "ViewChange", "of_genesis_in_view_2_without_certificate", False, view_change(said=claim(2, 0, CLUSTER.genesis), proof=None)
    yield "ViewChange", "without_certificate", False, view_change(proof=None)
    yield "ViewChange", "to_view_0", False, view_change(view=0, said=GENESIS, proof=None)
    yield "ViewChange", "a_claim_of_the_same_view", False, view_change(view=2)
    yield "ViewChange", "to_the_next_view", True, view_change(view=3)
    yield "ViewChange", "a_certificate_of_another_position", False, view_change(proof=certificate(n=6))
    yield "ViewChange", "a_certificate_of_a_higher_view", False, view_change(proof=certificate(view=3))
    yield "ViewChange", "a_certificate_of_another_digest", False, view_change(proof=certificate(d=D2))
    yield "ViewChange", "a_certificate_one_too_small", False, view_change(proof=certificate(members=QUORUM[1:]))
    yield "ViewChange", "a_certificate_out_of_order", False, view_change(proof=certificate(members=[1, 0, 2, 4, 6]))
    yield "ViewChange", "under_anothers_name", False, view_change(key=4)
    lower, all_genesis = [claim(1, 3, D2)] * 5, [GENESIS] * 5
    yield "NewView", "as_usual", True, new_view()
    yield "NewView", "from_genesis", True, new_view(claims=all_genesis, base=GENESIS, proof=None)
    yield "NewView", "from_genesis_with_a_certificate", False, new_view(claims=all_genesis, base=GENESIS, proof=certificate())
    yield "NewView", "from_view_1", True, new_view(claims=lower, base=claim(1, 3, D2))
    yield "NewView", "one_too_few", False, new_view(members=QUORUM[:4])
    yield "NewView", "one_too_many", False, new_view(members=[0, 1, 2, 3, 4, 6])
    yield "NewView", "one_twice", False, new_view(members=[0, 1, 2, 4, 4])
    yield "NewView", "out_of_order", False, new_view(members=[0, 2, 1, 4, 6])
    yield "NewView", "of_view_0", False, new_view(view=0, claims=all_genesis, base=GENESIS, proof=None)
    yield "NewView", "a_claim_of_its_own_view", False, new_view(view=2, by=2)
    yield "NewView", "of_the_next_view", True, new_view(view=3)
    yield "NewView", "a_lower_base", False, new_view(base=claim(1, 3, D2))
    yield "NewView", "a_higher_base", False, new_view(base=claim(2, 6))
    yield "NewView", "a_base_of_another_digest", False, new_view(base=claim(2, 5, D2))
    yield "NewView", "a_base_that_nobody_claims", False, new_view(claims=lower)
    yield "NewView", "two_highest_claims", False, new_view(claims=[claim(), claim(2, 5, D2)] + [GENESIS] * 3)
    yield "NewView", "a_higher_position_of_a_lower_view", True, new_view(claims=[claim(1, 9, D2), claim()] + [GENESIS] * 3)
    yield "NewView", "without_certificate", False, new_view(proof=None)
    yield "NewView", "a_certificate_of_another_claim", False, new_view(proof=certificate(view=1, n=3, d=D2))
    yield "NewView", "with_a_commit_certificate", True, new_view(proof=certificate("Commit"))
    yield "NewView", "by_another_replica", False, new_view(by=4)
    yield "NewView", "claims_for_another_view", False, new_view(claimed_view=6)


def catch_up_cases():
    theirs = dict(prepare=vote(replica=2), commit=vote("Commit", replica=2), checkpoint=checkpoint(2, 2), view_change=view_change(replica=2))
    yield "Status", "as_usual", True, status()
    yield "Status", "with_all", True, status(mode="ViewChange", **theirs)
    yield "Status", "with_anothers_prepare", False, status(prepare=vote(replica=1))
    yield "Status", "with_anothers_commit", False, status(commit=vote("Commit", replica=1))
    yield "Status", "with_anothers_checkpoint", False, status(checkpoint=checkpoint(1, 1))
    yield "Status", "with_anothers_view_change", False, status(view_change=view_change(replica=1))
    yield "Status", "with_a_forged_prepare", False, status(prepare=vote(replica=2, key=1))
    yield "Status", "with_a_commit_for_a_prepare", False, status(prepare=vote("Commit", replica=2))
    yield "Status", "with_a_checkpoint_off_its_interval", False, status(checkpoint=checkpoint(2, 2, n=6))
    yield "Status", "with_an_unproven_view_change", False, status(view_change=view_change(replica=2, proof=None))
    yield "Fetch", "a_chain", True, fetch("Chain", 4, 5, D1, above=4)
    yield "Fetch", "an_empty_chain", False, fetch("Chain", 5, 5, D1, above=5)
    yield "Fetch", "a_chain_upwards", False, fetch("Chain", 6, 5, D1, above=6)
    yield "Fetch", "a_proposal", True, fetch("Proposal", 3, 5, D1, view=3)
    yield "Fetch", "a_manifest", True, fetch("Manifest", 0, 8, D1)
    yield "Fetch", "a_manifest_signed_with_a_number", False, fetch("Manifest", 1, 8, D1)
    yield "Fetch", "a_part", True, fetch("Chunk", 2, 8, D1, index=2)
    yield "Fetch", "another_part", False, fetch("Chunk", 2, 8, D1, index=3)
    yield "Chain", "as_usual", True, chain(linked(3, 4, 5), certificate("Commit"), vote())
    yield "Chain", "blocks_only", True, chain(linked(3, 4))
    yield "Chain", "a_vote_only", True, chain(said=vote())
    yield "Chain", "a_certificate_only", True, chain(proof=certificate())
    yield "Chain", "nothing", False, chain()
    yield "Chain", "upwards", False, chain(linked(3, 4)[::-1])
    yield "Chain", "a_gap", False, chain(linked(3, 5))
    yield "Chain", "a_block_twice", False, chain([linked(3)[0]] * 2)
    yield "Chain", "not_each_others_parents", False, chain([block(n=5), block(n=4)])
    yield "Chain", "from_genesis", False, chain(linked(0, 1))
    yield "Chain", "a_forged_vote", False, chain(linked(3), said=vote(key=2))
    yield "Chain", "a_commit_for_a_vote", False, chain(linked(3), said=vote("Commit"))
    yield "Chain", "a_small_certificate", False, chain(linked(3), certificate(members=QUORUM[1:]))
    yield "Rejoin", "as_usual", True, rejoin()
    yield "Rejoin", "under_anothers_name", False, rejoin(key=3)
    yield "Welcome", "as_usual", True, welcome()
    yield "Welcome", "to_nobody", True, welcome(to=7)
    yield "Welcome", "under_anothers_name", False, welcome(key=3)


def evidence_cases():
    at = dict(view=3, n=5)
    pairs = {
        "Prepare": (said("Prepare", **at, digest=D1), said("Prepare", **at, digest=D2)),
        "Commit": (said("Commit", **at, digest=D1), said("Commit", **at, digest=D2)),
        "ViewChange": (said("ViewChange", view=5, claim=claim()), said("ViewChange", view=5, claim=claim(1))),
        "NewView": (said("NewView", **at, digest=D1), said("NewView", view=3, n=6, digest=D1)),
        "Executed": (said("Executed", n=5, root=D1), said("Executed", n=5, root=D2)),
        "Checkpoint": (Pick("Checkpoint", point()), Pick("Checkpoint", point(state=D1))),
    }
    for name, (first, second) in pairs.items():
        yield "Evidence", f"of_{name}s", True, evidence(first, second)
        yield "Evidence", f"of_{name}s_the_other_way_round", True, evidence(second, first)
        yield "Evidence", f"of_one_{name}", False, evidence(first, first)
        yield "Evidence", f"of_{name}s_by_two", False, evidence(first, second, keys=(3, 4))
        yield "Evidence", f"of_{name}s_by_another", False, evidence(first, second, replica=4)
    yield "Evidence", "two_positions", False, evidence(pairs["Prepare"][0], said("Prepare", view=3, n=6, digest=D2))
    yield "Evidence", "two_views", False, evidence(pairs["Prepare"][0], said("Prepare", view=4, n=5, digest=D2))
    yield "Evidence", "a_prepare_and_a_commit", False, evidence(pairs["Prepare"][0], pairs["Commit"][1])
    yield "Evidence", "two_view_changes_of_two_views", False, evidence(pairs["ViewChange"][0], said("ViewChange", view=6, claim=claim(1)))
    yield "Evidence", "two_new_views_of_two_views", False, evidence(pairs["NewView"][0], said("NewView", view=4, n=6, digest=D1))
    yield "Evidence", "two_results_of_two_positions", False, evidence(pairs["Executed"][0], said("Executed", n=6, root=D2))
    yield "Evidence", "two_checkpoints_of_two_positions", False, evidence(pairs["Checkpoint"][0], Pick("Checkpoint", point(n=12)))
    yield "Evidence", "checkpoints_of_another_log", True, evidence(pairs["Checkpoint"][0], Pick("Checkpoint", point(log=D2)))
    yield "Evidence", "checkpoints_off_their_interval", True, evidence(*(Pick("Checkpoint", point(n=6, state=d)) for d in (D1, D2)))
    yield "Evidence", "against_replica_7", False, evidence(*pairs["Prepare"], replica=7)


def result_cases():
    stray = [digest("logothete/chunk", b"stray")]
    good = executed()[0].path
    for kind, make in (("Reply", reply), ("receipt", receipt)):
        yield kind, "as_usual", True, make()
        for index, count in ((0, 1), (1, 2), (0, 3), (2, 3), (4, 5), (6, 7), (7, 8)):
            yield kind, f"leaf_{index}_of_{count}", True, make(index=index, count=count)
        yield kind, "a_result_at_its_bound", True, make(result=bytes(20))
        yield kind, "a_result_beyond_its_bound", False, make(result=bytes(21))
        yield kind, "no_result", True, make(result=b"")
        yield kind, "another_result", False, make(change=dict(result=b"another"))
        yield kind, "another_number", False, make(change=dict(number=2))
        yield kind, "another_position", False, make(change=dict(n=6))
        yield kind, "another_index", False, make(change=dict(index=3))
        yield kind, "another_count", False, make(change=dict(count=6))
        yield kind, "an_index_beyond_the_count", False, make(change=dict(index=5))
        yield kind, "no_leaves", False, make(change=dict(index=0, count=0, path=[]))
        yield kind, "a_path_too_short", False, make(change=dict(path=good[:-1]))
        yield kind, "a_path_too_long", False, make(change=dict(path=good + stray))
        yield kind, "a_path_turned_round", False, make(change=dict(path=good[::-1]))
        yield kind, "a_path_of_33", False, make(change=dict(path=stray * 33))
        yield kind, "the_largest_count", False, make(change=dict(index=2**32 - 2, count=2**32 - 1, path=stray * 32))
    yield "Reply", "another_view", True, reply(change=dict(view=4))
    yield "Reply", "of_replica_7", False, reply(replica=7)
    yield "receipt", "one_too_few", False, receipt((1, 2))
    yield "receipt", "one_too_many", False, receipt((1, 2, 4, 5))
    yield "receipt", "one_twice", False, receipt((1, 2, 2))
    yield "receipt", "out_of_order", False, receipt((2, 1, 5))
    yield "receipt", "replica_7", False, receipt((1, 2, 7))
    yield "receipt", "signatures_of_another_batch", False, receipt(change=dict(signatures=receipt(n=6).signatures))
    yield "Answered", "as_usual", True, answered()
    yield "Answered", "under_anothers_name", False, answered(key=2)


def checkpoint_cases():
    yield "Checkpoint", "as_usual", True, checkpoint()
    yield "Checkpoint", "off_its_interval", False, checkpoint(n=6)
    yield "Checkpoint", "at_genesis", False, checkpoint(n=0)
    yield "Checkpoint", "under_anothers_name", False, checkpoint(key=2)
    yield "Stable", "as_usual", True, stable()
    yield "Stable", "off_its_interval", False, stable(n=6)
    yield "Stable", "at_genesis", False, stable(n=0)
    yield "Stable", "one_too_few", False, stable(QUORUM[1:])
    yield "Stable", "one_too_many", False, stable([0, 1, 2, 3, 4, 6])
    yield "Stable", "one_twice", False, stable([0, 1, 2, 4, 4])
    yield "Stable", "out_of_order", False, stable([1, 0, 2, 4, 6])
    yield "Stable", "replica_7", False, stable([0, 1, 2, 4, 7])
    yield "Stable", "of_another_state", False, stable(signed=point(state=D1))
    yield "Manifest", "of_nothing", True, Of(n=8, log=D1, sessions=[], service=[])
    yield "Manifest", "of_three_parts", True, Of(n=8, log=D1, sessions=[D1], service=[D2, D1])
    yield "Chunk", "of_nothing", True, Of(bytes=b"")
    yield "Chunk", "at_its_bound", True, Of(bytes=bytes(528))
    yield "Chunk", "beyond_its_bound", False, Of(bytes=bytes(529))


def encoding_cases():
    """Bytes that no value has: they are not built but written."""
    whole = layout.MESSAGE.write(Pick("Status", status()))
    chain_bytes = layout.MESSAGE.write(Pick("Chain", chain(linked(3))))
    request_bytes = layout.MESSAGE.write(Pick("Request", request()))
    stable_bytes = layout.MESSAGE.write(Pick("Stable", stable()))
    cut = layout.MESSAGE.write(Pick("Evidence", evidence(said("Executed", n=5, root=D1), said("Executed", n=5, root=D2))))
    yield "nothing", b""
    yield "an_unknown_kind", u32(19) + whole[4:]
    yield "the_largest_kind", u32(2**32 - 1) + whole[4:]
    yield "an_unknown_mode", whole[:24] + u32(2) + whole[28:]
    yield "an_option_of_2", whole[:-1] + b"\2"
    yield "something_behind_it", whole + b"\0"
    yield "cut_off", whole[:-1]
    yield "a_length_that_is_not_there", request_bytes[:44] + u64(2**63) + request_bytes[52:]
    yield "a_count_that_is_not_there", chain_bytes[:6] + u64(2**63) + chain_bytes[14:]
    yield "blocks_beyond_their_bound", chain_bytes[:6] + u64(4097) + chain_bytes[14:]
    yield "a_count_one_too_large", stable_bytes[:76] + u64(6) + stable_bytes[84:]
    yield "a_count_one_too_small", stable_bytes[:76] + u64(4) + stable_bytes[84:]
    yield "an_unknown_statement", cut[:8] + u32(6) + cut[12:]
    yield "a_message_too_long", u32(16) + u64(66064) + bytes(66064)


def cases():
    """(what it is, name, should it be accepted?, bytes)"""
    families = (
        signature_cases, request_cases, vote_cases, view_change_cases, catch_up_cases, evidence_cases, result_cases, checkpoint_cases,
    )  # fmt: skip
    for family in families:
        for kind, name, valid, value in family():
            data = layout.RECEIPT.write(value) if kind == "receipt" else layout.MESSAGE.write(Pick(kind, value))
            yield kind, name, valid, data
    for name, data in encoding_cases():
        yield "encoding", name, False, data


def line(kind, name, valid, data):
    return f"{'accept' if valid else 'refuse'} {kind} {name} {data.hex() or '-'}\n"


def check(report, rewrite=False):
    verifier = Verifier(CLUSTER)
    text = f"identity {CLUSTER.group.hex()}\n"
    for kind, name, valid, data in cases():
        try:
            (verifier.receipt if kind == "receipt" else verifier.message)(data)
            verdict = True
        except Refused:
            verdict = False
        report.check(verdict == valid, f"hostile: {kind} {name}")
        # Long ones only here: the file stays readable.
        if len(data) < 10_000:
            text += line(kind, name, valid, data)
    if rewrite:
        FILE.write_text(text)
    report.check(FILE.exists() and FILE.read_text() == text, "hostile.txt is what this writes (--rewrite)")
