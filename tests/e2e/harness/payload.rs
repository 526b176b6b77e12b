//! `pull_request` payloads, reduced to what is read, for tests that need control over every field.

use serde_json::{Value, json};

pub const REPOSITORY_ID: u64 = 1001;
pub const INSTALLATION_ID: u64 = 77;

/// A payload in the making. Times are seconds after the start of a fixed day.
#[derive(Clone)]
pub struct Payload(pub Value);

pub fn pull_request(action: &str, title: &str, second: u32) -> Payload {
    let time = format!("2026-11-23T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60);
    Payload(json!({
        "action": action,
        "number": 42,
        "pull_request": {
            "number": 42,
            "state": "open",
            "merged": false,
            "mergeable": null,
            "title": title,
            "html_url": "https://github.com/acme/app/pull/42",
            "draft": false,
            "created_at": "2026-11-23T00:00:00Z",
            "updated_at": time,
            "merged_at": null,
            "closed_at": null,
            "user": {"login": "octocat"},
            "head": {"sha": "a".repeat(40), "ref": "feature", "repo": {"id": REPOSITORY_ID}},
            "base": {"ref": "main"},
        },
        "repository": {"id": REPOSITORY_ID, "full_name": "acme/app"},
        "installation": {"id": INSTALLATION_ID},
    }))
}

pub fn opened(title: &str, second: u32) -> Payload {
    pull_request("opened", title, second)
}

pub fn closed(title: &str, second: u32) -> Payload {
    pull_request("closed", title, second).set("state", json!("closed"))
}

pub fn merged(title: &str, second: u32) -> Payload {
    closed(title, second).set("merged", json!(true))
}

impl Payload {
    /// Sets a field of `pull_request`.
    pub fn set(mut self, field: &str, value: Value) -> Self {
        self.0["pull_request"][field] = value;
        self
    }

    pub fn number(mut self, number: u64) -> Self {
        self.0["number"] = json!(number);
        self.set("html_url", json!(format!("https://github.com/acme/app/pull/{number}"))).set("number", json!(number))
    }

    pub fn created(self, second: u32) -> Self {
        self.set("created_at", json!(format!("2026-11-23T00:00:{second:02}Z")))
    }

    pub fn head(self, sha: char) -> Self {
        let head = json!({"sha": sha.to_string().repeat(40), "ref": "feature", "repo": {"id": REPOSITORY_ID}});
        self.set("head", head)
    }

    pub fn repository(mut self, id: u64, name: &str) -> Self {
        self.0["repository"] = json!({"id": id, "full_name": name});
        self.0["pull_request"]["head"]["repo"]["id"] = json!(id);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap()
    }
}
