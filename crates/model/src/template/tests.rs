//! The fixtures have the shapes of well-known models' templates: `headers` of Llama 3's, `thoughts` of Qwen 3's,
//! `alternating` of Mistral's; `blocks` exercises whitespace control and filters. The expected prompts were rendered by
//! Jinja2 3.1 with the environment that transformers sets up.

#![allow(clippy::unwrap_used)]

use super::*;
use rstest::rstest;

const HEADERS: &str = include_str!("fixtures/headers.jinja");
const THOUGHTS: &str = include_str!("fixtures/thoughts.jinja");
const ALTERNATING: &str = include_str!("fixtures/alternating.jinja");
const BLOCKS: &str = include_str!("fixtures/blocks.jinja");

fn template(source: &str) -> ChatTemplate {
    let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")];
    ChatTemplate::new(source, tokens.map(|(name, token)| (name.to_owned(), token.to_owned())).into()).unwrap()
}

fn user() -> ChatMessage {
    ChatMessage::new("user", "Hi é?")
}

fn assistant() -> ChatMessage {
    ChatMessage::new("assistant", "<think>\nhm\n</think>\n\nHello! ")
}

fn conversation() -> Vec<ChatMessage> {
    let rules = ChatMessage::new("system", " Answer briefly. ");
    vec![rules, user(), assistant(), ChatMessage::new("user", "And\nnow?")]
}

const JSON: &str = r#"{"b": 1, "a": [true, null, "é<&>"], "c": {}}
[
  1,
  {
    "a": "\u00e9",
    "b": []
  }
]
[1,2]
True None 1.0 |<END>
"#;

#[rstest]
#[case::headers(
    HEADERS,
    "<s>[system]\n\nDay: 1 May 2030\nAnswer briefly.</s>[user]\n\nHi é?</s>[assistant]\n\n\
     <think>\nhm\n</think>\n\nHello!</s>[user]\n\nAnd\nnow?</s>[assistant]\n\n"
)]
#[case::thoughts(
    THOUGHTS,
    "<|system|>\n Answer briefly. <|end|>\n<|user|>\nHi é?<|end|>\n<|assistant|>\nHello! <|end|>\n\
     <|user|>\nAnd\nnow?<|end|>\n<|assistant|>\n"
)]
#[case::alternating(
    ALTERNATING,
    "<s>[Q] Hi é?[/Q] <think>\nhm\n</think>\n\nHello!</s>[Q]  Answer briefly. \n\nAnd\nnow?[/Q]"
)]
#[case::blocks(BLOCKS, &format!("  A:  ANSWER BRIEFLY. \n  Q: Hi é?\n{JSON}"))]
fn a_conversation_renders_as_in_transformers(#[case] source: &str, #[case] prompt: &str) {
    assert_eq!(template(source).render(&conversation(), true).unwrap(), prompt);
}

#[rstest]
#[case::headers(
    HEADERS,
    "<s>[system]\n\nDay: 1 May 2030\n</s>[user]\n\nHi é?</s>[assistant]\n\n<think>\nhm\n</think>\n\nHello!</s>"
)]
#[case::thoughts(THOUGHTS, "<|user|>\nHi é?<|end|>\n<|assistant|>\n<think>\nhm\n</think>\n\nHello! <|end|>\n")]
#[case::alternating(ALTERNATING, "<s>[Q] Hi é?[/Q] <think>\nhm\n</think>\n\nHello!</s>")]
#[case::blocks(BLOCKS, &format!("  Q: Hi é?\n  A: <THINK>\nHM\n</THINK>\n\nHELLO! \n{JSON}"))]
fn without_a_generation_prompt_it_ends_with_the_answer(#[case] source: &str, #[case] prompt: &str) {
    assert_eq!(template(source).render(&[user(), assistant()], false).unwrap(), prompt);
}

