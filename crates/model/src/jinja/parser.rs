//! Tokens to a tree: statements. Expressions are in `expressions.rs` beside this.

mod expressions;

use super::TemplateFault;
use super::ast::{Call, Expr, For, Macro, Stmt, StmtKind, Target};
use super::lexer::{Kind, Token, tokens};

/// Statements in each other; CPython, which Jinja2 compiles to, takes 20 loops.
const MAX_BLOCKS: usize = 50;
/// Operators of one expression: the tree is walked one within the other.
const MAX_LINKS: usize = 1000;
/// Brackets in each other: the parser calls itself for each, through a dozen functions.
const MAX_NESTING: usize = 50;

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// Statements around this place.
    blocks: usize,
    /// Loops around this place.
    loops: usize,
    /// Operators of the expression so far.
    links: usize,
    /// Brackets around this place.
    nesting: usize,
}

/// The statements of a source.
pub(super) fn parse(source: &str) -> Result<Vec<Stmt>, TemplateFault> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, blocks: 0, loops: 0, links: 0, nesting: 0 };
    let body = parser.body(&[])?;
    match parser.peek() {
        Kind::End => Ok(body),
        other => parser.unexpected(&other.clone()),
    }
}

type Parsed<T> = Result<T, TemplateFault>;

impl Parser {
    fn peek(&self) -> &Kind {
        &self.tokens[self.at].kind
    }

    fn peek_after(&self) -> &Kind {
        self.tokens.get(self.at + 1).map_or(&Kind::End, |token| &token.kind)
    }

    fn line(&self) -> usize {
        self.tokens[self.at].line
    }

    fn next(&mut self) -> Kind {
        let kind = self.peek().clone();
        if kind != Kind::End {
            self.at += 1;
        }
        kind
    }

