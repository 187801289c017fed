//! Reads grammars in llama.cpp's form (GBNF) and writes them in the library's variant of Lark.
//!
//! A rule that does not lead back to itself is a regular expression and becomes one terminal, so that its texts stay exactly
//! what they are. What lies between the terminals of the other rules is cut into the longest terminals first, as Lark does
//! it: a grammar whose parts overlap there loses texts.

use super::ConstraintProblem;
use serde_json::json;
use std::{collections::HashMap, fmt::Write};

/// The most repetitions that a number may ask for.
const MAX_REPEAT: u32 = 10_000;

/// What a rule is made of.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Literal(String),
    /// Ranges of characters.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// A rule, by its number.
    Rule(usize),
    Sequence(Vec<Node>),
    Alternatives(Vec<Node>),
    Repeat(Box<Node>, u32, Option<u32>),
}

/// The grammar in Lark.
///
/// # Errors
/// Where it is not GBNF, or has no rule `root`.
pub(super) fn to_lark(text: &str) -> Result<String, ConstraintProblem> {
    let mut reader = Reader { rest: text, line: 1, numbers: HashMap::new(), rules: Vec::new() };
    reader.rules()?;
    let Reader { numbers, rules, .. } = reader;
    let Some(&root) = numbers.get("root") else { return Err(invalid("the grammar has no rule 'root'")) };
    let rules: Vec<Node> = rules
        .into_iter()
        .enumerate()
        .map(|(number, rule)| {
            let name = || numbers.iter().find(|(_, other)| **other == number).map_or("", |(name, _)| name);
            rule.ok_or_else(|| invalid(&format!("the rule '{}' is missing", name())))
        })
        .collect::<Result<_, _>>()?;
    let regular = regular(&rules);
    let mut lark = format!("start: {}\n", name(root, &regular));
    for (number, rule) in rules.iter().enumerate() {
        let _ = write!(lark, "{}: ", name(number, &regular));
        emit(rule, &regular, &mut lark);
        lark.push('\n');
    }
    Ok(lark)
}

/// For each rule, whether it is regular: it leads to no rule that leads back to itself.
fn regular(rules: &[Node]) -> Vec<bool> {
    // From the leaves up: a rule is regular once all that it names are.
    let mut regular = vec![false; rules.len()];
    loop {
        let more: Vec<usize> =
            (0..rules.len()).filter(|&rule| !regular[rule] && names_only(&rules[rule], &regular)).collect();
        if more.is_empty() {
            return regular;
        }
        more.into_iter().for_each(|rule| regular[rule] = true);
    }
}

fn names_only(node: &Node, these: &[bool]) -> bool {
    match node {
        Node::Literal(_) | Node::Class { .. } => true,
        Node::Rule(rule) => these[*rule],
        Node::Sequence(parts) | Node::Alternatives(parts) => parts.iter().all(|part| names_only(part, these)),
        Node::Repeat(part, ..) => names_only(part, these),
    }
}

/// Terminals have upper-case names in Lark.
fn name(rule: usize, regular: &[bool]) -> String {
    if regular[rule] { format!("T{rule}") } else { format!("r{rule}") }
}

fn emit(node: &Node, regular: &[bool], lark: &mut String) {
    match node {
        Node::Literal(text) => lark.push_str(&json!(text).to_string()),
        Node::Class { negated, ranges } => {
            lark.push_str(if *negated { "/[^" } else { "/[" });
            for (from, to) in ranges {
                let _ = write!(lark, "\\x{{{:x}}}-\\x{{{:x}}}", *from as u32, *to as u32);
            }
            lark.push_str("]/");
        }
        Node::Rule(rule) => lark.push_str(&name(*rule, regular)),
        Node::Sequence(parts) if parts.is_empty() => lark.push_str("\"\""),
        Node::Sequence(parts) => joined(parts, " ", regular, lark),
        Node::Alternatives(parts) => {
            lark.push('(');
            joined(parts, " | ", regular, lark);
            lark.push(')');
        }
        Node::Repeat(part, least, most) => {
            lark.push('(');
            emit(part, regular, lark);
            lark.push(')');
            let _ = match (least, most) {
                (0, None) => write!(lark, "*"),
                (1, None) => write!(lark, "+"),
                (0, Some(1)) => write!(lark, "?"),
                (least, None) => write!(lark, "{{{least},}}"),
                (least, Some(most)) => write!(lark, "{{{least},{most}}}"),
            };
        }
    }
}

