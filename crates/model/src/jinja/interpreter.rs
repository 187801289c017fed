//! Statements, variables, macros and global functions.

use super::arguments::{Arguments, integer, string};
use super::ast::{For, Macro, Stmt, StmtKind, Target};
use super::budget::{Buffer, Held, step};
use super::print::write_str;
use super::value::{List, Loop, Value};
use super::{Failure, Rendered, expressions, methods};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Statements and expressions in each other, through macros that call each other too. Each takes some KiB of stack.
pub(super) const DEPTH: usize = 4000;
/// Items of a `range`, as the sandbox of Jinja2 has it.
const MAX_RANGE: i64 = 100_000;
const FUNCTIONS: [&str; 5] = ["range", "dict", "namespace", "raise_exception", "strftime_now"];

/// Bytes that a variable takes, about.
const VARIABLE: usize = 64;

/// Variables.
struct Scope<'t> {
    variables: HashMap<&'t str, Value>,
    held: Held,
}

/// A macro, with the variables around it when it was made.
struct Closure<'t> {
    code: &'t Macro,
    around: Scope<'t>,
}

struct Namespace {
    fields: Vec<(String, Value)>,
    held: Held,
}

impl<'t> Scope<'t> {
    fn new() -> Result<Self, Failure> {
        Ok(Scope { variables: HashMap::new(), held: Held::new(VARIABLE)? })
    }

    fn set(&mut self, name: &'t str, value: Value) -> Result<(), Failure> {
        if self.variables.insert(name, value).is_none() {
            self.held.grow(VARIABLE)?;
        }
        Ok(())
    }

    fn add(&mut self, other: &Scope<'t>) -> Result<(), Failure> {
        other.variables.iter().try_for_each(|(name, value)| {
            step(1)?;
            self.set(name, value.clone())
        })
    }
}

impl Namespace {
    fn set(&mut self, name: &str, value: Value) -> Result<(), Failure> {
        step((self.fields.len() / 8) as u64)?;
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, field)) => *field = value,
            None => {
                self.held.grow(VARIABLE + name.len())?;
                self.fields.push((name.to_owned(), value));
            }
        }
        Ok(())
    }
}

pub(super) struct Interpreter<'t> {
    /// The template's own variables; macros see them as they are when they are called.
    top: Scope<'t>,
    /// Those of loops, macros and blocks, the innermost last.
    scopes: Vec<Scope<'t>>,
    namespaces: Vec<Namespace>,
    macros: Vec<Closure<'t>>,
    /// Loops that may call themselves.
    loops: Vec<&'t For>,
    out: Vec<Buffer>,
    pub(super) depth: usize,
}

/// How a statement ends.
enum Flow {
    Next,
    Break,
    Continue,
}

/// Renders with these variables.
pub(super) fn render(body: &[Stmt], variables: Vec<(&str, Value)>) -> Result<Rendered, Failure> {
    let mut top = Scope::new()?;
    for (name, value) in variables {
        top.set(name, value)?;
    }
    let mut interpreter = Interpreter {
        top,
        scopes: Vec::new(),
        namespaces: Vec::new(),
        macros: Vec::new(),
        loops: Vec::new(),
        out: vec![Buffer::new()],
        depth: 0,
    };
    interpreter.body(body)?;
    let (text, said, _) = interpreter.out.pop().unwrap_or_else(Buffer::new).into_parts();
    Ok(Rendered { text, said })
}

impl<'t> Interpreter<'t> {
    pub(super) fn lookup(&self, name: &str) -> Value {
        let mut scopes = self.scopes.iter().rev().chain([&self.top]);
        if let Some(value) = scopes.find_map(|scope| scope.variables.get(name)) {
            return value.clone();
        }
        FUNCTIONS.iter().find(|known| **known == name).map_or(Value::Undefined, |name| Value::Function(name))
    }

