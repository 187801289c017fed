//! Expressions to values.

use super::Failure;
use super::arguments::{Arguments, optional_integer};
use super::ast::{self, Expr};
use super::budget::{Buffer, step};
use super::interpreter::{DEPTH, Interpreter};
use super::operators;
use super::print::write_str;
use super::value::Value;
use super::{checks, filters, methods};

/// `value.name`, as Jinja2 has it for all but namespaces and macros: a method or an attribute first, then a dict's field.
pub(super) fn attribute(value: &Value, name: &str) -> Result<Value, Failure> {
    if let Some(method) = methods::find(value, name)? {
        return Ok(method);
    }
    match value {
        Value::Dict(dict) => Ok(dict.field(name)?.cloned().unwrap_or(Value::Undefined)),
        Value::Loop(state) => Ok(methods::loop_field(state, name).unwrap_or(Value::Undefined)),
        Value::Undefined => Err(Failure::fault(format!("undefined has no attribute '{name}'"))),
        _ => Ok(Value::Undefined),
    }
}

/// `value[key]`: an item first, then an attribute.
pub(super) fn item(value: &Value, key: &Value) -> Result<Value, Failure> {
    step(1)?;
    let index = |length: usize| {
        let index = key.as_int()?;
        let length = i64::try_from(length).ok()?;
        usize::try_from(if index < 0 { index.checked_add(length)? } else { index }).ok()
    };
    let found = match value {
        Value::Undefined => return Err(Failure::fault("undefined has no items")),
        Value::Dict(dict) => dict.get(key)?.cloned(),
        Value::List(list) | Value::Tuple(list) => index(list.items.len()).and_then(|i| list.items.get(i)).cloned(),
        Value::Str(text) if key.as_int().is_some() => {
            step((text.as_str().len() / 256) as u64)?;
            let length = if key.as_int().is_some_and(|index| index < 0) { value.len()? } else { 0 };
            let place = index(length).and_then(|index| text.as_str().char_indices().nth(index));
            place.map(|(place, c)| text.part(&text.as_str()[place..place + c.len_utf8()])).transpose()?
        }
        _ => None,
    };
    match (found, key.as_str()) {
        (Some(found), _) => Ok(found),
        (None, Some(name)) if !matches!(value, Value::Undefined) => attribute(value, name),
        _ => Ok(Value::Undefined),
    }
}

