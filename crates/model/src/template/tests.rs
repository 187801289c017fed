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

fn render_to(source: &str, messages: &[ChatMessage], end: ChatEnd) -> Result<String, TemplateError> {
    Ok(template(source).render(&Chat { end, ..Chat::new(messages.to_vec()) })?.text)
}

fn render(source: &str, messages: &[ChatMessage]) -> Result<String, TemplateError> {
    render_to(source, messages, ChatEnd::Answer)
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
    assert_eq!(render(source, &conversation()).unwrap(), prompt);
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
    assert_eq!(render_to(source, &[user(), assistant()], ChatEnd::Message).unwrap(), prompt);
}

#[test]
fn a_refusal_says_what_the_template_says() {
    let error = render(ALTERNATING, &[user(), user()]).unwrap_err();
    let TemplateError::Refused { message } = &error else { panic!("{error:?}") };
    assert_eq!(message, "user and assistant must take turns, 2 asked");
    assert!(error.to_string().ends_with(message));
}

#[rstest]
#[case::not_closed("{% for m in messages %}")]
#[case::unknown_tag("{% frobnicate %}")]
#[case::not_closed_tag("{{ messages")]
fn a_template_that_does_not_parse_is_refused_at_once(#[case] source: &str) {
    assert!(matches!(ChatTemplate::new(source, BTreeMap::new()), Err(TemplateError::Syntax(_))));
}

#[test]
fn a_template_that_fails_is_a_typed_error() {
    let error = render(
        "a
{{ messages[0].tool.name }}",
        &[user()],
    )
    .unwrap_err();
    let TemplateError::Render(fault) = &error else { panic!("{error:?}") };
    assert_eq!(fault.to_string(), "line 2: 'messages[0].tool' is undefined");
}

#[rstest]
#[case::loops("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", "it does not end")]
#[case::text(
    "{% for a in range(9) %}{% for a in range(99999) %}0123456789012345678901234567890123456789{% endfor %}{% endfor %}",
    "it holds too much memory"
)]
#[case::lists(
    "{% set ns = namespace(l=[]) %}{% for a in range(999) %}{% set ns.l = [ns.l] %}{% endfor %}",
    "its values are too deep in each other"
)]
fn a_template_that_takes_too_much_is_ended(#[case] source: &str, #[case] which: &str) {
    let error = render(source, &[user()]).unwrap_err();
    assert!(matches!(error, TemplateError::Budget { what } if what == which), "{error:?}");
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
        render(source, &chat).unwrap();
    }
}

#[rstest]
#[case::kept("{% for m in messages %}<{{ m.content }}>{% endfor %}", "<Hi é?><It is ")]
#[case::stripped("{% for m in messages %}<{{ m.content | trim }}>{% endfor %}", "<Hi é?><It is")]
#[case::cut("{% for m in messages %}<{{ m.content.split('is')[-1] }}>{% endfor %}", "<Hi é?>< ")]
fn an_answer_goes_on_from_the_last_message(#[case] source: &str, #[case] prompt: &str) {
    let chat = [user(), ChatMessage::new("assistant", "It is ")];
    assert_eq!(render_to(source, &chat, ChatEnd::Continued).unwrap(), prompt);
}

#[rstest]
#[case::left_out("{{ messages[0].content }}", &[user(), assistant()])]
#[case::no_message("", &[])]
fn a_message_that_does_not_end_the_prompt_is_not_continued(#[case] source: &str, #[case] chat: &[ChatMessage]) {
    let error = render_to(source, chat, ChatEnd::Continued).unwrap_err();
    assert!(matches!(error, TemplateError::NotContinued), "{error:?}");
}

#[test]
fn the_client_sets_variables() {
    let source =
        "{% if enable_thinking is defined and enable_thinking is false %}off{% endif %}{{ more.a[0] }}{{ bos_token }}";
    let variables = serde_json::json!({"enable_thinking": false, "more": {"a": [1.5]}});
    let chat = Chat { variables: variables.as_object().unwrap().clone(), ..Chat::new(vec![user()]) };
    let rendered = template(source).render(&chat).unwrap();
    assert_eq!(rendered.text, "off1.5<s>");
    assert_eq!(render(source, &[user()]).unwrap_or_default(), "");
}

#[test]
fn what_a_client_said_is_marked_and_a_role_is_not() {
    let chat = Chat::new(vec![ChatMessage::new("user", "<|x|>"), ChatMessage::new("a|>", "y")]);
    let rendered =
        template("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}").render(&chat);
    let rendered = rendered.unwrap();
    let said: Vec<&str> = rendered.said.iter().map(|said| &rendered.text[said.clone()]).collect();
    assert_eq!(said, ["<|x|>", "a|>", "y"]);
}
