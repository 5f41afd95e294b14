//! `commonware-consensus`, simplex: actors on the deterministic runtime of that project, with its simulated network and its storage in memory.

use crate::work::{Values, Work, cpu_time};
use commonware_actor::Feedback;
use commonware_consensus::simplex::config::{Config, Floor, ForwardPolicy, SkipPolicy};
use commonware_consensus::simplex::elector::RoundRobin;
use commonware_consensus::simplex::mocks::scheme as stubbed;
use commonware_consensus::simplex::scheme::{Scheme, ed25519};
use commonware_consensus::simplex::types::{Activity, Context};
use commonware_consensus::simplex::{Engine, Plan, max_payload_size};
use commonware_consensus::types::{Epoch, ViewDelta};
use commonware_consensus::{Automaton, CertifiableAutomaton, Relay, Reporter, Viewable};
use commonware_cryptography::certificate::mocks::Fixture;
use commonware_cryptography::ed25519::PublicKey;
use commonware_cryptography::sha256::Digest;
use commonware_p2p::max_message_size;
use commonware_p2p::simulated::{self, Link, Network};
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Clock as _, Quota, Runner as _, Supervisor as _, deterministic};
use commonware_utils::channel::oneshot;
use commonware_utils::{NZDuration, NZU16, NZU32, NZUsize, probability};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The values that are under way, by their digests: what a relay carries.
type Carried = Arc<Mutex<BTreeMap<Digest, Arc<[u8]>>>>;

#[derive(Clone)]
struct Application {
    values: Arc<Values>,
    /// By view.
    prepared: Arc<Vec<Arc<[u8]>>>,
    carried: Carried,
}

fn told<T>(value: T) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    let _ = sender.send(value);
    receiver
}

impl Automaton for Application {
    type Context = Context<Digest, PublicKey>;
    type Digest = Digest;

    async fn propose(&mut self, context: Self::Context) -> oneshot::Receiver<Digest> {
        let value = self.prepared[context.round.view().get() as usize % self.prepared.len()].clone();
        let digest = Digest::from(self.values.judge(&value));
        self.carried.lock().expect("one thread").insert(digest, value);
        told(digest)
    }

    async fn verify(&mut self, _: Self::Context, payload: Digest) -> oneshot::Receiver<bool> {
        let value = self.carried.lock().expect("one thread").get(&payload).cloned();
        told(value.is_some_and(|value| Digest::from(self.values.judge(&value)) == payload))
    }
}

impl CertifiableAutomaton for Application {}

impl Relay for Application {
    type Digest = Digest;
    type PublicKey = PublicKey;
    type Plan = Plan<PublicKey>;

    fn broadcast(&mut self, _: Digest, _: Plan<PublicKey>) -> Feedback {
        Feedback::Ok
    }
}

/// Counts a replica's finalized views.
struct Finalized<S> {
    view: Arc<AtomicU64>,
    scheme: PhantomData<fn(S)>,
}

impl<S> Clone for Finalized<S> {
    fn clone(&self) -> Self {
        Self { view: self.view.clone(), scheme: PhantomData }
    }
}

impl<S: Scheme<Digest>> Reporter for Finalized<S> {
    type Activity = Activity<S, Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        match activity {
            Activity::Finalization(finalization) => {
                self.view.fetch_max(finalization.view().get(), Ordering::Relaxed);
            }
            Activity::Nullification(_) => panic!("a view came to nothing"),
            _ => {}
        }
        Feedback::Ok
    }
}

/// CPU time of all decisions.
pub fn run(work: Work) -> Duration {
    if work.signed_votes { measure(work, ed25519::fixture) } else { measure(work, stubbed::fixture) }
}

fn measure<S: Scheme<Digest, PublicKey = PublicKey>>(
    work: Work,
    fixture: impl FnOnce(&mut deterministic::Context, &[u8], u32) -> Fixture<S> + Send + 'static,
) -> Duration {
    deterministic::Runner::timed(Duration::from_secs(1_000_000)).start(|mut context| async move {
        let Fixture { participants, schemes, .. } = fixture(&mut context, b"peers", work.replicas as u32);
        let (network, oracle) = Network::new_with_peers(
            context.child("network"),
            simulated::Config {
                max_size: max_message_size(&[max_payload_size::<S, Digest>(work.replicas as u32)]),
                max_peers_per_set: NZUsize!(64),
                disconnect_on_block: true,
                tracked_peer_sets: NZUsize!(1),
            },
            participants.clone(),
        )
        .await;
        network.start();
        let quota = Quota::per_second(NZU32!(2048));
        let mut channels = Vec::new();
        for me in &participants {
            let control = oracle.control(me.clone());
            let of = async |channel| control.register(channel, quota).await.expect("registered");
            channels.push((of(0).await, of(1).await, of(2).await));
        }
        let link = Link { latency: Duration::from_millis(1), jitter: Duration::ZERO, success_rate: probability!(1.0) };
        for from in &participants {
            for to in participants.iter().filter(|to| *to != from) {
                oracle.add_link(from.clone(), to.clone(), link.clone()).await.expect("linked");
            }
        }
        let values = Arc::new(Values::new(work.content));
        let application = Application {
            prepared: Arc::new((0..work.decisions as u64 + 8).map(|number| values.make(number)).collect()),
            values,
            carried: Carried::default(),
        };
        let views: Vec<Arc<AtomicU64>> = participants.iter().map(|_| Arc::default()).collect();
        let begin = cpu_time();
        for (index, ((votes, certificates, resolver), scheme)) in channels.into_iter().zip(schemes).enumerate() {
            let context = context.child("replica").with_attribute("index", index);
            let config = Config {
                scheme,
                elector: <RoundRobin>::default(),
                blocker: oracle.control(participants[index].clone()),
                automaton: application.clone(),
                relay: application.clone(),
                reporter: Finalized { view: views[index].clone(), scheme: PhantomData },
                strategy: Sequential,
                partition: format!("replica{index}"),
                mailbox_size: NZUsize!(1024),
                epoch: Epoch::new(1),
                floor: Floor::Genesis(Digest::from([0; 32])),
                leader_timeout: Duration::from_secs(100),
                certification_timeout: Duration::from_secs(200),
                timeout_retry: Duration::from_secs(100),
                fetch_timeout: NZDuration!(Duration::from_secs(10)),
                fetch_retry_delay: Duration::from_secs(1),
                view_retention: ViewDelta::new(10),
                skip: SkipPolicy::Disabled,
                replay_buffer: NZUsize!(1 << 20),
                write_buffer: NZUsize!(1 << 20),
                page_cache: CacheRef::new(NZU16!(4096), NZUsize!(64)),
                forward: ForwardPolicy::Disabled,
                track_historical_votes: false,
            };
            Engine::new(context.child("engine"), config).start(votes, certificates, resolver);
        }
        while views.iter().any(|view| view.load(Ordering::Relaxed) < work.decisions as u64) {
            context.sleep(Duration::from_millis(2)).await;
        }
        cpu_time() - begin
    })
}
