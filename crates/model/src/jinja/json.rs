//! JSON as Python's `json.dumps` writes it, which is what `tojson` means in chat templates: `, ` and `: ` between items,
//! no HTML escapes, non-ASCII characters as they are. Models were trained on exactly this spelling.

use super::Failure;
use super::arguments::Arguments;
use super::budget::{Buffer, step};
use super::print::float_repr;
use super::value::{Text, Value};

/// `value | tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`, as transformers defines it.
pub(super) fn tojson(value: &Value, arguments: Arguments) -> Result<Value, Failure> {
    let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
    let [ascii, indent, separators, sort] = arguments.bind("tojson", names)?;
    let indent = match indent {
        None | Some(Value::None) => None,
        Some(text @ Value::Str(_)) => Some(text),
        Some(width) => {
            let width = width.as_int().ok_or_else(|| Failure::fault("indent must be a number or a string"))?;
            // Deeper than anything that people read; the text itself is counted when it is written.
            Some(Value::text(" ".repeat(usize::try_from(width).unwrap_or(0).min(1000)))?)
        }
    };
    let separators = match separators {
        None | Some(Value::None) => None,
        Some(Value::List(pair) | Value::Tuple(pair)) if pair.items.len() == 2 => Some(pair),
        Some(_) => return Err(Failure::fault("separators must be two strings")),
    };
    let default_between = Value::text(if indent.is_some() { "," } else { ", " })?;
    let default_colon = Value::text(": ")?;
    let (Value::Str(default_between), Value::Str(default_colon)) = (default_between, default_colon) else {
        return Err(Failure::fault("separators must be two strings"));
    };
    let (between, colon) = match separators.as_ref().map(|pair| (pair.items[0].as_text(), pair.items[1].as_text())) {
        Some((Some(between), Some(colon))) => (between, colon),
        Some(_) => return Err(Failure::fault("separators must be two strings")),
        None => (&*default_between, &*default_colon),
    };
    let is_true = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let style = Style {
        between,
        colon,
        indent: indent.as_ref().and_then(Value::as_text),
        ascii: is_true(ascii),
        sort: is_true(sort),
    };
    let mut out = Buffer::new();
    style.write(&mut out, value, 0)?;
    Value::written(out)
}

struct Style<'a> {
    between: &'a Text,
    colon: &'a Text,
    indent: Option<&'a Text>,
    ascii: bool,
    sort: bool,
}

impl Style<'_> {
    fn write(&self, out: &mut Buffer, value: &Value, level: usize) -> Result<(), Failure> {
        step(1)?;
        match value {
            Value::None => out.push("null"),
            Value::Bool(value) => out.push(if *value { "true" } else { "false" }),
            Value::Int(number) => out.push(&number.to_string()),
            Value::Float(number) => out.push(&match float_repr(*number).as_str() {
                "nan" => "NaN".to_owned(),
                "inf" => "Infinity".to_owned(),
                "-inf" => "-Infinity".to_owned(),
                finite => finite.to_owned(),
            }),
            Value::Str(text) => self.string(out, text.as_str(), text.is_said()),
            Value::List(list) | Value::Tuple(list) => {
                self.list(out, ["[", "]"], level, &list.items, |out, item| self.write(out, item, level + 1))
            }
            Value::Dict(dict) => {
                let mut entries: Vec<(String, bool, &Value)> = Vec::new();
                for (key, value) in &dict.entries {
                    entries.push((key_text(key)?, key.as_text().is_some_and(Text::is_said), value));
                }
                if self.sort {
                    entries.sort_by(|a, b| a.0.cmp(&b.0));
                }
                self.list(out, ["{", "}"], level, &entries, |out, (key, said, value)| {
                    self.string(out, key, *said)?;
                    out.push_text(self.colon)?;
                    self.write(out, value, level + 1)
                })
            }
            other => Err(Failure::fault(format!("Object of type {} is not JSON serializable", other.type_name()))),
        }
    }

    fn list<T>(
        &self,
        out: &mut Buffer,
        [open, close]: [&str; 2],
        level: usize,
        items: &[T],
        mut one: impl FnMut(&mut Buffer, &T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        out.push(open)?;
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push_text(self.between)?;
            }
            self.line(out, level + 1)?;
            one(out, item)?;
        }
        if !items.is_empty() {
            self.line(out, level)?;
        }
        out.push(close)
    }

    fn line(&self, out: &mut Buffer, level: usize) -> Result<(), Failure> {
        let Some(indent) = self.indent else { return Ok(()) };
        out.push("\n")?;
        out.push_times(indent, level)
    }

    fn string(&self, out: &mut Buffer, text: &str, said: bool) -> Result<(), Failure> {
        out.push("\"")?;
        for c in text.chars() {
            match c {
                '"' => out.push("\\\"")?,
                '\\' => out.push("\\\\")?,
                '\n' => out.push("\\n")?,
                '\r' => out.push("\\r")?,
                '\t' => out.push("\\t")?,
                '\u{8}' => out.push("\\b")?,
                '\u{c}' => out.push("\\f")?,
                c if c < ' ' || (self.ascii && !c.is_ascii()) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push(&format!("\\u{unit:04x}"))?;
                    }
                }
                c => out.push_char(c, said)?,
            }
        }
        out.push("\"")
    }
}

/// A dict's key as JSON has it.
fn key_text(key: &Value) -> Result<String, Failure> {
    Ok(match key {
        Value::Str(text) => text.as_str().to_owned(),
        Value::None => "null".to_owned(),
        Value::Bool(value) => if *value { "true" } else { "false" }.to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => float_repr(*number),
        other => return Err(Failure::fault(format!("keys must be strings or numbers, not '{}'", other.type_name()))),
    })
}
