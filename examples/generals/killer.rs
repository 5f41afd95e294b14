//! The killer: ends generals at arbitrary instants of their work on the disk, as `kill -9` does or a power cut.
//!
//! An instant is a place where a crash leaves something behind that another would not: see `mortal.rs`. So the killer counts instants, not
//! seconds, and strikes the busy as well as the slow.

use crate::args::Victims;
use crate::dice::Dice;
use crate::door::Door;
use logothete::ReplicaId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A general lives for so many instants at most.
const LIFE: usize = 60;
/// The first time a shorter one, so that even in the shortest run he has more than one.
const FIRST_LIFE: usize = 12;
/// So often all are killed at once.
pub const TOGETHER_MAX: u32 = 5;
/// In the shortest run too.
const LIFE_TOGETHER_LEAST: usize = 60;

enum State {
    /// Will live through so many instants more.
    Alive(usize),
    /// The next instant is his last.
    Struck,
    /// Nothing that he does now gets through any more.
    Dead,
}

struct Fate {
    door: Arc<Door>,
    dice: Dice,
    state: State,
    /// Has his log a first record? Until then he was never set up, and nobody strikes at him alone.
    set_up: bool,
    /// How often he was struck while he wrote, so that a part of it was on the disk.
    torn: u64,
}

struct Fates {
    /// Nobody is killed any more.
    over: bool,
    together: bool,
    /// How long a general lives at most where all die together. Each may be the one whose end is everybody's, and an order takes an instant
    /// or two: half as many as there are orders spread the deaths over the run.
    life_together: usize,
    strikes: u32,
    of: BTreeMap<ReplicaId, Fate>,
}

pub struct Killer(Mutex<Fates>);

impl Killer {
    /// Dice of his own for each victim.
    pub fn new(victims: &Victims, seed: u64, orders: u64, doors: impl Fn(ReplicaId) -> Option<Arc<Door>>) -> Self {
        let of = victims.ids.iter().filter_map(|id| {
            let dice = Dice::new(seed, u64::from(*id) << 32 | 0xDEAD);
            let id = ReplicaId::new(*id);
            Some((id, Fate { door: doors(id)?, dice, state: State::Dead, set_up: false, torn: 0 }))
        });
        let life_together = usize::try_from(orders / 2).unwrap_or(usize::MAX).max(LIFE_TOGETHER_LEAST);
        Self(Mutex::new(Fates { over: false, together: victims.together, life_together, strikes: 0, of: of.collect() }))
    }

    /// A victim's doom, for the parts of him that it may strike in.
    pub fn doom(self: &Arc<Self>, id: ReplicaId) -> Option<Doom> {
        self.lock().of.contains_key(&id).then(|| Doom { killer: self.clone(), id })
    }

    /// From now on nobody is killed. False while one who was is still dying or dead.
    pub fn rest(&self) -> bool {
        let mut fates = self.lock();
        fates.over = true;
        fates.of.values().all(|fate| matches!(fate.state, State::Alive(_)))
    }

    fn lock(&self) -> MutexGuard<'_, Fates> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One victim's doom.
#[derive(Clone)]
pub struct Doom {
    killer: Arc<Killer>,
    id: ReplicaId,
}

impl Doom {
    fn with<T>(&self, tell: impl FnOnce(&mut Fate) -> T) -> Option<T> {
        self.killer.lock().of.get_mut(&self.id).map(tell)
    }

    /// A new life.
    pub fn rise(&self) {
        let mut fates = self.killer.lock();
        let together = fates.together.then_some(fates.life_together);
        if let Some(fate) = fates.of.get_mut(&self.id) {
            let most = together.unwrap_or(if fate.set_up { LIFE } else { FIRST_LIFE });
            fate.state = State::Alive(fate.dice.below(most));
        }
    }

    /// An instant, in the middle of writing so many bytes. If the victim dies of it: how many of them still reach the disk.
    pub fn strikes(&self, bytes: usize) -> Option<usize> {
        let mut fates = self.killer.lock();
        let over = fates.over;
        let fate = fates.of.get_mut(&self.id)?;
        let first = match &mut fate.state {
            State::Dead => return Some(0),
            State::Struck => false,
            State::Alive(_) if over || !fate.set_up => return None,
            State::Alive(left) if *left > 0 => {
                *left -= 1;
                return None;
            }
            State::Alive(_) => true,
        };
        fate.state = State::Dead;
        if !fate.set_up {
            return Some(0);
        }
        // Not at all, whole, or torn.
        let kept = match fate.dice.below(4) {
            0 => 0,
            1 => bytes,
            _ => fate.dice.below(bytes),
        };
        fate.torn += u64::from(0 < kept && kept < bytes);
        if first && fates.together {
            fates.strikes += 1;
            fates.over |= fates.strikes >= TOGETHER_MAX;
            for other in fates.of.values_mut().filter(|other| matches!(other.state, State::Alive(_))) {
                other.state = State::Struck;
                // Where he waits for mail or sends some, that is his end.
                other.door.leave();
            }
        }
        Some(kept)
    }

    /// Whatever ended, his life did.
    pub fn is_dead(&self) -> bool {
        self.with(|fate| !matches!(fate.state, State::Alive(_))).unwrap_or_default()
    }

    /// His first record is on the disk: whatever happens, he is not new any more.
    pub fn set_up(&self) {
        self.with(|fate| fate.set_up = true);
    }

    pub fn is_set_up(&self) -> bool {
        self.with(|fate| fate.set_up).unwrap_or_default()
    }

    /// How often he was struck while he wrote.
    pub fn torn(&self) -> u64 {
        self.with(|fate| fate.torn).unwrap_or_default()
    }

    /// How long he is dead now: any time up to `most`, more often a short one.
    pub fn pause(&self, most: Duration) -> Duration {
        let most = usize::try_from(most.as_micros()).unwrap_or(usize::MAX);
        let pause = self.with(|fate| {
            let most = fate.dice.below(most);
            fate.dice.below(most)
        });
        Duration::from_micros(pause.unwrap_or_default() as u64)
    }
}
