//! The shape of a request: a closed JSON Schema made of Google's own description of the interface.

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value, json};

use super::rules::Refusal;

const DISCOVERY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/fcm-v1-discovery.json"));

/// The schema of one `messages:send`.
#[derive(Debug)]
pub(super) struct Schema(Validator);

impl Schema {
    pub(super) fn new() -> Self {
        let discovery: Value = serde_json::from_str(DISCOVERY).expect("the discovery document is JSON");
        let described = discovery["schemas"].as_object().expect("it has schemas");
        let defs: Map<String, Value> = described.iter().map(|(name, schema)| (name.clone(), closed(schema))).collect();
        let schema = json!({"$defs": defs, "$ref": "#/$defs/SendMessageRequest"});
        Self(jsonschema::validator_for(&schema).expect("the schema is one"))
    }

    /// Checks a body; a refusal names the place as FCM does.
    pub(super) fn check(&self, body: &Value) -> Result<(), Refusal> {
        let Err(error) = self.0.validate(body) else { return Ok(()) };
        let place = place(body, error.instance_path().as_str());
        if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
            let names = unexpected.join("\", \"");
            let reason =
                format!("Invalid JSON payload received. Unknown name \"{names}\" at '{place}': Cannot find field.");
            return Err(Refusal::invalid_field(place, reason));
        }
        let reason = format!("Invalid value at '{place}': {error}");
        Err(Refusal::invalid_field(place, reason))
    }
}

/// JSON Schema of a discovery schema: no field that is not described, and both spellings of those that are.
fn closed(schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return json!({"$ref": format!("#/$defs/{name}")});
    }
    match schema["type"].as_str() {
        Some("object") => object(schema),
        Some("array") => json!({"type": "array", "items": closed(&schema["items"])}),
        Some("any") => json!({}),
        Some(plain) => {
            let mut plain = json!({"type": plain});
            match schema["format"].as_str() {
                Some("google-duration") => plain["pattern"] = r"^[0-9]{1,12}(\.[0-9]{1,9})?s$".into(),
                Some("google-datetime") => {
                    plain["pattern"] = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$".into()
                }
                _ => (),
            }
            if let Some(values) = schema.get("enum") {
                plain["enum"] = values.clone();
            }
            plain
        }
        None => panic!("a schema without a type: {schema}"),
    }
}

fn object(schema: &Value) -> Value {
    let mut fields = Map::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        fields.insert(snake(name), closed(field));
        fields.insert(name.clone(), closed(field));
    }
    let others = schema.get("additionalProperties").map_or(json!(false), closed);
    json!({"type": "object", "properties": fields, "additionalProperties": others})
}

/// `restrictedPackageName` as `restricted_package_name`.
fn snake(camel: &str) -> String {
    let mut snake = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// A JSON pointer as FCM writes it: dots between names, and an entry of a map of strings by its number.
fn place(body: &Value, pointer: &str) -> String {
    let mut place = String::new();
    let (mut here, mut parent) = (body, "");
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        match here {
            Value::Array(_) => place.push_str(&format!("[{step}]")),
            Value::Object(map) if matches!(parent, "data" | "headers") => {
                let number = map.keys().position(|key| *key == step).unwrap_or_default();
                place.push_str(&format!("[{number}].value"));
            }
            _ if place.is_empty() => place.push_str(&step),
            _ => place.push_str(&format!(".{step}")),
        }
        (here, parent) = (here.get(&step).unwrap_or(&Value::Null), last_word(&place));
    }
    place
}

fn last_word(place: &str) -> &str {
    // An entry of a map ends in `.value`, whatever its key was: it is no map itself.
    place.rsplit('.').next().unwrap_or_default()
}

/// The body with every name in the spelling of the description, so that rules are written once.
///
/// Keys that belong to the sender (in `data`, `headers` and `payload`) stay as they are.
pub(super) fn camel(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| {
                let own = matches!(key.as_str(), "data" | "headers" | "payload");
                (camel_name(key), if own { value.clone() } else { camel(value) })
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(camel).collect(),
        other => other.clone(),
    }
}

fn camel_name(snake: &str) -> String {
    let mut words = snake.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.len().min(1));
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(rest);
    }
    name
}
