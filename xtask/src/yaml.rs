//! YAML as the JSON that it stands for: easier to ask.

use anyhow::{Context as _, Result};
use saphyr::{LoadableYamlNode as _, Yaml};
use serde_json::{Map, Value};

/// Reads all documents of a text; empty ones are left out.
///
/// # Errors
/// It is not YAML.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>> {
    let documents = Yaml::load_from_str(text).context("not YAML")?;
    let values = documents.iter().map(value);
    Ok(values.filter(|value| !value.is_null()).collect())
}

fn value(yaml: &Yaml<'_>) -> Value {
    if let Some(items) = yaml.as_sequence() {
        return items.iter().map(value).collect();
    }
    if let Some(members) = yaml.as_mapping() {
        let mut object = Map::new();
        // What is merged in first counts less than what stands beside it.
        for is_merge in [true, false] {
            for (name, member) in members {
                let name = text(&value(name));
                if (name == "<<") != is_merge {
                    continue;
                }
                match value(member) {
                    Value::Object(merged) if is_merge => object.extend(merged),
                    member => drop(object.insert(name, member)),
                }
            }
        }
        return Value::Object(object);
    }
    if let Some(text) = yaml.as_str() {
        text.into()
    } else if let Some(is) = yaml.as_bool() {
        is.into()
    } else if let Some(number) = yaml.as_integer() {
        number.into()
    } else if let Some(number) = yaml.as_floating_point() {
        number.into()
    } else {
        Value::Null
    }
}

/// A value as it would be written: text without quotes.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The values of a list, or of none.
pub(crate) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The members of a mapping, or of none.
pub(crate) fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_becomes_the_json_that_it_stands_for() {
        let text = "a: &a {b: 1, c: x}\nd:\n  <<: *a\n  b: 2\ne: [true, 1.5, '1', null]\n---\n# nothing\n---\n7\n";
        let expected = [
            json!({
                "a": {"b": 1, "c": "x"},
                "d": {"b": 2, "c": "x"},
                "e": [true, 1.5, "1", null],
            }),
            json!(7),
        ];
        assert_eq!(documents(text).expect("YAML"), expected);
        assert!(documents("a: [\n").is_err());
    }
}
