//! What people do with pull requests; each verb returns the event GitHub would send.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::accounts::AccountType;
use super::deliveries::Event;
use super::github::GitHub;
use super::mergeability::{Observation, Pull, PullState, StaleHead, TimelineEvent, pull_node};
use super::shapes::extend;
use super::state::{NodeRef, State};

/// A pull request to be opened.
#[derive(Debug, Clone)]
pub struct NewPullRequest {
    /// Its title.
    pub title: String,
    /// The branch to be merged.
    pub head_branch: String,
    /// The branch it goes into.
    pub base: String,
    /// Who opens it.
    pub author: String,
    /// Whether the head is in the author's fork.
    pub from_fork: bool,
    /// Whether it starts as a draft.
    pub draft: bool,
    /// The files it touches.
    pub paths: Vec<String>,
    /// Whether its branch was cut before anything was merged.
    pub outdated: bool,
}

impl NewPullRequest {
    /// A pull request into `main` that touches one file.
    pub fn titled(title: &str) -> NewPullRequest {
        NewPullRequest {
            title: title.to_owned(),
            head_branch: "feature".to_owned(),
            base: "main".to_owned(),
            author: "octocat".to_owned(),
            from_fork: false,
            draft: false,
            paths: vec!["README.md".to_owned()],
            outdated: false,
        }
    }
}

/// What is really so, whatever the API says at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Open, closed or merged.
    pub state: PullState,
    /// Whether it was merged.
    pub merged: bool,
    /// Whether it is open and conflicts with its base.
    pub conflict: bool,
    /// Its title.
    pub title: String,
    /// Its head sha.
    pub head: String,
    /// Its base branch.
    pub base: String,
    /// Whether it is a draft.
    pub draft: bool,
    /// When a user last did something to it.
    pub updated_at: Timestamp,
    /// When it was opened.
    pub created_at: Timestamp,
}

impl GitHub {
    /// Opens a pull request; the event has its number.
    pub fn open_pull_request(&self, repository: &str, new: NewPullRequest) -> Event {
        let mut state = self.state();
        let number = state.open(repository, new);
        state.pull_event(repository, number, "opened", json!({}))
    }

    /// Pushes to the head branch; a conflict stays.
    pub fn push(&self, repository: &str, number: u64) -> Event {
        self.state().push(repository, number, false)
    }

    /// Merges or rebases the base into the head and pushes, which ends a conflict.
    pub fn push_rebased(&self, repository: &str, number: u64) -> Event {
        self.state().push(repository, number, true)
    }

    /// Gives the pull request another base branch, made if it is not there.
    pub fn retarget(&self, repository: &str, number: u64, base: &str) -> Event {
        let mut state = self.state();
        let sha = state.branch_tip(repository, base);
        let reads = state.pulls.settle_reads;
        let pull = state.touch(repository, number);
        let from = json!({"base": {"ref": {"from": pull.base}, "sha": {"from": pull.base_sha}}});
        base.clone_into(&mut pull.base);
        pull.base_sha = sha;
        pull.unsettled_reads = reads;
        state.pull_event(repository, number, "edited", json!({"changes": from}))
    }

    /// Changes the title.
    pub fn retitle(&self, repository: &str, number: u64, title: &str) -> Event {
        self.state().rename(repository, number, title)
    }

    /// Makes it a draft.
    pub fn convert_to_draft(&self, repository: &str, number: u64) -> Event {
        let mut state = self.state();
        state.touch_open(repository, number).draft = true;
        state.pull_event(repository, number, "converted_to_draft", json!({}))
    }

    /// Ends the draft.
    pub fn ready_for_review(&self, repository: &str, number: u64) -> Event {
        let mut state = self.state();
        state.touch_open(repository, number).draft = false;
        state.pull_event(repository, number, "ready_for_review", json!({}))
    }

    /// Closes it without a merge.
    pub fn close(&self, repository: &str, number: u64) -> Event {
        let mut state = self.state();
        let pull = state.touch_open(repository, number);
        pull.state = PullState::Closed;
        pull.closed_at = Some(pull.updated_at);
        state.pull_event(repository, number, "closed", json!({}))
    }

    /// Opens a closed one again.
    ///
    /// # Panics
    /// If it is open or merged: GitHub offers no such button.
    pub fn reopen(&self, repository: &str, number: u64) -> Event {
        let mut state = self.state();
        let reads = state.pulls.settle_reads;
        let pull = state.touch(repository, number);
        assert_eq!(pull.state, PullState::Closed, "only a closed pull request can be reopened");
        pull.state = PullState::Open;
        pull.closed_at = None;
        pull.unsettled_reads = reads;
        state.pull_event(repository, number, "reopened", json!({}))
    }

