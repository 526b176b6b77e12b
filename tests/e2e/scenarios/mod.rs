//! The promises about what a user sees, a file each.

mod board;
mod chromium;
mod completions;
mod configure;
mod create;
mod credential;
mod explain;
mod github_client;
mod help;
mod holds;
mod lifecycle;
mod local_stack;
mod logs;
mod migration;
mod pr;
mod reconcile;
mod rotate;
mod setup_git;
mod signature;
mod task_command;
mod task_wait;
mod token;
mod token_cache;
mod verify;
mod webhook;
