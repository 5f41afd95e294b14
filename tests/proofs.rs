//! Certificates, new views and evidence: what proves something, and what only looks like it. (P3, V4, E)

mod samples;

use ed25519_dalek::SigningKey;
use logothete::sim::forge::{ForgedCertificate, ForgedViewChange, Kind, Position, Traitor};
use logothete::{DecodeError, Digest, Evidence, Limits, ReplicaId, RequestNumber, SequenceNumber, VerifyError, View};
use samples::World;
use samples::by_hand::{Phase, Statement, Vote};
use samples::sheet::Sheet;

impl World {
    fn traitor(&self, index: u32) -> Traitor<'_> {
        (ReplicaId::new(index), &self.replicas[index as usize])
    }

    fn members(&self, members: &[u32]) -> Vec<Traitor<'_>> {
        members.iter().map(|member| self.traitor(*member)).collect()
    }

    fn certified(&self, members: &[u32], kind: Kind, view: u64, position: Position) -> ForgedCertificate {
        self.forge.certificate(&self.members(members), kind, View::new(view), position)
    }

    /// Decoding and both ways of verification; they agree, or this fails.
    fn judge(&self, bytes: &[u8]) -> Result<(), String> {
        let unverified = self.decode(bytes).map_err(|error| error.to_string())?;
        let alone = self.verifier.verify(unverified.clone()).map(|_| ());
        let together = self.verifier.verify_all(vec![unverified]).remove(0).map(|_| ());
        assert_eq!(alone, together);
        alone.map_err(|error| error.to_string())
    }

    /// The certificate in every message that carries one.
    fn in_every_place(&self, certificate: &ForgedCertificate) -> Vec<(&'static str, Vec<u8>)> {
        let view = View::new(9);
        let claiming = self.forge.view_change(self.traitor(1), view, Some(certificate));
        let genesis = |replica| self.forge.view_change(self.traitor(replica), view, None);
        vec![
            ("alone", self.forge.certificate_message(certificate)),
            ("in a chain", self.forge.chain(Some(certificate), &[])),
            ("in a view change", self.forge.view_change_message(&claiming)),
            ("in a new view", self.forge.new_view(&self.replicas[1], view, &[genesis(0), claiming, genesis(2)], None)),
        ]
    }
}

fn position(number: u64, fill: u8) -> Position {
    (SequenceNumber::new(number), Digest::new([fill; 32]))
}

const NOT_A_QUORUM: &str = "P3: a certificate has not exactly a quorum of signatures";

#[test]
fn p3_a_certificate_is_exactly_a_quorum_of_distinct_members() {
    let world = World::new();
    let outsider = SigningKey::from_bytes(&[66; 32]);
    for kind in [Kind::Prepare, Kind::Commit] {
        let verdicts = |certificate: &ForgedCertificate, expected: Result<(), &str>| {
            for (place, bytes) in world.in_every_place(certificate) {
                assert_eq!(world.judge(&bytes), expected.map_err(str::to_owned), "{place}");
            }
        };
        let at = position(4, 9);
        for members in [&[0, 1, 2], &[0, 1, 3], &[0, 2, 3], &[1, 2, 3]] {
            verdicts(&world.certified(members, kind, 2, at), Ok(()));
        }
        for members in [&[][..], &[2], &[0, 1], &[0, 1, 2, 3]] {
            verdicts(&world.certified(members, kind, 2, at), Err(NOT_A_QUORUM));
        }
        for members in [&[0, 0, 1][..], &[0, 1, 1], &[1, 1, 1], &[0, 1, 2, 2]] {
            verdicts(&world.certified(members, kind, 2, at), Err("a certificate's members are not in order, each once"));
        }
        for (unknown, message) in
            [(4, "there is no replica 4"), (255, "there is no replica 255"), (u32::MAX, "there is no replica 4294967295")]
        {
            let members = [world.traitor(0), world.traitor(1), (ReplicaId::new(unknown), &outsider)];
            verdicts(&world.forge.certificate(&members, kind, View::new(2), at), Err(message));
        }
        // A member's name over another member's, or an outsider's, signature.
        for key in [&outsider, &world.replicas[0], &world.replicas[3]] {
            let members = [world.traitor(0), world.traitor(1), (ReplicaId::new(2), key)];
            verdicts(&world.forge.certificate(&members, kind, View::new(2), at), Err("a signature of replica 2 is not valid"));
        }
    }
}

