//! Plain JSON to DynamoDB's JSON and back.
//!
//! Sets and bytes have no plain form: `{"SS": […]}` and `{"B": "<base64>"}` are written as they are. A string set is read back
//! as a sorted list.

use serde_json::{Map, Value, json};

/// Turns a plain JSON object into an item.
pub fn to_item(plain: &Value) -> Value {
    let object = plain.as_object().expect("an item is an object");
    object.iter().map(|(name, value)| (name.clone(), to_attribute(value))).collect()
}

/// Turns an item into a plain JSON object.
pub fn from_item(item: &Value) -> Value {
    let object = item.as_object().expect("an item is an object");
    object.iter().map(|(name, value)| (name.clone(), from_attribute(value))).collect()
}

/// Turns one plain value into an attribute value.
pub fn to_attribute(plain: &Value) -> Value {
    match plain {
        Value::Null => json!({"NULL": true}),
        Value::Bool(value) => json!({"BOOL": value}),
        Value::Number(value) => json!({"N": value.to_string()}),
        Value::String(value) => json!({"S": value}),
        Value::Array(values) => json!({"L": values.iter().map(to_attribute).collect::<Vec<_>>()}),
        Value::Object(object) if is_verbatim(object) => plain.clone(),
        Value::Object(_) => json!({"M": to_item(plain)}),
    }
}

fn is_verbatim(object: &Map<String, Value>) -> bool {
    object.len() == 1 && (object.contains_key("SS") || object.contains_key("B"))
}

/// Turns one attribute value into a plain value.
pub fn from_attribute(attribute: &Value) -> Value {
    let (kind, value) = attribute
        .as_object()
        .and_then(|object| object.iter().next())
        .expect("an attribute value is an object with one member");
    match kind.as_str() {
        "NULL" => Value::Null,
        "N" => serde_json::from_str(value.as_str().unwrap_or_default()).expect("N holds a number"),
        "L" => value.as_array().into_iter().flatten().map(from_attribute).collect(),
        "M" => from_item(value),
        "SS" => sorted(value),
        "B" => attribute.clone(),
        "S" | "BOOL" => value.clone(),
        other => panic!("no table holds an attribute of type {other}"),
    }
}

fn sorted(set: &Value) -> Value {
    let mut members: Vec<&str> = set.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    members.sort_unstable();
    json!(members)
}
