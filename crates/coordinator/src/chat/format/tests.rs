//! What each format makes of texts, however they are cut, with marks that are special tokens and marks that are text.

use super::ToolFormat;
use crate::chat::{
    AnswerParser, Part,
    input::Vocabulary,
    reasoning::{REASONING_TAGS, ReasoningTags},
    tool::Tool,
};
use rstest::rstest;
use serde_json::json;
use std::sync::Arc;

/// Marks that are special tokens where a vocabulary has them as such.
const MARKS: [&str; 36] = [
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
    "<|channel>",
    "<channel|>",
    "<tool_call>",
    "</tool_call>",
    "<|tool_call|>",
    "<|python_tag|>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
    "<|tool_call>",
    "<tool_call|>",
    "<|\"|>",
    "<|start|>",
    "<|channel|>",
    "<|message|>",
    "<|constrain|>",
    "<|end|>",
    "<|call|>",
    "<|return|>",
    "<seed:think>",
    "</seed:think>",
    "<thought>",
    "</thought>",
];

fn tools() -> Arc<[Tool]> {
    let schema = json!({"type": "object", "properties": {
        "city": {"type": "string"}, "days": {"type": "integer"}, "where": {"type": "object"},
    }});
    let tool = |name: &str| Tool {
        name: name.to_owned(),
        description: None,
        parameters: schema.as_object().cloned(),
        strict: false,
    };
    Arc::new([tool("weather"), tool("time")])
}

/// A piece of an answer: a text, or a special token.
#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Mark(&'static str),
}

/// Every character of a text by itself, but for marks where they are special tokens.
fn pieces(text: &str, special: bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mark = MARKS.iter().find(|mark| special && rest.starts_with(**mark));
        match mark {
            Some(mark) => {
                pieces.push(Piece::Mark(mark));
                rest = &rest[mark.len()..];
            }
            None => {
                pieces.push(Piece::Text(c.to_string()));
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    pieces
}

/// Neighbouring texts put together, but not over these places.
fn joined(pieces: &[Piece], cuts: &[usize]) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for (state, piece) in pieces.iter().enumerate() {
        match (joined.last_mut(), piece) {
            (Some(Piece::Text(last)), Piece::Text(text)) if !cuts.contains(&state) => last.push_str(text),
            _ => joined.push(piece.clone()),
        }
    }
    joined
}

fn read(
    reasoning: Option<ReasoningTags>,
    format: Option<ToolFormat>,
    ending: &str,
    pieces: &[Piece],
    special: bool,
) -> Vec<Part> {
    let is_special = |text: &str| special && MARKS.contains(&text);
    let vocabulary = Vocabulary::new(&is_special);
    let mut parser = AnswerParser::new(reasoning, format, &tools(), ending, &vocabulary);
    parser.set_marks(vocabulary.into_used());
    let mut parts = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => parser.push(text),
            Piece::Mark(mark) => parser.push_mark(mark),
        }
        parts.extend(parser.take());
    }
    parser.end();
    parts.extend(parser.take());
    together(parts)
}

/// Pieces of one kind put together.
fn together(parts: Vec<Part>) -> Vec<Part> {
    let mut all: Vec<Part> = Vec::new();
    for part in parts {
        match (all.last_mut(), part) {
            (Some(Part::Reasoning(last)), Part::Reasoning(text))
            | (Some(Part::Content(last)), Part::Content(text))
            | (Some(Part::Arguments(last)), Part::Arguments(text)) => last.push_str(&text),
            (_, part) => all.push(part),
        }
    }
    all
}

/// What is made of a text, which is the same for every cut of it in two, and for all of its characters one by one.
fn parts(
    reasoning: Option<ReasoningTags>,
    format: Option<ToolFormat>,
    ending: &str,
    text: &str,
    special: bool,
) -> Vec<Part> {
    let all = pieces(text, special);
    let whole = read(reasoning, format, ending, &joined(&all, &[]), special);
    assert_eq!(read(reasoning, format, ending, &all, special), whole, "character by character: {text}");
    for first in 0..all.len() {
        for second in [first, first + 1, first + 5] {
            let cut = joined(&all, &[first, second]);
            assert_eq!(read(reasoning, format, ending, &cut, special), whole, "cut at {first} and {second}: {text}");
        }
    }
    whole
}

fn call(name: &str, arguments: &str) -> Vec<Part> {
    vec![Part::Call(name.to_owned()), Part::Arguments(arguments.to_owned())]
}

fn said(text: &str) -> Vec<Part> {
    vec![Part::Content(text.to_owned())]
}

fn reasoning(text: &str) -> Vec<Part> {
    vec![Part::Reasoning(text.to_owned())]
}