#[test]
fn p3_a_certificate_is_of_one_and_the_same_statement() {
    let world = World::new();
    // The same keys in another cluster.
    let other = World::with_limits(Limits { result_bytes_max: 1, ..Limits::default() });
    const FIRST: usize = 4 + 4 + 8 + 8 + 32 + 8;
    const EACH: usize = 4 + 64;
    let at = position(4, 9);
    let members = [0, 1, 3];
    let good = world.forge.certificate_message(&world.certified(&members, Kind::Prepare, 2, at));
    assert_eq!(world.judge(&good), Ok(()));
    let strangers = [
        world.certified(&members, Kind::Prepare, 1, at),
        world.certified(&members, Kind::Prepare, 3, at),
        world.certified(&members, Kind::Commit, 2, at),
        world.certified(&members, Kind::Prepare, 2, position(3, 9)),
        world.certified(&members, Kind::Prepare, 2, position(4, 8)),
        other.certified(&members, Kind::Prepare, 2, at),
    ];
    for (which, stranger) in strangers.iter().enumerate() {
        let stranger = world.forge.certificate_message(stranger);
        for (place, member) in members.iter().enumerate() {
            let signature = FIRST + place * EACH + 4..FIRST + (place + 1) * EACH;
            let mut mixed = good.clone();
            mixed[signature.clone()].copy_from_slice(&stranger[signature]);
            assert_eq!(world.judge(&mixed), Err(format!("a signature of replica {member} is not valid")), "{which}");
        }
    }
    // Nor does a proposal, a view change or any other of the member's signatures stand in.
    for sample in world.samples().iter().filter(|sample| sample.signed.as_ref().is_some_and(|(by, _)| by == "replica 1")) {
        let signature = *sample.sheet.signatures.first().unwrap();
        let mut mixed = good.clone();
        mixed[FIRST + EACH + 4..FIRST + 2 * EACH].copy_from_slice(&sample.sheet.bytes[signature..signature + 64]);
        assert!(world.judge(&mixed).is_err(), "{}", sample.name);
    }
}

#[test]
fn p2_a_certificate_of_genesis_is_prepared_above_view_0_and_of_this_clusters_genesis() {
    let world = World::new();
    let genesis = (SequenceNumber::new(0), world.forge.genesis());
    let form = "genesis is prepared in views above 0 only, and never committed";
    let judge = |kind, view, at| world.judge(&world.forge.certificate_message(&world.certified(&[0, 1, 2], kind, view, at)));
    assert_eq!(judge(Kind::Prepare, 1, genesis), Ok(()));
    for (kind, view) in [(Kind::Prepare, 0), (Kind::Commit, 0), (Kind::Commit, 1)] {
        assert_eq!(judge(kind, view, genesis), Err(form.to_owned()));
    }
    let foreign = world.certified(&[0, 1, 2], Kind::Prepare, 2, position(0, 9));
    for (place, bytes) in world.in_every_place(&foreign) {
        assert_eq!(world.judge(&bytes), Err("P2: not this cluster's genesis".to_owned()), "{place}");
    }
}

#[test]
fn v2_a_view_change_proves_its_claim() {
    let world = World::new();
    let certificate = world.certified(&[0, 1, 2], Kind::Prepare, 2, position(4, 9));
    let claiming = |view: u64, claim: (u64, Position), certificate| {
        let claim = (View::new(claim.0), claim.1);
        world.judge(&world.forge.view_change_message(&world.forge.view_change_claiming(
            world.traitor(1),
            View::new(view),
            claim,
            certificate,
        )))
    };
    let genesis = (0, (SequenceNumber::new(0), world.forge.genesis()));
    let told = |message: &str| Err(message.to_owned());
    assert_eq!(claiming(3, (2, position(4, 9)), Some(&certificate)), Ok(()));
    assert_eq!(claiming(1, genesis, None), Ok(()));
    assert_eq!(claiming(0, genesis, None), told("nobody changes to view 0"));
    assert_eq!(claiming(3, (0, position(0, 9)), None), told("P2: not this cluster's genesis"));
    assert_eq!(claiming(3, genesis, Some(&certificate)), told("genesis has no certificate"));
    assert_eq!(claiming(3, (2, position(4, 9)), None), told("a claim has no certificate"));
    assert_eq!(claiming(3, (0, position(1, 9)), None), told("a claim has no certificate"));
    assert_eq!(claiming(3, (1, genesis.1), None), told("a claim has no certificate"));
    for claim in [(1, position(4, 9)), (2, position(5, 9)), (2, position(3, 9)), (2, position(4, 8))] {
        assert_eq!(claiming(3, claim, Some(&certificate)), told("a certificate is not the claim's"));
    }
    for view in [1, 2] {
        assert_eq!(claiming(view, (2, position(4, 9)), Some(&certificate)), told("a claim is not below the view that it leads to"));
    }
}

