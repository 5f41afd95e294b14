//! What the README promises, with real processes.

mod support;

use logothete::tape::Tape;
use logothete::{Event, Output};
use logothete_kv::operation::{Answer, Operation};
use logothete_kv::server::DATABASE;
use logothete_kv::store::{NEW, Opening, Store, open_database};
use stateright::semantics::register::{Register, RegisterOp, RegisterRet};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Cluster, PATIENCE, get, put};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Under load each node is killed in turn, then all at once: every pair that was acknowledged is there, and all nodes have the same state.
#[test]
fn nothing_acknowledged_is_lost_when_each_node_is_killed_and_then_all() {
    let mut cluster = Cluster::new(4, &["--checkpoint-interval", "16"]);
    cluster.start_all();
    runtime().block_on(async {
        let end = Arc::new(Mutex::new(false));
        let mut writers = Vec::new();
        for number in 1..4 {
            let (mut client, end) = (cluster.client(number, true), end.clone());
            writers.push(tokio::spawn(async move {
                let mut count = 0;
                while !*end.lock().expect("whole") {
                    put(&mut client, &format!("{number}/{count}"), &count.to_string()).await.expect("acknowledged");
                    count += 1;
                }
                count
            }));
        }
        for node in 0..4 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            cluster.kill(node);
            tokio::time::sleep(Duration::from_millis(300)).await;
            cluster.start(node);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        (0..4).for_each(|node| cluster.kill(node));
        cluster.start_all();
        tokio::time::sleep(Duration::from_secs(1)).await;
        *end.lock().expect("whole") = true;
        let mut reader = cluster.client(0, true);
        for (number, writer) in (1..).zip(writers) {
            let count: u32 = writer.await.expect("a writer");
            assert!(count > 10, "client {number} wrote {count}");
            for place in 0..count {
                assert_eq!(get(&mut reader, &format!("{number}/{place}")).await, Some(place.to_string()));
            }
        }
    });
    cluster.agree(&[0, 1, 2, 3]);
}

/// Every life of every node can be played again from its tape, also one that was killed; and all of them are one picture, although each process has a clock of
/// its own.
#[test]
fn tapes_of_real_processes_can_be_played_and_drawn() {
    let mut cluster = Cluster::new(1, &[]);
    let folder = cluster.path("tapes");
    let start = |cluster: &mut Cluster, node| {
        cluster.start_as(node, "", &["--tape", cluster.path("tapes").to_str().expect("a name")]);
        // So that their clocks differ.
        std::thread::sleep(Duration::from_millis(200));
    };
    (0..4).for_each(|node| start(&mut cluster, node));
    runtime().block_on(async {
        let mut client = cluster.client(0, false);
        for number in 0..10 {
            put(&mut client, &format!("key{number}"), "value").await.expect("acknowledged");
        }
        cluster.kill(2);
        start(&mut cluster, 2);
        for number in 10..20 {
            put(&mut client, &format!("key{number}"), "value").await.expect("acknowledged");
        }
    });
    cluster.agree(&[0, 1, 2, 3]);
    (0..4).for_each(|node| cluster.kill(node));
    let mut files: Vec<_> = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert_eq!(files.len(), 5, "{files:?}");
    let tapes: Vec<Tape> = files.iter().map(|file| Tape::read(&std::fs::read(file).expect("a tape")).expect("a tape")).collect();
    let mut decided = 0;
    for tape in &tapes {
        let count = |moment: &logothete::tape::Moment<'_>| {
            decided += moment.outputs().iter().filter(|output| matches!(output, Output::Event(Event::Decided { .. }))).count();
        };
        tape.play(count).unwrap_or_else(|parted| panic!("{tape:?}: {parted}"));
    }
    assert!(decided >= 60, "{decided}");
    // What was heard was said: nobody lies.
    let page = logothete::tape::picture("kv", &tapes).expect("drawn");
    let arrows = page.split("\"arrows\":").nth(1).and_then(|rest| rest.split("\"marks\":").next()).expect("the arrows");
    let fate = |line: &str| line.split(',').nth(8).map(str::to_owned);
    assert!(arrows.lines().filter(|line| fate(line).as_deref() == Some("0")).count() > 200);
    assert_eq!(arrows.lines().filter(|line| fate(line).as_deref() == Some("1")).count(), 0, "a lie");
}

