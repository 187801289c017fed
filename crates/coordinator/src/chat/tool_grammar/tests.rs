//! The grammars are compiled where answers are constrained; here is what they say.

use super::*;
use crate::{
    api::openai::tests::fake::text_of,
    chat::{AnswerParser, Family, Part, input::Vocabulary},
    constraint::tests::random_text,
};
use serde_json::json;
use std::sync::Arc;

fn tool(name: &str, strict: bool) -> Tool {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    Tool { name: name.into(), description: None, parameters: parameters.as_object().cloned(), strict }
}

fn of(
    text: &Arc<TextModel>,
    format: ToolFormat,
    choice: &ToolChoice,
    parallel: bool,
    ending: &str,
) -> Option<Constraint> {
    let family = Family { tools: Some(format), ..Family::of(text, None) };
    constraint(text, &family, &[tool("f", false), tool("g", true)], choice, parallel, ending)
}

fn lark(constraint: Option<Constraint>) -> (String, Start, String) {
    let Some(Constraint { grammar: Grammar::Lark(lark), start, field }) = constraint else { panic!("no grammar") };
    (lark, start, field)
}

const SCHEMA: &str = "%json {\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}},\"required\":[\"city\"],\
    \"additionalProperties\":false,";

#[test]
fn every_form_has_a_grammar_that_names_the_tools_and_their_schemas() {
    for model in ["demo", "channels"] {
        let text = text_of(model);
        for (format, _) in ToolFormat::ALL {
            let (lark, start, field) = lark(of(&text, format, &ToolChoice::Required, true, ""));
            assert_eq!((start, field.as_str()), (Start::AtOnce, "tool_choice"), "{format:?}");
            assert!(lark.starts_with("start: ") && lark.contains('f') && lark.contains('g'), "{lark}");
            let by_hand = [ToolFormat::QwenXml, ToolFormat::Glm, ToolFormat::Gemma].contains(&format);
            assert!(by_hand || lark.matches(SCHEMA).count() == 2, "{format:?}: {lark}");
            assert!(!by_hand || lark.contains("city"), "{lark}");
        }
    }
}

#[test]
fn a_named_tool_is_the_only_one_and_without_parallel_calls_there_is_one() {
    let text = text_of("demo");
    let (only, ..) = lark(of(&text, ToolFormat::Hermes, &ToolChoice::Named("g".into()), false, ""));
    assert_eq!(only.matches("%json").count(), 1);
    assert!(only.contains(r#"\"name\": \"g\""#) && !only.contains(r#"\"name\": \"f\""#), "{only}");
    assert!(only.starts_with("start: \"<tool_call>\" r"), "{only}");
    let first = |lark: &str| lark.lines().next().unwrap_or_default().to_owned();
    assert!(!first(&only).contains('*'));
    let (more, ..) = lark(of(&text, ToolFormat::Hermes, &ToolChoice::Required, true, ""));
    assert!(first(&more).ends_with(")* "), "{more}");
}

#[test]
fn reasoning_may_come_first_and_must_end_where_the_prompt_opened_it() {
    let text = text_of("thinks");
    let (at_once, start, _) = lark(of(&text, ToolFormat::Hermes, &ToolChoice::Required, true, ""));
    assert_eq!(start, Start::AtOnce);
    assert!(at_once.contains("\"<think>\"") && at_once.contains("[lazy]: /(?s:.*)/ \"</think>\""), "{at_once}");
    let (opened, start, _) = lark(of(&text, ToolFormat::Hermes, &ToolChoice::Required, true, "<think>\n"));
    assert_eq!(start, Start::After("</think>".into()));
    assert!(!opened.contains("<think>") && opened.starts_with("start: SPACE "), "{opened}");
    let (closed, ..) = lark(of(&text, ToolFormat::Hermes, &ToolChoice::Required, true, "<think>\n\n</think>\n\n"));
    assert!(!closed.contains("think>"), "{closed}");
}

#[test]
fn special_tokens_are_tokens_and_not_text() {
    let text = text_of("channels");
    let (lark, ..) = lark(of(&text, ToolFormat::Harmony, &ToolChoice::Required, true, ""));
    let message = text.special_id("<|message|>").expect("a special token");
    assert!(lark.contains(&format!("<[{message}]>")) && !lark.contains("<|message|>"), "{lark}");
}

#[test]
fn what_the_model_may_do_is_free_but_for_strict_tools_from_their_mark_on() {
    let text = text_of("demo");
    let (strict, start, field) = lark(of(&text, ToolFormat::Hermes, &ToolChoice::Auto, true, ""));
    assert_eq!((start, field.as_str()), (Start::IfAfter("<tool_call>".into()), "tools"));
    assert!(strict.starts_with("start: r"), "it begins behind the mark: {strict}");
    let family = Family { tools: Some(ToolFormat::Hermes), ..Family::of(&text, None) };
    let free = |tools: &[Tool], choice| constraint(&text, &family, tools, &choice, true, "").is_none();
    assert!(free(&[tool("f", false)], ToolChoice::Auto) && free(&[], ToolChoice::Required));
    assert!(free(&[tool("f", true)], ToolChoice::None));
}

/// A tool whose arguments have a bound.
fn bounded(name: &str) -> Tool {
    let parameters = json!({
        "type": "object", "required": ["city", "days", "sure"],
        "properties": {
            "city": {"enum": ["Rome", "Le \"Mans\""]}, "days": {"type": "integer", "minimum": 1, "maximum": 30},
            "sure": {"type": "boolean"},
        },
    });
    Tool { name: name.into(), description: None, parameters: parameters.as_object().cloned(), strict: true }
}

#[test]
fn what_a_grammar_takes_is_read_as_calls_with_valid_arguments() {
    let text = text_of("demo");
    let tools: Arc<[Tool]> = Arc::new([bounded("weather"), bounded("time")]);
    // Harmony's reasoning is free, and random bytes never end it.
    for (format, _) in ToolFormat::ALL.into_iter().filter(|(format, _)| *format != ToolFormat::Harmony) {
        let family = Family { tools: Some(format), reasoning: None, ..Family::of(&text, None) };
        let constraint = constraint(&text, &family, &tools, &ToolChoice::Required, true, "").expect("a constraint");
        for seed in 0..20 {
            let said = random_text(&constraint.grammar, seed);
            let mut parser = AnswerParser::new(None, Some(format), &tools, "", &Vocabulary::new(&|_| false));
            parser.push(&said);
            parser.end();
            let parts = parser.take();
            let mut calls: Vec<(String, String)> = Vec::new();
            for part in parts {
                match part {
                    Part::Call(name) => calls.push((name, String::new())),
                    Part::Arguments(more) => calls.last_mut().expect("a call").1.push_str(&more),
                    other => panic!("{format:?}: {other:?} in {said}"),
                }
            }
            assert!(!calls.is_empty(), "{format:?}: no call in {said}");
            for (name, arguments) in calls {
                let arguments: Value =
                    serde_json::from_str(&arguments).unwrap_or_else(|error| panic!("{error}: {said}"));
                assert!(["weather", "time"].contains(&name.as_str()), "{format:?}: {name} in {said}");
                let city = arguments["city"].as_str().is_some_and(|city| ["Rome", "Le \"Mans\""].contains(&city));
                let days = arguments["days"].as_i64().is_some_and(|days| (1..=30).contains(&days));
                assert!(city && days && arguments["sure"].is_boolean(), "{format:?}: {arguments} of {said}");
            }
        }
    }
}
