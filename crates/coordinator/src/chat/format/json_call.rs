//! A call as a JSON object: `{"name": "f", "arguments": {…}}`. Once the name is known, its arguments are passed on as they
//! come.

use super::{MAX_HELD, is_name};
use crate::chat::out::Out;
use serde_json::Value;

/// The names that formats have for arguments.
const ARGUMENTS: [&str; 2] = ["arguments", "parameters"];

/// What one more character led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PushResult {
    More,
    /// The object is complete.
    Done,
    /// It is no call. Unless it has [begun](JsonCall::has_begun), its text is an answer's.
    Broken,
}

/// Reads one object.
#[derive(Debug)]
pub(super) struct JsonCall {
    /// All of it, until the call has begun.
    raw: String,
    state: State,
    key: String,
    name: Option<String>,
    /// The arguments, where they came before the name.
    arguments: Option<String>,
    has_begun: bool,
    /// Whether the value under way is passed on as it comes.
    streams: bool,
    /// Whether a call must have arguments.
    needs_arguments: bool,
}

#[derive(Debug)]
enum State {
    Start,
    /// Before a key, or the end.
    Key,
    InKey(Scan),
    Colon,
    Value,
    InValue(Scan),
    AfterValue,
}

/// Finds the end of a JSON value.
#[derive(Debug, Default)]
pub(super) struct Scan {
    raw: String,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

/// Where a character is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    Inside,
    /// It is the value's last.
    Last,
    /// The value ended before this character.
    After,
}

impl Scan {
    /// One more character, which is not kept. The first is the value's.
    pub(super) fn push(&mut self, c: char, is_first: bool) -> Within {
        if self.in_string {
            match c {
                _ if self.escaped => self.escaped = false,
                '\\' => self.escaped = true,
                '"' => {
                    self.in_string = false;
                    return if self.depth == 0 { Within::Last } else { Within::Inside };
                }
                _ => {}
            }
            return Within::Inside;
        }
        match c {
            '"' if is_first || self.depth > 0 => self.in_string = true,
            '{' | '[' if is_first || self.depth > 0 => self.depth += 1,
            '}' | ']' if self.depth > 0 => {
                self.depth -= 1;
                return if self.depth == 0 { Within::Last } else { Within::Inside };
            }
            // The end of a number or a word.
            _ if self.depth == 0 && !is_first && !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) => {
                return Within::After;
            }
            _ => {}
        }
        Within::Inside
    }
}

impl JsonCall {
    /// With `needs_arguments`, an object without them is no call.
    pub(super) fn new(needs_arguments: bool) -> Self {
        Self {
            raw: String::new(),
            state: State::Start,
            key: String::new(),
            name: None,
            arguments: None,
            has_begun: false,
            streams: false,
            needs_arguments,
        }
    }

    /// Whether the call was passed on.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Its text so far, if it has not begun.
    pub(super) fn into_raw(self) -> String {
        self.raw
    }

    /// One more character. `is_tool` says which names may be called.
    pub(super) fn push(&mut self, c: char, is_tool: &dyn Fn(&str) -> bool, out: &mut Out) -> PushResult {
        if !self.has_begun {
            self.raw.push(c);
            if self.raw.len() > MAX_HELD {
                return PushResult::Broken;
            }
        }
        self.take(c, is_tool, out).unwrap_or(PushResult::Broken)
    }