type History = Arc<Mutex<LinearizabilityTester<usize, Register<u64>>>>;

/// Three clients read and write while nodes are killed; for each key one order explains all that they saw. A new key every few turns, since the checker tries
/// orders one by one.
#[test]
fn histories_are_linearizable_while_nodes_are_killed() {
    const KEYS: usize = 8;
    const TURNS: u64 = 4;
    let mut cluster = Cluster::new(4, &["--checkpoint-interval", "16"]);
    cluster.start_all();
    let histories: Vec<History> = (0..KEYS).map(|_| Arc::new(Mutex::new(LinearizabilityTester::new(Register(0))))).collect();
    runtime().block_on(async {
        let mut clients = Vec::new();
        for number in 1..4_usize {
            let (mut client, histories) = (cluster.client(number, false), histories.clone());
            clients.push(tokio::spawn(async move {
                for (key, history) in histories.iter().enumerate() {
                    let name = format!("register{key}");
                    for turn in 0..TURNS {
                        let value = number as u64 * 1000 + turn;
                        if (turn + number as u64).is_multiple_of(2) {
                            history.lock().expect("whole").on_invoke(number, RegisterOp::Write(value)).expect("a history");
                            put(&mut client, &name, &value.to_string()).await.expect("acknowledged");
                            history.lock().expect("whole").on_return(number, RegisterRet::WriteOk).expect("a history");
                        } else {
                            history.lock().expect("whole").on_invoke(number, RegisterOp::Read).expect("a history");
                            let value = get(&mut client, &name).await.map_or(0, |value| value.parse().expect("a number"));
                            history.lock().expect("whole").on_return(number, RegisterRet::ReadOk(value)).expect("a history");
                        }
                    }
                }
            }));
        }
        for node in [0, 2] {
            tokio::time::sleep(Duration::from_millis(400)).await;
            cluster.kill(node);
            tokio::time::sleep(Duration::from_millis(400)).await;
            cluster.start(node);
        }
        for client in clients {
            client.await.expect("a client");
        }
    });
    for history in histories {
        let mut history = history.lock().expect("whole").clone();
        assert_eq!(history.len(), 12);
        assert!(history.is_consistent(), "no order explains this history: {history:?}");
        // The checker can say no: a read of what nobody wrote.
        history.on_invoke(0, RegisterOp::Read).expect("a history").on_return(0, RegisterRet::ReadOk(7)).expect("a history");
        assert!(!history.is_consistent());
    }
}

/// An organisation whose node lies: the others agree all the same, and those that signed two things are found out.
#[cfg(feature = "traitor")]
#[test]
fn a_lying_node_changes_nothing() {
    for how in ["silent", "equivocate", "forge"] {
        let mut cluster = Cluster::new(2, &["--checkpoint-interval", "16"]);
        // It begins as primary.
        cluster.start_as(0, "", &["--traitor", how]);
        (1..4).for_each(|node| cluster.start(node));
        runtime().block_on(async {
            let mut client = cluster.client(1, false);
            for place in 0..20 {
                put(&mut client, &format!("key{place}"), how).await.expect(how);
            }
            assert_eq!(get(&mut client, "key19").await.as_deref(), Some(how));
        });
        cluster.agree(&[1, 2, 3]);
    }
}

