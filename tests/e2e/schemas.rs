//! Random JSON schemas whose values are short.

use rand::{RngExt, rngs::StdRng};
use serde_json::{Map, Value, json};

/// The deepest that values lie within each other.
const DEPTH: usize = 3;

/// An object's schema, with definitions that its parts refer to.
pub(crate) fn random_schema(dice: &mut StdRng) -> Value {
    let definition = value(dice, DEPTH - 1, false);
    let mut schema = object(dice, 0, true);
    schema["$defs"] = json!({"part": definition});
    schema
}

fn value(dice: &mut StdRng, depth: usize, refers: bool) -> Value {
    let kinds = if depth < DEPTH { 13 } else { 9 };
    match dice.random_range(0..kinds) {
        0 => json!({"type": "boolean"}),
        1 => json!({"type": "null"}),
        2 => json!({"enum": ["red", "green \u{1F7E2}", 3, -0.5, null, ["a"]]}),
        3 => json!({"const": "a \"quoted\" text\n"}),
        4 => {
            let least = dice.random_range(-1000..1000);
            json!({"type": "integer", "minimum": least, "exclusiveMaximum": least + dice.random_range(1..5000)})
        }
        5 => {
            json!({"type": ["integer", "null"], "multipleOf": dice.random_range(2..30), "minimum": 0, "maximum": 99_999})
        }
        6 => {
            let least = dice.random_range(0..3);
            json!({"type": "string", "minLength": least, "maxLength": least + dice.random_range(0..9)})
        }
        7 => {
            json!({"type": "string", "pattern": (["^[a-z]{1,6}$", "^(\\d{3}-)?\\d{4}$", "^[A-Z][a-z]{0,5}( [a-z]{2,4}){0,2}$"][dice.random_range(0..3)])})
        }
        8 => json!({"type": "string", "format": (["date", "uuid", "ipv4"][dice.random_range(0..3)])}),
        9 if refers => json!({"$ref": "#/$defs/part"}),
        9 | 10 => {
            let least = dice.random_range(0..3);
            let most = least + dice.random_range(0..3);
            json!({"type": "array", "items": value(dice, depth + 1, refers), "minItems": least, "maxItems": most})
        }
        11 => json!({"anyOf": [value(dice, depth + 1, refers), value(dice, depth + 1, refers)]}),
        _ => object(dice, depth, refers),
    }
}

fn object(dice: &mut StdRng, depth: usize, refers: bool) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for number in 0..dice.random_range(1..5) {
        let name = ["name", "age", "a \"b\"", "größe", "items"][number].to_owned();
        if dice.random_bool(0.6) {
            required.push(name.clone());
        }
        properties.insert(name, value(dice, depth + 1, refers));
    }
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}