impl<'t> Interpreter<'t> {
    pub(super) fn eval(&mut self, expr: &'t Expr) -> Result<Value, Failure> {
        step(1)?;
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Failure::Budget("it calls itself too often"));
        }
        let value = self.eval_here(expr);
        self.depth -= 1;
        value
    }

    fn eval_here(&mut self, expr: &'t Expr) -> Result<Value, Failure> {
        match expr {
            Expr::None => Ok(Value::None),
            Expr::Bool(value) => Ok(Value::Bool(*value)),
            Expr::Int(number) => Ok(Value::Int(*number)),
            Expr::Float(number) => Ok(Value::Float(*number)),
            Expr::Str(text) => Value::text(text.as_str()),
            Expr::Name(name) => Ok(self.lookup(name)),
            Expr::List(items) => Value::list(self.eval_all(items)?),
            Expr::Tuple(items) => Value::tuple(self.eval_all(items)?),
            Expr::Dict(entries) => {
                let pair = |(key, value): &'t (Expr, Expr)| Ok((self.eval(key)?, self.eval(value)?));
                Value::dict(entries.iter().map(pair).collect::<Result<_, Failure>>()?)
            }
            Expr::Attribute(of, name) => {
                let value = self.defined(of)?;
                self.field(&value, name)
            }
            Expr::Item(of, key) => {
                let value = self.defined(of)?;
                let key = self.eval(key)?;
                match (&value, key.as_str()) {
                    (Value::Namespace(_) | Value::Macro(_), Some(name)) => self.field(&value, name),
                    _ => item(&value, &key),
                }
            }
            Expr::Slice(of, bounds) => {
                let value = self.defined(of)?;
                let mut indices = [None; 3];
                for (index, bound) in indices.iter_mut().zip(&**bounds) {
                    let bound = bound.as_ref().map(|bound| self.eval(bound)).transpose()?;
                    *index = optional_integer(bound.as_ref(), "each index of a slice")?;
                }
                operators::slice(&value, indices)
            }
            Expr::Call(function, arguments) => {
                let value = self.eval(function)?;
                let arguments = self.arguments(arguments)?;
                if value.is_undefined() {
                    return Err(Failure::fault(format!(
                        "'{}' is undefined and cannot be called",
                        function.described()
                    )));
                }
                self.call(&value, arguments)
            }
            Expr::Filter(of, call) => {
                let value = self.eval(of)?;
                self.filter(&value, call)
            }
            Expr::Test(of, call) => {
                let value = self.eval(of)?;
                let arguments = self.arguments(&call.arguments)?;
                Ok(Value::Bool(checks::check(&value, &call.name, arguments)?))
            }
            _ => self.eval_operator(expr),
        }
    }

    fn eval_operator(&mut self, expr: &'t Expr) -> Result<Value, Failure> {
        match expr {
            Expr::Not(value) => Ok(Value::Bool(!self.eval(value)?.is_true())),
            Expr::Negative(value) => operators::negative(&self.eval(value)?),
            Expr::Positive(value) => operators::negative(&operators::negative(&self.eval(value)?)?),
            Expr::And(both) => {
                let left = self.eval(&both.0)?;
                if left.is_true() { self.eval(&both.1) } else { Ok(left) }
            }
            Expr::Or(both) => {
                let left = self.eval(&both.0)?;
                if left.is_true() { Ok(left) } else { self.eval(&both.1) }
            }
            Expr::Arithmetic(operator, both) => {
                let (left, right) = (self.defined(&both.0)?, self.defined(&both.1)?);
                operators::arithmetic(*operator, &left, &right)
            }
            Expr::Concat(parts) => {
                let mut out = Buffer::new();
                for part in parts {
                    write_str(&mut out, &self.eval(part)?)?;
                }
                Value::written(out)
            }
            Expr::Compare(first, others) => {
                let mut left = self.eval(first)?;
                for (comparison, right) in others {
                    let right = self.eval(right)?;
                    if !operators::compare(*comparison, &left, &right)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            Expr::Conditional(parts) => {
                let (condition, then, otherwise) = &**parts;
                if self.eval(condition)?.is_true() {
                    return self.eval(then);
                }
                otherwise.as_ref().map_or(Ok(Value::Undefined), |otherwise| self.eval(otherwise))
            }
            _ => Err(Failure::fault("not an operator")),
        }
    }

    /// The value of an expression whose parts or size are asked for.
    fn defined(&mut self, expr: &'t Expr) -> Result<Value, Failure> {
        let value = self.eval(expr)?;
        if value.is_undefined() {
            return Err(Failure::fault(format!("'{}' is undefined", expr.described())));
        }
        Ok(value)
    }

    fn eval_all(&mut self, exprs: &'t [Expr]) -> Result<Vec<Value>, Failure> {
        exprs.iter().map(|expr| self.eval(expr)).collect()
    }

    pub(super) fn arguments(&mut self, given: &'t ast::Arguments) -> Result<Arguments, Failure> {
        let mut positional = self.eval_all(&given.positional)?;
        let mut named = Vec::new();
        for (name, value) in &given.named {
            named.push((name.clone(), self.eval(value)?));
        }
        if let Some(list) = &given.list {
            positional.extend(self.eval(list)?.iterate()?.items.iter().cloned());
        }
        if let Some(dict) = &given.dict {
            let Value::Dict(dict) = self.eval(dict)? else { return Err(Failure::fault("** takes a dict")) };
            for (key, value) in &dict.entries {
                let key = key.as_str().ok_or_else(|| Failure::fault("keywords must be strings"))?;
                named.push((key.to_owned(), value.clone()));
            }
        }
        Ok(Arguments { positional, named })
    }

    pub(super) fn filter(&mut self, value: &Value, call: &'t ast::Call) -> Result<Value, Failure> {
        let arguments = self.arguments(&call.arguments)?;
        filters::apply(value, &call.name, arguments)
    }
}