#[test]
fn a_refusal_says_what_the_template_says() {
    let error = template(ALTERNATING).render(&[user(), user()], true).unwrap_err();
    let TemplateError::Refused { message } = &error else { panic!("{error:?}") };
    assert_eq!(message, "user and assistant must take turns, 2 asked");
    assert!(error.to_string().ends_with(message));
}

#[test]
fn a_refusal_inside_a_macro_is_a_refusal() {
    let source = "{% macro no() %}{{ raise_exception('no') }}{% endmacro %}{{ no() }}";
    assert!(matches!(template(source).render(&[], true), Err(TemplateError::Refused { message }) if message == "no"));
}

#[rstest]
#[case::not_closed("{% for m in messages %}")]
#[case::unknown_tag("{% frobnicate %}")]
#[case::not_closed_tag("{{ messages")]
fn a_template_that_does_not_parse_is_refused_at_once(#[case] source: &str) {
    assert!(matches!(ChatTemplate::new(source, BTreeMap::new()), Err(TemplateError::Syntax(_))));
}

#[rstest]
#[case::unknown_function("{{ frobnicate() }}")]
#[case::field_of_nothing("{{ messages[0].tool.name }}")]
#[case::wrong_time_format("{{ strftime_now('%') }}")]
#[case::unknown_method("{{ 'x'.frobnicate() }}")]
fn a_template_that_fails_is_a_typed_error(#[case] source: &str) {
    assert!(matches!(template(source).render(&[user()], true), Err(TemplateError::Render(_))));
}

#[test]
fn the_date_of_today_is_known() {
    let found = template("{{ strftime_now('%d %b %Y') }}").render(&[], true).unwrap();
    let parsed = jiff::civil::Date::strptime("%d %b %Y", &found).unwrap();
    let age = jiff::Zoned::now().date().since(parsed).unwrap().get_days();
    assert!((0..=1).contains(&age), "{found}");
}

#[test]
fn one_line_break_at_the_end_of_the_file_is_not_part_of_the_template() {
    assert_eq!(template("a\n\n").render(&[], true).unwrap(), "a\n");
}

#[rstest]
#[case::loops("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", "it does not end")]
#[case::text(
    "{% for a in range(9999) %}0123456789012345678901234567890123456789{% endfor %}\
    {% for a in range(99999) %}0123456789012345678901234567890123456789{% endfor %}",
    "it writes too much"
)]
#[case::captures(
    "{% set ns = namespace(s='x') %}{% for a in range(40) %}{% set s %}{{ ns.s }}{{ ns.s }}{% endset %}\
    {% set ns.s = s %}{% endfor %}",
    "it writes too much"
)]
fn a_template_that_takes_too_much_is_ended(#[case] source: &str, #[case] which: &str) {
    let error = template(source).render(&[user()], true).unwrap_err();
    assert!(matches!(error, TemplateError::Budget { what } if what == which), "{error:?}");
}

#[test]
fn lists_within_lists_end_with_the_budget_and_not_with_the_stack() {
    let source = "{% set ns = namespace(l=[]) %}{% for a in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}\
        {% for a in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}done";
    assert_eq!(template(source).render(&[user()], true).unwrap(), "done");
    let printed = format!("{source}{{{{ ns.l }}}}");
    drop(template(&printed).render(&[user()], true));
}

#[test]
fn a_source_that_is_far_too_long_is_not_read() {
    let error = ChatTemplate::new(&" ".repeat(300 << 10), BTreeMap::new()).unwrap_err();
    assert!(matches!(error, TemplateError::Budget { .. }), "{error:?}");
}

#[test]
fn long_chats_are_within_the_budgets() {
    let mut chat = vec![ChatMessage::new("system", "Be brief.".repeat(10_000))];
    for _ in 0..500 {
        chat.extend([user(), ChatMessage::new("assistant", "x".repeat(2000))]);
    }
    chat.push(user());
    for source in [HEADERS, THOUGHTS, BLOCKS] {
        template(source).render(&chat, true).unwrap();
    }
}
