//! The one place of this command that reads the clock.

use jiff::Timestamp;

pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "a command is its own edge: from here on `now` is an argument")]
    Timestamp::now()
}
