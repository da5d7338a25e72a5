//! What decides in tests: chance that can be repeated, or a search.

/// SplitMix64 <https://prng.di.unimi.it/splitmix64.c>.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("it is below a usize")
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

/// Decides what is next.
pub(crate) trait Choice {
    fn below(&mut self, count: usize) -> usize;
}

impl Choice for Random {
    fn below(&mut self, count: usize) -> usize {
        Random::below(self, count)
    }
}

/// Goes through all paths, depth first.
#[derive(Default)]
pub(crate) struct Search {
    /// What was chosen, of how many.
    path: Vec<(usize, usize)>,
    depth: usize,
}

impl Choice for Search {
    fn below(&mut self, count: usize) -> usize {
        if self.depth == self.path.len() {
            self.path.push((0, count));
        }
        let (chosen, of) = self.path[self.depth];
        assert_eq!(of, count, "a schedule does not repeat itself");
        self.depth += 1;
        chosen
    }
}

impl Search {
    /// Turns to the next path; `false` after the last.
    pub(crate) fn turn(&mut self) -> bool {
        self.depth = 0;
        while let Some((chosen, of)) = self.path.pop() {
            if chosen + 1 < of {
                self.path.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}

/// What the environment says in `name`, or else `usual`.
pub(crate) fn setting(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, and not `{text}`")),
        Err(_) => usual,
    }
}
