//! How many pull requests a page is asked for: GitHub answers 502, or null for single ones, where a page costs it too much.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::ids::RepositoryId;

/// The sizes, the largest that GitHub has first.
const SIZES: [usize; 3] = [100, 50, 25];

/// The sizes that each repository's pages had to shrink to, as far as this execution environment knows.
#[derive(Debug, Default)]
pub(crate) struct Pages(Mutex<HashMap<RepositoryId, usize>>);

impl Pages {
    fn with<T>(&self, use_it: impl FnOnce(&mut HashMap<RepositoryId, usize>) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The size to ask for.
    pub(crate) fn size(&self, repository: RepositoryId) -> usize {
        SIZES[self.with(|steps| steps.get(&repository).copied().unwrap_or(0))]
    }

    /// Asks for less after a page of `size` failed. `false`: there is no less.
    pub(crate) fn shrink(&self, repository: RepositoryId, size: usize) -> bool {
        let Some(smaller) = SIZES.iter().position(|known| *known < size) else { return false };
        self.with(|steps| steps.insert(repository, smaller));
        true
    }

    /// Asks for more the next time, after a whole list was read.
    pub(crate) fn grow(&self, repository: RepositoryId) {
        self.with(|steps| match steps.get_mut(&repository) {
            Some(step) if *step > 1 => *step -= 1,
            _ => drop(steps.remove(&repository)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_shrink_to_single_reads_and_grow_again() {
        let (pages, repository) = (Pages::default(), RepositoryId(7));
        assert_eq!(pages.size(repository), 100);
        assert!(pages.shrink(repository, 100));
        assert_eq!(pages.size(repository), 50);
        assert!(pages.shrink(repository, 50));
        assert_eq!((pages.size(repository), pages.size(RepositoryId(8))), (25, 100));
        assert!(!pages.shrink(repository, 25), "what is left is to read them one by one");
        pages.grow(repository);
        assert_eq!(pages.size(repository), 50);
        pages.grow(repository);
        assert_eq!(pages.size(repository), 100);
        pages.grow(repository);
        assert_eq!(pages.size(repository), 100);
    }
}