fn joined(parts: &[Node], separator: &str, regular: &[bool], lark: &mut String) {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            lark.push_str(separator);
        }
        emit(part, regular, lark);
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    numbers: HashMap<String, usize>,
    rules: Vec<Option<Node>>,
}

impl<'a> Reader<'a> {
    fn rules(&mut self) -> Result<(), ConstraintProblem> {
        self.skip();
        while !self.rest.is_empty() {
            let name = self.name().ok_or_else(|| self.wrong("the name of a rule"))?;
            if !self.take("::=") {
                return Err(self.wrong("'::='"));
            }
            let rule = self.alternatives()?;
            let number = self.number(name);
            if self.rules[number].replace(rule).is_some() {
                return Err(invalid(&format!("the rule '{name}' is there twice")));
            }
        }
        Ok(())
    }

    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.rules.push(None);
        self.numbers.insert(name.to_owned(), self.rules.len() - 1);
        self.rules.len() - 1
    }

    fn alternatives(&mut self) -> Result<Node, ConstraintProblem> {
        let mut all = vec![self.sequence()?];
        while self.take("|") {
            all.push(self.sequence()?);
        }
        let many = all.len();
        all.retain(|part| *part != Node::Sequence(Vec::new()));
        let optional = all.len() < many;
        let node = match (all.pop(), all.is_empty()) {
            (None, _) => return Ok(Node::Sequence(Vec::new())),
            (Some(only), true) => only,
            (Some(last), false) => {
                all.push(last);
                Node::Alternatives(all)
            }
        };
        Ok(if optional { Node::Repeat(Box::new(node), 0, Some(1)) } else { node })
    }

    fn sequence(&mut self) -> Result<Node, ConstraintProblem> {
        let mut parts = Vec::new();
        while let Some(part) = self.element()? {
            parts.push(self.repeated(part)?);
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Node::Sequence(parts),
        })
    }

    fn element(&mut self) -> Result<Option<Node>, ConstraintProblem> {
        Ok(Some(match self.rest.chars().next() {
            Some('"') => {
                self.rest = &self.rest[1..];
                let mut text = String::new();
                while let Some(character) = self.character('"')? {
                    text.push(character);
                }
                self.skip();
                if text.is_empty() { Node::Sequence(Vec::new()) } else { Node::Literal(text) }
            }
            Some('[') => {
                self.rest = &self.rest[1..];
                self.class()?
            }
            Some('.') => {
                self.take(".");
                Node::Class { negated: false, ranges: vec![('\0', char::MAX)] }
            }
            Some('(') => {
                self.take("(");
                let inner = self.alternatives()?;
                if !self.take(")") {
                    return Err(self.wrong("')'"));
                }
                inner
            }
            _ => {
                let before = (self.rest, self.line);
                let Some(name) = self.name() else { return Ok(None) };
                if self.rest.starts_with("::=") {
                    (self.rest, self.line) = before;
                    return Ok(None);
                }
                Node::Rule(self.number(name))
            }
        }))
    }

    fn repeated(&mut self, mut part: Node) -> Result<Node, ConstraintProblem> {
        loop {
            let (least, most) = match self.rest.chars().next() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => {
                    self.take("{");
                    let least = self.count()?.ok_or_else(|| self.wrong("a number"))?;
                    let most = if self.take(",") { self.count()? } else { Some(least) };
                    if !self.rest.starts_with('}') || most.is_some_and(|most| most < least) {
                        return Err(self.wrong("'}' after a number that is no smaller than the first"));
                    }
                    (least, most)
                }
                _ => return Ok(part),
            };
            self.rest = &self.rest[1..];
            self.skip();
            part = Node::Repeat(Box::new(part), least, most);
        }
    }

    fn count(&mut self) -> Result<Option<u32>, ConstraintProblem> {
        let digits = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        self.skip();
        match number.parse() {
            Ok(count) if count <= MAX_REPEAT => Ok(Some(count)),
            _ if number.is_empty() => Ok(None),
            _ => Err(invalid(&format!("line {}: {number} repetitions, but at most {MAX_REPEAT} may be", self.line))),
        }
    }

    /// What follows `[`.
    fn class(&mut self) -> Result<Node, ConstraintProblem> {
        let negated = self.rest.starts_with('^');
        self.rest = self.rest.strip_prefix('^').unwrap_or(self.rest);
        let mut ranges = Vec::new();
        while let Some(from) = self.character(']')? {
            let ranged = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            let to = if ranged {
                self.rest = &self.rest[1..];
                self.character(']')?.ok_or_else(|| self.wrong("the end of a range"))?
            } else {
                from
            };
            if to < from {
                return Err(self.wrong("a range whose end is not before its start"));
            }
            ranges.push((from, to));
        }
        self.skip();
        if ranges.is_empty() {
            return Err(self.wrong("a character between '[' and ']'"));
        }
        Ok(Node::Class { negated, ranges })
    }

    /// The next character of a literal or class; `None` at its end.
    fn character(&mut self, end: char) -> Result<Option<char>, ConstraintProblem> {
        let mut characters = self.rest.chars();
        let first = characters.next().ok_or_else(|| self.wrong(&format!("'{end}'")))?;
        self.rest = characters.as_str();
        self.line += usize::from(first == '\n');
        if first == end {
            return Ok(None);
        }
        if first != '\\' {
            return Ok(Some(first));
        }
        let escaped = characters.next().ok_or_else(|| self.wrong("a character after '\\'"))?;
        self.rest = characters.as_str();
        Ok(Some(match escaped {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'x' => self.hexadecimal(2)?,
            'u' => self.hexadecimal(4)?,
            'U' => self.hexadecimal(8)?,
            '\\' | '"' | '[' | ']' | '-' | '^' => escaped,
            _ => return Err(self.wrong("a known character after '\\'")),
        }))
    }

    fn hexadecimal(&mut self, digits: usize) -> Result<char, ConstraintProblem> {
        let number = self.rest.get(..digits).and_then(|text| u32::from_str_radix(text, 16).ok());
        let character = number.and_then(char::from_u32).ok_or_else(|| self.wrong("the number of a character"))?;
        self.rest = &self.rest[digits..];
        Ok(character)
    }

    fn name(&mut self) -> Option<&'a str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let length = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.skip();
        (!name.is_empty()).then_some(name)
    }

    /// Takes this and the white space after it, if it comes next.
    fn take(&mut self, text: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else { return false };
        self.rest = rest;
        self.skip();
        true
    }

    /// Skips white space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest.trim_start();
            self.line += self.rest[..self.rest.len() - rest.len()].matches('\n').count();
            self.rest = rest;
            if !rest.starts_with('#') {
                return;
            }
            self.rest = rest.find('\n').map_or("", |end| &rest[end..]);
        }
    }

    fn wrong(&self, expected: &str) -> ConstraintProblem {
        let found: String = self.rest.chars().take(12).collect();
        invalid(&format!("line {}: {expected} is expected where '{found}' is", self.line))
    }
}

