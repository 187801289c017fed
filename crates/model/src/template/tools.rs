//! What a chat template does with tools. Templates differ in what they take (arguments as an object or as text, messages
//! that only call without a content or with an empty one), and none says so: a made-up call is rendered in each form,
//! and the first form that comes out whole is the template's.

use super::{Chat, ChatMessage, ChatTemplate};
use crate::jinja::{Failure, Value};
use serde_json::{Value as Json, json};

/// What a template does with tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ToolSupport {
    /// Whether it tells the model which there are.
    pub(crate) lists: bool,
    /// How it takes calls, if it shows them.
    pub(crate) calls: Option<CallForm>,
}

impl ToolSupport {
    /// Whether a conversation with tools comes out whole.
    pub(crate) fn is_whole(self) -> bool {
        self.lists && self.calls.is_some()
    }
}

/// How a template takes an assistant's calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CallForm {
    /// A message without text has the content none, not an empty one.
    pub(super) without_content: bool,
    /// Arguments are JSON as text, not an object.
    pub(super) as_text: bool,
}

impl CallForm {
    const ALL: [Self; 4] = [
        Self { without_content: false, as_text: false },
        Self { without_content: true, as_text: false },
        Self { without_content: false, as_text: true },
        Self { without_content: true, as_text: true },
    ];

    /// The calls of a message for a template.
    pub(super) fn value(self, calls: &Json) -> Result<Value, Failure> {
        if !self.as_text {
            return Value::from_json(calls);
        }
        let mut calls = calls.clone();
        for call in calls.as_array_mut().into_iter().flatten() {
            if let Some(arguments) = call.get_mut("function").and_then(|function| function.get_mut("arguments"))
                && !arguments.is_string()
            {
                *arguments = Json::String(arguments.to_string());
            }
        }
        Value::from_json(&calls)
    }
}

/// Tools for a template.
pub(super) fn value(tools: &[Json]) -> Result<Value, Failure> {
    Value::list(tools.iter().map(Value::from_json).collect::<Result<_, _>>()?)
}

const TOOL: &str = "look_up_words";
const KEY: &str = "dictionary";
const VALUE: &str = "Johnson";
const RESULT: &str = "a harmless drudge";
/// Templates of Mistral's take ids of nine letters and digits alone.
const ID: &str = "abcdefgh1";

pub(super) fn try_out(template: &ChatTemplate) -> ToolSupport {
    let user = ChatMessage::new("user", "What is a lexicographer?");
    let parameters = json!({"type": "object", "properties": {KEY: {"type": "string", "description": "Whose?"}},
        "required": [KEY]});
    let function = json!({"name": TOOL, "description": "Looks words up.", "parameters": parameters});
    let tools = vec![json!({"type": "function", "function": function})];
    let rendered = |messages: Vec<ChatMessage>, form: CallForm| {
        let chat = Chat { tools: tools.clone(), ..Chat::new(messages) };
        template.render_as(&chat, form).map(|rendered| rendered.text).unwrap_or_default()
    };
    let asked = rendered(vec![user.clone()], CallForm::default());
    let call = json!([{"id": ID, "type": "function", "function": {"name": TOOL, "arguments": {KEY: VALUE}}}]);
    let with = |mut message: ChatMessage, name: &str, value: Json| {
        message.fields.insert(name.to_owned(), value);
        message
    };
    let calling = with(ChatMessage::new("assistant", ""), "tool_calls", call);
    let result = with(ChatMessage::new("tool", RESULT), "tool_call_id", ID.into());
    let chat = vec![user, calling, with(result, "name", TOOL.into())];
    let shows = |form: &CallForm| {
        let text = rendered(chat.clone(), *form);
        // A dict that is printed has Python's quotes; none that is printed is a word that nobody said.
        let whole = [KEY, VALUE, RESULT].iter().all(|word| text.contains(word)) && text.matches(TOOL).count() > 1;
        let prints_none = text.matches("None").count() > asked.matches("None").count();
        whole && !prints_none && !text.contains(&format!("'{KEY}'")) && !text.contains(&format!("\\\"{KEY}"))
    };
    ToolSupport { lists: asked.contains(TOOL), calls: CallForm::ALL.into_iter().find(shows) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use rstest::rstest;

    const LIST: &str = "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}";
    const OBJECT: &str = "{{ c.function.arguments | tojson }}";
    const TEXT: &str = "{{ '' + c.function.arguments }}";

    fn template(list: &str, content: &str, arguments: &str) -> ChatTemplate {
        let source = format!(
            "{list}{{% for m in messages %}}<{{{{ m.role }}}}>{content}{{% for c in m.tool_calls or [] %}}\
             {{{{ c.function.name }}}}{arguments}{{% endfor %}}{{% endfor %}}"
        );
        ChatTemplate::new(&source, std::collections::BTreeMap::new()).unwrap()
    }

    #[rstest]
    #[case::an_object("{{ m.content }}", OBJECT, Some((false, false)))]
    #[case::a_text("{{ m.content }}", TEXT, Some((false, true)))]
    #[case::a_text_that_would_be_quoted("{{ m.content }}", "{{ c.function.arguments if c.function.arguments is string }}", Some((false, true)))]
    #[case::no_content("{% if m.content is not none %}{{ m.content }}{% elif m.content == '' %}{{ raise_exception('x') }}{% endif %}", OBJECT, Some((false, false)))]
    #[case::content_must_be_none("{% if m.tool_calls and m.content is not none %}{{ raise_exception('x') }}{% elif m.content is not none %}{{ m.content }}{% endif %}", OBJECT, Some((true, false)))]
    #[case::calls_are_left_out("{{ m.content }}", "", None)]
    fn a_call_takes_the_form_that_comes_out_whole(
        #[case] content: &str,
        #[case] arguments: &str,
        #[case] expected: Option<(bool, bool)>,
    ) {
        let support = template(LIST, content, arguments).tools();
        let form = expected.map(|(without_content, as_text)| CallForm { without_content, as_text });
        assert_eq!(support, ToolSupport { lists: true, calls: form });
        assert_eq!(support.is_whole(), form.is_some());
    }

    #[test]
    fn a_template_that_does_not_list_tools_knows_none() {
        assert!(!template("", "{{ m.content }}", OBJECT).tools().is_whole());
    }

    #[test]
    fn a_conversation_is_rendered_in_the_templates_form() {
        let mut calling = ChatMessage::new("assistant", "");
        let call = json!([{"id": "1", "function": {"name": "f", "arguments": {"a": "b"}}}]);
        calling.fields.insert("tool_calls".to_owned(), call);
        for (arguments, expected) in [(OBJECT, "{\"a\": \"b\"}"), (TEXT, "{\"a\":\"b\"}")] {
            let rendered =
                template(LIST, "{{ m.content }}", arguments).render(&Chat::new(vec![calling.clone()])).unwrap();
            assert_eq!(rendered.text, format!("<assistant>f{expected}"));
        }
    }
}