/// A new view into view 5, whose primary is replica 1.
struct Entry {
    world: World,
    low: ForgedCertificate,
    high: ForgedCertificate,
}

impl Entry {
    fn new() -> Self {
        let world = World::new();
        let low = world.certified(&[0, 1, 2], Kind::Commit, 1, position(7, 1));
        let high = world.certified(&[0, 1, 2], Kind::Prepare, 4, position(3, 4));
        Self { world, low, high }
    }

    fn claims(&self, replica: u32, certificate: Option<&ForgedCertificate>) -> ForgedViewChange {
        self.world.forge.view_change(self.world.traitor(replica), View::new(5), certificate)
    }

    /// A correct set: the rank is view first, so `high` wins though `low` stands at a higher position.
    fn set(&self) -> Vec<ForgedViewChange> {
        vec![self.claims(0, Some(&self.low)), self.claims(2, Some(&self.high)), self.claims(3, None)]
    }

    fn judge(&self, view: u64, set: &[ForgedViewChange], base: Option<(Position, Option<&ForgedCertificate>)>) -> Result<(), String> {
        let primary = usize::try_from(view % 4).unwrap();
        self.world.judge(&self.world.forge.new_view(&self.world.replicas[primary], View::new(view), set, base))
    }
}

fn told(message: &str) -> Result<(), String> {
    Err(message.to_owned())
}

#[test]
fn v4_a_new_view_starts_at_its_highest_claim() {
    let entry = Entry::new();
    let set = entry.set();
    assert_eq!(entry.judge(5, &set, None), Ok(()));
    // The lower claim is chosen, with its certificate, or with none, or genesis is.
    for certificate in [Some(&entry.low), Some(&entry.high), None] {
        assert_eq!(entry.judge(5, &set, Some((position(7, 1), certificate))), told("the base is not the highest claim"));
        let genesis = (SequenceNumber::new(0), entry.world.forge.genesis());
        assert_eq!(entry.judge(5, &set, Some((genesis, certificate))), told("the base is not the highest claim"));
    }
    // The certificate is omitted, or another claim's.
    assert_eq!(entry.judge(5, &set, Some((position(3, 4), None))), told("a claim has no certificate"));
    assert_eq!(entry.judge(5, &set, Some((position(3, 4), Some(&entry.low)))), told("a certificate is not the claim's"));
    // The right rank and position with another digest, and the reverse.
    assert_eq!(entry.judge(5, &set, Some((position(3, 5), Some(&entry.high)))), told("the base is not the highest claim"));
    assert_eq!(entry.judge(5, &set, Some((position(4, 4), Some(&entry.high)))), told("the base is not the highest claim"));
}

#[test]
fn v4_a_new_view_has_exactly_a_quorum_of_claims_of_distinct_members() {
    let entry = Entry::new();
    let Entry { world, high, .. } = &entry;
    let quorum = "V4: a new view has not exactly a quorum of claims";
    assert_eq!(entry.judge(5, &entry.set()[1..], None), told(quorum));
    let mut four = entry.set();
    four.push(entry.claims(1, None));
    assert_eq!(entry.judge(5, &four, None), told(quorum));
    assert_eq!(entry.judge(5, &[], None), told("a new view without claims"));
    let doubled = [entry.claims(2, Some(high)), entry.claims(2, Some(high)), entry.claims(3, None)];
    assert_eq!(entry.judge(5, &doubled, None), told("claims are not in the order of their members, each once"));
    let two_of_one = [entry.claims(2, Some(high)), entry.claims(2, None), entry.claims(3, None)];
    assert_eq!(entry.judge(5, &two_of_one, None), told("claims are not in the order of their members, each once"));
    let unknown = world.forge.view_change((ReplicaId::new(4), &world.replicas[3]), View::new(5), None);
    assert_eq!(entry.judge(5, &[entry.claims(0, None), entry.claims(2, Some(high)), unknown], None), told("there is no replica 4"));
}