fn invalid(message: &str) -> ConstraintProblem {
    ConstraintProblem::Invalid { message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn a_grammar_without_recursion_is_terminals_alone() {
        let lark = to_lark("root ::= yes | \"no\" # comment\nyes ::= \"y\" [^a-c\\]]* (\"e\\n\" | )").expect("GBNF");
        let expected = "start: T1\nT0: \"y\" (/[^\\x{61}-\\x{63}\\x{5d}-\\x{5d}]/)* (\"e\\n\")?\nT1: (T0 | \"no\")\n";
        assert_eq!(lark, expected);
    }

    #[test]
    fn rules_that_lead_back_to_themselves_are_rules() {
        let text = "root ::= list\nlist ::= \"(\" (digit{2} | list){1,3} \")\"\n\ndigit ::=\n  [0-9]";
        let expected = "start: r1\nr0: \"(\" ((T2){2,2} | r0){1,3} \")\"\nr1: r0\nT2: /[\\x{30}-\\x{39}]/\n";
        let lark = to_lark(text).expect("GBNF");
        // Rules are numbered as they are named.
        assert_eq!(lark.lines().count(), expected.lines().count());
        assert!(lark.contains("(T") && lark.contains("{2,2} | r") && lark.contains("{1,3} \")\""), "{lark}");
    }

    #[rstest]
    #[case("start ::= \"a\"", "root")]
    #[case("root ::= other", "'other' is missing")]
    #[case("root ::= \"a", "line 1")]
    #[case("root ::= \"a\"\nroot ::= \"b\"", "twice")]
    #[case("root ::= (\"a\"", "')'")]
    #[case("root ::= [z-a]", "range")]
    #[case("root ::= []", "between")]
    #[case("root ::= \"a\"{3,2}", "'}'")]
    #[case("root ::= \"a\"{99999}", "99999 repetitions")]
    #[case("root ::= \"\\uD800\"", "number of a character")]
    #[case("root = \"a\"", "'::='")]
    fn what_is_no_gbnf_is_refused(#[case] text: &str, #[case] why: &str) {
        let Err(ConstraintProblem::Invalid { message }) = to_lark(text) else { panic!("{text} is taken") };
        assert!(message.contains(why), "{message}");
    }
}
