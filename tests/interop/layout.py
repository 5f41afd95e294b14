"""The messages, files and records of SPEC 4 and 5, field by field."""

from codec import BYTES, DIGEST, KEY, NONCE, NOTHING, SIGNATURE, U32, U64, Choice, ListOf, OptionOf, Struct

SIGNATURES = ListOf(Struct(replica=U32, signature=SIGNATURE), 256)
PHASE = Choice(("Prepare", NOTHING), ("Commit", NOTHING))
MODE = Choice(("Normal", NOTHING), ("ViewChange", NOTHING))

REQUEST = Struct(client=KEY, number=U64, operation=BYTES, index=U32, count=U32, path=ListOf(DIGEST, 6), signature=SIGNATURE)
HEADER = Struct(n=U64, parent=DIGEST, payload=DIGEST)
BATCH = ListOf(REQUEST, 65536)
BLOCK = Struct(header=HEADER, batch=BATCH)
VOTE = Struct(view=U64, n=U64, digest=DIGEST, replica=U32, signature=SIGNATURE)
RANK = Struct(view=U64, n=U64)
CLAIM = Struct(rank=RANK, digest=DIGEST)
CERTIFICATE = Struct(kind=PHASE, view=U64, n=U64, digest=DIGEST, signatures=SIGNATURES)
CHECKPOINT = Struct(n=U64, log=DIGEST, state=DIGEST)
CHECKPOINT_VOTE = Struct(checkpoint=CHECKPOINT, replica=U32, signature=SIGNATURE)
CHECKPOINT_CERTIFICATE = Struct(checkpoint=CHECKPOINT, signatures=SIGNATURES)

PRE_PREPARE = Struct(view=U64, block=BLOCK, signature=SIGNATURE)
VIEW_CHANGE = Struct(view=U64, claim=CLAIM, replica=U32, signature=SIGNATURE, certificate=OptionOf(CERTIFICATE))
SIGNED_CLAIM = Struct(replica=U32, claim=CLAIM, signature=SIGNATURE)
NEW_VIEW = Struct(
    view=U64, n=U64, digest=DIGEST, claims=ListOf(SIGNED_CLAIM, 256), certificate=OptionOf(CERTIFICATE), signature=SIGNATURE
)
STATUS = Struct(
    replica=U32, ordinal=U64, view=U64, mode=MODE, want=U64, stable=U64, floor=U64, decided=U64, committed=RANK, high=RANK,
    head_n=U64, head_digest=DIGEST, signature=SIGNATURE,
    prepare=OptionOf(VOTE), commit=OptionOf(VOTE), checkpoint=OptionOf(CHECKPOINT_VOTE), view_change=OptionOf(VIEW_CHANGE),
)  # fmt: skip
WANTED = Choice(
    ("Chain", Struct(above=U64, n=U64, digest=DIGEST)),
    ("Proposal", Struct(view=U64, n=U64, digest=DIGEST)),
    ("Manifest", Struct(n=U64, state=DIGEST)),
    ("Chunk", Struct(n=U64, index=U32, digest=DIGEST)),
)
FETCH = Struct(replica=U32, ordinal=U64, wanted=WANTED, signature=SIGNATURE)
CHAIN = Struct(certificate=OptionOf(CERTIFICATE), vote=OptionOf(VOTE), blocks=ListOf(BLOCK, 4096))
STATEMENT = Choice(
    ("Prepare", Struct(view=U64, n=U64, digest=DIGEST)),
    ("Commit", Struct(view=U64, n=U64, digest=DIGEST)),
    ("ViewChange", Struct(view=U64, claim=CLAIM)),
    ("NewView", Struct(view=U64, n=U64, digest=DIGEST)),
    ("Executed", Struct(n=U64, root=DIGEST)),
    ("Checkpoint", CHECKPOINT),
)
SIGNED = Struct(statement=STATEMENT, signature=SIGNATURE)
EVIDENCE = Struct(replica=U32, first=SIGNED, second=SIGNED)
PATH = ListOf(DIGEST, 32)
REPLY = Struct(
    replica=U32, view=U64, n=U64, client=KEY, number=U64, operation=DIGEST, result=BYTES, index=U32, count=U32, path=PATH,
    signature=SIGNATURE,
)  # fmt: skip
ANSWERED = Struct(replica=U32, client=KEY, number=U64, result=DIGEST, signature=SIGNATURE)
MANIFEST = Struct(n=U64, log=DIGEST, sessions=ListOf(DIGEST, 2**21), service=ListOf(DIGEST, 2**21))

MESSAGE = Choice(
    ("Request", REQUEST),
    ("PrePrepare", PRE_PREPARE),
    ("Prepare", VOTE),
    ("Commit", VOTE),
    ("Certificate", CERTIFICATE),
    ("ViewChange", VIEW_CHANGE),
    ("NewView", NEW_VIEW),
    ("Status", STATUS),
    ("Fetch", FETCH),
    ("Chain", CHAIN),
    ("Evidence", EVIDENCE),
    ("Reply", REPLY),
    ("Answered", ANSWERED),
    ("Checkpoint", CHECKPOINT_VOTE),
    ("Stable", CHECKPOINT_CERTIFICATE),
    ("Manifest", MANIFEST),
    ("Chunk", Struct(bytes=BYTES)),
    ("Rejoin", Struct(replica=U32, nonce=NONCE, signature=SIGNATURE)),
    ("Welcome", Struct(replica=U32, to=U32, nonce=NONCE, want=U64, signature=SIGNATURE)),
)

RECEIPT = Struct(
    client=KEY, number=U64, operation=DIGEST, result=BYTES, n=U64, index=U32, count=U32, path=PATH, signatures=SIGNATURES
)
SESSION = Struct(client=KEY, last=U64, results_count=U32)  # and that many digests

POSITION = Struct(n=U64, digest=DIGEST)
BLOCKS = ListOf(HEADER)  # their batches stand behind the record's checksum
RECORD = Choice(
    ("Started", NOTHING),
    ("Prepare", Struct(view=U64, n=U64, digest=DIGEST, blocks=BLOCKS)),
    ("Commit", CERTIFICATE),
    ("ViewChange", VIEW_CHANGE),
    ("NewView", NEW_VIEW),
    ("Base", Struct(view=U64, mode=MODE, n=U64, digest=DIGEST, top=OptionOf(U64), high=OptionOf(CERTIFICATE))),
    ("High", CERTIFICATE),
    ("Blocks", Struct(blocks=BLOCKS)),
    ("Checkpoint", CHECKPOINT),
    ("State", Struct(
        keeps_from=U64, view=U64, mode=MODE, wish=U64, n=U64, digest=DIGEST, top=OptionOf(POSITION), high=OptionOf(CERTIFICATE),
        view_change=OptionOf(VIEW_CHANGE), new_view=OptionOf(NEW_VIEW), commits=ListOf(POSITION),
        stable=OptionOf(CHECKPOINT_CERTIFICATE), checkpoints=ListOf(CHECKPOINT), rejoining=OptionOf(NONCE),
    )),
    ("Rejoining", Struct(nonce=NONCE)),
    ("Wish", Struct(view=U64)),
)  # fmt: skip