#[test]
fn v4_forged_claims_and_certificates_are_refused_wherever_they_stand() {
    let entry = Entry::new();
    let Entry { world, low, high } = &entry;
    // A claim put into another member's mouth: the highest, a middle one, and genesis.
    for certificate in [Some(high), Some(low), None] {
        let forged = world.forge.view_change((ReplicaId::new(3), &world.replicas[1]), View::new(5), certificate);
        let set = [entry.claims(0, Some(low)), entry.claims(2, Some(high)), forged];
        assert_eq!(entry.judge(5, &set, None), told("a signature of replica 3 is not valid"));
    }
    // The highest claim is signed, but its certificate is not a quorum's.
    for members in [&[2][..], &[1, 2]] {
        let rubbish = world.certified(members, Kind::Prepare, 4, position(9, 9));
        let set = [entry.claims(0, Some(low)), entry.claims(2, Some(&rubbish)), entry.claims(3, None)];
        assert_eq!(entry.judge(5, &set, None), told(NOT_A_QUORUM));
    }
    let mut members = world.members(&[0, 1, 2]);
    members[0].1 = &world.replicas[3];
    let rubbish = world.forge.certificate(&members, Kind::Prepare, View::new(4), position(9, 9));
    let set = [entry.claims(0, Some(low)), entry.claims(2, Some(&rubbish)), entry.claims(3, None)];
    assert_eq!(entry.judge(5, &set, None), told("a signature of replica 0 is not valid"));
    // Claims that were made for another view.
    let stale = world.forge.view_change(world.traitor(3), View::new(6), None);
    assert_eq!(
        entry.judge(5, &[entry.claims(0, Some(low)), entry.claims(2, Some(high)), stale], None),
        told("a signature of replica 3 is not valid")
    );
}

#[test]
fn v4_claims_are_below_the_view() {
    let entry = Entry::new();
    let world = &entry.world;
    for view in [5, 6, u64::MAX] {
        let certificate = world.certified(&[0, 1, 2], Kind::Prepare, view, position(3, 4));
        for set in [
            vec![entry.claims(0, None), entry.claims(2, Some(&certificate)), entry.claims(3, None)],
            vec![entry.claims(0, Some(&certificate)), entry.claims(2, Some(&entry.high)), entry.claims(3, None)],
        ] {
            assert_eq!(entry.judge(5, &set, None), told("a claim is not below the view that it leads to"));
            assert_eq!(
                entry.judge(5, &set, Some((position(3, 4), Some(&entry.high)))),
                told("a claim is not below the view that it leads to")
            );
        }
    }
    let genesis = [0, 1, 2].map(|replica| world.forge.view_change(world.traitor(replica), View::new(0), None));
    assert_eq!(entry.judge(0, &genesis, None), told("nobody changes to view 0"));
}

#[test]
fn v4_only_the_primary_of_the_view_opens_it() {
    let entry = Entry::new();
    let Entry { world, .. } = &entry;
    for (index, key) in world.replicas.iter().enumerate() {
        let judged = world.judge(&world.forge.new_view(key, View::new(5), &entry.set(), None));
        assert_eq!(judged, if index == 1 { Ok(()) } else { told("a signature of replica 1 is not valid") });
    }
}

#[test]
fn v4_two_digests_at_the_highest_rank_are_refused() {
    let entry = Entry::new();
    let Entry { world, low, high } = &entry;
    let twin = world.certified(&[0, 1, 3], Kind::Prepare, 4, position(3, 5));
    for certificate in [None, Some((position(3, 4), Some(high))), Some((position(3, 5), Some(&twin)))] {
        let set = [entry.claims(0, Some(&twin)), entry.claims(2, Some(high)), entry.claims(3, None)];
        assert_eq!(entry.judge(5, &set, certificate), told("two digests at the highest rank"));
    }
    // Below the highest rank two digests do no harm: only the highest claim's certificate is there to judge by.
    let low_twin = world.certified(&[0, 1, 2], Kind::Commit, 1, position(7, 2));
    let set = [entry.claims(0, Some(low)), entry.claims(2, Some(high)), entry.claims(3, Some(&low_twin))];
    assert_eq!(entry.judge(5, &set, None), Ok(()));
    // Prepared or committed, the same claim.
    let committed = world.certified(&[1, 2, 3], Kind::Commit, 4, position(3, 4));
    let set = [entry.claims(0, Some(&committed)), entry.claims(2, Some(high)), entry.claims(3, None)];
    assert_eq!(entry.judge(5, &set, None), Ok(()));
}

