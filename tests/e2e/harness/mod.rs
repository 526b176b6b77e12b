//! What a test starts, and the verbs it has for it.

pub mod agent;
pub mod counter;
pub mod deployed;
pub mod desk;
pub mod holding;
pub mod operator;
pub mod payload;
pub mod terminal;