    /// Merges it, which moves the base branch.
    ///
    /// # Panics
    /// If it is not open, or conflicts: GitHub offers no such button.
    pub fn merge(&self, repository: &str, number: u64) -> Event {
        let mut state = self.state();
        let conflict = state.truth(repository, number).conflict;
        assert!(!conflict, "{repository}#{number} conflicts, GitHub does not merge it");
        let pull = state.touch_open(repository, number);
        pull.state = PullState::Merged;
        pull.closed_at = Some(pull.updated_at);
        pull.timeline.push(TimelineEvent::Merged { at: pull.updated_at });
        let (id, base, paths) = (pull.repository, pull.base.clone(), pull.paths.clone());
        let sha = state.move_branch(id, &base, &paths);
        state.pull(repository, number).merge_commit = Some(sha);
        state.pull_event(repository, number, "closed", json!({}))
    }

    /// Commits to a branch without a pull request.
    pub fn push_to_branch(&self, repository: &str, branch: &str, paths: &[&str]) {
        let mut state = self.state();
        let id = state.repository(repository).id;
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        state.move_branch(id, branch, &paths);
    }

    /// Deletes the fork a pull request comes from; GitHub sends no event.
    pub fn delete_fork(&self, repository: &str, number: u64) {
        let mut state = self.state();
        let fork = state.pull(repository, number).head_repository;
        for pull in state.pulls.values_mut() {
            if pull.head_repository == fork {
                pull.head_repository = None;
            }
        }
        if let Some(id) = fork {
            state.repositories.remove(&id);
        }
    }

    /// What is really so.
    pub fn truth(&self, repository: &str, number: u64) -> Truth {
        self.state().truth(repository, number)
    }

    /// The files that a pull request touches.
    pub fn paths(&self, repository: &str, number: u64) -> Vec<String> {
        self.state().pull(repository, number).paths.iter().cloned().collect()
    }

    /// The numbers of a repository's pull requests.
    pub fn numbers(&self, repository: &str) -> Vec<u64> {
        let mut state = self.state();
        let id = state.repository(repository).id;
        state.pulls_of(id).map(|pull| pull.number).collect()
    }

    /// Sets how many reads answer "not known yet" after mergeability became stale.
    pub fn set_settle_reads(&self, reads: u32) {
        self.state().pulls.settle_reads = reads;
    }

    /// Sets how many reads still answer as before a base moved, instead of "not known yet".
    pub fn set_stale_reads(&self, reads: u32) {
        self.state().pulls.stale_reads = reads;
    }

    /// Sets `mergeable_state` (`blocked`, `behind`, `unstable`...) while there is no conflict; `None` ends it.
    pub fn set_mergeable_state(&self, repository: &str, number: u64, value: Option<&str>) {
        self.state().pull(repository, number).mergeable_state = value.map(str::to_owned);
    }

    /// Makes the next settled reads say `mergeable: false`, whatever is so.
    pub fn stale_false(&self, repository: &str, number: u64, head: StaleHead, times: u32) {
        self.state().pull(repository, number).stale_false = (times > 0).then_some((head, times));
    }

    /// Makes the next settled read say `mergeable: false`, whatever is so.
    pub fn stale_false_once(&self, repository: &str, number: u64, head: StaleHead) {
        self.stale_false(repository, number, head, 1);
    }

    /// Makes GraphQL lists answer `UNKNOWN` although single reads know.
    pub fn set_unknown_in_lists(&self, repository: &str, number: u64, unknown: bool) {
        self.state().pull(repository, number).unknown_in_lists = unknown;
    }

    /// Leaves a pull request out of every list, as where lists lag behind.
    pub fn hide_from_lists(&self, repository: &str, number: u64, hidden: bool) {
        self.state().pull(repository, number).hidden_in_lists = hidden;
    }
}