/// A node that was killed behind its first record, and before its data folder said so, is not new and goes on. One that has spoken and lost its log is not new either.
#[test]
fn a_node_is_new_once() {
    let mut cluster = Cluster::new(1, &[]);
    cluster.start_all();
    assert!(cluster.run(&["put", "a", "b"]).status.success());
    cluster.agree(&[0, 1, 2, 3]);
    cluster.kill(0);
    let database = open_database(&cluster.path("node0").join(DATABASE), false, &Opening::default()).expect("a database");
    let store = Store::new(Arc::new(database));
    assert_eq!(store.meta(NEW).expect("read"), None, "it says so no longer");
    store.set_meta(NEW, Some(&[1])).expect("written");
    store.commit().expect("written");
    drop(store);
    cluster.start(0);
    cluster.agree(&[0, 1, 2, 3]);
    cluster.kill(0);
    std::fs::remove_dir_all(cluster.path("node0").join("log")).expect("lost");
    cluster.start(0);
    assert!(cluster.ended(0).contains("said to recover is empty"));
}

/// The disk of one node is full (its file may not grow): it stops and says so; with room again it catches up.
#[test]
fn a_node_whose_disk_is_full_stops_and_comes_back() {
    let mut cluster = Cluster::new(2, &["--checkpoint-interval", "16"]);
    (0..3).for_each(|node| cluster.start(node));
    // In blocks of 512 bytes; the new database has 3.6 MB. SIGXFSZ ignored, writing beyond is an error.
    cluster.start_as(3, "trap '' XFSZ; ulimit -f 9000;", &[]);
    runtime().block_on(async {
        let mut client = cluster.client(1, false);
        let value = "x".repeat(50_000);
        for place in 0..100 {
            put(&mut client, &format!("key{place}"), &value).await.expect("acknowledged by the others");
        }
    });
    let log = cluster.ended(3);
    assert!(log.contains("the database: ") || log.contains("the log: "), "{log}");
    cluster.start(3);
    cluster.agree(&[0, 1, 2, 3]);
}

/// A node that was away for longer than the others keep batches fetches the state; one that has lost its data does so too, with --rejoin alone.
#[test]
fn a_node_away_past_the_retention_and_one_that_lost_its_data_come_back() {
    let mut cluster = Cluster::new(2, &["--checkpoint-interval", "4"]);
    (0..4).for_each(|node| cluster.start_as(node, "", &["--retention", "4"]));
    let write = |cluster: &Cluster, from: u32| {
        runtime().block_on(async {
            let mut client = cluster.client(1, true);
            for place in from..from + 40 {
                put(&mut client, &format!("key{place}"), &place.to_string()).await.expect("acknowledged");
            }
        });
    };
    write(&cluster, 0);
    cluster.kill(3);
    write(&cluster, 40);
    cluster.start(3);
    cluster.agree(&[0, 1, 2, 3]);
    cluster.logged(3, "installed the state");

    cluster.kill(2);
    std::fs::remove_dir_all(cluster.path("node2")).expect("lost");
    cluster.start(2);
    assert!(cluster.ended(2).contains("--rejoin"), "an empty folder is not a new node");
    cluster.start_as(2, "", &["--rejoin"]);
    write(&cluster, 80);
    cluster.agree(&[0, 1, 2, 3]);
}

/// A node that was away asks where the others are once it can be heard and answered. If it asked sooner, it would ask next when its patience says so: here after
/// 15 s. On a busy machine the others may be later than it waits for them, but not each time.
#[test]
fn a_node_that_comes_back_asks_when_it_can_be_answered() {
    let mut cluster = Cluster::new(1, &[]);
    let start = |cluster: &mut Cluster, node| cluster.start_as(node, "", &["--request-timeout-ms", "120000"]);
    (0..4).for_each(|node| start(&mut cluster, node));
    cluster.agree(&[0, 1, 2, 3]);
    let asked_in_time = (0..3).any(|_| {
        cluster.kill(3);
        assert!(cluster.run(&["put", "a", "1"]).status.success());
        // They take its calls, and say nothing.
        (0..3).for_each(|node| cluster.signal(node, "STOP"));
        start(&mut cluster, 3);
        std::thread::sleep(Duration::from_millis(400));
        (0..3).for_each(|node| cluster.signal(node, "CONT"));
        cluster.agree_within(&[0, 1, 2, 3], Duration::from_secs(5)).is_ok()
    });
    assert!(asked_in_time);
}

