//! Reconcile, in this process, against the fake GitHub and the local DynamoDB.

mod bases;
mod conflicts;
mod fair;
mod faults;
mod hangs;
mod heal;
mod histories;
mod interruptions;
mod lists;
mod parts;
pub(crate) mod people;
mod poison;
mod refusals;
mod resync;
mod scale;
mod tasks;
mod truth;
pub(crate) mod world;

pub(crate) use world::World;
