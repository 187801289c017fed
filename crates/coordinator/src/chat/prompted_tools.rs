//! Tools for models whose templates know none: the system message tells about them, calls are JSON in `<tool_call>`, and
//! results come in `<tool_response>` from the user. All of it is text: special tokens stay the template's.

use super::Tool;
use gogrid_model::ChatMessage;
use serde_json::Value;
use std::fmt::Write;

/// The chat as such a model can read it.
pub(super) fn messages(messages: Vec<ChatMessage>, tools: &[Tool]) -> Vec<ChatMessage> {
    let mut all: Vec<ChatMessage> = Vec::new();
    // Whether the last message holds results of tools.
    let mut results = false;
    for mut message in messages {
        let is_result = message.role == "tool";
        if is_result {
            let text = format!("<tool_response>\n{}\n</tool_response>", message.content);
            match all.last_mut().filter(|_| results) {
                Some(last) => {
                    last.content.push('\n');
                    last.content.push_str(&text);
                }
                None => all.push(ChatMessage::new("user", text)),
            }
        } else {
            if let Some(calls) = message.fields.shift_remove("tool_calls") {
                for call in calls.as_array().into_iter().flatten() {
                    if !message.content.is_empty() {
                        message.content.push('\n');
                    }
                    message.content.push_str(&called(&call["function"]));
                }
            }
            all.push(message);
        }
        results = is_result;
    }
    if tools.is_empty() {
        return all;
    }
    let told = told(tools);
    match all.first_mut().filter(|first| first.role == "system") {
        Some(system) => {
            system.content.push_str("\n\n");
            system.content.push_str(&told);
        }
        None => all.insert(0, ChatMessage::new("system", told)),
    }
    all
}

fn called(function: &Value) -> String {
    let (name, arguments) = (&function["name"], &function["arguments"]);
    format!("<tool_call>\n{{\"name\": {name}, \"arguments\": {arguments}}}\n</tool_call>")
}

/// What the model is told.
fn told(tools: &[Tool]) -> String {
    let mut told = String::from("You can call these tools, which are given as JSON:\n<tools>\n");
    for tool in tools {
        let _ = writeln!(told, "{}", tool.in_template()["function"]);
    }
    told.push_str(
        "</tools>\nTo call a tool, answer with its name and arguments as JSON, like this:\n<tool_call>\n{\"name\": \
         \"NAME\", \"arguments\": {}}\n</tool_call>\nResults come in <tool_response> tags. Without need of a tool, just \
         answer.",
    );
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::request::call_in_template;
    use serde_json::json;

    #[test]
    fn a_conversation_with_calls_becomes_text() {
        let mut calling = ChatMessage::new("assistant", "I look.");
        let calls = [call_in_template("1", "f", r#"{"a": 1}"#), call_in_template("2", "g", "")];
        calling.fields.insert("tool_calls".to_owned(), json!(calls));
        let chat = vec![
            ChatMessage::new("user", "Well?"),
            calling,
            ChatMessage::new("tool", "one"),
            ChatMessage::new("tool", "two"),
            ChatMessage::new("user", "And?"),
        ];
        let tool = Tool { name: "f".into(), description: None, parameters: None, strict: false };
        let read = messages(chat.clone(), std::slice::from_ref(&tool));
        let [system, user, assistant, results, last] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!(system.role, "system");
        assert!(system.content.contains("{\"name\":\"f\",\"parameters\":{"), "{}", system.content);
        assert_eq!((user, last), (&chat[0], &chat[4]));
        let called = "I look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":1}}\n</tool_call>\n<tool_call>\n{\"name\": \
            \"g\", \"arguments\": {}}\n</tool_call>";
        assert_eq!((assistant.content.as_str(), assistant.fields.len()), (called, 0));
        let given = "<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response>";
        assert_eq!((results.role.as_str(), results.content.as_str()), ("user", given));

        let rules = messages(vec![ChatMessage::new("system", "Be brief."), ChatMessage::new("user", "Hi")], &[tool]);
        assert!(rules[0].content.starts_with("Be brief.\n\nYou can call"));
        let plain = vec![ChatMessage::new("user", "Hi")];
        assert_eq!(messages(plain.clone(), &[]), plain);
    }
}
