//! Prepares a JSON schema for the library: refuses by name what it cannot hold answers to, and leaves out what says nothing
//! about the text. `docs/CONSTRAINTS.md` lists the keywords.

use super::ConstraintProblem;
use serde_json::{Map, Value, json};

/// Schemas in one schema. The compiler calls itself once for each at most, on the stack that [`super::pool`] gives it.
const MAX_SCHEMAS: usize = 8_000;
/// Schemas within each other; the JSON reader allows 128 levels, of which a schema takes one or two.
const MAX_DEPTH: usize = 64;

/// Keywords that hold for the value, and that no grammar of this server expresses.
const UNSUPPORTED: [&str; 20] = [
    "not",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "unevaluatedItems",
    "unevaluatedProperties",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
    // The library's own, which would loosen what is checked.
    "x-guidance",
    "$vocabulary",
];

/// Keywords that say nothing about the value and that the library does not know.
const ANNOTATIONS: [&str; 2] = ["deprecated", "contentSchema"];

/// Formats that are held to. Any other one says nothing about the text, as in the standard.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];

/// Keywords whose value is a schema.
const ONE: [&str; 3] = ["items", "additionalItems", "additionalProperties"];
/// Keywords whose value is a list of schemas.
const LISTS: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];
/// Keywords whose value holds schemas by name.
const NAMED: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// White space between two tokens of JSON: a space, or a line's end and the next one's indentation. Without a bound, a
/// model may write white space for ever.
const WHITE_SPACE: &str = r"\x20|\r?\n[\x20\t]{0,64}";

/// The schema as the library takes it.
///
/// # Errors
/// A keyword that is not supported, or a schema that is too large.
pub(crate) fn prepare(schema: &Value) -> Result<Value, ConstraintProblem> {
    let mut schemas = 0;
    let prepared = one(schema, "", 0, &mut schemas)?;
    let mut root = match prepared {
        Value::Object(root) => root,
        Value::Bool(true) => Map::new(),
        _ => return Err(ConstraintProblem::Invalid { message: "no value is valid under the schema".into() }),
    };
    root.insert("x-guidance".into(), json!({ "whitespace_pattern": WHITE_SPACE }));
    Ok(Value::Object(root))
}

fn one(schema: &Value, at: &str, depth: usize, schemas: &mut usize) -> Result<Value, ConstraintProblem> {
    *schemas += 1;
    if *schemas > MAX_SCHEMAS {
        return Err(too_large(format!("more than {MAX_SCHEMAS} schemas")));
    }
    if depth > MAX_DEPTH {
        return Err(too_large(format!("more than {MAX_DEPTH} schemas within each other")));
    }
    let Value::Object(keywords) = schema else {
        if schema.is_boolean() {
            return Ok(schema.clone());
        }
        let at = if at.is_empty() { "the schema".to_owned() } else { format!("the schema at '{at}'") };
        return Err(ConstraintProblem::Invalid { message: format!("{at} must be an object or a boolean") });
    };
    let mut prepared = Map::new();
    for (keyword, value) in keywords {
        let name = keyword.as_str();
        if ANNOTATIONS.contains(&name) || says_nothing(name, value) {
            continue;
        }
        if UNSUPPORTED.contains(&name) || beyond(name, value) {
            return Err(ConstraintProblem::Unsupported { keyword: keyword.clone(), at: at.to_owned() });
        }
        let inside = format!("{at}/{}", keyword.replace('~', "~0").replace('/', "~1"));
        let value = match value {
            Value::Array(list) if LISTS.contains(&name) => {
                let each = list.iter().enumerate();
                let each = each.map(|(index, schema)| one(schema, &format!("{inside}/{index}"), depth + 1, schemas));
                Value::Array(each.collect::<Result<_, _>>()?)
            }
            Value::Object(named) if NAMED.contains(&name) => {
                let each = named.iter().map(|(key, schema)| {
                    let pointer = format!("{inside}/{}", key.replace('~', "~0").replace('/', "~1"));
                    Ok((key.clone(), one(schema, &pointer, depth + 1, schemas)?))
                });
                Value::Object(each.collect::<Result<_, _>>()?)
            }
            value if ONE.contains(&name) => one(value, &inside, depth + 1, schemas)?,
            Value::String(pattern) if name == "pattern" => Value::String(ascii_classes(pattern)),
            value => value.clone(),
        };
        prepared.insert(keyword.clone(), value);
    }
    Ok(Value::Object(prepared))
}

/// Whether a keyword with this value holds for every value.
fn says_nothing(keyword: &str, value: &Value) -> bool {
    match keyword {
        "uniqueItems" => value == false,
        "unevaluatedItems" | "unevaluatedProperties" | "propertyNames" => value == true,
        "dependentRequired" | "dependentSchemas" | "dependencies" => value.as_object().is_some_and(Map::is_empty),
        "format" => value.as_str().is_some_and(|format| !FORMATS.contains(&format)),
        _ => false,
    }
}

