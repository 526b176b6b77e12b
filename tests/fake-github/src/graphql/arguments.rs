//! The arguments of lists: how many, which, in which order, behind what.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::FieldError;
use crate::mergeability::{Pull, PullState};

pub(super) fn page_size(first: Option<u64>) -> Result<usize, FieldError> {
    let message = match first {
        Some(count @ 1..=100) => return Ok(count as usize),
        Some(count) if count > 100 => {
            let text = format!(
                "Requesting {count} records on the `pullRequests` connection exceeds the `first` limit of 100 records."
            );
            return Err(FieldError { kind: "EXCESSIVE_PAGINATION", message: text });
        }
        _ => "You must provide a `first` or `last` value to properly paginate the `pullRequests` connection.",
    };
    Err(FieldError { kind: "MISSING_PAGINATION_BOUNDARIES", message: message.to_owned() })
}

pub(super) fn states(argument: Option<&Value>) -> Result<Vec<PullState>, FieldError> {
    let list = match argument {
        None | Some(Value::Null) => vec![],
        Some(Value::Array(items)) => items.clone(),
        Some(one) => vec![one.clone()],
    };
    let state = |value: Value| match value.as_str() {
        Some("OPEN") => Ok(PullState::Open),
        Some("CLOSED") => Ok(PullState::Closed),
        Some("MERGED") => Ok(PullState::Merged),
        _ => Err(invalid("states", &value)),
    };
    list.into_iter().map(state).collect()
}

pub(super) fn invalid(argument: &str, value: &Value) -> FieldError {
    let message = format!("Argument '{argument}' on Field 'pullRequests' has an invalid value ({value}).");
    FieldError { kind: "argumentLiteralsIncompatible", message }
}

pub(super) struct Order {
    by_update: bool,
    pub(super) descending: bool,
}

impl Order {
    pub(super) fn of(argument: &Value) -> Result<Order, FieldError> {
        if argument.is_null() {
            return Ok(Order { by_update: false, descending: false });
        }
        let by_update = match argument["field"].as_str() {
            Some("UPDATED_AT") => true,
            Some("CREATED_AT") => false,
            _ => return Err(invalid("orderBy", argument)),
        };
        match argument["direction"].as_str() {
            Some("DESC") => Ok(Order { by_update, descending: true }),
            Some("ASC") => Ok(Order { by_update, descending: false }),
            _ => Err(invalid("orderBy", argument)),
        }
    }

    pub(super) fn key(&self, pull: &Pull) -> (i64, u64) {
        let time = if self.by_update { pull.updated_at } else { pull.created_at };
        (time.as_second(), pull.number)
    }
}

/// A cursor names a place in the order, not an offset: what moved meanwhile is seen again or not, as at GitHub.
pub(super) fn cursor(key: (i64, u64)) -> String {
    STANDARD.encode(format!("cursor:v2:{}:{}", key.0, key.1))
}

pub(super) fn cursor_key(cursor: &str) -> Result<(i64, u64), FieldError> {
    let decoded = STANDARD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let key = decoded
        .as_deref()
        .and_then(|text| text.strip_prefix("cursor:v2:")?.split_once(':'))
        .and_then(|(time, number)| Some((time.parse().ok()?, number.parse().ok()?)));
    let message = format!("`{cursor}` does not appear to be a valid cursor.");
    key.ok_or(FieldError { kind: "INVALID_CURSOR_ARGUMENTS", message })
}
