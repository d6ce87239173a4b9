//! How many objects a page is asked to hold: fewer, where they are large.

/// The most objects in a page.
const MOST: u32 = 50;

/// The longest page of several objects, in bytes. A page is held as JSON and decoded beside what is held already,
/// so that it bounds what a list takes on top of its content. A single object has about 1 MiB.
const LONGEST: usize = 2 << 20;

/// The longest page of a single object, and the longest event of a watch, in bytes: an object holds at most
/// 1 MiB (etcd takes 1.5 MiB), which JSON escapes can make six times as long.
pub(super) const LONGEST_OF_ONE: usize = 12 << 20;

/// The size of the next page. It may be another for each page of a list: the `continue` token says only where
/// a page begins, and the resourceVersion (Kubernetes API concepts, "Retrieving large results sets in chunks").
#[derive(Debug)]
pub(super) struct Paging {
    limit: u32,
}

// === impl Paging ===

impl Paging {
    pub(super) fn new() -> Self {
        Self { limit: MOST }
    }

    /// How many objects to ask for.
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// How many bytes to read of the answer.
    pub(super) fn longest(&self) -> usize {
        if self.limit > 1 {
            LONGEST
        } else {
            LONGEST_OF_ONE
        }
    }

    /// The page was longer; whether a shorter one can be asked for.
    pub(super) fn shrink(&mut self) -> bool {
        let can = self.limit > 1;
        self.limit = (self.limit / 2).max(1);
        can
    }

    /// The page had so many bytes.
    pub(super) fn read(&mut self, bytes: usize) {
        // Twice as many are then half as long as they may be.
        if bytes <= LONGEST / 4 {
            self.limit = (self.limit * 2).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_large_objects_hold_few_and_grow_again() {
        let mut paging = Paging::new();
        let mut limits = Vec::new();
        while paging.shrink() {
            assert_eq!(paging.longest() == LONGEST, paging.limit() > 1);
            limits.push(paging.limit());
        }
        assert_eq!(limits, [25, 12, 6, 3, 1]);
        assert_eq!(paging.longest(), LONGEST_OF_ONE);
        paging.read(800_000);
        assert_eq!(paging.limit(), 1);
        for wanted in [2, 4, 8, 16, 32, 50, 50] {
            paging.read(LONGEST / 4);
            assert_eq!(paging.limit(), wanted);
        }
    }
}