/// A hundred clients at work and a thousand connections that say nothing, beside strangers, slow ones and floods.
#[test]
fn a_crowd_strangers_and_floods_cost_nobody_else() {
    let mut cluster = Cluster::new(351, &[]);
    cluster.start_all();
    runtime().block_on(async {
        // 250 idle clients, a connection to each node: a thousand.
        let idle: Vec<_> = (101..351).map(|number| cluster.client(number, false)).collect();
        for client in &idle {
            assert!(client.wait_for(4, Instant::now() + PATIENCE).await);
        }
        // Strangers: silent ones, and ones that pour.
        let address = cluster.membership().addresses[&logothete::ReplicaId::new(0)].clone();
        let silent: Vec<_> = (0..300).map(|_| TcpStream::connect(&address).expect("a connection")).collect();
        let pouring = std::thread::spawn(move || {
            for _ in 0..20 {
                let mut stream = TcpStream::connect(&address).expect("a connection");
                while stream.write_all(&[7; 65_536]).is_ok() {}
            }
        });
        let mut busy = Vec::new();
        for number in 1..101 {
            let mut client = cluster.client(number, false);
            busy.push(tokio::spawn(async move {
                for place in 0..5 {
                    put(&mut client, &format!("{number}/{place}"), "x").await.expect("acknowledged");
                }
            }));
        }
        for client in busy {
            client.await.expect("a client");
        }
        pouring.join().expect("the flood ends");
        drop((idle, silent));
        let mut reader = cluster.client(0, true);
        let listed =
            reader.execute(&Operation::List { prefix: Vec::new(), after: Vec::new(), limit: 1000 }, PATIENCE).await.expect("answered");
        assert!(matches!(listed.answer, Some(Answer::List { pairs, more: false }) if pairs.len() == 500));
    });
}

/// A key of another cluster gets in nowhere, and is told why.
#[test]
fn only_enrolled_keys_get_in() {
    let (mut cluster, other) = (Cluster::new(1, &[]), Cluster::new(1, &[]));
    cluster.start_all();
    assert!(cluster.run(&["put", "a", "b"]).status.success());
    std::fs::copy(other.path("client0.key"), cluster.path("stranger.key")).expect("copied");
    std::fs::copy(other.path("client0.state"), cluster.path("stranger.state")).expect("copied");
    let stranger = cluster.path("stranger.key");
    let refused = cluster.run(&["put", "a", "c", "--key", stranger.to_str().expect("a name")]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no client's in the cluster file"));
    // A raw caller that claims a key is hung up on with a reason before the door has signed anything.
    let address = cluster.membership().addresses[&logothete::ReplicaId::new(0)].clone();
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(&[b"lgthkv/1".as_slice(), &[9; 129]].concat()).expect("written");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer.first(), Some(&0));
    assert_eq!(answer.len(), 2);
}

