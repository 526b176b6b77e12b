//! The template that the stack is deployed from: what is built here out of it cannot differ from what AWS builds.

use std::sync::OnceLock;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

const TEMPLATE: &str = include_str!("../../../infra/template.yaml");

/// What the template says of a resource; a value that is left to CloudFormation (`!Ref`, `!Sub`…) is the function's argument.
///
/// # Panics
/// If there is no such resource.
pub fn properties(resource: &str) -> &'static Map<String, Value> {
    static TREE: OnceLock<Value> = OnceLock::new();
    let tree = TREE.get_or_init(|| {
        let documents = Yaml::load_from_str(TEMPLATE).expect("the template is YAML");
        json(documents.first().expect("the template is one document"))
    });
    let found = tree["Resources"][resource]["Properties"].as_object();
    found.unwrap_or_else(|| panic!("the template has no resource {resource}"))
}

fn json(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => Value::from(*value),
        Yaml::Value(Scalar::Integer(value)) => Value::from(*value),
        Yaml::Value(Scalar::FloatingPoint(value)) => Value::from(value.into_inner()),
        Yaml::Value(Scalar::String(text)) => Value::from(text.as_ref()),
        Yaml::Representation(text, ..) => Value::from(text.as_ref()),
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(pairs) => {
            pairs.iter().map(|(key, value)| (json(key).as_str().unwrap_or_default().to_owned(), json(value))).collect()
        }
        Yaml::Tagged(_, argument) => json(argument),
        Yaml::Alias(_) | Yaml::BadValue => panic!("the template has neither aliases nor values of unknown tags"),
    }
}
