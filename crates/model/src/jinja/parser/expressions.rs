//! Expressions, with the precedence that Jinja2 gives their operators.

use super::super::ast::{Arguments, Arithmetic, Call, Comparison, Expr};
use super::super::lexer::Kind;
use super::{MAX_LINKS, MAX_NESTING, Parsed, Parser};

impl Parser {
    /// Parses what is within a bracket, or behind an operator that has its operand on the right.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return self.fault(format!("more than {MAX_NESTING} brackets in each other"));
        }
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    /// Counts an operator of the expression under way.
    pub(super) fn link(&mut self) -> Parsed<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return self.fault(format!("an expression of more than {MAX_LINKS} operators"));
        }
        Ok(())
    }

    /// An expression, or several with commas between them; without `conditional`, an `if` is not part of it.
    pub(super) fn tuple_or_expression(&mut self, conditional: bool) -> Parsed<Expr> {
        self.links = 0;
        let first = self.one(conditional)?;
        if !self.is_operator(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_operator(",") {
            if matches!(self.peek(), Kind::BlockEnd | Kind::OutputEnd)
                || self.is_name("recursive")
                || self.is_name("if")
            {
                break;
            }
            items.push(self.one(conditional)?);
        }
        Ok(Expr::Tuple(items))
    }

    fn one(&mut self, conditional: bool) -> Parsed<Expr> {
        if conditional { self.expression() } else { self.or() }
    }

    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        let mut value = self.or()?;
        while self.skip_name("if") {
            self.link()?;
            let condition = self.or()?;
            let otherwise = if self.skip_name("else") { Some(self.nested(Self::expression)?) } else { None };
            value = Expr::Conditional(Box::new((condition, value, otherwise)));
        }
        Ok(value)
    }

    fn or(&mut self) -> Parsed<Expr> {
        let mut left = self.and()?;
        while self.skip_name("or") {
            self.link()?;
            left = Expr::Or(Box::new((left, self.and()?)));
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed<Expr> {
        let mut left = self.not()?;
        while self.skip_name("and") {
            self.link()?;
            left = Expr::And(Box::new((left, self.not()?)));
        }
        Ok(left)
    }

    fn not(&mut self) -> Parsed<Expr> {
        if self.skip_name("not") {
            return Ok(Expr::Not(Box::new(self.nested(Self::not)?)));
        }
        self.compare()
    }

    fn compare(&mut self) -> Parsed<Expr> {
        let first = self.sum()?;
        let mut others = Vec::new();
        loop {
            let comparison = match self.peek() {
                Kind::Operator("==") => Comparison::Equal,
                Kind::Operator("!=") => Comparison::NotEqual,
                Kind::Operator("<") => Comparison::Less,
                Kind::Operator("<=") => Comparison::LessEqual,
                Kind::Operator(">") => Comparison::Greater,
                Kind::Operator(">=") => Comparison::GreaterEqual,
                Kind::Name(name) if name == "in" => Comparison::In,
                Kind::Name(name) if name == "not" && matches!(self.peek_after(), Kind::Name(name) if name == "in") => {
                    self.at += 1;
                    Comparison::NotIn
                }
                _ => break,
            };
            self.at += 1;
            others.push((comparison, self.sum()?));
        }
        Ok(if others.is_empty() { first } else { Expr::Compare(Box::new(first), others) })
    }

    /// Operands with operators of one precedence between them.
    fn operands(
        &mut self,
        operators: &[(&'static str, Arithmetic)],
        operand: fn(&mut Self) -> Parsed<Expr>,
    ) -> Parsed<Expr> {
        let mut left = operand(self)?;
        while let Some((_, operator)) = operators.iter().find(|(text, _)| self.is_operator(text)) {
            self.at += 1;
            self.link()?;
            left = Expr::Arithmetic(*operator, Box::new((left, operand(self)?)));
        }
        Ok(left)
    }

    fn sum(&mut self) -> Parsed<Expr> {
        self.operands(&[("+", Arithmetic::Add), ("-", Arithmetic::Sub)], Self::concat)
    }

    fn concat(&mut self) -> Parsed<Expr> {
        let mut parts = vec![self.product()?];
        while self.skip_operator("~") {
            parts.push(self.product()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Concat(parts) })
    }

    fn product(&mut self) -> Parsed<Expr> {
        let operators =
            [("*", Arithmetic::Mul), ("//", Arithmetic::FloorDiv), ("/", Arithmetic::Div), ("%", Arithmetic::Mod)];
        self.operands(&operators, Self::power)
    }

    fn power(&mut self) -> Parsed<Expr> {
        self.operands(&[("**", Arithmetic::Pow)], |parser| parser.unary(true))
    }

    fn unary(&mut self, with_filters: bool) -> Parsed<Expr> {
        let node = if self.skip_operator("-") {
            Expr::Negative(Box::new(self.nested(|parser| parser.unary(false))?))
        } else if self.skip_operator("+") {
            Expr::Positive(Box::new(self.nested(|parser| parser.unary(false))?))
        } else {
            self.primary()?
        };
        let node = self.postfix(node)?;
        if with_filters { self.filters_and_tests(node) } else { Ok(node) }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        match self.next() {
            Kind::Name(name) => Ok(match name.as_str() {
                "true" | "True" => Expr::Bool(true),
                "false" | "False" => Expr::Bool(false),
                "none" | "None" => Expr::None,
                _ => Expr::Name(name),
            }),
            Kind::Str(mut text) => {
                while let Kind::Str(more) = self.peek() {
                    text.push_str(more);
                    self.at += 1;
                }
                Ok(Expr::Str(text))
            }
            Kind::Int(number) => Ok(Expr::Int(number)),
            Kind::Float(number) => Ok(Expr::Float(number)),
            Kind::Operator("(") => self.nested(Self::parenthesis),
            Kind::Operator("[") => Ok(Expr::List(self.nested(|parser| parser.items("]"))?.0)),
            Kind::Operator("{") => self.nested(Self::dict),
            other => {
                self.at -= usize::from(other != Kind::End);
                self.unexpected(&other)
            }
        }
    }

    /// Expressions up to a closing bracket, and whether a comma follows the last.
    fn items(&mut self, close: &'static str) -> Parsed<(Vec<Expr>, bool)> {
        let mut items = Vec::new();
        let mut comma = true;
        while !self.skip_operator(close) {
            if !comma {
                return self.fault(format!("expected ',' or '{close}'"));
            }
            items.push(self.expression()?);
            comma = self.skip_operator(",");
        }
        Ok((items, comma))
    }

    fn parenthesis(&mut self) -> Parsed<Expr> {
        let (mut items, comma) = self.items(")")?;
        Ok(if items.len() == 1 && !comma { items.remove(0) } else { Expr::Tuple(items) })
    }

    fn dict(&mut self) -> Parsed<Expr> {
        let mut entries = Vec::new();
        let mut comma = true;
        while !self.skip_operator("}") {
            if !comma {
                return self.fault("expected ',' or '}'");
            }
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, self.expression()?));
            comma = self.skip_operator(",");
        }
        Ok(Expr::Dict(entries))
    }

    fn postfix(&mut self, mut node: Expr) -> Parsed<Expr> {
        loop {
            if self.skip_operator(".") {
                node = match self.next() {
                    Kind::Name(name) => Expr::Attribute(Box::new(node), name),
                    Kind::Int(index) => Expr::Item(Box::new(node), Box::new(Expr::Int(index))),
                    other => return self.unexpected(&other),
                };
            } else if self.skip_operator("[") {
                node = self.nested(|parser| parser.subscript(node))?;
            } else if self.is_operator("(") {
                node = Expr::Call(Box::new(node), self.arguments()?);
            } else {
                return Ok(node);
            }
            self.link()?;
        }
    }

    fn filters_and_tests(&mut self, mut node: Expr) -> Parsed<Expr> {
        loop {
            if self.skip_operator("|") {
                node = Expr::Filter(Box::new(node), self.call()?);
            } else if self.skip_name("is") {
                node = self.test(node)?;
            } else if self.is_operator("(") {
                node = Expr::Call(Box::new(node), self.arguments()?);
            } else {
                return Ok(node);
            }
            self.link()?;
        }
    }

    fn test(&mut self, node: Expr) -> Parsed<Expr> {
        let negated = self.skip_name("not");
        let name = self.name()?;
        let mut arguments = Arguments::default();
        if self.is_operator("(") {
            arguments = self.arguments()?;
        } else {
            let argument_follows = match self.peek() {
                Kind::Name(name) => {
                    !["else", "or", "and", "is", "if", "recursive", "in", "not"].contains(&name.as_str())
                }
                Kind::Str(_) | Kind::Int(_) | Kind::Float(_) | Kind::Operator("[" | "{") => true,
                _ => false,
            };
            if argument_follows {
                let argument = self.primary()?;
                arguments.positional.push(self.postfix(argument)?);
            }
        }
        let test = Expr::Test(Box::new(node), Call { name, arguments });
        Ok(if negated { Expr::Not(Box::new(test)) } else { test })
    }

    /// After `[`: an index, or a slice.
    fn subscript(&mut self, node: Expr) -> Parsed<Expr> {
        let mut parts: [Option<Expr>; 3] = [None, None, None];
        let mut colons = 0;
        while !self.skip_operator("]") {
            if colons < 2 && self.skip_operator(":") {
                colons += 1;
            } else if parts[colons].is_none() {
                parts[colons] = Some(self.expression()?);
            } else {
                return self.fault("expected ']'");
            }
        }
        match (colons, parts) {
            (0, [Some(index), ..]) => Ok(Expr::Item(Box::new(node), Box::new(index))),
            (0, _) => self.fault("expected an index"),
            (_, parts) => Ok(Expr::Slice(Box::new(node), Box::new(parts))),
        }
    }

    /// A name with its arguments, if it has any.
    pub(super) fn call(&mut self) -> Parsed<Call> {
        let name = self.name()?;
        let arguments = if self.is_operator("(") { self.arguments()? } else { Arguments::default() };
        Ok(Call { name, arguments })
    }

    fn arguments(&mut self) -> Parsed<Arguments> {
        self.nested(Self::arguments_here)
    }

    fn arguments_here(&mut self) -> Parsed<Arguments> {
        self.expect("(")?;
        let mut arguments = Arguments::default();
        let mut comma = true;
        while !self.skip_operator(")") {
            if !comma {
                return self.fault("expected ',' or ')'");
            }
            if self.skip_operator("*") {
                arguments.list = Some(Box::new(self.expression()?));
            } else if self.skip_operator("**") {
                arguments.dict = Some(Box::new(self.expression()?));
            } else if let (Kind::Name(name), Kind::Operator("=")) = (self.peek().clone(), self.peek_after()) {
                self.at += 2;
                arguments.named.push((name, self.expression()?));
            } else if arguments.named.is_empty() && arguments.list.is_none() && arguments.dict.is_none() {
                arguments.positional.push(self.expression()?);
            } else {
                return self.fault("a positional argument after a named one");
            }
            comma = self.skip_operator(",");
        }
        Ok(arguments)
    }
}
