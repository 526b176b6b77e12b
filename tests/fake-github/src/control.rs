//! What a test arranges to go wrong, and what it looks at afterwards.

use super::faults::{Barred, Fault, LargePage, Request};
use super::github::GitHub;

impl GitHub {
    /// Makes the requests the fault meets fail; earlier faults go first.
    pub fn fault(&self, fault: Fault) {
        self.state().faults.planned.push(fault);
    }

    /// Ends every fault.
    pub fn clear_faults(&self) {
        self.state().faults.planned.clear();
    }

    /// How many requests met a fault so far.
    pub fn faults_met(&self) -> usize {
        self.state().faults.met
    }

    /// Closes a repository, or one pull request of it, with a sentence of GitHub's.
    pub fn bar(&self, repository: &str, number: Option<u64>, sentence: &str) {
        let (repository, sentence) = (repository.to_owned(), sentence.to_owned());
        self.state().faults.barred.push(Barred { repository, number, branch: None, sentence });
    }

    /// Closes the tip of one branch of a repository with a sentence of GitHub's.
    pub fn bar_branch(&self, repository: &str, branch: &str, sentence: &str) {
        let (repository, sentence) = (repository.to_owned(), sentence.to_owned());
        self.state().faults.barred.push(Barred { repository, number: None, branch: Some(branch.to_owned()), sentence });
    }

    /// Opens all of it again.
    pub fn unbar(&self) {
        self.state().faults.barred.clear();
    }

    /// Sets how many a page of a list holds at most, so that few things are a list of many pages.
    pub fn set_page_size(&self, most: usize) {
        self.state().page_size = most;
    }

    /// Sets the largest page of pull requests that GraphQL answers, and how it fails beyond that.
    pub fn set_largest_page(&self, largest: Option<(usize, LargePage)>) {
        self.state().faults.largest_page = largest;
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// How many requests matched a route, such as `POST /app/installations/{id}/access_tokens`.
    pub fn count(&self, route: &str) -> usize {
        self.state().requests.iter().filter(|request| request.route == route).count()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.state().requests.clear();
    }

    /// Requests for routes GitHub, as far as this fake knows it, does not have.
    pub fn unexpected(&self) -> Vec<String> {
        self.state().unexpected.clone()
    }

    /// Fails the test that asked for an unknown route.
    ///
    /// # Panics
    /// If there was such a request.
    pub fn assert_nothing_unexpected(&self) {
        let unexpected = self.unexpected();
        assert!(unexpected.is_empty(), "the fake GitHub does not know: {unexpected:#?}");
    }
}
