//! A template's source in tokens. Text between tags is trimmed as Jinja2 does with `trim_blocks` and `lstrip_blocks`.

use super::TemplateFault;
use super::print::is_space;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// From 1 on.
    pub(super) line: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text(String),
    BlockBegin,
    BlockEnd,
    OutputBegin,
    OutputEnd,
    Name(String),
    Str(String),
    Int(i64),
    Float(f64),
    Operator(&'static str),
    End,
}

/// The longest first.
const OPERATORS: [&str; 27] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";", "!",
];

struct Lexer<'a> {
    source: &'a str,
    /// Bytes that were read.
    at: usize,
    line: usize,
    tokens: Vec<Token>,
    /// Whether what was read last ends with a line.
    line_begins: bool,
}

/// The tokens of a source, with [`Kind::End`] as the last.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, TemplateFault> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    // Jinja2 drops one line break at the end of the file.
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut lexer = Lexer { source, at: 0, line: 1, tokens: Vec::new(), line_begins: true };
    while lexer.at < source.len() {
        lexer.text_and_tag()?;
    }
    lexer.push(Kind::End);
    Ok(lexer.tokens)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn push(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, line: self.line });
    }

    fn advance(&mut self, bytes: usize) {
        let read = &self.source[self.at..self.at + bytes];
        self.line += read.matches('\n').count();
        self.at += bytes;
        if !read.is_empty() {
            self.line_begins = read.ends_with('\n');
        }
    }

    fn fault<T>(&self, message: impl Into<String>) -> Result<T, TemplateFault> {
        Err(TemplateFault { line: self.line, message: message.into() })
    }

    /// Skips a prefix, if it is there.
    fn skip(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.advance(prefix.len());
        }
        found
    }

    fn skip_space(&mut self) {
        let space = self.rest().len() - self.rest().trim_start_matches(is_space).len();
        self.advance(space);
    }

    /// Text up to the next tag, and the tag.
    fn text_and_tag(&mut self) -> Result<(), TemplateFault> {
        let rest = self.rest();
        let begin = rest
            .match_indices('{')
            .find(|(place, _)| matches!(rest.as_bytes().get(place + 1), Some(b'{' | b'%' | b'#')));
        let Some((begin, _)) = begin else {
            self.text(rest, "", false);
            return Ok(());
        };
        let opening = rest.as_bytes()[begin + 1];
        let sign = &rest[begin + 2..];
        let sign = if sign.starts_with(['-', '+']) { &sign[..1] } else { "" };
        self.text(&rest[..begin], sign, opening != b'{');
        self.advance(2 + sign.len());
        match opening {
            b'#' => self.comment(),
            b'{' => {
                self.push(Kind::OutputBegin);
                self.inside("}}", Kind::OutputEnd)
            }
            _ if self.is_raw() => self.raw(),
            _ => {
                self.push(Kind::BlockBegin);
                self.inside("%}", Kind::BlockEnd)
            }
        }
    }

    /// Text before a tag with this sign. Before a block or a comment (`may_strip`), spaces from the line's start go.
    fn text(&mut self, text: &str, sign: &str, may_strip: bool) {
        let kept = match sign {
            "-" => text.trim_end_matches(is_space),
            "" if may_strip => {
                let line = text.rfind('\n').map_or(0, |place| place + 1);
                let begins = line > 0 || self.line_begins;
                if begins && text[line..].chars().all(is_space) { &text[..line] } else { text }
            }
            _ => text,
        };
        if !kept.is_empty() {
            self.push(Kind::Text(kept.to_owned()));
        }
        self.advance(text.len());
    }

    /// The end of a block or a comment, if it is here.
    fn block_end(&mut self, closing: &str) -> bool {
        if self.rest().starts_with('-') && self.rest()[1..].starts_with(closing) {
            self.advance(1 + closing.len());
            self.skip_space();
        } else if self.rest().starts_with('+') && self.rest()[1..].starts_with(closing) {
            self.advance(1 + closing.len());
        } else if self.skip(closing) {
            self.skip("\n");
        } else {
            return false;
        }
        true
    }

    fn comment(&mut self) -> Result<(), TemplateFault> {
        let Some(end) = self.rest().find("#}") else { return self.fault("a comment does not end") };
        let signs = self.rest()[..end].ends_with(['-', '+']);
        self.advance(end - usize::from(signs));
        self.block_end("#}");
        Ok(())
    }

    fn is_raw(&self) -> bool {
        let after = self.rest().trim_start_matches(is_space).strip_prefix("raw");
        after.is_some_and(|after| {
            let after = after.trim_start_matches(is_space);
            after.starts_with("%}") || after.starts_with("-%}")
        })
    }

    /// Text between `{% raw %}`, whose begin was read, and `{% endraw %}`.
    fn raw(&mut self) -> Result<(), TemplateFault> {
        self.skip_space();
        self.skip("raw");
        self.skip_space();
        if self.skip("-%}") {
            self.skip_space();
        } else {
            self.skip("%}");
        }
        let rest = self.rest();
        for (begin, _) in rest.match_indices("{%") {
            let tag = &rest[begin + 2..];
            let sign = if tag.starts_with(['-', '+']) { &tag[..1] } else { "" };
            let name = tag[sign.len()..].trim_start_matches(is_space);
            let Some(end) = name.strip_prefix("endraw") else { continue };
            let end = end.trim_start_matches(is_space);
            if ["%}", "-%}", "+%}"].iter().any(|closing| end.starts_with(closing)) {
                self.text(&rest[..begin], sign, true);
                self.advance(rest.len() - begin - end.len());
                self.block_end("%}");
                return Ok(());
            }
        }
        self.fault("a raw block does not end")
    }

    /// Tokens up to a tag's end.
    fn inside(&mut self, closing: &'static str, end: Kind) -> Result<(), TemplateFault> {
        let mut open: Vec<&str> = Vec::new();
        loop {
            self.skip_space();
            if open.is_empty() {
                let line = self.line;
                let ended = if closing == "%}" {
                    self.block_end(closing)
                } else if self.skip("-}}") {
                    self.skip_space();
                    true
                } else {
                    self.skip(closing)
                };
                if ended {
                    self.tokens.push(Token { kind: end, line });
                    return Ok(());
                }
            }
            let rest = self.rest();
            let Some(first) = rest.chars().next() else { return self.fault("a tag does not end") };
            if first == '_' || first.is_alphabetic() {
                let length = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
                self.push(Kind::Name(rest[..length].to_owned()));
                self.advance(length);
            } else if first.is_ascii_digit() {
                self.number()?;
            } else if matches!(first, '\'' | '"') {
                self.string(first)?;
            } else {
                let Some(operator) = OPERATORS.into_iter().find(|operator| rest.starts_with(operator)) else {
                    return self.fault(format!("unexpected character '{first}'"));
                };
                match operator {
                    "(" => open.push(")"),
                    "[" => open.push("]"),
                    "{" => open.push("}"),
                    ")" | "]" | "}" if open.pop() != Some(operator) => {
                        return self.fault(format!("unexpected '{operator}'"));
                    }
                    _ => {}
                }
                self.push(Kind::Operator(operator));
                self.advance(operator.len());
            }
        }
    }

    fn number(&mut self) -> Result<(), TemplateFault> {
        let rest = self.rest();
        let digits = |from: usize| {
            let tail = &rest[from..];
            from + tail.find(|c: char| c != '_' && !c.is_ascii_digit()).unwrap_or(tail.len())
        };
        let radix = match rest.as_bytes().get(1) {
            Some(b'x' | b'X') => 16,
            Some(b'o' | b'O') => 8,
            Some(b'b' | b'B') => 2,
            _ => 10,
        };
        if rest.starts_with('0') && radix != 10 {
            let end = rest[2..].find(|c: char| c != '_' && !c.is_digit(radix)).map_or(rest.len(), |end| end + 2);
            let Ok(number) = i64::from_str_radix(&rest[2..end].replace('_', ""), radix) else {
                return self.fault("a number of more than 64 bits");
            };
            self.push(Kind::Int(number));
            self.advance(end);
            return Ok(());
        }
        let whole = digits(0);
        let mut end = whole;
        let is_digit = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        // After a dot only an index follows: `messages.0.content`.
        let after_dot = matches!(self.tokens.last(), Some(Token { kind: Kind::Operator("."), .. }));
        if !after_dot && rest[end..].starts_with('.') && is_digit(end + 1) {
            end = digits(end + 1);
        }
        if !after_dot && rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            if is_digit(end + 1 + sign) {
                end = digits(end + 1 + sign);
            }
        }
        let text = rest[..end].replace('_', "");
        if end == whole {
            let Ok(number) = text.parse() else { return self.fault("a number of more than 64 bits") };
            self.push(Kind::Int(number));
        } else {
            self.push(Kind::Float(text.parse().unwrap_or(f64::INFINITY)));
        }
        self.advance(end);
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), TemplateFault> {
        let rest = &self.rest()[1..];
        let mut text = String::new();
        let mut chars = rest.char_indices();
        while let Some((place, c)) = chars.next() {
            if c == quote {
                self.push(Kind::Str(text));
                self.advance(place + 2);
                return Ok(());
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let Some((_, escaped)) = chars.next() else { break };
            match escaped {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                'a' => text.push('\u{7}'),
                'b' => text.push('\u{8}'),
                'f' => text.push('\u{c}'),
                'v' => text.push('\u{b}'),
                '\n' => {}
                '\\' | '\'' | '"' => text.push(escaped),
                'x' | 'u' | 'U' => {
                    let length = match escaped {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let digits: String = chars.by_ref().take(length).map(|(_, c)| c).collect();
                    let code = (digits.len() == length).then(|| u32::from_str_radix(&digits, 16).ok()).flatten();
                    let Some(c) = code.and_then(char::from_u32) else {
                        return self.fault(format!("\\{escaped}{digits} is no character"));
                    };
                    text.push(c);
                }
                '0'..='7' => {
                    let mut code = escaped as u32 - '0' as u32;
                    for _ in 0..2 {
                        let Some(digit) = chars.clone().next().and_then(|(_, c)| c.to_digit(8)) else { break };
                        chars.next();
                        code = code * 8 + digit;
                    }
                    text.extend(char::from_u32(code));
                }
                other => text.extend(['\\', other]),
            }
        }
        self.fault("a string does not end")
    }
}
