//! What crosses from one program to another, each written down once: whoever writes it and whoever reads it use these types.

pub mod secrets;
pub mod token;
pub mod webhook;