    fn set(&mut self, name: &'t str, value: Value) -> Result<(), Failure> {
        self.scopes.last_mut().unwrap_or(&mut self.top).set(name, value)
    }

    /// `value.name`.
    pub(super) fn field(&self, value: &Value, name: &str) -> Result<Value, Failure> {
        match value {
            Value::Namespace(number) => {
                let fields = &self.namespaces[*number].fields;
                step((fields.len() / 8) as u64)?;
                let field = fields.iter().find(|(known, _)| known == name);
                Ok(field.map_or(Value::Undefined, |(_, value)| value.clone()))
            }
            Value::Macro(number) if name == "name" => Value::text(self.macros[*number].code.name.as_str()),
            value => expressions::attribute(value, name),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.out.last_mut().map_or(Ok(()), |out| out.push(text))
    }

    /// What is written while `run` runs, as a value.
    fn captured(&mut self, run: impl FnOnce(&mut Self) -> Result<(), Failure>) -> Result<Value, Failure> {
        self.out.push(Buffer::new());
        run(self)?;
        Value::written(self.out.pop().unwrap_or_else(Buffer::new))
    }

    /// Runs with variables of its own.
    fn scoped<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        self.scopes.push(Scope::new()?);
        let result = run(self);
        self.scopes.pop();
        result
    }

