//! What requests say of the answer's form, and what becomes of it.

use super::{
    chat, complete,
    errors::assert_error,
    fake::{Fake, Script},
};
use crate::{
    constraint::{Constraint, ConstraintError, ConstraintProblem, Grammar, Start},
    generate::GenerateError,
};
use axum::http::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn every_spelling_becomes_a_constraint() {
    let schema = || json!({"type": "integer"});
    let lark = || "start: \"a\"".to_owned();
    let gbnf = || "root ::= \"a\"".to_owned();
    for (more, field, grammar) in [
        (json!({"response_format": {"type": "json_object"}}), "response_format", Grammar::JsonObject),
        (
            json!({"response_format": {"type": "json_object", "schema": schema()}}),
            "response_format",
            Grammar::JsonSchema(schema()),
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema()}}}),
            "response_format",
            Grammar::JsonSchema(schema()),
        ),
        (json!({"guided_json": schema()}), "guided_json", Grammar::JsonSchema(schema())),
        (json!({"guided_json": schema().to_string()}), "guided_json", Grammar::JsonSchema(schema())),
        (json!({"guided_regex": "a+"}), "guided_regex", Grammar::Regex("a+".into())),
        (json!({"guided_choice": ["a", "b"]}), "guided_choice", Grammar::Choice(vec!["a".into(), "b".into()])),
        (json!({"guided_grammar": lark()}), "guided_grammar", Grammar::Lark(lark())),
        (json!({"guided_grammar": gbnf()}), "guided_grammar", Grammar::Gbnf(gbnf())),
        (
            json!({"structured_outputs": {"choice": ["a"]}}),
            "structured_outputs.choice",
            Grammar::Choice(vec!["a".into()]),
        ),
        (json!({"structured_outputs": {"json_object": true}}), "structured_outputs.json_object", Grammar::JsonObject),
        (json!({"json_schema": schema()}), "json_schema", Grammar::JsonSchema(schema())),
        (json!({"grammar": gbnf()}), "grammar", Grammar::Gbnf(gbnf())),
        (json!({"grammar": gbnf(), "grammar_type": "lark"}), "grammar", Grammar::Lark(gbnf())),
    ] {
        let fake = Fake::new([]);
        for reply in [chat(&fake, more.clone()).await, complete(&fake, more.clone()).await] {
            assert_eq!(reply.status, StatusCode::OK, "{more}: {}", reply.text);
        }
        for request in fake.seen() {
            let expected = Constraint { field: field.into(), grammar: grammar.clone(), start: Start::AtOnce };
            assert_eq!(request.constraint.as_deref(), Some(&expected), "{more}");
        }
    }
}

#[tokio::test]
async fn what_asks_for_nothing_constrains_nothing() {
    let fake = Fake::new([]);
    let more = json!({
        "response_format": {"type": "text"}, "guided_json": null, "guided_regex": "", "guided_choice": [], "grammar": "",
        "structured_outputs": {"json_object": false},
    });
    assert_eq!(chat(&fake, more).await.status, StatusCode::OK);
    assert_eq!(fake.seen()[0].constraint, None);
}

#[tokio::test]
async fn what_cannot_be_read_names_its_field() {
    let fake = Fake::new([]);
    for (more, param, why) in [
        (json!({"guided_json": "{"}), "guided_json", "not valid JSON"),
        (json!({"guided_regex": "a", "grammar": "start: \"a\""}), "grammar", "guided_regex constrains"),
        (json!({"response_format": {"type": "xml"}}), "response_format.type", "xml"),
        (json!({"response_format": {"type": "json_schema"}}), "response_format.json_schema", "missing"),
        (json!({"guided_choice": "a"}), "guided_choice", "sequence"),
        (json!({"grammar": "a", "grammar_type": "ebnf"}), "grammar_type", "ebnf"),
    ] {
        let reply = chat(&fake, more).await;
        assert_error(&reply, 400, "invalid_request_error", &json!(param), &Value::Null);
        assert!(reply.text.contains(why), "{}", reply.text);
    }
}

#[tokio::test]
async fn refusals_of_the_router_name_field_and_keyword() {
    let unsupported = ConstraintProblem::Unsupported { keyword: "not".into(), at: "/items".into() };
    let invalid = ConstraintProblem::Invalid { message: "no".into() };
    for (problem, code) in [(unsupported, json!("unsupported_schema_keyword")), (invalid, Value::Null)] {
        let error = ConstraintError { field: "response_format".into(), problem };
        let fake = Fake::new([Script::Refuse(GenerateError::Constraint(error.clone()))]);
        let reply = chat(&fake, json!({"response_format": {"type": "json_object"}})).await;
        assert_error(&reply, 400, "invalid_request_error", &json!("response_format"), &code);
        assert_eq!(reply.json()["error"]["message"], error.to_string());
    }
    let fake = Fake::new([Script::Refuse(GenerateError::CannotConstrain { model: "demo".into() })]);
    let reply = chat(&fake, json!({"guided_regex": "a"})).await;
    assert_error(&reply, 503, "server_error", &Value::Null, &json!("cannot_constrain"));
}
