//! The rules of the GitHub App: values in, values out.
//!
//! No AWS, no HTTP, no clock, no environment, no tokio: whoever calls brings what was read and what time it is, and gets what is to be
//! written. So every rule is tested beside itself, and `tests/model` runs this very code through every order of table calls.

pub mod base;
pub mod compare;
pub mod contract;
pub mod entry;
pub mod history;
pub mod ids;
pub mod item;
pub mod kid_tag;
pub mod lifecycle;
pub mod outcome;
pub mod pasted;
pub mod policy;
pub mod protocol;
pub mod pull_request;
pub mod report;
pub mod scan;
pub mod schedule;
pub mod served;
pub mod storage;
pub mod sync;
pub mod task;