#[test]
fn v4_a_new_view_from_genesis_has_no_certificate_and_this_clusters_genesis() {
    let entry = Entry::new();
    let Entry { world, high, .. } = &entry;
    let set = [0, 2, 3].map(|replica| entry.claims(replica, None));
    let genesis = (SequenceNumber::new(0), world.forge.genesis());
    assert_eq!(entry.judge(5, &set, None), Ok(()));
    assert_eq!(entry.judge(5, &set, Some((genesis, Some(high)))), told("genesis has no certificate"));
    let of_genesis = world.certified(&[0, 1, 2], Kind::Prepare, 1, genesis);
    assert_eq!(entry.judge(5, &set, Some((genesis, Some(&of_genesis)))), told("genesis has no certificate"));
    let foreign = |replica| world.forge.view_change_claiming(world.traitor(replica), View::new(5), (View::new(0), position(0, 9)), None);
    let refused = told("P2: not this cluster's genesis");
    assert_eq!(entry.judge(5, &[0, 2, 3].map(foreign), None), refused);
    // Also where it is not the highest.
    assert_eq!(entry.judge(5, &[entry.claims(0, None), entry.claims(2, Some(high)), foreign(3)], None), refused);
    assert_eq!(entry.judge(5, &[entry.claims(0, None), entry.claims(2, None), foreign(3)], None), told("two digests at the highest rank"));
    // A prepared genesis ranks above plain genesis, and needs its certificate.
    let above = [entry.claims(0, None), entry.claims(2, Some(&of_genesis)), entry.claims(3, None)];
    assert_eq!(entry.judge(5, &above, None), Ok(()));
    assert_eq!(entry.judge(5, &above, Some((genesis, None))), told("a claim has no certificate"));
}

fn checkpoint(number: u64, log_digest: [u8; 32], state: [u8; 32]) -> Statement {
    Statement::Checkpoint(samples::by_hand::Checkpoint { number, log_digest, state })
}

fn evidence_of(world: &World, replica: u32, signer: u32, first: &Statement, second: &Statement) -> Evidence {
    let mut sheet = Sheet::default();
    sheet.u32("replica", replica);
    world.lay_statement(&mut sheet, signer, first);
    world.lay_statement(&mut sheet, signer, second);
    Evidence::decode(&sheet.bytes).unwrap()
}

#[test]
fn e_statements_that_do_not_contradict_each_other_prove_nothing() {
    let world = World::new();
    let prepare = Vote { phase: Phase::Prepare, view: 3, number: 1, digest: [1; 32] };
    let claim = |digest| world.claim(Some(&samples::by_hand::Certificate { vote: Vote { digest, ..prepare }, members: vec![] }));
    // Each of another slot: in another view, at another position, or of another kind.
    let statements = [
        Statement::Vote(prepare),
        Statement::Vote(Vote { view: 4, digest: [2; 32], ..prepare }),
        Statement::Vote(Vote { number: 2, digest: [2; 32], ..prepare }),
        Statement::Vote(Vote { phase: Phase::Commit, digest: [2; 32], ..prepare }),
        Statement::ViewChange { view: 3, claim: claim([2; 32]) },
        Statement::ViewChange { view: 1, claim: claim([2; 32]) },
        Statement::NewView { view: 3, number: 1, digest: [2; 32] },
        Statement::NewView { view: 1, number: 1, digest: [2; 32] },
        Statement::Executed { number: 3, root: [2; 32] },
        Statement::Executed { number: 1, root: [2; 32] },
        checkpoint(3, [2; 32], [2; 32]),
        checkpoint(1, [2; 32], [2; 32]),
    ];
    for first in &statements {
        for second in &statements {
            let evidence = evidence_of(&world, 3, 3, first, second);
            let verdict = evidence.verify(&world.cluster);
            assert_eq!(verdict, Err(VerifyError::Rule("E: the two statements do not contradict each other")), "{evidence}");
            assert_eq!(world.judge(&world.forge.evidence_message(&evidence)), told("E: the two statements do not contradict each other"));
        }
    }
}

