//! What crosses from one program to another, each written down once: whoever writes it and whoever reads it use these types.
//! Reconcile's input is not here: the function reads it in its `event`, and an operator or the schedule writes it.

pub mod reconcile;
pub mod secrets;
pub mod token;
pub mod webhook;
