//! Dice for the network's losses and the traitors' whims: SplitMix64, so that a seed gives the same throws everywhere.

pub struct Dice(u64);

impl Dice {
    /// Dice of their own for each `who`, so that one's throws don't depend on how often another throws.
    pub fn new(seed: u64, who: u64) -> Self {
        let mut dice = Self(seed ^ who.wrapping_mul(0xD1B5_4A32_D192_ED03));
        dice.throw();
        dice
    }

    /// Any number.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where nothing is below it.
    pub fn below(&mut self, bound: usize) -> usize {
        // The small bias of a remainder is of no account here.
        usize::try_from(self.throw() % (bound.max(1) as u64)).unwrap_or(0)
    }

    /// True in `percent` of 100 throws.
    pub fn strikes(&mut self, percent: u8) -> bool {
        self.below(100) < usize::from(percent)
    }

    /// `length` random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.throw().to_le_bytes()[0]).collect()
    }
}
