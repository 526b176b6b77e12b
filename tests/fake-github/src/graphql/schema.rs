//! What of the schema is known here.

use serde_json::{Value, json};

pub(super) type FieldRow = (&'static str, &'static str, &'static [&'static str]);

const NONE: &[&str] = &[];
const NO_FIELDS: &[FieldRow] = &[];

/// Type, then its fields as name, type and arguments; `!` marks a required argument.
const SCHEMA: &[(&str, &[FieldRow])] = &[
    (
        "Query",
        &[
            ("repository", "Repository", &["owner!", "name!", "followRenames"]),
            ("node", "Node", &["id!"]),
            ("nodes", "Node", &["ids!"]),
            ("rateLimit", "RateLimit", NONE),
        ],
    ),
    ("Mutation", &[("createPullRequest", "CreatePullRequestPayload", &["input!"])]),
    ("CreatePullRequestPayload", &[("pullRequest", "PullRequest", NONE)]),
    ("Node", &[("id", "ID", NONE)]),
    (
        "Repository",
        &[
            ("id", "ID", NONE),
            ("databaseId", "Int", NONE),
            ("name", "String", NONE),
            ("nameWithOwner", "String", NONE),
            ("isPrivate", "Boolean", NONE),
            ("isFork", "Boolean", NONE),
            ("url", "URI", NONE),
            ("owner", "Actor", NONE),
            ("pullRequest", "PullRequest", &["number!"]),
            ("pullRequests", "PullRequestConnection", LIST_ARGUMENTS),
            ("ref", "Ref", &["qualifiedName!"]),
            // What `gh` asks of a repository before it opens a pull request.
            ("defaultBranchRef", "Ref", NONE),
            ("description", "String", NONE),
            ("hasIssuesEnabled", "Boolean", NONE),
            ("hasWikiEnabled", "Boolean", NONE),
            ("mergeCommitAllowed", "Boolean", NONE),
            ("rebaseMergeAllowed", "Boolean", NONE),
            ("squashMergeAllowed", "Boolean", NONE),
            ("viewerPermission", "RepositoryPermission", NONE),
            ("parent", "Repository", NONE),
        ],
    ),
    ("Ref", &[("name", "String", NONE), ("target", "Commit", NONE)]),
    (
        "PullRequestConnection",
        &[
            ("nodes", "PullRequest", NONE),
            ("edges", "PullRequestEdge", NONE),
            ("pageInfo", "PageInfo", NONE),
            ("totalCount", "Int", NONE),
        ],
    ),
    ("PullRequestEdge", &[("cursor", "String", NONE), ("node", "PullRequest", NONE)]),
    (
        "PageInfo",
        &[
            ("hasNextPage", "Boolean", NONE),
            ("endCursor", "String", NONE),
            ("hasPreviousPage", "Boolean", NONE),
            ("startCursor", "String", NONE),
        ],
    ),
    (
        "PullRequest",
        &[
            ("id", "ID", NONE),
            ("databaseId", "Int", NONE),
            ("fullDatabaseId", "BigInt", NONE),
            ("number", "Int", NONE),
            ("title", "String", NONE),
            ("url", "URI", NONE),
            ("state", "PullRequestState", NONE),
            ("isDraft", "Boolean", NONE),
            ("closed", "Boolean", NONE),
            ("merged", "Boolean", NONE),
            ("mergeable", "MergeableState", NONE),
            ("mergeStateStatus", "MergeStateStatus", NONE),
            ("mergeCommit", "Commit", NONE),
            ("headRefOid", "GitObjectID", NONE),
            ("headRefName", "String", NONE),
            ("baseRefOid", "GitObjectID", NONE),
            ("baseRefName", "String", NONE),
            ("updatedAt", "DateTime", NONE),
            ("createdAt", "DateTime", NONE),
            ("closedAt", "DateTime", NONE),
            ("mergedAt", "DateTime", NONE),
            ("author", "Actor", NONE),
            ("isCrossRepository", "Boolean", NONE),
            ("headRepository", "Repository", NONE),
            ("headRepositoryOwner", "RepositoryOwner", NONE),
            ("baseRepository", "Repository", NONE),
            ("repository", "Repository", NONE),
            ("timelineItems", "PullRequestTimelineItemsConnection", &["first", "last", "itemTypes"]),
        ],
    ),
    ("PullRequestTimelineItemsConnection", &[("nodes", "PullRequestTimelineItems", NONE), ("totalCount", "Int", NONE)]),
    // A union: its members' fields are reached through fragments alone.
    ("PullRequestTimelineItems", NO_FIELDS),
    (
        "RenamedTitleEvent",
        &[("createdAt", "DateTime", NONE), ("previousTitle", "String", NONE), ("currentTitle", "String", NONE)],
    ),
    ("MergedEvent", &[("createdAt", "DateTime", NONE)]),
    ("Actor", &[("login", "String", NONE), ("url", "URI", NONE), ("avatarUrl", "URI", NONE)]),
    ("RepositoryOwner", &[("id", "ID", NONE), ("login", "String", NONE)]),
    ("User", &[("id", "ID", NONE), ("login", "String", NONE), ("name", "String", NONE), ("url", "URI", NONE)]),
    ("Commit", &[("oid", "GitObjectID", NONE)]),
    (
        "RateLimit",
        &[
            ("cost", "Int", NONE),
            ("limit", "Int", NONE),
            ("remaining", "Int", NONE),
            ("used", "Int", NONE),
            ("nodeCount", "Int", NONE),
            ("resetAt", "DateTime", NONE),
        ],
    ),
];

const LIST_ARGUMENTS: &[&str] = &["first", "after", "states", "baseRefName", "headRefName", "orderBy"];

pub(super) fn fields_of(kind: &str) -> Option<&'static [FieldRow]> {
    SCHEMA.iter().find(|(name, _)| *name == kind).map(|(_, fields)| *fields)
}

/// What of GitHub's schema is known here, as type → field → `type` and `arguments`, to be held against what GitHub publishes.
pub fn schema() -> Value {
    let field =
        |(name, returns, arguments): &FieldRow| ((*name).to_owned(), json!({"type": returns, "arguments": arguments}));
    let kind =
        |(name, fields): &(&str, &[FieldRow])| ((*name).to_owned(), Value::Object(fields.iter().map(field).collect()));
    Value::Object(SCHEMA.iter().map(kind).collect())
}