const ROME: &str = r#"{"city": "Rome"}"#;
/// Braces, quotes and marks within a text.
const ODD: &str = r#"{"city": "R}o{m\"e</tool", "days": [1, {"a": "]"}]}"#;

#[rstest]
#[case::one(ToolFormat::Hermes, "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>", &[call("weather", ROME)])]
#[case::behind_words(ToolFormat::Hermes, "Let me see. \n\n<tool_call>{\"name\": \"time\", \"arguments\": {}}</tool_call>\n", &[said("Let me see."), call("time", "{}")])]
#[case::two(ToolFormat::Hermes, "<tool_call>{\"name\":\"time\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"weather\",\"arguments\":{\"city\": \"Rome\"}}</tool_call>", &[call("time", "{}"), call("weather", ROME)])]
#[case::odd_text(ToolFormat::Hermes, "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"R}o{m\\\"e</tool\", \"days\": [1, {\"a\": \"]\"}]}}</tool_call>", &[call("weather", ODD)])]
#[case::arguments_first(ToolFormat::Hermes, "<tool_call>{\"arguments\": {\"city\": \"Rome\"}, \"name\": \"weather\"}</tool_call>", &[call("weather", ROME)])]
#[case::arguments_as_text(ToolFormat::Hermes, "<tool_call>{\"name\": \"weather\", \"arguments\": \"{\\\"city\\\": \\\"Rome\\\"}\"}</tool_call>", &[call("weather", ROME)])]
#[case::without_arguments(ToolFormat::Hermes, "<tool_call>{\"name\": \"time\"}</tool_call>", &[call("time", "{}")])]
#[case::a_brace_too_few(ToolFormat::Hermes, "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}\n</tool_call>", &[call("weather", ROME)])]
#[case::no_end(ToolFormat::Hermes, "<tool_call>{\"name\": \"time\", \"arguments\": {}}", &[call("time", "{}")])]
#[case::words_around_one_name(ToolFormat::Hermes, "<tool_call>{\"type\": \"function\", \"function\": {\"name\": \"time\", \"parameters\": {}}}</tool_call>", &[call("time", "{}")])]
#[case::a_list(ToolFormat::Granite, "<|tool_call|> [{\"name\": \"time\", \"arguments\": {}}, {\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}]", &[call("time", "{}"), call("weather", ROME)])]
#[case::an_object(ToolFormat::Granite, "<|tool_call|>{\"name\": \"time\", \"arguments\": {}}", &[call("time", "{}")])]
#[case::older(ToolFormat::Mistral, "[TOOL_CALLS] [{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}, \"id\": \"abcdefgh1\"}, {\"name\": \"time\", \"arguments\": {}}]", &[call("weather", ROME), call("time", "{}")])]
#[case::newer(ToolFormat::Mistral, "Well. [TOOL_CALLS]weather[ARGS]{\"city\": \"Rome\"}[TOOL_CALLS]time[ARGS]{}", &[said("Well."), call("weather", ROME), call("time", "{}")])]
#[case::with_an_id(ToolFormat::Mistral, "[TOOL_CALLS]weather[CALL_ID]abcdefgh1[ARGS] {\"city\": \"Rome\"}", &[call("weather", ROME)])]
#[case::without_a_mark(ToolFormat::Mistral, "[TOOL_CALLS]weather{\"city\": \"Rome\"}", &[call("weather", ROME)])]
#[case::alone(ToolFormat::Llama, "{\"name\": \"weather\", \"parameters\": {\"city\": \"Rome\"}}", &[call("weather", ROME)])]
#[case::behind_a_tag(ToolFormat::Llama, "<|python_tag|>{\"name\": \"weather\", \"parameters\": {\"city\": \"Rome\"}}; {\"name\": \"time\", \"parameters\": {}}", &[call("weather", ROME), call("time", "{}")])]
#[case::v3(ToolFormat::DeepSeek, "Yes.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{\"city\": \"Rome\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>time\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>", &[said("Yes."), call("weather", ROME), call("time", "{}")])]
#[case::v31(ToolFormat::DeepSeek, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{\"city\": \"Rome\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>", &[call("weather", ROME)])]
#[case::lines(ToolFormat::Glm, "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>", &[call("weather", r#"{"city": "Rome", "days": 3}"#)])]
#[case::in_one_line(ToolFormat::Glm, "<tool_call>time</tool_call><tool_call>weather<arg_key>city</arg_key><arg_value>12</arg_value></tool_call>", &[call("time", "{}"), call("weather", r#"{"city": "12"}"#)])]
#[case::xml(ToolFormat::QwenXml, "<tool_call>\n<function=weather>\n<parameter=city>\nRome\n\"é\"\n</parameter>\n<parameter=days>\n3\n</parameter>\n<parameter=where>\n{\"a\": [1]}\n</parameter>\n</function>\n</tool_call>", &[call("weather", r#"{"city": "Rome\n\"é\"", "days": 3, "where": {"a": [1]}}"#)])]
#[case::xml_without_its_mark(ToolFormat::QwenXml, "Now:\n<function=time>\n</function>", &[said("Now:"), call("time", "{}")])]
#[case::an_empty_value(ToolFormat::QwenXml, "<tool_call><function=weather><parameter=city>\n</parameter></function></tool_call>", &[call("weather", r#"{"city": ""}"#)])]
#[case::python_words(ToolFormat::QwenXml, "<tool_call><function=weather><parameter=days>True</parameter><parameter=x>some words</parameter></function></tool_call>", &[call("weather", r#"{"days": true, "x": "some words"}"#)])]
#[case::values(ToolFormat::Gemma, "<|tool_call>call:weather{city:<|\"|>Ro\"m,}e<|\"|>,days:3,list:[1,<|\"|>a<|\"|>],where:{a:true,b:{}}}<tool_call|><|tool_call>call:time{}<tool_call|>", &[call("weather", r#"{"city": "Ro\"m,}e", "days": 3, "list": [1, "a"], "where": {"a": true, "b": {}}}"#), call("time", "{}")])]
#[case::channels(ToolFormat::Harmony, "<|channel|>analysis<|message|>Let me see.<|end|><|start|>assistant<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{\"city\": \"Rome\"}<|call|>", &[reasoning("Let me see."), call("weather", ROME)])]
#[case::a_recipient_first(ToolFormat::Harmony, "<|start|>assistant to=functions.time<|channel|>commentary<|message|>{}", &[call("time", "{}")])]
#[case::only_said(ToolFormat::Harmony, "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>final<|message|>It rains.\n<|return|>", &[reasoning("Hm."), said("I look.It rains.\n")])]
fn calls_are_found(#[case] format: ToolFormat, #[case] text: &str, #[case] expected: &[Vec<Part>]) {
    for special in [false, true] {
        assert_eq!(parts(None, Some(format), "", text, special), expected.concat(), "special: {special}");
    }
}