    fn body(&mut self, body: &'t [Stmt]) -> Result<Flow, Failure> {
        for stmt in body {
            step(1)?;
            self.depth += 1;
            if self.depth > DEPTH {
                return Err(Failure::Budget("it calls itself too often"));
            }
            let flow = self.statement(&stmt.kind).map_err(|failure| failure.at(stmt.line))?;
            self.depth -= 1;
            if !matches!(flow, Flow::Next) {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, stmt: &'t StmtKind) -> Result<Flow, Failure> {
        match stmt {
            StmtKind::Text(text) => self.write(text)?,
            StmtKind::Output(expr) => {
                let value = self.eval(expr)?;
                if let Some(out) = self.out.last_mut() {
                    write_str(out, &value)?;
                }
            }
            StmtKind::If(branches, otherwise) => {
                for (condition, body) in branches {
                    if self.eval(condition)?.is_true() {
                        return self.body(body);
                    }
                }
                return self.body(otherwise);
            }
            StmtKind::For(stmt) => {
                let items = self.eval(&stmt.items)?.iterate()?;
                self.run_loop(stmt, items, 0)?;
            }
            StmtKind::Set(target, value) => {
                let value = self.eval(value)?;
                self.assign(target, value)?;
            }
            StmtKind::SetBlock(target, filters, body) => {
                let mut value = self.captured(|this| this.scoped(|this| this.body(body)).map(drop))?;
                for call in filters {
                    value = self.filter(&value, call)?;
                }
                self.assign(target, value)?;
            }
            StmtKind::Macro(code) => {
                let value = self.closure(code)?;
                self.set(&code.name, value)?;
            }
            StmtKind::Call(call, code) => {
                let super::ast::Expr::Call(function, arguments) = call else {
                    return Err(Failure::fault("a call block takes a call"));
                };
                let caller = self.closure(code)?;
                let function = self.eval(function)?;
                let mut arguments = self.arguments(arguments)?;
                arguments.named.push(("caller".to_owned(), caller));
                let value = self.call(&function, arguments)?;
                if let Some(out) = self.out.last_mut() {
                    write_str(out, &value)?;
                }
            }
            StmtKind::Filter(filters, body) => {
                let mut value = self.captured(|this| this.scoped(|this| this.body(body)).map(drop))?;
                for call in filters {
                    value = self.filter(&value, call)?;
                }
                if let Some(out) = self.out.last_mut() {
                    write_str(out, &value)?;
                }
            }
            StmtKind::With(variables, body) => {
                let mut values = Vec::new();
                for (target, value) in variables {
                    values.push((target, self.eval(value)?));
                }
                return self.scoped(|this| {
                    for (target, value) in values {
                        this.assign(target, value)?;
                    }
                    this.body(body)
                });
            }
            StmtKind::Break => return Ok(Flow::Break),
            StmtKind::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn assign(&mut self, target: &'t Target, value: Value) -> Result<(), Failure> {
        match target {
            Target::Name(name) => self.set(name, value)?,
            Target::Field(namespace, name) => {
                let Value::Namespace(number) = self.lookup(namespace) else {
                    return Err(Failure::fault(format!("'{namespace}' is no namespace: its fields cannot be set")));
                };
                self.namespaces[number].set(name, value)?;
            }
            Target::Tuple(targets) => {
                let items = value.iterate()?;
                if items.items.len() != targets.len() {
                    let (count, names) = (items.items.len(), targets.len());
                    return Err(Failure::fault(format!("{count} values cannot be unpacked into {names} names")));
                }
                for (target, item) in targets.iter().zip(&items.items) {
                    self.assign(target, item.clone())?;
                }
            }
        }
        Ok(())
    }

    fn run_loop(&mut self, stmt: &'t For, items: Rc<List>, depth: usize) -> Result<(), Failure> {
        let items = match &stmt.condition {
            None => items,
            Some(condition) => {
                let mut kept = Vec::new();
                for item in &items.items {
                    let holds = self.scoped(|this| {
                        this.assign(&stmt.target, item.clone())?;
                        this.eval(condition)
                    })?;
                    if holds.is_true() {
                        kept.push(item.clone());
                    }
                }
                List::new(kept)?
            }
        };
        if items.items.is_empty() {
            return self.scoped(|this| this.body(&stmt.otherwise)).map(drop);
        }
        let recursive = stmt.recursive.then(|| {
            self.loops.push(stmt);
            self.loops.len() - 1
        });
        let changed = Rc::new(RefCell::new(None));
        for index in 0..items.items.len() {
            step(1)?;
            let changed = Rc::clone(&changed);
            let state = Loop { items: Rc::clone(&items), index, depth, recursive, changed };
            let flow = self.scoped(|this| {
                this.set("loop", Value::Loop(Rc::new(state)))?;
                this.assign(&stmt.target, items.items[index].clone())?;
                this.body(&stmt.body)
            })?;
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(())
    }

    fn closure(&mut self, code: &'t Macro) -> Result<Value, Failure> {
        let mut around = Scope::new()?;
        for scope in &self.scopes {
            around.add(scope)?;
        }
        self.macros.push(Closure { code, around });
        Ok(Value::Macro(self.macros.len() - 1))
    }

    /// `function(arguments)`.
    pub(super) fn call(&mut self, function: &Value, arguments: Arguments) -> Result<Value, Failure> {
        match function {
            Value::Method(method) => methods::call(&method.0, method.1, arguments),
            Value::Function(name) => self.call_function(name, arguments),
            Value::Macro(number) => self.call_macro(*number, arguments),
            Value::Loop(state) => {
                let recursive = state.recursive.ok_or_else(|| Failure::fault("the loop is not recursive"))?;
                let [items] = arguments.bind("loop", ["iterable"])?;
                let items = items.unwrap_or(Value::Undefined).iterate()?;
                let stmt = self.loops[recursive];
                self.captured(|this| this.run_loop(stmt, items, state.depth + 1))
            }
            other => Err(Failure::fault(format!("'{}' object is not callable", other.type_name()))),
        }
    }

    fn call_macro(&mut self, number: usize, arguments: Arguments) -> Result<Value, Failure> {
        let code = self.macros[number].code;
        let mut scope = Scope::new()?;
        let mut positional = arguments.positional.into_iter();
        let mut named = arguments.named;
        let mut missing = Vec::new();
        for (name, default) in &code.parameters {
            let given = positional.next().or_else(|| {
                let place = named.iter().position(|(known, _)| known == name)?;
                Some(named.remove(place).1)
            });
            if given.is_none() {
                missing.push((name, default));
            }
            scope.set(name, given.unwrap_or(Value::Undefined))?;
        }
        if let Some(place) = named.iter().position(|(name, _)| name == "caller") {
            scope.set("caller", named.remove(place).1)?;
        }
        scope.set("varargs", Value::tuple(positional.collect())?)?;
        let others = named.into_iter().map(|(name, value)| Ok((Value::said(name)?, value)));
        scope.set("kwargs", Value::dict(others.collect::<Result<_, Failure>>()?)?)?;
        let mut around = Scope::new()?;
        around.add(&self.macros[number].around)?;
        let outside = std::mem::replace(&mut self.scopes, vec![around, scope]);
        let result = self.captured(|this| {
            for (name, default) in missing {
                if let Some(default) = default {
                    let value = this.eval(default)?;
                    this.set(name, value)?;
                }
            }
            this.body(&code.body).map(drop)
        });
        self.scopes = outside;
        result
    }

    fn call_function(&mut self, name: &'static str, arguments: Arguments) -> Result<Value, Failure> {
        match name {
            "range" => range(arguments),
            "raise_exception" => {
                let [message] = arguments.bind(name, ["message"])?;
                let message = super::print::str_of(&message.unwrap_or(Value::Undefined))?;
                Err(Failure::Raised(message.as_str().unwrap_or("").to_owned()))
            }
            "strftime_now" => {
                let [format] = arguments.bind(name, ["format"])?;
                let format = format.unwrap_or(Value::Undefined);
                let time = jiff::fmt::strtime::format(string(&format, "the format")?, &jiff::Zoned::now());
                Value::said(time.map_err(|error| Failure::fault(format!("strftime_now: {error}")))?)
            }
            _ => {
                let mut entries = match arguments.positional.first() {
                    None => Vec::new(),
                    Some(Value::Dict(dict)) => dict.entries.clone(),
                    Some(pairs) => {
                        let pair = |pair: &Value| match &pair.iterate()?.items[..] {
                            [key, value] => Ok((key.clone(), value.clone())),
                            _ => Err(Failure::fault(format!("{name} takes pairs"))),
                        };
                        pairs.iterate()?.items.iter().map(pair).collect::<Result<_, _>>()?
                    }
                };
                for (name, value) in arguments.named {
                    entries.push((Value::said(name)?, value));
                }
                let dict = super::value::Dict::new(entries)?;
                if name == "dict" {
                    return Ok(Value::Dict(dict));
                }
                let mut namespace = Namespace { fields: Vec::new(), held: Held::new(VARIABLE)? };
                for (name, value) in &dict.entries {
                    namespace.set(string(name, "the name of a field")?, value.clone())?;
                }
                self.namespaces.push(namespace);
                Ok(Value::Namespace(self.namespaces.len() - 1))
            }
        }
    }
}

fn range(arguments: Arguments) -> Result<Value, Failure> {
    let [first, second, third] = arguments.bind("range", ["start", "stop", "step"])?;
    let first = integer(&first.ok_or_else(|| Failure::fault("range takes a number"))?, "start")?;
    let second = second.map(|stop| integer(&stop, "stop")).transpose()?;
    let by = third.map_or(Ok(1), |by| integer(&by, "step"))?;
    let (start, stop) = second.map_or((0, first), |stop| (first, stop));
    if by == 0 {
        return Err(Failure::fault("range() arg 3 must not be zero"));
    }
    let length = if (by > 0) == (start < stop) { stop.abs_diff(start).div_ceil(by.unsigned_abs()) } else { 0 };
    let most = i64::try_from(length).ok().filter(|length| *length <= MAX_RANGE);
    let most = most.ok_or_else(|| Failure::fault(format!("a range of more than {MAX_RANGE} items")))?;
    Value::list((0..most).map(|index| Value::Int(start + index * by)).collect())
}