impl State {
    pub(super) fn open(&mut self, repository: &str, new: NewPullRequest) -> u64 {
        let author = self.account(&new.author, AccountType::User).login;
        let base_sha = self.branch_tip(repository, &new.base);
        let head = self.next_sha();
        let id = 2_000_000_000 + self.next_id();
        let now = self.act();
        let target = self.repository(repository);
        target.last_number += 1;
        let (target_id, number) = (target.id, target.last_number);
        let paths = new.paths.into_iter().collect();
        let seen = match new.outdated {
            true => Default::default(),
            false => target.branches.keys().map(|name| (name.clone(), target.versions(name, &paths))).collect(),
        };
        let head_owner = if new.from_fork { author.clone() } else { target.owner().to_owned() };
        let head_repository = if new.from_fork { self.fork(repository, &author) } else { target_id };
        let pull = Pull {
            id,
            repository: target_id,
            number,
            title: new.title,
            body: None,
            reviewers: Vec::new(),
            review_teams: Vec::new(),
            state: PullState::Open,
            draft: new.draft,
            author,
            head_branch: new.head_branch,
            previous_head: head.clone(),
            head,
            head_owner,
            head_repository: Some(head_repository),
            base: new.base,
            base_sha,
            created_at: now,
            updated_at: now,
            closed_at: None,
            merge_commit: None,
            paths,
            seen,
            unsettled_reads: self.pulls.settle_reads,
            stale_false: None,
            mergeable_state: None,
            unknown_in_lists: false,
            hidden_in_lists: false,
            stale_conflict: None,
            timeline: Vec::new(),
        };
        self.pulls.insert(pull);
        self.nodes.insert(pull_node(id), NodeRef::Pull(target_id, number));
        number
    }

    fn fork(&mut self, repository: &str, author: &str) -> u64 {
        let upstream = self.repository(repository);
        let (name, private) = (format!("{author}/{}", upstream.short_name()), upstream.private);
        self.named(&name).unwrap_or_else(|| self.create_repository(&name, private, true))
    }

    fn branch_tip(&mut self, repository: &str, branch: &str) -> String {
        let sha = self.next_sha();
        let known = self.repository(repository).branches.entry(branch.to_owned()).or_default();
        if known.tip.is_empty() {
            known.tip = sha;
        }
        known.tip.clone()
    }

    pub(super) fn touch(&mut self, repository: &str, number: u64) -> &mut Pull {
        let now = self.act();
        let pull = self.pull(repository, number);
        pull.updated_at = now;
        pull
    }

    fn touch_open(&mut self, repository: &str, number: u64) -> &mut Pull {
        let pull = self.touch(repository, number);
        assert_eq!(pull.state, PullState::Open, "{repository}#{number} is not open");
        pull
    }

    fn push(&mut self, repository: &str, number: u64, rebased: bool) -> Event {
        let head = self.next_sha();
        let reads = self.pulls.settle_reads;
        let pull = self.touch_open(repository, number);
        let before = std::mem::replace(&mut pull.head, head.clone());
        pull.previous_head.clone_from(&before);
        pull.unsettled_reads = reads;
        if rebased {
            let (base, paths) = (pull.base.clone(), pull.paths.clone());
            let versions = self.repository(repository).versions(&base, &paths);
            let tip = self.branch_tip(repository, &base);
            let pull = self.pull(repository, number);
            pull.seen.insert(base, versions);
            pull.base_sha = tip;
        }
        self.pull_event(repository, number, "synchronize", json!({"before": before, "after": head}))
    }

    fn truth(&mut self, repository: &str, number: u64) -> Truth {
        let pull = self.pull(repository, number).clone();
        Truth {
            state: pull.state,
            merged: pull.state == PullState::Merged,
            conflict: pull.state == PullState::Open && self.conflicts(&pull),
            title: pull.title,
            head: pull.head,
            base: pull.base,
            draft: pull.draft,
            updated_at: pull.updated_at,
            created_at: pull.created_at,
        }
    }

    pub(super) fn pull_event(&mut self, repository: &str, number: u64, action: &str, more: Value) -> Event {
        let pull = self.pull(repository, number).clone();
        let seen = Observation { head: pull.head.clone(), mergeable: None, state: "unknown".to_owned() };
        let mut payload = json!({
            "action": action,
            "number": number,
            "pull_request": self.pull_json(&pull, Some(&seen)),
            "repository": self.repository_json(pull.repository),
            "sender": self.account_json(&pull.author),
        });
        extend(&mut payload, more);
        let owner = self.account_json(self.repositories[&pull.repository].owner());
        if owner["type"] == "Organization" {
            payload["organization"] = owner;
        }
        if let Some(installation) = self.installation_of(pull.repository) {
            payload["installation"] = self.installation_stub(installation.id);
        }
        Event { name: "pull_request".to_owned(), payload }
    }
}