#[rstest]
#[case::no_json(ToolFormat::Hermes, "Write <tool_call> and then </tool_call>.")]
#[case::no_name(ToolFormat::Hermes, "<tool_call>{\"a\": {\"b\": 1}}")]
#[case::cut_off(ToolFormat::Hermes, "<tool_call>{\"name\": \"wea")]
#[case::half_a_mark(ToolFormat::Hermes, "a <tool_cal")]
#[case::a_list_of_numbers(ToolFormat::Granite, "<|tool_call|>[1, 2]")]
#[case::only_a_mark(ToolFormat::Granite, "<|tool_call|>")]
#[case::no_call(ToolFormat::Mistral, "[TOOL_CALLS] are marks, they say.")]
#[case::no_end(ToolFormat::Mistral, "[TOOL_CALLS]weather")]
#[case::another_object(ToolFormat::Llama, "{\"name\": \"Rome\", \"parameters\": {}}")]
#[case::no_parameters(ToolFormat::Llama, "{\"name\": \"weather\"}")]
#[case::not_at_the_start(ToolFormat::Llama, "It is {\"name\": \"weather\", \"parameters\": {}}")]
#[case::python(ToolFormat::Llama, "{1: 2}")]
#[case::no_separator(ToolFormat::DeepSeek, "<｜tool▁call▁begin｜>well")]
#[case::no_name(ToolFormat::Glm, "<tool_call>a call is what I make</tool_call> now")]
#[case::no_function(ToolFormat::QwenXml, "<tool_call>\nHm. <function=no name>")]
#[case::no_call(ToolFormat::Gemma, "<|tool_call>weather{}")]
#[case::bad_name(ToolFormat::Gemma, "<|tool_call>call:what is it")]
#[case::no_channels(ToolFormat::Harmony, "Just words.")]
fn what_only_looks_like_a_call_stays_text(#[case] format: ToolFormat, #[case] text: &str) {
    for special in [false, true] {
        assert_eq!(parts(None, Some(format), "", text, special), said(text), "special: {special}");
    }
}

#[test]
fn words_that_are_spelled_like_special_tokens_are_text() {
    let is_special = |text: &str| MARKS.contains(&text);
    for (format, text) in [
        (ToolFormat::Hermes, "<tool_call>{\"name\": \"time\", \"arguments\": {}}</tool_call>"),
        (ToolFormat::Mistral, "[TOOL_CALLS]time[ARGS]{}"),
        (ToolFormat::Gemma, "<|tool_call>call:time{}<tool_call|>"),
    ] {
        let vocabulary = Vocabulary::new(&is_special);
        let mut parser = AnswerParser::new(None, Some(format), &tools(), "", &vocabulary);
        parser.push(text);
        parser.push("\u{FDD0}");
        parser.end();
        assert_eq!(together(parser.take()), said(&format!("{text}\u{FFFD}")), "{format:?}");
    }
}