#[test]
fn e_contradictions_of_each_kind_stand_alone_and_only_with_their_signers_key() {
    let world = World::new();
    let other = World::with_limits(Limits { result_bytes_max: 1, ..Limits::default() });
    let vote = |phase, digest| Statement::Vote(Vote { phase, view: 3, number: 1, digest });
    let claim = |number| samples::by_hand::Claim { view: 1, number, digest: [1; 32] };
    let pairs = [
        (vote(Phase::Prepare, [1; 32]), vote(Phase::Prepare, [2; 32])),
        (vote(Phase::Commit, [1; 32]), vote(Phase::Commit, [2; 32])),
        (Statement::ViewChange { view: 3, claim: claim(1) }, Statement::ViewChange { view: 3, claim: claim(2) }),
        (Statement::NewView { view: 3, number: 1, digest: [1; 32] }, Statement::NewView { view: 3, number: 2, digest: [1; 32] }),
        (Statement::NewView { view: 3, number: 1, digest: [1; 32] }, Statement::NewView { view: 3, number: 1, digest: [2; 32] }),
        (Statement::Executed { number: 3, root: [1; 32] }, Statement::Executed { number: 3, root: [2; 32] }),
        (checkpoint(128, [1; 32], [1; 32]), checkpoint(128, [1; 32], [2; 32])),
        (checkpoint(128, [1; 32], [1; 32]), checkpoint(128, [2; 32], [1; 32])),
    ];
    for (first, second) in pairs {
        for (first, second) in [(first, second), (second, first)] {
            let evidence = evidence_of(&world, 3, 3, &first, &second);
            assert_eq!(evidence.verify(&world.cluster), Ok(()), "{evidence}");
            assert_eq!(evidence.culprit(), ReplicaId::new(3));
            assert_eq!(world.judge(&world.forge.evidence_message(&evidence)), Ok(()));
            assert_eq!(Evidence::decode(&evidence.encode()).as_ref(), Ok(&evidence));
            assert!(evidence.verify(&other.cluster).is_err());
            // Blamed on somebody else, on nobody, or signed by somebody else.
            for (replica, signer) in [(2, 3), (0, 3), (3, 2)] {
                let forged = evidence_of(&world, replica, signer, &first, &second);
                assert_eq!(forged.verify(&world.cluster), Err(VerifyError::BadSignature(format!("replica {replica}"))));
            }
            let nobody = evidence_of(&world, 4, 3, &first, &second);
            assert_eq!(nobody.verify(&world.cluster), Err(VerifyError::UnknownReplica(ReplicaId::new(4))));
            // One true signature, the other moved or of somebody else.
            let true_bytes = evidence.encode();
            let foreign = evidence_of(&world, 3, 2, &first, &second).encode();
            let end = true_bytes.len();
            let mut half = true_bytes.clone();
            half[end - 64..].copy_from_slice(&foreign[end - 64..]);
            assert!(matches!(Evidence::decode(&half).unwrap().verify(&world.cluster), Err(VerifyError::BadSignature(_))));
        }
    }
}

#[test]
fn e_evidence_decodes_in_one_form_and_bounded() {
    let world = World::new();
    let evidence = world.forge.evidence(world.traitor(3), Kind::Prepare, View::new(1), position(1, 1), position(1, 2));
    let bytes = evidence.encode();
    for length in 0..bytes.len() {
        assert_eq!(Evidence::decode(&bytes[..length]), Err(DecodeError::Malformed));
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Evidence::decode(&longer), Err(DecodeError::Trailing(1)));
    assert!(matches!(Evidence::decode(&[0; 4097]), Err(DecodeError::TooLong { .. })));
}

#[test]
fn spec_3_1_the_requests_number_and_operation_are_its_clients() {
    let world = World::new();
    let request = world.forge.request(&world.clients[0], RequestNumber::new(1), b"abc");
    let bytes = world.forge.request_message(&request);
    assert_eq!(world.judge(&bytes), Ok(()));
    // The other client's name over the same signature.
    let mut renamed = bytes.clone();
    renamed[4..36].copy_from_slice(&world.client_id(1));
    assert!(world.judge(&renamed).unwrap_err().starts_with("a signature of client"));
    // A name that is not enrolled.
    renamed[4..36].copy_from_slice(&world.replicas[0].verifying_key().to_bytes());
    assert!(world.judge(&renamed).unwrap_err().ends_with("is not enrolled"));
}
