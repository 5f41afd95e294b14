//! Decisions out of a fuzzer's bytes. When they run out, each decision falls on the first possibility.

#[derive(Clone, Debug)]
pub struct Choices<'a>(&'a [u8]);

/// Numbers at which counting goes wrong.
const EDGES: [u64; 12] =
    [u64::MAX, u64::MAX - 1, u64::MAX / 2, u64::MAX / 2 + 1, 1 << 32, (1 << 32) - 1, 1 << 40, 1 << 20, 65_537, 65_536, 1000, 256];

impl<'a> Choices<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Below `count`; 0 if that is 0.
    pub fn below(&mut self, count: usize) -> usize {
        match count {
            0 | 1 => 0,
            2..=256 => usize::from(self.byte()) % count,
            _ => (usize::from(self.byte()) | usize::from(self.byte()) << 8 | usize::from(self.byte()) << 16) % count,
        }
    }

    pub fn percent(&mut self, percent: u8) -> bool {
        self.byte() % 100 >= 100 - percent
    }

    pub fn pick<'b, T>(&mut self, from: &'b [T]) -> Option<&'b T> {
        from.get(self.below(from.len()))
    }

    /// Mostly a small one, now and then one at an edge, or any.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=229 => u64::from(small % 64),
            255 => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
            edge => EDGES[usize::from(edge) % EDGES.len()],
        }
    }

    /// One near `around`, or any.
    pub fn near(&mut self, around: u64) -> u64 {
        match self.byte() {
            offset @ 0..=199 => around.saturating_add(u64::from(offset % 8)).saturating_sub(2),
            _ => self.number(),
        }
    }

    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let length = self.below(most + 1).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }
}