    /// `None` where it is broken.
    fn take(&mut self, c: char, is_tool: &dyn Fn(&str) -> bool, out: &mut Out) -> Option<PushResult> {
        let is_space = c.is_ascii_whitespace();
        match std::mem::replace(&mut self.state, State::Start) {
            State::Start if is_space => {}
            State::Start => self.state = (c == '{').then_some(State::Key)?,
            State::Key if is_space => self.state = State::Key,
            State::Key => match c {
                '"' => {
                    let mut scan = Scan::default();
                    scan.push(c, true);
                    scan.raw.push(c);
                    self.state = State::InKey(scan);
                }
                '}' => return self.finish(is_tool, out),
                _ => return None,
            },
            State::InKey(mut scan) => {
                let within = scan.push(c, false);
                scan.raw.push(c);
                self.state = if within == Within::Last {
                    self.key = serde_json::from_str(&scan.raw).ok()?;
                    State::Colon
                } else {
                    State::InKey(scan)
                };
            }
            State::Colon if is_space => self.state = State::Colon,
            State::Colon => self.state = (c == ':').then_some(State::Value)?,
            State::Value if is_space => self.state = State::Value,
            State::Value => {
                self.begin_value(c, is_tool, out)?;
            }
            State::InValue(scan) => return self.go_on(scan, c, is_tool, out),
            State::AfterValue if is_space => self.state = State::AfterValue,
            State::AfterValue => match c {
                ',' => self.state = State::Key,
                '}' => return self.finish(is_tool, out),
                _ => return None,
            },
        }
        Some(PushResult::More)
    }

    fn begin_value(&mut self, c: char, is_tool: &dyn Fn(&str) -> bool, out: &mut Out) -> Option<()> {
        if !(matches!(c, '"' | '{' | '[' | '-') || c.is_ascii_alphanumeric()) {
            return None;
        }
        let mut scan = Scan::default();
        scan.push(c, true);
        // Arguments that are a text are JSON in JSON.
        self.streams = !self.has_begun && c == '{' && ARGUMENTS.contains(&self.key.as_str()) && self.name.is_some();
        if self.streams {
            self.begin(is_tool, out)?;
            out.arguments(c.encode_utf8(&mut [0; 4]));
        } else {
            scan.raw.push(c);
        }
        self.state = State::InValue(scan);
        Some(())
    }

    fn go_on(&mut self, mut scan: Scan, c: char, is_tool: &dyn Fn(&str) -> bool, out: &mut Out) -> Option<PushResult> {
        let within = scan.push(c, false);
        if within != Within::After {
            if self.streams {
                out.arguments(c.encode_utf8(&mut [0; 4]));
            } else {
                scan.raw.push(c);
                if scan.raw.len() > MAX_HELD {
                    return None;
                }
            }
        }
        match within {
            Within::Inside => self.state = State::InValue(scan),
            Within::Last => {
                self.state = State::AfterValue;
                self.keep(scan.raw)?;
            }
            Within::After => {
                self.state = State::AfterValue;
                self.keep(scan.raw)?;
                return self.take(c, is_tool, out);
            }
        }
        Some(PushResult::More)
    }

    /// A value that is complete.
    fn keep(&mut self, raw: String) -> Option<()> {
        match self.key.as_str() {
            _ if self.streams => self.streams = false,
            _ if self.has_begun => {}
            "name" => self.name = Some(serde_json::from_str(&raw).ok()?),
            "function" if raw.starts_with('{') => {
                let Value::Object(function) = serde_json::from_str(&raw).ok()? else { return None };
                self.name = Some(function.get("name")?.as_str()?.to_owned());
                self.arguments = ARGUMENTS.iter().find_map(|key| function.get(*key)).map(text);
            }
            key if ARGUMENTS.contains(&key) => {
                self.arguments = Some(match serde_json::from_str(&raw).ok()? {
                    Value::Null => "{}".to_owned(),
                    Value::String(text) => text,
                    _ => raw,
                });
            }
            _ => {}
        }
        Some(())
    }

    /// Passes the call on, without arguments.
    fn begin(&mut self, is_tool: &dyn Fn(&str) -> bool, out: &mut Out) -> Option<()> {
        let name = self.name.as_deref().filter(|name| is_name(name) && is_tool(name))?;
        out.call(name);
        self.has_begun = true;
        self.raw = String::new();
        Some(())
    }

    fn finish(&mut self, is_tool: &dyn Fn(&str) -> bool, out: &mut Out) -> Option<PushResult> {
        if !self.has_begun {
            let arguments = self.arguments.take();
            if self.needs_arguments && arguments.is_none() {
                return None;
            }
            let arguments = arguments.unwrap_or_else(|| "{}".to_owned());
            serde_json::from_str::<serde_json::Map<String, Value>>(&arguments).ok()?;
            self.begin(is_tool, out)?;
            out.arguments(&arguments);
        }
        Some(PushResult::Done)
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
