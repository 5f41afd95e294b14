//! Logs that are lost one after another, never more than f at a time: what was certified or decided before is still held by somebody, and the cluster goes on. (D2, I1, I20)

mod support;

use logothete::sim::forge::Kind::Prepare;
use logothete::{Cluster, Envelope, MessageKind, Recipients, Start, Tuning};
use support::builder;
use support::solo::{Solo, T};

const N: usize = 7;
const CORRECT: [usize; 6] = [1, 2, 3, 4, 5, 6];

fn cluster() -> Cluster {
    builder(N, 2).pipeline(4).build().expect("a valid cluster")
}

/// Six correct replicas of seven; R0, the primary of view 0, is a traitor's.
struct Scene(Vec<Solo>);

impl Scene {
    fn new() -> Self {
        Self((0..N).map(|me| Solo::with(cluster(), me, Tuning::from_timeout(T))).collect())
    }

    /// A while passes, and all messages arrive but those that the network holds back, by recipient.
    fn tick(&mut self, held_back: impl Fn(usize, &Envelope) -> bool) {
        for at in CORRECT {
            self.0[at].pass(T / 8);
        }
        for _ in 0..100 {
            let mut quiet = true;
            for from in CORRECT {
                for envelope in std::mem::take(&mut self.0[from].sent) {
                    let meant = |to: usize| match envelope.to() {
                        Recipients::AllReplicas => to != from,
                        Recipients::Replica(replica) => replica.get() as usize == to,
                        Recipients::Client(_) => false,
                    };
                    for to in CORRECT.into_iter().filter(|to| meant(*to) && !held_back(*to, &envelope)) {
                        quiet = false;
                        self.0[to].feed(&envelope.encode());
                    }
                }
            }
            if quiet {
                return;
            }
        }
        panic!("it never ends");
    }

    /// Its log is lost, and it is taken in again. For as long as `bad` ticks nobody else hears of a new view's base.
    fn lose_and_rejoin(&mut self, at: usize, bad: usize) {
        self.0[at] = Solo::starting(cluster(), at, Tuning::from_timeout(T), Start::Rejoining { nonce: [at as u8; 32] });
        for tick in 0..3 * bad {
            self.tick(|to, envelope| {
                let begins = matches!(envelope.kind(), MessageKind::NewView | MessageKind::Certificate);
                tick < bad && (begins && to != at || envelope.kind() == MessageKind::Chain)
            });
            if !self.0[at].replica.status().rejoining {
                return;
            }
        }
        panic!("R{at} is kept out: {:?}", self.0[at].replica.status());
    }
}

#[test]
fn d2_what_was_certified_and_not_decided_is_held_when_all_who_voted_for_it_have_lost_their_logs_in_turn() {
    let mut scene = Scene::new();
    // The primary proposes to four, and keeps their votes to itself.
    let genesis = scene.0[1].forge.genesis();
    let block = scene.0[1].block_saying(1, genesis, 1, b"held by four");
    for at in [1, 2, 3, 4] {
        scene.0[at].propose(0, &block);
        assert_eq!(scene.0[at].votes(), [(Prepare, 0, 1)]);
    }
    let certificate = scene.0[1].certificate(&[0, 1, 2, 3, 4], Prepare, 0, (block.sequence_number(), block.digest()));
    [3, 4, 1, 2].iter().for_each(|at| scene.lose_and_rejoin(*at, 20));
    // Now it shows the certificate.
    for at in CORRECT {
        scene.0[at].feed_certificate(&certificate);
        scene.0[at].ask(1, 1);
    }
    let left = scene.0[5].replica.status().view;
    for _ in 0..200 {
        if CORRECT.iter().all(|at| scene.0[*at].replica.status().view > left) {
            break;
        }
        scene.tick(|_, envelope| matches!(envelope.kind(), MessageKind::NewView | MessageKind::Certificate | MessageKind::Chain));
    }
    // From here on all messages between correct replicas arrive at once.
    for _ in 0..8 * 100 {
        scene.tick(|_, _| false);
        if CORRECT.iter().all(|at| scene.0[*at].replica.status().decided.get() > 0) {
            return;
        }
    }
    panic!("nothing is decided any more: {:?}", scene.0[5].replica.status());
}
