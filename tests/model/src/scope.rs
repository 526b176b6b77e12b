//! What is searched: how many pull requests and tasks there are, and how much may happen.

use crate::world::SIZE;

/// A card as the board made it before the history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Card {
    /// There is none yet.
    None,
    /// In `pr_submitted`.
    Submitted,
    /// In `pr_submitted`, on a board that writes no `updated_at`.
    Timeless,
    /// In `in_progress`.
    InProgress,
}

/// What may still happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Budget {
    pub(crate) events: u8,
    pub(crate) board: u8,
    pub(crate) duplicates: u8,
    pub(crate) faults: u8,
    pub(crate) ticks: u8,
    pub(crate) resyncs: u8,
}

impl Budget {
    /// How much may still happen.
    pub(crate) fn total(self) -> u8 {
        self.events + self.board + self.duplicates + self.faults + self.ticks + self.resyncs
    }

    /// The number of what may still happen of that which no state needs: a bit in a set of 64.
    pub(crate) fn place(self) -> u32 {
        u32::from(self.faults | self.resyncs << 1 | self.duplicates << 2 | self.board << 4)
    }
}

/// The places of budgets that allow at least as much: from a state with one of those, everything can happen that can from this one.
pub(crate) fn at_least(place: u32) -> u64 {
    let parts = |place: u32| [place & 1, place >> 1 & 1, place >> 2 & 3, place >> 4 & 3];
    let least = parts(place);
    let ample = (0..64).filter(|other| parts(*other).iter().zip(least).all(|(part, least)| *part >= least));
    ample.map(|other| 1 << other).sum()
}

/// One search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    pub(crate) name: &'static str,
    pub(crate) pull_requests: usize,
    pub(crate) tasks: usize,
    /// The titles that a pull request may get, each a set of tasks.
    pub(crate) titles: &'static [u8],
    /// With which each is opened.
    pub(crate) opened_as: [u8; SIZE],
    /// Whether other pull requests are merged into the base.
    pub(crate) other_merges: bool,
    /// How much time may pass at once, seconds.
    pub(crate) ticks: &'static [u32],
    /// The cards at the beginning; each is tried.
    pub(crate) cards: &'static [[Card; SIZE]],
    /// Whether a task may come after its tag was read.
    pub(crate) late_tasks: bool,
    /// Whether a function holds on to what it read over any number of writes of others, and not over one alone.
    pub(crate) patient: bool,
    /// Whether a state and the same with the two tasks exchanged count as one.
    pub(crate) alike: bool,
    /// Whether every read is a step of its own and no two states count as one: what the reductions are held against.
    pub(crate) plain: bool,
    /// How many functions run at once.
    pub(crate) functions: usize,
    pub(crate) budget: Budget,
}

/// A little more than the clocks may be apart, and than a lease.
pub(crate) const TICK: i64 = 121;

/// The scopes with so many events on GitHub besides the opening of pull requests.
pub(crate) fn scopes(events: u8) -> Vec<Scope> {
    let budget = Budget { events, board: 2, duplicates: 2, faults: 1, ticks: 1, resyncs: 0 };
    let one = Scope {
        name: "one pull request, one task",
        pull_requests: 1,
        tasks: 1,
        titles: &[0, 1],
        opened_as: [1, 1],
        other_merges: true,
        ticks: &[TICK as u32],
        cards: &[[Card::Submitted, Card::None], [Card::InProgress, Card::None], [Card::Timeless, Card::None]],
        late_tasks: false,
        patient: false,
        alike: false,
        plain: false,
        functions: 3,
        budget,
    };
    // With three functions as well, these would take hours with three events.
    let of_large = if events < 3 { 3 } else { 2 };
    // The opening of the second is an event as any other.
    let two_on_one = Scope {
        name: "two pull requests, one task",
        pull_requests: 2,
        functions: of_large,
        budget: Budget { events: events.saturating_sub(1), ..budget },
        ..one
    };
    let one_on_two = Scope {
        name: "one pull request, two tasks",
        tasks: 2,
        alike: true,
        functions: of_large,
        titles: &[1, 2, 3],
        opened_as: [3, 3],
        cards: &[[Card::Submitted, Card::Submitted], [Card::Submitted, Card::InProgress]],
        ..one
    };
    let late = Scope { name: "a task that is made late", cards: &[[Card::None, Card::None]], late_tasks: true, ..one };
    let resync = Scope {
        name: "a resync at any time",
        functions: of_large,
        budget: Budget { resyncs: 1, duplicates: 1, faults: 0, ..budget },
        ..one
    };
    let patient = Scope {
        name: "reads of any age",
        patient: true,
        // Three make thirty times as many states of it as two: for who has the hour.
        functions: if events < 3 { 2 } else { 3 },
        budget: Budget { events: events.min(1), ..budget },
        ..one
    };
    vec![one_on_two, resync, one, two_on_one, late, patient]
}
