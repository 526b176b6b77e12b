//! Everything that is deployed, on clocks that go on when a test says so: the functions' executables, the schedule and GitHub.

use std::ops::Deref;

use fake_github::GitHub;
use jiff::{SignedDuration, Timestamp};
use stack::{Services, Stack};

use crate::scenarios::reconcile::people::Place;
use crate::scenarios::reconcile::world::REPOSITORY;

pub struct Deployed {
    pub stack: Stack,
    passed: i64,
}

impl Deref for Deployed {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.stack.services
    }
}

impl Deployed {
    /// A stack that knows whom it serves, with an empty repository.
    pub async fn start() -> Self {
        let stack = Stack::start().await;
        stack.github.create_repository(REPOSITORY, true);
        stack.lambda.move_clocks(0);
        assert_eq!(stack.github.deliver(&stack.github.ping_event()).await.status, 200);
        Self { stack, passed: 0 }
    }
}

impl Place for Deployed {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now() + SignedDuration::from_secs(self.passed);
        Timestamp::from_second(now.as_second()).unwrap()
    }

    fn pass(&mut self, seconds: i64) {
        self.passed += seconds;
        self.stack.github.set_clock_skew(self.passed);
        self.stack.lambda.move_clocks(self.passed);
    }

    fn hub(&self) -> &GitHub {
        self.stack.github.set_time(self.now().as_second());
        &self.stack.github
    }

    async fn stream(&self) {
        self.stack.stream.drain().await;
    }

    async fn due(&self) {
        self.stack.schedule.tick_once().await.expect("reconcile runs");
    }
}
