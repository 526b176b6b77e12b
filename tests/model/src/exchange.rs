//! The two tasks exchanged, in whatever says which is which. Where they may be told apart by their ids alone, a state and the same with both exchanged have
//! the same future but for the names, so one of them is searched.

use std::collections::BTreeSet;

use domain::ids::TaskId;
use domain::pull_request::PullRequest;
use domain::report::{Report, Source};
use domain::task::Task;

use crate::world::{Pr, SIZE, What, World, task_id, task_of, title, titled};

/// Something that names tasks.
pub(crate) trait Exchange: Clone {
    /// Names the second where it named the first, and the first where it named the second.
    fn exchange(&mut self);

    /// The same of a copy.
    fn exchanged(&self) -> Self {
        let mut other = self.clone();
        other.exchange();
        other
    }
}

/// A title as the set of tasks that it names.
impl Exchange for u8 {
    fn exchange(&mut self) {
        *self = (*self & 1) << 1 | *self >> 1;
    }
}

impl Exchange for String {
    fn exchange(&mut self) {
        title(titled(self).exchanged()).clone_into(self);
    }
}

impl Exchange for TaskId {
    fn exchange(&mut self) {
        if let Some(other) = task_id(SIZE - 1 - task_of(self.as_str())) {
            *self = other;
        }
    }
}

impl Exchange for BTreeSet<TaskId> {
    fn exchange(&mut self) {
        *self = self.iter().map(Exchange::exchanged).collect();
    }
}

impl Exchange for Task {
    fn exchange(&mut self) {
        self.id.exchange();
    }
}

impl Exchange for PullRequest {
    fn exchange(&mut self) {
        self.snapshot.title.exchange();
        self.task_ids.exchange();
    }
}

impl Exchange for Report {
    fn exchange(&mut self) {
        self.claimed_by.exchange();
        let Some(facts) = &mut self.facts else { return };
        facts.snapshot.title.exchange();
        let (Source::Delivery { previous_title: title, .. } | Source::Api { title_at_merge: title }) =
            &mut facts.source;
        title.iter_mut().for_each(Exchange::exchange);
    }
}

impl Exchange for Pr {
    fn exchange(&mut self) {
        self.title.exchange();
        self.title_at_merge.exchange();
    }
}

impl Exchange for World {
    fn exchange(&mut self) {
        self.prs.iter_mut().flatten().for_each(Exchange::exchange);
        for event in &mut self.events {
            event.after.iter_mut().flatten().for_each(Exchange::exchange);
            event.title_before.exchange();
            if let What::Retitle(title) = &mut event.what {
                title.exchange();
            }
        }
    }
}