/// A key is used with two state files: the one that is behind says so, and what to do; then it goes on, and nothing is executed under a wrong number.
#[test]
fn a_key_whose_numbers_were_used_elsewhere_says_so_and_recovers() {
    let mut cluster = Cluster::new(1, &[]);
    cluster.start_all();
    assert!(cluster.run(&["put", "first", "1"]).status.success());
    let fine = cluster.run(&["recover"]);
    assert!(fine.status.success() && String::from_utf8_lossy(&fine.stdout).contains("nothing to recover"), "{fine:?}");
    // Elsewhere: with a state file of its own.
    std::fs::copy(cluster.path("client0.state"), cluster.path("kept.state")).expect("copied");
    for value in ["2", "3", "4"] {
        assert!(cluster.run(&["put", "elsewhere", value]).status.success());
    }
    std::fs::rename(cluster.path("kept.state"), cluster.path("client0.state")).expect("an old copy");
    let refused = cluster.run(&["put", "second", "2", "--timeout", "2"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("not confirmed") && said.contains("`kv recover`"), "{said}");
    let recovered = cluster.run(&["recover"]);
    let said = String::from_utf8_lossy(&recovered.stdout);
    assert!(recovered.status.success() && said.contains("up to 4 are used; 1 operations"), "{recovered:?}");
    let get = cluster.run(&["get", "second"]);
    assert!(String::from_utf8_lossy(&get.stderr).contains("no such key"), "it was given up: {get:?}");
    assert!(cluster.run(&["put", "second", "5"]).status.success());
    assert_eq!(String::from_utf8_lossy(&cluster.run(&["get", "second"]).stdout).trim(), "5");
}

/// What `status` says in one row is of one moment: what is executed is decided.
#[test]
fn status_shows_at_once_what_was_acknowledged() {
    let mut cluster = Cluster::new(1, &[]);
    cluster.start_all();
    for turn in 1..6 {
        assert!(cluster.run(&["put", "key", "value"]).status.success());
        let status = String::from_utf8(cluster.run(&["status"]).stdout).expect("text");
        let rows: Vec<Vec<&str>> = status.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        let up_to_date = rows.iter().filter(|row| row[5] == turn.to_string()).count();
        assert!(up_to_date >= 2, "f + 1 have answered:\n{status}");
        assert!(rows.iter().all(|row| row[3] == row[5]), "nothing is under way:\n{status}");
    }
}

/// A table is loaded while a node is killed again and again, the loader too; it goes on, and every row is there.
#[test]
fn a_table_is_loaded_while_a_node_and_the_loader_are_killed() {
    let mut cluster = Cluster::new(1, &["--checkpoint-interval", "16"]);
    cluster.start_all();
    let rows = cluster.path("rows.csv");
    let text: String = (0..20_000).map(|row| format!("row{row},name {},\"{}, {row}\"\n", row * 7919 % 100_003, row % 977)).collect();
    std::fs::write(&rows, format!("id,name,place\n{text}")).expect("written");
    let rows = rows.to_str().expect("a name").to_owned();
    let mut loader = std::process::Command::new(env!("CARGO_BIN_EXE_kv"))
        .args(["load", &rows, "--rows", "4"])
        .env("KV_CLUSTER", cluster.path("cluster.toml"))
        .env("KV_KEY", cluster.path("client0.key"))
        .spawn()
        .expect("a loader");
    std::thread::sleep(Duration::from_millis(300));
    loader.kill().expect("killed");
    loader.wait().expect("dead");
    let loading = std::thread::scope(|scope| {
        let (path, key) = (cluster.path("cluster.toml"), cluster.path("client0.key"));
        let rows = &rows;
        let loading = scope.spawn(move || {
            std::process::Command::new(env!("CARGO_BIN_EXE_kv"))
                .args(["load", rows, "--rows", "4", "--timeout", "40"])
                .env("KV_CLUSTER", path)
                .env("KV_KEY", key)
                .output()
                .expect("a loader")
        });
        while !loading.is_finished() {
            cluster.kill(1);
            cluster.start(1);
            std::thread::sleep(Duration::from_millis(400));
        }
        loading.join().expect("joined")
    });
    assert!(loading.status.success(), "{}", String::from_utf8_lossy(&loading.stderr));
    cluster.agree(&[0, 1, 2, 3]);
    for row in [0, 7, 19_999] {
        let value = String::from_utf8(cluster.run(&["get", &format!("row{row}")]).stdout).expect("text");
        assert_eq!(value.trim(), format!("name {},\"{}, {row}\"", row * 7919 % 100_003, row % 977));
    }
    (0..4).for_each(|node| cluster.kill(node));
    cluster.start_all();
    assert!(cluster.run(&["get", "row12345"]).status.success());
}
