//! The wire, the signed payloads and the log, pinned byte for byte: whoever changes one of them sees it here. (SPEC 2-5)
//!
//! The vectors in `tests/vectors` are laid out by hand from known keys, and the crate's own encoder has to agree with them.
//! `LOGOTHETE_REWRITE=1` writes them anew; a change of theirs is a change of the format, and needs a version of its own.

mod samples;

use logothete::sim::forge::{ForgedBlock, ForgedCertificate, ForgedCheckpoint, ForgedStatus, Kept, KeptState, Kind, Seen};
use logothete::{
    Cluster, Digest, Evidence, ExecutionReceipt, Manifest, ReplicaId, Request, RequestNumber, SequenceNumber, SessionEntry, SessionTable,
    View,
};
use samples::by_hand::{Block, Certificate, Hash, Phase, ViewChange, Vote, lay_checkpoint};
use samples::sheet::{Sheet, hex};
use samples::{World, sha};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn rewriting() -> bool {
    std::env::var_os("LOGOTHETE_REWRITE").is_some_and(|value| value == "1")
}

fn dump(title: &str, bytes: &[u8]) -> String {
    bytes.chunks(64).fold(format!("\n{title}, {} bytes\n", bytes.len()), |mut text, line| {
        let _ = writeln!(text, "{}", hex(line));
        text
    })
}

fn fields(words: &[String]) -> String {
    words.iter().fold("\nfields\n".to_owned(), |text, word| text + word + "\n")
}