/// Whether a supported keyword has a value that is not: references out of the schema, and patterns that no grammar
/// expresses.
fn beyond(keyword: &str, value: &Value) -> bool {
    match (keyword, value) {
        ("$ref", Value::String(to)) => to != "#" && !to.starts_with("#/"),
        ("pattern", Value::String(pattern)) => looks_around(pattern),
        ("patternProperties", Value::Object(named)) => named.keys().any(|pattern| looks_around(pattern)),
        _ => false,
    }
}

/// Whether a regular expression looks around, or refers to what it matched.
fn looks_around(pattern: &str) -> bool {
    let refers =
        pattern.as_bytes().windows(2).any(|pair| pair[0] == b'\\' && pair[1].is_ascii_digit() && pair[1] != b'0');
    refers || ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|around| pattern.contains(around))
}

/// A regular expression whose `\d` and `\w` mean ASCII, as in ECMA-262, which JSON schemas follow; the library takes them for
/// Unicode's.
fn ascii_classes(pattern: &str) -> String {
    let (mut ascii, mut in_class, mut characters) = (String::new(), false, pattern.chars());
    while let Some(character) = characters.next() {
        if character != '\\' {
            in_class = character == '[' || in_class && character != ']';
            ascii.push(character);
            continue;
        }
        match (characters.next(), in_class) {
            (Some('d'), true) => ascii.push_str("0-9"),
            (Some('w'), true) => ascii.push_str("0-9A-Za-z_"),
            (Some('d'), false) => ascii.push_str("[0-9]"),
            (Some('w'), false) => ascii.push_str("[0-9A-Za-z_]"),
            (Some('D'), false) => ascii.push_str("[^0-9]"),
            (Some('W'), false) => ascii.push_str("[^0-9A-Za-z_]"),
            (escaped, _) => ascii.extend([character].into_iter().chain(escaped)),
        }
    }
    ascii
}

fn too_large(message: String) -> ConstraintProblem {
    ConstraintProblem::TooLarge { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_patterns_are_ascii() {
        for (pattern, ascii) in [
            (r"^\d{4}$", "^[0-9]{4}$"),
            (r"[\d\-]\D\\d", r"[0-9\-][^0-9]\\d"),
            (r"[^\w]\w\W\.", r"[^0-9A-Za-z_][0-9A-Za-z_][^0-9A-Za-z_]\."),
            ("a\\", "a\\"),
        ] {
            assert_eq!(prepare(&json!({"pattern": pattern})).expect("fine")["pattern"], ascii);
        }
    }

    fn refused(schema: &Value) -> (String, String) {
        match prepare(schema) {
            Err(ConstraintProblem::Unsupported { keyword, at }) => (keyword, at),
            other => panic!("{schema}: {other:?}"),
        }
    }

    #[test]
    fn a_keyword_that_is_not_supported_is_named_with_its_place() {
        let schema = json!({"type": "object", "properties": {"a/b": {"anyOf": [true, {"not": {}}]}}});
        assert_eq!(refused(&schema), ("not".into(), "/properties/a~1b/anyOf/1".into()));
        for keyword in UNSUPPORTED {
            assert_eq!(refused(&json!({"items": {keyword: {"x": 1}}})), (keyword.into(), "/items".into()));
        }
        assert_eq!(refused(&json!({"$ref": "https://example.com/s"})).0, "$ref");
        assert_eq!(refused(&json!({"pattern": "^(?!a)"})).0, "pattern");
        assert_eq!(refused(&json!({"patternProperties": {"(a)\\1": {}}})).0, "patternProperties");
    }

    #[test]
    fn what_says_nothing_is_left_out_and_names_are_no_keywords() {
        let schema = json!({
            "uniqueItems": false, "deprecated": true, "format": "password", "title": "T",
            "properties": {"not": {"format": "uuid"}, "if": true}, "const": {"not": 1}, "enum": [{"if": 2}],
        });
        let expected = json!({
            "title": "T", "properties": {"not": {"format": "uuid"}, "if": true}, "const": {"not": 1},
            "enum": [{"if": 2}], "x-guidance": {"whitespace_pattern": WHITE_SPACE},
        });
        assert_eq!(prepare(&schema), Ok(expected));
    }

    #[test]
    fn large_and_deep_schemas_are_refused() {
        let deep = (0..100).fold(json!({}), |inner, _| json!({"items": inner}));
        assert!(matches!(prepare(&deep), Err(ConstraintProblem::TooLarge { .. })));
        let wide = json!({"anyOf": vec![json!({}); MAX_SCHEMAS]});
        assert!(matches!(prepare(&wide), Err(ConstraintProblem::TooLarge { .. })));
        assert!(matches!(prepare(&json!(false)), Err(ConstraintProblem::Invalid { .. })));
        assert!(matches!(prepare(&json!({"items": 3})), Err(ConstraintProblem::Invalid { .. })));
    }
}