#[rstest]
#[case::closed("", "<think>\nHm, Rome.\n</think>\n\nIt rains.", &[reasoning("Hm, Rome."), said("It rains.")])]
#[case::opened_by_the_prompt("<think>\n", "Hm.</think>It rains.", &[reasoning("Hm."), said("It rains.")])]
#[case::closed_by_the_prompt("<think>\n\n</think>\n\n", "<think> is a mark.", &[said("<think> is a mark.")])]
#[case::never_closed("<think>", "Hm. ", &[reasoning("Hm.")])]
#[case::none("", "It rains. <think>no</think>", &[said("It rains. <think>no</think>")])]
#[case::empty_reasoning("", "<think></think>It rains.", &[said("It rains.")])]
#[case::half_a_mark("", " <thin ice", &[said(" <thin ice")])]
#[case::a_call_behind_it("", "<think>Hm.</think>\n<tool_call>{\"name\": \"time\", \"arguments\": {}}</tool_call>", &[reasoning("Hm."), call("time", "{}")])]
fn reasoning_is_told_from_content(#[case] ending: &str, #[case] text: &str, #[case] expected: &[Vec<Part>]) {
    for special in [false, true] {
        let read = parts(Some(REASONING_TAGS[0]), Some(ToolFormat::Hermes), ending, text, special);
        assert_eq!(read, expected.concat(), "special: {special}");
    }
}

#[test]
fn every_familys_marks_are_known_by_its_template() {
    for marks in REASONING_TAGS {
        let template = format!("{{% if thinking %}}{}{{% endif %}}", marks.open);
        let found = ReasoningTags::of(&template).expect("known");
        let text = format!("{}{}Hm.{} Yes.", marks.open, marks.label, marks.close);
        assert_eq!(found, marks);
        assert_eq!(parts(Some(found), None, "", &text, true), [reasoning("Hm."), said("Yes.")].concat());
    }
    for (format, template) in [
        (ToolFormat::Harmony, "<|start|>assistant<|channel|>final<|message|>"),
        (ToolFormat::Gemma, "<|tool_call>call:"),
        (ToolFormat::QwenXml, "<tool_call>\n<function=name>"),
        (ToolFormat::Glm, "<tool_call>{{ name }}<arg_key>"),
        (ToolFormat::Mistral, "[TOOL_CALLS]"),
        (ToolFormat::DeepSeek, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>"),
        (ToolFormat::Granite, "<|tool_call|>"),
        (ToolFormat::Hermes, "<tool_call>"),
        (ToolFormat::Llama, "<|python_tag|>"),
    ] {
        assert_eq!(ToolFormat::of(template), Some(format));
        assert_eq!(ToolFormat::named(format.name()), Some(format));
    }
    assert_eq!(ToolFormat::of("{{ messages }}"), None);
}

#[test]
fn a_tool_calls_tag_ends_reasoning_that_was_not_closed() {
    let text = "<|channel>thought\nHm.<|tool_call>call:time{}<tool_call|>";
    let expected = [reasoning("Hm."), call("time", "{}")].concat();
    assert_eq!(parts(Some(REASONING_TAGS[2]), Some(ToolFormat::Gemma), "", text, true), expected);
}

#[test]
fn what_is_held_back_is_bounded() {
    let is_special = |_: &str| false;
    for (format, start) in [
        (ToolFormat::Hermes, "<tool_call>{\"a\": \""),
        (ToolFormat::Llama, "{\"a\": \""),
        (ToolFormat::Glm, "<tool_call>weather<arg_key>days</arg_key><arg_value>"),
        (ToolFormat::Glm, "<tool_call>"),
        (ToolFormat::Harmony, "<|channel|>"),
        (ToolFormat::DeepSeek, "<｜tool▁call▁begin｜>"),
        (ToolFormat::Mistral, "[TOOL_CALLS]"),
    ] {
        let vocabulary = Vocabulary::new(&is_special);
        let mut parser = AnswerParser::new(None, Some(format), &tools(), "", &vocabulary);
        parser.push(start);
        let (mut given, mut taken) = (start.len(), 0);
        for _ in 0..2 * super::MAX_HELD / 1000 {
            parser.push(&"x".repeat(1000));
            given += 1000;
            let size = |part: &Part| match part {
                Part::Reasoning(text) | Part::Content(text) | Part::Arguments(text) | Part::Call(text) => text.len(),
            };
            taken += parser.take().iter().map(size).sum::<usize>();
        }
        assert!(given - taken <= super::MAX_HELD + 2000, "{format:?} holds {} bytes", given - taken);
    }
}