    fn fault<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(TemplateFault { line: self.line(), message: message.into() })
    }

    fn unexpected<T>(&self, kind: &Kind) -> Parsed<T> {
        let what = match kind {
            Kind::Name(name) => format!("'{name}'"),
            Kind::Operator(operator) => format!("'{operator}'"),
            Kind::Str(_) => "a string".to_owned(),
            Kind::Int(_) | Kind::Float(_) => "a number".to_owned(),
            Kind::End => "end of the template".to_owned(),
            _ => "end of a tag".to_owned(),
        };
        self.fault(format!("unexpected {what}"))
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Kind::Name(found) if found == name)
    }

    fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    fn is_operator(&self, operator: &str) -> bool {
        matches!(self.peek(), Kind::Operator(found) if *found == operator)
    }

    fn skip_operator(&mut self, operator: &str) -> bool {
        let found = self.is_operator(operator);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, operator: &'static str) -> Parsed<()> {
        if self.skip_operator(operator) { Ok(()) } else { self.fault(format!("expected '{operator}'")) }
    }

    fn expect_kind(&mut self, kind: &Kind) -> Parsed<()> {
        let found = self.peek() == kind;
        self.at += usize::from(found);
        if found { Ok(()) } else { self.unexpected(&self.peek().clone()) }
    }

    fn name(&mut self) -> Parsed<String> {
        match self.next() {
            Kind::Name(name) => Ok(name),
            other => self.unexpected(&other),
        }
    }

    /// Statements up to a tag of one of these names, which is left where it is.
    fn body(&mut self, ends: &[&str]) -> Parsed<Vec<Stmt>> {
        self.blocks += 1;
        if self.blocks > MAX_BLOCKS {
            return self.fault(format!("more than {MAX_BLOCKS} blocks in each other"));
        }
        let mut body = Vec::new();
        loop {
            let line = self.line();
            let kind = match self.peek() {
                Kind::Text(text) => {
                    let text = text.clone();
                    self.at += 1;
                    StmtKind::Text(text)
                }
                Kind::OutputBegin => {
                    self.at += 1;
                    let value = self.tuple_or_expression(true)?;
                    self.expect_kind(&Kind::OutputEnd)?;
                    StmtKind::Output(value)
                }
                Kind::BlockBegin => {
                    if let Kind::Name(name) = self.peek_after()
                        && ends.contains(&name.as_str())
                    {
                        break;
                    }
                    self.at += 1;
                    self.statement()?
                }
                _ => break,
            };
            body.push(Stmt { line, kind });
        }
        self.blocks -= 1;
        Ok(body)
    }

    /// A body up to its end tag, which is read.
    fn body_until(&mut self, end: &'static str) -> Parsed<Vec<Stmt>> {
        let body = self.body(&[end])?;
        self.end_tag(end)?;
        Ok(body)
    }

    fn begin_tag(&mut self, names: &[&'static str]) -> Parsed<&'static str> {
        let expected = names.join(" or ");
        if *self.peek() != Kind::BlockBegin {
            return self.fault(format!("expected the tag {expected}"));
        }
        self.at += 1;
        match names.iter().find(|name| self.is_name(name)) {
            Some(name) => {
                self.at += 1;
                Ok(name)
            }
            None => self.fault(format!("expected the tag {expected}")),
        }
    }

    fn end_tag(&mut self, end: &'static str) -> Parsed<()> {
        self.begin_tag(&[end])?;
        self.expect_kind(&Kind::BlockEnd)
    }

    fn statement(&mut self) -> Parsed<StmtKind> {
        let name = self.name()?;
        self.links = 0;
        match name.as_str() {
            "if" => self.condition(),
            "for" => self.for_loop(),
            "set" => self.set(),
            "macro" => {
                let name = self.name()?;
                Ok(StmtKind::Macro(self.macro_of(name, "endmacro")?))
            }
            "call" => {
                let parameters = if self.is_operator("(") { self.parameters()? } else { Vec::new() };
                let call = self.expression()?;
                self.expect_kind(&Kind::BlockEnd)?;
                let body = self.outside_loops(|parser| parser.body_until("endcall"))?;
                Ok(StmtKind::Call(call, Macro { name: "caller".to_owned(), parameters, body }))
            }
            "filter" => {
                let mut filters = vec![self.call()?];
                filters.extend(self.filters()?);
                self.expect_kind(&Kind::BlockEnd)?;
                Ok(StmtKind::Filter(filters, self.body_until("endfilter")?))
            }
            "with" => {
                let mut variables = Vec::new();
                while *self.peek() != Kind::BlockEnd {
                    if !variables.is_empty() {
                        self.expect(",")?;
                    }
                    let target = self.target(false)?;
                    self.expect("=")?;
                    variables.push((target, self.expression()?));
                }
                self.expect_kind(&Kind::BlockEnd)?;
                Ok(StmtKind::With(variables, self.body_until("endwith")?))
            }
            "generation" => {
                self.expect_kind(&Kind::BlockEnd)?;
                Ok(StmtKind::With(Vec::new(), self.body_until("endgeneration")?))
            }
            "break" | "continue" => {
                if self.loops == 0 {
                    return self.fault(format!("'{name}' outside of a loop"));
                }
                self.expect_kind(&Kind::BlockEnd)?;
                Ok(if name == "break" { StmtKind::Break } else { StmtKind::Continue })
            }
            other => self.fault(format!("unknown tag '{other}'")),
        }
    }

    fn outside_loops<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let loops = std::mem::take(&mut self.loops);
        let parsed = parse(self);
        self.loops = loops;
        parsed
    }

    fn condition(&mut self) -> Parsed<StmtKind> {
        let mut branches = Vec::new();
        loop {
            let condition = self.tuple_or_expression(true)?;
            self.expect_kind(&Kind::BlockEnd)?;
            branches.push((condition, self.body(&["elif", "else", "endif"])?));
            match self.begin_tag(&["elif", "else", "endif"])? {
                "elif" => {}
                "else" => {
                    self.expect_kind(&Kind::BlockEnd)?;
                    return Ok(StmtKind::If(branches, self.body_until("endif")?));
                }
                _ => {
                    self.expect_kind(&Kind::BlockEnd)?;
                    return Ok(StmtKind::If(branches, Vec::new()));
                }
            }
        }
    }

    fn for_loop(&mut self) -> Parsed<StmtKind> {
        let target = self.target(false)?;
        if !self.skip_name("in") {
            return self.fault("expected 'in'");
        }
        let items = self.tuple_or_expression(false)?;
        let condition = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        self.expect_kind(&Kind::BlockEnd)?;
        self.loops += 1;
        let body = self.body(&["else", "endfor"]);
        self.loops -= 1;
        let body = body?;
        let has_else = self.begin_tag(&["else", "endfor"])? == "else";
        self.expect_kind(&Kind::BlockEnd)?;
        let otherwise = if has_else { self.body_until("endfor")? } else { Vec::new() };
        Ok(StmtKind::For(For { target, items, condition, recursive, body, otherwise }))
    }

    fn set(&mut self) -> Parsed<StmtKind> {
        let target = self.target(true)?;
        if self.skip_operator("=") {
            let value = self.tuple_or_expression(true)?;
            self.expect_kind(&Kind::BlockEnd)?;
            return Ok(StmtKind::Set(target, value));
        }
        let filters = self.filters()?;
        self.expect_kind(&Kind::BlockEnd)?;
        Ok(StmtKind::SetBlock(target, filters, self.body_until("endset")?))
    }

    /// A name, names with commas between them, or (`with_field`) a field of a namespace.
    fn target(&mut self, with_field: bool) -> Parsed<Target> {
        let mut targets = vec![self.one_target(with_field)?];
        let mut is_tuple = false;
        while self.skip_operator(",") {
            is_tuple = true;
            if matches!(self.peek(), Kind::Name(name) if name != "in") || self.is_operator("(") {
                targets.push(self.one_target(with_field)?);
            }
        }
        Ok(if is_tuple { Target::Tuple(targets) } else { targets.remove(0) })
    }

    fn one_target(&mut self, with_field: bool) -> Parsed<Target> {
        if self.skip_operator("(") {
            let target = self.nested(|parser| parser.target(with_field))?;
            self.expect(")")?;
            return Ok(target);
        }
        let name = self.name()?;
        if with_field && self.skip_operator(".") {
            return Ok(Target::Field(name, self.name()?));
        }
        if ["true", "false", "none", "True", "False", "None"].contains(&name.as_str()) {
            return self.fault(format!("cannot assign to '{name}'"));
        }
        Ok(Target::Name(name))
    }

    fn macro_of(&mut self, name: String, end: &'static str) -> Parsed<Macro> {
        let parameters = self.parameters()?;
        self.expect_kind(&Kind::BlockEnd)?;
        let body = self.outside_loops(|parser| parser.body_until(end))?;
        Ok(Macro { name, parameters, body })
    }

    fn parameters(&mut self) -> Parsed<Vec<(String, Option<Expr>)>> {
        self.expect("(")?;
        let mut parameters: Vec<(String, Option<Expr>)> = Vec::new();
        while !self.skip_operator(")") {
            if !parameters.is_empty() {
                self.expect(",")?;
                if self.skip_operator(")") {
                    break;
                }
            }
            let name = self.name()?;
            let default = if self.skip_operator("=") { Some(self.expression()?) } else { None };
            parameters.push((name, default));
        }
        Ok(parameters)
    }

    /// Filters, each after a bar.
    fn filters(&mut self) -> Parsed<Vec<Call>> {
        let mut filters = Vec::new();
        while self.skip_operator("|") {
            filters.push(self.call()?);
        }
        Ok(filters)
    }
}
