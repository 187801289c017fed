//! JSON as Python's `json.dumps` writes it, which is what `tojson` means in chat templates: `, ` and `: ` between items,
//! no HTML escapes, non-ASCII characters as they are. Models were trained on exactly this spelling.

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Value};
use serde_json::Value as Json;

/// `value | tojson(indent=None, ensure_ascii=False, separators=None, sort_keys=False)`, as transformers defines it.
#[expect(clippy::needless_pass_by_value, reason = "filters are given their keyword arguments by value")]
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let failed = |e| Error::new(ErrorKind::BadSerialization, "cannot write JSON").with_source(e);
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sort = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let (between, colon) = match separators.as_deref() {
        Some([between, colon]) => (between.as_str(), colon.as_str()),
        Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "separators must be two strings")),
        None => (if indent.is_some() { "," } else { ", " }, ": "),
    };
    let mut json = serde_json::to_value(value).map_err(failed)?;
    if sort {
        json.sort_all_objects();
    }
    let mut out = String::new();
    Style { between, colon, indent, ascii }.write(&mut out, &json, 0);
    Ok(Value::from(out))
}

struct Style<'a> {
    between: &'a str,
    colon: &'a str,
    indent: Option<usize>,
    ascii: bool,
}

impl Style<'_> {
    fn write(&self, out: &mut String, json: &Json, level: usize) {
        match json {
            Json::Array(items) if !items.is_empty() => {
                self.list(out, "[]", level, items, |out, item| self.write(out, item, level + 1));
            }
            Json::Object(fields) if !fields.is_empty() => self.list(out, "{}", level, fields, |out, (key, value)| {
                self.string(out, key);
                out.push_str(self.colon);
                self.write(out, value, level + 1);
            }),
            Json::String(text) => self.string(out, text),
            scalar => out.push_str(&scalar.to_string()),
        }
    }

    fn list<T>(
        &self,
        out: &mut String,
        brackets: &str,
        level: usize,
        items: impl IntoIterator<Item = T>,
        mut one: impl FnMut(&mut String, T),
    ) {
        let line = |level: usize| self.indent.map_or(String::new(), |width| format!("\n{}", " ".repeat(width * level)));
        out.push_str(&brackets[..1]);
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                out.push_str(self.between);
            }
            out.push_str(&line(level + 1));
            one(out, item);
        }
        out.push_str(&line(level));
        out.push_str(&brackets[1..]);
    }

    fn string(&self, out: &mut String, text: &str) {
        let quoted = Json::from(text).to_string();
        for c in quoted.chars() {
            if self.ascii && !c.is_ascii() {
                out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
            } else {
                out.push(c);
            }
        }
    }
}