fn compare(name: &str, text: &str) -> Result<(), String> {
    let path = folder().join(format!("{name}.txt"));
    if rewriting() {
        fs::create_dir_all(folder()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?;
    match kept.lines().zip(text.lines()).enumerate().find(|(_, (kept, now))| kept != now) {
        Some((line, (kept, now))) => Err(format!("{name}, line {}: the vector has\n{kept}\nand now it is\n{now}", line + 1)),
        None if kept == text => Ok(()),
        None => Err(format!("{name}: another length")),
    }
}

/// All vectors by their names, in the form in which they are kept.
fn vectors(world: &World) -> Vec<(String, String)> {
    let messages = world.samples().into_iter().map(|sample| {
        let mut text = format!("{}: message of kind {:?}\n", sample.name, sample.kind);
        text += &fields(&sample.sheet.words);
        if let Some((by, payload)) = &sample.signed {
            text += &dump(&format!("payload, signed by {by}"), payload);
        }
        (sample.name.to_owned(), text + &dump("encoding", &sample.sheet.bytes))
    });
    let records = records(world).into_iter().map(|(name, sheet, frame, _)| {
        let text =
            format!("{name}: record 7 of replica 1\n") + &fields(&sheet.words) + &dump("body", &sheet.bytes) + &dump("frame", &frame);
        (name.to_owned(), text)
    });
    let others = [("cluster", cluster(world)), ("receipt", receipt(world)), ("snapshot", snapshot(world))];
    messages.chain(records).chain(others.map(|(name, text)| (name.to_owned(), text))).collect()
}

fn receipt(world: &World) -> String {
    let sheet = world.receipt();
    "receipt: of the request in the vector of a reply, as a file\n".to_owned() + &fields(&sheet.words) + &dump("encoding", &sheet.bytes)
}

fn snapshot(world: &World) -> String {
    let snapshot = world.snapshot();
    let mut certificate = Sheet::default();
    world.lay_stable(&mut certificate, &snapshot.checkpoint, &[0, 1, 3]);
    let mut text = "snapshot: after position 128, with what names it\n".to_owned();
    text += &fields(&[&snapshot.sessions.words[..], &snapshot.manifest.words, &certificate.words].concat());
    text += &dump("session part 0", &snapshot.sessions.bytes);
    for (index, part) in snapshot.service.iter().enumerate() {
        text += &dump(&format!("service part {index}"), part);
    }
    text + &dump("manifest, as a file", &snapshot.manifest.bytes) + &dump("checkpoint certificate", &certificate.bytes)
}

#[test]
fn spec_4_files_are_read_and_written_as_laid_out_by_hand() {
    let world = World::new();
    let cluster: &Cluster = &world.cluster;
    let bytes = world.receipt().bytes;
    let receipt = ExecutionReceipt::decode(&bytes, cluster.limits()).unwrap();
    assert_eq!((receipt.verify(cluster), receipt.encode()), (Ok(()), bytes));

    let snapshot = world.snapshot();
    let mut table = SessionTable::new(cluster);
    for (client, number) in [(0, 1), (0, 2), (1, 1)] {
        let result_digest = Digest::new(World::kept_result(client, number));
        let client = cluster.clients().find(|id| *id.as_bytes() == world.client_id(client)).unwrap();
        table.record(SessionEntry { client, number: RequestNumber::new(number), result_digest });
    }
    assert_eq!(hex(&table.encode()), hex(&snapshot.sessions.bytes));
    assert_eq!(SessionTable::decode(cluster, &snapshot.sessions.bytes), Ok(table));
    let manifest = Manifest::decode(&snapshot.manifest.bytes).unwrap();
    let parts = [&snapshot.sessions.bytes[..]].into_iter().chain(snapshot.service);
    assert!(parts.enumerate().all(|(index, part)| manifest.chunk(index as u32) == Some(logothete::chunk_digest(part))));
    assert_eq!((manifest.chunk_count(), manifest.session_chunk_count()), (3, 1));
    assert_eq!(world.forge.checkpoint_of(&manifest).state, Digest::new(snapshot.checkpoint.state));

    // Evidence as a file is its message without the kind.
    let samples = world.samples();
    for sample in samples.iter().filter(|sample| sample.name.starts_with("evidence")) {
        let evidence = Evidence::decode(&sample.sheet.bytes[4..]).unwrap();
        assert_eq!((evidence.verify(cluster), evidence.encode()), (Ok(()), sample.sheet.bytes[4..].to_vec()), "{}", sample.name);
    }
}

#[test]
fn spec_2_the_vectors_are_what_they_were() {
    let world = World::new();
    let vectors = vectors(&world);
    let failed: Vec<String> = vectors.iter().filter_map(|(name, text)| compare(name, text).err()).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    // No vector of something that is no more.
    let kept: BTreeSet<String> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(kept, vectors.iter().map(|(name, _)| format!("{name}.txt")).collect());
}

#[test]
fn spec_2_the_crate_writes_what_is_laid_out_by_hand() {
    let world = World::new();
    let forge = &world.forge;
    let blocks = forged_blocks(&world);
    let (prepared, committed) = (certificate(&world, Kind::Prepare, 2), certificate(&world, Kind::Commit, 1));
    let replica = |index: u32| (ReplicaId::new(index), &world.replicas[index as usize]);
    let at = (SequenceNumber::new(1), blocks[0].digest());
    let genesis = (SequenceNumber::new(0), forge.genesis());
    let leave = |index, certificate| forge.view_change(replica(index), View::new(5), certificate);
    let view = View::new(3);
    let request = forged_request(&world, &world.request(1, 1));
    let (sessions, service) = world.parts();
    let [sessions, service] = [sessions, service].map(|parts| parts.into_iter().map(Digest::new).collect::<Vec<_>>());
    let number = SequenceNumber::new;
    let manifest = forge.manifest((number(128), Digest::new([0xd1; 32])), &sessions, &service);
    let checkpoint = forge.checkpoint_of(&manifest);
    assert_eq!(checkpoint, forged_checkpoint(&world), "the state's digest");
    let status = ForgedStatus {
        ordinal: 77,
        view: View::new(5),
        want: View::new(6),
        stable: number(128),
        floor: number(120),
        decided: number(130),
        committed: (View::new(1), number(129)),
        high: (View::new(2), number(131)),
        head: (number(132), at.1),
        ..ForgedStatus::default()
    };
    let written = [
        ("request", forge.request_message(&request)),
        ("request_of_a_run", forge.request_message(&forged_request(&world, &world.request_of_a_run()))),
        ("pre_prepare", forge.pre_prepare(&world.replicas[3], view, &blocks[0])),
        ("prepare", forge.vote(replica(1), Kind::Prepare, view, at)),
        ("prepare_of_genesis", forge.vote(replica(1), Kind::Prepare, view, genesis)),
        ("commit", forge.vote(replica(1), Kind::Commit, view, at)),
        ("certificate_prepared", forge.certificate_message(&prepared)),
        ("certificate_commit", forge.certificate_message(&committed)),
        ("view_change", forge.view_change_message(&leave(2, Some(&prepared)))),
        ("view_change_from_genesis", forge.view_change_message(&leave(2, None))),
        (
            "new_view",
            forge.new_view(
                &world.replicas[1],
                View::new(5),
                &[leave(0, Some(&committed)), leave(2, Some(&prepared)), leave(3, None)],
                None,
            ),
        ),
        ("new_view_from_genesis", forge.new_view(&world.replicas[1], View::new(5), &[0, 1, 2].map(|index| leave(index, None)), None)),
        ("fetch_chain", forge.fetch(replica(2), 78, SequenceNumber::new(0), at)),
        ("fetch_proposal", forge.fetch_proposal(replica(2), 78, View::new(0), at)),
        ("fetch_manifest", forge.fetch_manifest(replica(2), 78, SequenceNumber::new(128), checkpoint.state)),
        ("fetch_chunk", forge.fetch_chunk(replica(2), 78, SequenceNumber::new(128), 4, service[2])),
        ("status", forge.status_of(replica(1), &status)),
        (
            "status_with_votes",
            forge.status_of(
                replica(1),
                &ForgedStatus {
                    waits: true,
                    votes: [Some(at), Some(at)],
                    checkpoint: Some(checkpoint),
                    view_change: Some(&leave(1, Some(&prepared))),
                    ..status.clone()
                },
            ),
        ),
        ("checkpoint", forge.checkpoint(replica(1), checkpoint)),
        ("stable", forge.stable_message(&forge.stable(&[replica(0), replica(1), replica(3)], checkpoint))),
        ("manifest", forge.manifest_message(&manifest)),
        ("chunk", forge.chunk(&[5; 3])),
        ("rejoin", forge.rejoin(replica(2), [0xa5; 32])),
        ("welcome", forge.welcome(replica(1), ReplicaId::new(2), [0xa5; 32], View::new(6))),
        (
            "evidence_of_checkpoints",
            forge.evidence_message(&forge.checkpoint_evidence(
                replica(3),
                checkpoint,
                ForgedCheckpoint { state: Digest::new([9; 32]), ..checkpoint },
            )),
        ),
        (
            "evidence_of_prepares",
            forge.evidence_message(&forge.evidence(replica(3), Kind::Prepare, view, at, (SequenceNumber::new(1), blocks[1].digest()))),
        ),
    ];
    let samples = world.samples();
    for (name, bytes) in written {
        let sample = samples.iter().find(|sample| sample.name == name).unwrap();
        assert_eq!(hex(&bytes), hex(&sample.sheet.bytes), "{name}");
    }
}

#[test]
fn spec_3_2_every_statement_is_seen_in_every_message_that_carries_it() {
    let world = World::new();
    let samples = world.samples();
    let read = |name: &str| world.forge.read(&samples.iter().find(|sample| sample.name == name).unwrap().sheet.bytes).unwrap();
    let by = ReplicaId::new;
    let checkpoint = forged_checkpoint(&world);
    let at = (SequenceNumber::new(1), forged_blocks(&world)[0].digest());
    let is_checkpoint =
        |seen: &Seen| matches!(seen, Seen::Checkpoint { replica, checkpoint: said } if (*replica, *said) == (by(1), checkpoint));
    let is_view_change = |seen: &Seen, replica: u32| matches!(seen, Seen::ViewChange(said) if (said.replica(), said.view(), said.claim()) == (by(replica), View::new(5), (View::new(2), at)));
    let is_vote = |seen: &Seen, wanted: Kind| matches!(seen, Seen::Vote { kind, replica, view, position } if (*kind, *replica, *view, *position) == (wanted, by(1), View::new(5), at));
    assert!(is_checkpoint(&read("checkpoint")));
    assert!(is_view_change(&read("view_change"), 2));
    assert!(matches!(read("new_view"), Seen::NewView { view, base } if (view, base) == (View::new(5), at)));
    assert!(matches!(read("stable"), Seen::Stable(stable) if stable.checkpoint() == checkpoint && stable.members() == [0, 1, 3].map(by)));
    let Seen::Status { replica, stable, said, .. } = read("status_with_votes") else { panic!("a status") };
    assert_eq!((replica, stable.get(), said.len()), (by(1), 128, 4));
    assert!(is_vote(&said[0], Kind::Prepare) && is_vote(&said[1], Kind::Commit) && is_checkpoint(&said[2]) && is_view_change(&said[3], 1));
    // The root: three results, the middle one's reply.
    let Seen::Executed { replica, sequence_number, root } = read("reply") else { panic!("a reply") };
    let signed = &samples.iter().find(|sample| sample.name == "reply").unwrap().signed.as_ref().unwrap().1;
    assert_eq!((replica, sequence_number.get(), &root.as_bytes()[..]), (by(2), 9, &signed[signed.len() - 32..]));
}

#[test]
fn spec_5_the_crate_frames_records_as_laid_out_by_hand() {
    let world = World::new();
    for (name, _, frame, written) in records(&world) {
        assert_eq!(hex(&written), hex(&frame), "{name}");
    }
}

fn cluster(world: &World) -> String {
    let mut text = "cluster: its identity and its genesis, with default limits and numbers\n".to_owned();
    for (list, keys) in [("replica", &world.replicas), ("client", &world.clients)] {
        for (index, key) in keys.iter().enumerate() {
            let _ = write!(text, "\n{list} {index}\nseed {}\nkey  {}\n", hex(&key.to_bytes()), hex(&key.verifying_key().to_bytes()));
        }
    }
    let [first, second] = world.blocks().map(|block| world.block_digest(&block));
    for (name, digest) in [
        ("identity", *world.cluster.id().as_bytes()),
        ("d_0", world.genesis()),
        ("d_1 of the samples", first),
        ("d_2 of the samples", second),
    ] {
        let _ = write!(text, "\n{name}\n{}\n", hex(&digest));
    }
    text
}

fn forged_request(world: &World, request: &samples::by_hand::Request) -> Request {
    let operations: Vec<&[u8]> = request.run.iter().map(Vec::as_slice).collect();
    let first = RequestNumber::new(request.number - request.place as u64);
    world.forge.run(&world.clients[request.client], first, &operations).remove(request.place)
}

fn forged_blocks(world: &World) -> [ForgedBlock; 2] {
    world.blocks().map(|Block { number, parent, batch }| {
        let requests = batch.iter().map(|request| forged_request(world, request)).collect();
        world.forge.block(SequenceNumber::new(number), Digest::new(parent), requests)
    })
}

/// The crate's own form of `World::certificate`.
fn certificate(world: &World, kind: Kind, view: u64) -> ForgedCertificate {
    let members = [0, 1, 3].map(|index: u32| (ReplicaId::new(index), &world.replicas[index as usize]));
    world.forge.certificate(&members, kind, View::new(view), (SequenceNumber::new(1), forged_blocks(world)[0].digest()))
}

fn forged_checkpoint(world: &World) -> ForgedCheckpoint {
    let by_hand = world.checkpoint();
    ForgedCheckpoint { position: (SequenceNumber::new(by_hand.number), Digest::new(by_hand.log_digest)), state: Digest::new(by_hand.state) }
}

/// Frame: tag, group, replica, index, length, eight bytes of a checksum of these, body, checksum of all before it.
fn frame(world: &World, body: &[u8], batches: &[u8]) -> Vec<u8> {
    let mut bytes = b"logothR3".to_vec();
    bytes.extend_from_slice(world.cluster.id().as_bytes());
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.extend_from_slice(&7_u64.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(batches.len()).unwrap().to_le_bytes());
    let of_header: Hash = sha(b"logothete/record", &[&bytes]);
    bytes.extend_from_slice(&of_header[..8]);
    bytes.extend_from_slice(body);
    let checksum: Hash = sha(b"logothete/record", &[&bytes]);
    bytes.extend_from_slice(&checksum);
    bytes.extend_from_slice(batches);
    bytes
}

/// A record keeps an own statement with zeros in its signature's place.
fn blank(sheet: &mut Sheet, signature: &[u8; 64]) {
    if let Some(at) = sheet.bytes.windows(64).position(|bytes| bytes == signature) {
        sheet.bytes[at..at + 64].fill(0);
    }
    sheet.words.iter_mut().for_each(|word| *word = word.replace(&hex(signature), &hex(&[0; 64])));
}

type RecordVector = (&'static str, Sheet, Vec<u8>, Vec<u8>);

/// Each kind of record: its name, its body and its frame by hand, and its frame by the crate.
fn records(world: &World) -> Vec<RecordVector> {
    let by_hand = world.certificate(Phase::Prepare, 2);
    let Certificate { vote: Vote { digest, .. }, .. } = by_hand;
    let certificate = certificate(world, Kind::Prepare, 2);
    let at = (SequenceNumber::new(1), Digest::new(digest));
    let (blocks, hand_blocks) = (forged_blocks(world), world.blocks());
    let leaving = ViewChange { replica: 1, view: 5, certificate: Some(by_hand.clone()) };
    let view_change = world.forge.view_change((ReplicaId::new(1), &world.replicas[1]), View::new(5), Some(&certificate));
    let new_view = world.samples().into_iter().find(|sample| sample.name == "new_view").unwrap().sheet;
    let own_signatures =
        [world.by_replica(1, &world.view_change_payload(&leaving)), *new_view.bytes.last_chunk().expect("it ends in its signature")];
    let replica = |index: u32| (ReplicaId::new(index), &world.replicas[index as usize]);
    let stable = world.forge.stable(&[0, 1, 3].map(replica), forged_checkpoint(world));
    let state = KeptState {
        keeps_from: 3,
        view: View::new(5),
        waits: true,
        wish: View::new(6),
        base: at,
        top: Some(at),
        high: Some(&certificate),
        view_change: Some(&view_change),
        new_view: Some(&new_view.bytes),
        commits: vec![at],
        stable: Some(&stable),
        checkpoints: vec![forged_checkpoint(world)],
        rejoining: None,
    };
    let record = |name, number, variant, lay: &dyn Fn(&mut Sheet), kept: Kept<'_>| {
        let mut sheet = Sheet::default();
        sheet.choice("record", number, variant);
        lay(&mut sheet);
        own_signatures.iter().for_each(|signature| blank(&mut sheet, signature));
        let mut batches = Sheet::default();
        if let Kept::Prepare { .. } | Kept::Blocks(_) = kept {
            hand_blocks.iter().for_each(|block| world.lay_batch(&mut batches, block));
        }
        let framed = frame(world, &sheet.bytes, &batches.bytes);
        let written = world.forge.record(ReplicaId::new(1), 7, &kept).unwrap().to_bytes().to_vec();
        (name, sheet, framed, written)
    };
    let base = |sheet: &mut Sheet, entered: bool| {
        sheet.u64("view", 5);
        if entered {
            sheet.choice("mode", 0, "Normal")
        } else {
            sheet.choice("mode", 1, "ViewChange")
        }
        sheet.u64("base_number", 1);
        sheet.fixed("base_digest", &digest);
        sheet.option("top", entered.then_some(2), |sheet, top| sheet.u64("sequence_number", top));
        sheet.option("high", entered.then_some(&by_hand), |sheet, high| world.lay_certificate(sheet, high));
    };
    vec![
        record("record_started", 0, "Started", &|_| (), Kept::Started),
        record(
            "record_prepare",
            1,
            "Prepare",
            &|sheet| {
                sheet.u64("view", 3);
                sheet.u64("sequence_number", 1);
                sheet.fixed("digest", &digest);
                sheet.count("blocks", 2);
                hand_blocks.iter().for_each(|block| sheet.within("header", |sheet| world.lay_header(sheet, block)));
            },
            Kept::Prepare { view: View::new(3), position: at, blocks: &blocks },
        ),
        record("record_commit", 2, "Commit", &|sheet| world.lay_certificate(sheet, &by_hand), Kept::Commit(&certificate)),
        record("record_view_change", 3, "ViewChange", &|sheet| world.lay_view_change(sheet, &leaving), Kept::ViewChange(&view_change)),
        record(
            "record_new_view",
            4,
            "NewView",
            &|sheet| {
                // The message without its kind.
                sheet.words.extend_from_slice(&new_view.words[1..]);
                sheet.bytes.extend_from_slice(&new_view.bytes[4..]);
            },
            Kept::NewView(&new_view.bytes),
        ),
        record(
            "record_base_entered",
            5,
            "Base",
            &|sheet| base(sheet, true),
            Kept::Base { view: View::new(5), entered: true, base: at, top: Some(SequenceNumber::new(2)), high: Some(&certificate) },
        ),
        record(
            "record_base_left",
            5,
            "Base",
            &|sheet| base(sheet, false),
            Kept::Base { view: View::new(5), entered: false, base: at, top: None, high: None },
        ),
        record("record_high", 6, "High", &|sheet| world.lay_certificate(sheet, &by_hand), Kept::High(&certificate)),
        record(
            "record_blocks",
            7,
            "Blocks",
            &|sheet| {
                sheet.count("blocks", 2);
                hand_blocks.iter().for_each(|block| sheet.within("header", |sheet| world.lay_header(sheet, block)));
            },
            Kept::Blocks(&blocks),
        ),
        record(
            "record_checkpoint",
            8,
            "Checkpoint",
            &|sheet| lay_checkpoint(sheet, &world.checkpoint()),
            Kept::Checkpoint(forged_checkpoint(world)),
        ),
        record("record_state", 9, "State", &|sheet| lay_state(world, sheet, &leaving, &by_hand), Kept::State(&state)),
        record(
            "record_state_of_little",
            9,
            "State",
            &|sheet| {
                sheet.u64("keeps_from", 7);
                sheet.u64("view", 0);
                sheet.choice("mode", 0, "Normal");
                sheet.u64("wish", 0);
                sheet.u64("base_number", 0);
                sheet.fixed("base_digest", &world.genesis());
                ["top", "high", "view_change", "new_view"].iter().for_each(|name| sheet.option(name, None::<()>, |_, ()| ()));
                sheet.count("commits", 0);
                sheet.option("stable", None::<()>, |_, ()| ());
                sheet.count("checkpoints", 0);
                sheet.option("rejoining", Some([0xa5; 32]), |sheet, nonce| sheet.fixed("nonce", &nonce));
            },
            Kept::State(&KeptState {
                keeps_from: 7,
                base: (SequenceNumber::new(0), world.forge.genesis()),
                rejoining: Some([0xa5; 32]),
                ..KeptState::default()
            }),
        ),
        record("record_rejoining", 10, "Rejoining", &|sheet| sheet.fixed("nonce", &[0xa5; 32]), Kept::Rejoining { nonce: [0xa5; 32] }),
        record("record_wish", 11, "Wish", &|sheet| sheet.u64("view", 6), Kept::Wish(View::new(6))),
    ]
}

/// A state in which everything is there that can be there.
fn lay_state(world: &World, sheet: &mut Sheet, leaving: &ViewChange, high: &Certificate) {
    let vote = &high.vote;
    let new_view = world.samples().into_iter().find(|sample| sample.name == "new_view").unwrap().sheet;
    sheet.u64("keeps_from", 3);
    sheet.u64("view", 5);
    sheet.choice("mode", 1, "ViewChange");
    sheet.u64("wish", 6);
    sheet.u64("base_number", vote.number);
    sheet.fixed("base_digest", &vote.digest);
    sheet.option("top", Some(vote), |sheet, vote| {
        sheet.u64("sequence_number", vote.number);
        sheet.fixed("digest", &vote.digest);
    });
    sheet.option("high", Some(high), |sheet, high| world.lay_certificate(sheet, high));
    sheet.option("view_change", Some(leaving), |sheet, leaving| world.lay_view_change(sheet, leaving));
    sheet.option("new_view", Some(new_view), |sheet, new_view| {
        sheet.words.extend(new_view.words[1..].iter().map(|word| format!("new_view.{word}")));
        sheet.bytes.extend_from_slice(&new_view.bytes[4..]);
    });
    sheet.count("commits", 1);
    sheet.u64("sequence_number", vote.number);
    sheet.fixed("digest", &vote.digest);
    sheet.option("stable", Some(world.checkpoint()), |sheet, stable| world.lay_stable(sheet, &stable, &[0, 1, 3]));
    sheet.count("checkpoints", 1);
    lay_checkpoint(sheet, &world.checkpoint());
    sheet.option("rejoining", None::<()>, |_, ()| ());
}
